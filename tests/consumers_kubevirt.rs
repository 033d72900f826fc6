//! KubeVirt's manifests: the published schemas of their kinds accept them, and so do the rules of KubeVirt's admission,
//! written down a second time in Python.
//!
//! KubeVirt's own admission server was not run: its rules are checked, not its program.

mod support;

use std::path::{Path, PathBuf};

use covirt::artifacts::{Bundle, Fate, Format};
use covirt::discovery::{
    BootOrder, Discovered, DiskCache, DiskSize, Feature, Filesystem, Hostdev, HostdevType, HugePages, Inventory,
    Limits, MemoryHotplug, NicSource, NumaCell, OtherDevice, Settings, Timer, Trunk, Vlan, Watchdog, parse_domain,
    parse_network,
};
use covirt::model::units::{Bytes, Kib};
use serde_json::{Value, json};
use support::bundle::{fate, nothing_is_forgotten, text};
use support::consumers::{Consumers, said};
use support::shop;

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/artifacts/schemas/kubevirt");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/artifacts/golden");

/// The folder of the schemas, when it is at hand.
fn schemas(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(SCHEMAS);
    if folder.is_dir() {
        return Some(folder);
    }
    support::skip(test, &format!("no schemas at {}", folder.display()));
    None
}

/// What the schemas say of every file below `folder`, and the documents that PyYAML read.
fn by_schema(consumers: &Consumers, schemas: &Path, folder: &Path) -> Value {
    let output = consumers.python("kubevirt_crd.py", &[schemas, folder]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the rules of the admission say of every VirtualMachine below `folder`.
fn by_rules(consumers: &Consumers, folder: &Path) -> Value {
    let output = consumers.python("kubevirt_admission.py", &[folder]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fails unless both accept every manifest below `folder`; returns the documents by path.
#[track_caller]
fn accepted(consumers: &Consumers, schemas: &Path, folder: &Path) -> Value {
    let read = by_schema(consumers, schemas, folder);
    for (path, told) in read.as_object().unwrap() {
        assert_eq!(told["errors"], json!([]), "{path}");
    }
    for (path, causes) in by_rules(consumers, folder).as_object().unwrap() {
        assert_eq!(*causes, json!([]), "{path}");
    }
    read
}

fn shop_bundle() -> Bundle {
    shop::shop(Format::KubeVirt)
}

#[test]
fn the_reference_vm_is_the_golden_one() {
    shop::is_golden(&shop_bundle(), "kubevirt-shop-front");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(shop_bundle(), shop_bundle());
}

#[test]
fn the_vm_is_halted_whatever_the_binding_says() {
    let vm = text(&shop_bundle(), "virtualmachine.yaml").to_owned();
    assert!(vm.contains("runStrategy: \"Halted\"") && !vm.contains("running:"));
}

#[test]
fn the_schemas_and_the_rules_accept_the_reference_vm() {
    let test = "the_schemas_and_the_rules_accept_the_reference_vm";
    let Some(schemas) = schemas(test) else { return };
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let work = tempfile::tempdir().unwrap();
    shop::write_under(work.path(), &shop_bundle());
    let read = accepted(&consumers, &schemas, work.path());
    let document = |name: &str| &read[work.path().join(name).to_str().unwrap()]["document"];
    // Nothing that looks like a number or a truth value became one on the way through YAML.
    let spec = &document("virtualmachine.yaml")["spec"]["template"]["spec"];
    assert_eq!(spec["domain"]["devices"]["interfaces"][0]["macAddress"], "52:54:00:1a:2b:01");
    assert_eq!(spec["domain"]["firmware"]["uuid"], "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60");
    assert_eq!(spec["domain"]["memory"]["guest"], "3Gi");
    assert_eq!(spec["evictionStrategy"], "None");
    assert_eq!(document("datavolume-vda.yaml")["spec"]["storage"]["resources"]["requests"]["storage"], "20Gi");
    let config = document("network-attachment-definition-back-vlan42.yaml")["spec"]["config"].as_str().unwrap();
    let config: Value = serde_json::from_str(config).unwrap();
    assert_eq!((&config["type"], &config["bridge"], &config["vlan"]), (&json!("ovs"), &json!("br-back"), &json!(42)));
    assert_eq!(config["mtu"], 1450);
}

#[test]
fn what_is_broken_is_refused() {
    let test = "what_is_broken_is_refused";
    let Some(schemas) = schemas(test) else { return };
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let work = tempfile::tempdir().unwrap();
    let bundle = shop_bundle();
    let vm = text(&bundle, "virtualmachine.yaml");
    let break_it = |name: &str, from: &str, to: &str| {
        assert!(vm.contains(from), "{name}: {from} is not there");
        let folder = work.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("virtualmachine.yaml"), vm.replacen(from, to, 1)).unwrap();
    };
    let by_the_schema = [
        ("unknown-field", "runStrategy:", "runStrategies:"),
        ("unknown-device-field", "cores: 2", "kernels: 2"),
        ("wrong-type", "cores: 2", "cores: \"two\""),
        ("truth-for-text", "serial: \"shop-root\"", "serial: true"),
        ("unit", "guest: \"3Gi\"", "guest: \"3145728KiB\""),
    ];
    let by_the_rules = [
        ("bus", "bus: \"virtio\"", "bus: \"ide\""),
        ("machine", "type: \"pc-q35-7.2\"", "type: \"pc-i440fx-7.2\""),
        ("boot-order", "bootOrder: 2", "bootOrder: 1"),
        ("boot-order-zero", "bootOrder: 2", "bootOrder: 0"),
        ("serial", "serial: \"shop-root\"", "serial: \"shop root\""),
        ("secure-boot", "smm:\n            enabled: true", "smm:\n            enabled: false"),
        ("interface-name", "- name: \"net1\"", "- name: \"net 1\""),
        ("decimal-unit", "guest: \"3Gi\"", "guest: \"3G\""),
        ("started", "runStrategy: \"Halted\"", "runStrategy: \"Always\""),
        ("cache", "cache: \"none\"", "cache: \"unsafe\""),
    ];
    for (name, from, to) in by_the_schema.iter().chain(&by_the_rules) {
        break_it(name, from, to);
    }
    let path = |name: &str| work.path().join(name).join("virtualmachine.yaml").to_str().unwrap().to_owned();
    let schema = by_schema(&consumers, &schemas, work.path());
    for (name, ..) in by_the_schema {
        assert_ne!(schema[path(name)]["errors"], json!([]), "{name}");
    }
    let valid: Vec<PathBuf> = by_the_rules.iter().map(|(name, ..)| path(name).into()).collect();
    let rules = consumers.python("kubevirt_admission.py", &valid.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let rules: Value = serde_json::from_slice(&rules.stdout).unwrap_or_else(|_| panic!("{}", said(&rules)));
    for (name, ..) in by_the_rules {
        // The schema alone would let these pass.
        assert_eq!(schema[path(name)]["errors"], json!([]), "{name}");
        let causes = rules[path(name)].as_array().unwrap();
        assert!(!causes.is_empty(), "{name}");
    }
}

#[test]
fn every_domain_of_the_corpus_renders_or_is_refused_for_its_architecture() {
    let test = "every_domain_of_the_corpus_renders_or_is_refused_for_its_architecture";
    let binding = shop::toml("namespace = \"edge\"\n");
    let work = tempfile::tempdir().unwrap();
    let mut rendered = 0;
    let corpus = shop::corpus(test);
    for (name, mut inventory) in corpus.clone() {
        inventory.domain.identity.uuid.get_or_insert(uuid::Uuid::from_u128(7));
        match shop::render(Format::KubeVirt, &inventory, &binding) {
            Ok(bundle) => {
                nothing_is_forgotten(&name, &bundle);
                shop::write_under(&work.path().join(&name), &bundle);
                rendered += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), "artifact-refused", "{name}: {error}");
                assert!(error.to_string().starts_with("platform.arch"), "{name}: {error}");
            }
        }
    }
    if corpus.is_empty() {
        return;
    }
    assert!(rendered > 600, "{rendered}");
    let Some(schemas) = schemas(test) else { return };
    let Some(consumers) = Consumers::of(test, "light") else { return };
    accepted(&consumers, &schemas, work.path());
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

fn feature(name: &str, pairs: &[(&str, &str)]) -> Feature {
    Feature { name: name.to_owned(), enabled: true, settings: settings(pairs) }
}

fn other(kind: &str, model: &str, pairs: &[(&str, &str)]) -> OtherDevice {
    OtherDevice { kind: kind.to_owned(), model: Some(model.to_owned()), address: None, settings: settings(pairs) }
}

/// The reference VM with one of everything.
fn rich() -> Inventory {
    let mut inventory = shop::inventory();
    let domain = &mut inventory.domain;
    domain.identity.genid = Some(uuid::Uuid::from_u128(9));
    domain.cpu.pinning.vcpus = (0..4).map(|cpu| (cpu, cpu.to_string())).collect();
    domain.cpu.pinning.emulator = Some("5".to_owned());
    domain.cpu.numa =
        vec![NumaCell { id: 0, cpus: Some("0-3".to_owned()), memory_kib: Kib(3_145_728), settings: Settings::new() }];
    domain.memory.hugepages = vec![HugePages { page_kib: Kib(2048), nodeset: None }];
    domain.memory.hotplug = Some(MemoryHotplug { max_kib: Kib(8 << 20), slots: Some(4) });
    domain.features.retain(|feature| !feature.name.starts_with("hyperv"));
    domain.features.extend([
        feature("apic", &[("eoi", "on")]),
        feature("pae", &[]),
        feature("hyperv.relaxed", &[]),
        feature("hyperv.vapic", &[]),
        feature("hyperv.spinlocks", &[("retries", "8191")]),
        feature("hyperv.vpindex", &[]),
        feature("hyperv.synic", &[]),
        feature("hyperv.stimer", &[("direct.state", "on")]),
        feature("hyperv.vendor_id", &[("value", "KVM Hv")]),
        feature("hyperv.evmcs", &[]),
        feature("kvm.hidden", &[]),
    ]);
    domain.clock.timers = vec![
        Timer { name: "rtc".to_owned(), settings: settings(&[("tickpolicy", "catchup"), ("track", "guest")]) },
        Timer { name: "hypervclock".to_owned(), settings: settings(&[("present", "yes")]) },
        Timer { name: "tsc".to_owned(), settings: settings(&[("mode", "native")]) },
    ];
    domain.watchdogs = vec![Watchdog {
        model: "i6300esb".to_owned(),
        action: "poweroff".to_owned(),
        address: None,
        settings: settings(&[]),
    }];
    domain.devices = vec![
        other("input", "tablet", &[("bus", "usb")]),
        other("input", "mouse", &[("bus", "ps2")]),
        other("sound", "ich6", &[]),
        other("panic", "isa", &[]),
        other("shmem", "ivshmem-plain", &[]),
    ];
    domain.hostdevs = vec![Hostdev {
        kind: HostdevType::Pci,
        source: "pci:0000:06:00.0".to_owned(),
        model: None,
        managed: true,
        display: None,
        boot_order: None,
        address: None,
        settings: Settings::new(),
    }];
    domain.filesystems = vec![Filesystem {
        kind: "mount".to_owned(),
        driver: Some("virtiofs".to_owned()),
        source: Some("/srv/share".to_owned()),
        target: Some("share".to_owned()),
        read_only: false,
        settings: Settings::new(),
    }];
    let disk = &mut domain.disks[1];
    disk.cache = Some(DiskCache::DirectSync);
    disk.io = Some("native".to_owned());
    disk.settings = settings(&[
        ("driver.iothread", "1"),
        ("driver.queues", "4"),
        ("driver.error_policy", "enospace"),
        ("blockio.logical_block_size", "512"),
        ("blockio.physical_block_size", "4096"),
    ]);
    domain.nics[1].vlan = Vlan { tags: vec![10, 20, 30], trunk: Trunk::Yes, native: Some(10) };
    inventory
}

const RICH: &str = r#"
namespace = "edge"
feature_gates = ["EnableVirtioFsStorageVolumes", "HostDevices", "NUMA", "PanicDevices", "VideoConfig"]
[host_devices."pci:0000:06:00.0"]
resource = "nvidia.com/TU104"
gpu = true
[filesystems]
share = "shared-files"
[volumes.vda]
source = { http = { url = "https://images.example/root.qcow2", secret = "images" } }
size_bytes = 1073741824
[volumes.vdb]
source = { claim = "data" }
"#;

#[test]
fn one_of_everything_is_accepted_and_accounted_for() {
    let test = "one_of_everything_is_accepted_and_accounted_for";
    let bundle = shop::render(Format::KubeVirt, &rich(), &shop::toml(RICH)).unwrap();
    nothing_is_forgotten(test, &bundle);
    let is = |field: &str| match fate(&bundle, field) {
        Fate::Exact { .. } => "exact",
        Fate::Approximate { .. } => "approximate",
        Fate::NotCarried { .. } => "not carried",
        Fate::Refused { .. } => "refused",
    };
    for (field, expected) in [
        ("cpu.pinning", "approximate"),
        ("cpu.numa", "approximate"),
        ("memory.hugepages", "exact"),
        // Growth does not go with the host's cells.
        ("memory.hotplug", "refused"),
        ("features[hyperv.stimer]", "exact"),
        ("features[pae]", "not carried"),
        ("clock.timers", "approximate"),
        ("watchdogs[0]", "exact"),
        ("devices[0]", "exact"),
        ("devices[2]", "approximate"),
        ("devices[3]", "exact"),
        ("devices[4]", "refused"),
        ("hostdevs[0]", "approximate"),
        ("filesystems[0]", "approximate"),
        ("disks[vdb].cache", "approximate"),
        ("disks[vdb].io", "not carried"),
        ("disks[vdb].settings.driver.error_policy", "exact"),
        ("identity.genid", "refused"),
    ] {
        assert_eq!(is(field), expected, "{field}: {:?}", fate(&bundle, field));
    }
    let Some(schemas) = schemas(test) else { return };
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let work = tempfile::tempdir().unwrap();
    shop::write_under(work.path(), &bundle);
    let read = accepted(&consumers, &schemas, work.path());
    let domain = &read[work.path().join("virtualmachine.yaml").to_str().unwrap()]["document"]["spec"]["template"]["spec"]
        ["domain"];
    assert_eq!(domain["cpu"]["numa"], json!({"guestMappingPassthrough": {}}));
    assert_eq!(domain["resources"]["requests"]["memory"], "3Gi");
    assert_eq!(domain["devices"]["gpus"][0]["deviceName"], "nvidia.com/TU104");
    assert_eq!(domain["features"]["hyperv"]["spinlocks"]["spinlocks"], 8191);
    assert!(domain["cpu"]["features"].as_array().unwrap().contains(&json!({"name": "vmx", "policy": "require"})));
    assert_eq!(domain["devices"]["disks"][1]["cache"], "writethrough");
}

#[test]
fn what_needs_a_closed_gate_is_left_out_and_said() {
    let gates = RICH.lines().find(|line| line.starts_with("feature_gates")).unwrap();
    let closed = shop::toml(RICH.replace(gates, ""));
    let bundle = shop::render(Format::KubeVirt, &rich(), &closed).unwrap();
    for field in ["cpu.numa", "filesystems[0]", "devices[3]"] {
        assert!(matches!(fate(&bundle, field), Fate::Refused { .. }), "{field}: {:?}", fate(&bundle, field));
    }
    let vm = text(&bundle, "virtualmachine.yaml");
    for word in ["guestMappingPassthrough", "virtiofs", "panicDevices", "video:"] {
        assert!(!vm.contains(word), "{word}");
    }
}

#[test]
fn what_no_cluster_can_plug_is_left_out_and_said() {
    let mut inventory = shop::inventory();
    inventory.domain.nics[0].source = NicSource::VhostUser { path: None, mode: None };
    inventory.domain.nics[1].source = NicSource::Hostdev { address: None };
    // Nobody looked at the storage.
    inventory.pools.clear();
    inventory.domain.disks.iter_mut().for_each(|disk| (disk.size, disk.volume) = (None, None));
    let bundle = shop::render(Format::KubeVirt, &inventory, &shop::toml("namespace = \"edge\"\n")).unwrap();
    for field in ["nics[52:54:00:1a:2b:01].source", "nics[52:54:00:1a:2b:02].source", "disks[vda].source"] {
        assert!(matches!(fate(&bundle, field), Fate::Refused { .. }), "{field}");
    }
    let vm = text(&bundle, "virtualmachine.yaml");
    // Without an interface of its own KubeVirt would add one.
    assert!(vm.contains("interfaces: []") && vm.contains("autoattachPodInterface: false"));
    assert!(vm.contains("claimName: \"shop-front-vda\""));
    let binding = "namespace = \"edge\"\n[nics.\"52:54:00:1a:2b:02\"]\nresource = \"intel.com/vf\"\n";
    let bundle = shop::render(Format::KubeVirt, &inventory, &shop::toml(binding)).unwrap();
    assert!(text(&bundle, "virtualmachine.yaml").contains("sriov: {}"));
}

#[test]
fn a_boot_order_by_classes_becomes_one_by_devices() {
    let mut inventory = shop::inventory();
    inventory.domain.disks.iter_mut().for_each(|disk| disk.boot_order = None);
    inventory.domain.nics.iter_mut().for_each(|nic| nic.boot_order = None);
    inventory.domain.boot = BootOrder::ByClass(vec!["network".to_owned().into(), "hd".to_owned().into()]);
    let bundle = shop::render(Format::KubeVirt, &inventory, &shop::toml("namespace = \"edge\"\n")).unwrap();
    let vm = text(&bundle, "virtualmachine.yaml");
    assert_eq!((vm.matches("bootOrder: 1").count(), vm.matches("bootOrder: 2").count()), (1, 1));
    assert!(matches!(fate(&bundle, "boot.by-class"), Fate::Approximate { .. }));
}

#[test]
fn a_binding_that_cannot_hold_is_refused_with_its_place() {
    let inventory = shop::inventory();
    for (binding, line, reason) in [
        ("", None, "namespace"),
        ("namespace = \"Edge\"\n", Some(1), "RFC 1123"),
        ("namespace = \"edge\"\nnamespaces = 1\n", Some(2), "namespaces"),
        ("namespace = \"edge\"\neviction_strategy = \"Never\"\n", Some(2), "it is one of LiveMigrate"),
        ("namespace = \"edge\"\n[volumes.vdz]\nsource = \"blank\"\n", None, "no such disk"),
        ("namespace = \"edge\"\n[nics.\"52:54:00:00:00:09\"]\npod = true\n", None, "no such interface"),
        ("namespace = \"edge\"\n[nics.\"52:54:00:1a:2b:01\"]\nresource = \"vf\"\n", Some(3), "VENDOR/NAME"),
        (
            "namespace = \"edge\"\n[volumes.vda]\nsource = { http = { url = \"https://u:hunter2@a.example/i\" } }\n",
            Some(3),
            "without user and password",
        ),
    ] {
        let error = shop::render(Format::KubeVirt, &inventory, &shop::toml(binding)).unwrap_err();
        assert_eq!(error.code(), "binding-malformed", "{binding}");
        let told = error.to_string();
        assert!(told.contains(reason) && !told.contains("hunter2"), "{told}");
        if let Some(line) = line {
            assert!(told.contains(&format!("line {line}")), "{told}");
        }
    }
}

#[test]
fn what_the_cluster_would_not_admit_is_not_rendered() {
    let binding = "namespace = \"edge\"\nmachine = \"pc-i440fx-7.2\"\n";
    let error = shop::render(Format::KubeVirt, &shop::inventory(), &shop::toml(binding)).unwrap_err();
    assert_eq!(error.code(), "artifact-refused");
    let binding = "namespace = \"edge\"\nmachine = \"pc-i440fx-7.2\"\nemulated_machines = [\"pc-i440fx*\"]\n";
    shop::render(Format::KubeVirt, &shop::inventory(), &shop::toml(binding)).unwrap();
}

/// The number of bytes in a volume's `<capacity>`.
fn capacity(volume: &str) -> u64 {
    let text = std::fs::read_to_string(Path::new(GOLDEN).join("input").join(volume)).unwrap();
    let (_, rest) = text.split_once("<capacity").unwrap();
    let digits: String = rest.chars().skip_while(|c| *c != '>').skip(1).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn the_worked_example_agrees() {
    let test = "the_worked_example_agrees";
    let input = Path::new(GOLDEN).join("input");
    let Ok(domain) = std::fs::read(input.join("domain.xml")) else {
        support::skip(test, &format!("no worked example at {GOLDEN}"));
        return;
    };
    let Some(schemas) = schemas(test) else { return };
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let network = std::fs::read(input.join("network-default.xml")).unwrap();
    let size = |volume: &str| {
        let capacity = Bytes(capacity(volume));
        DiskSize { capacity, allocation: capacity, physical: capacity }
    };
    let inventory = Inventory::build(Discovered {
        networks: vec![parse_network(network, Limits::default()).unwrap()],
        sizes: [("vda".to_owned(), size("vol-root.xml")), ("vdb".to_owned(), size("vol-data.xml"))].into(),
        ..Discovered::from_domain(parse_domain(domain, Limits::default()).unwrap())
    });
    let binding = "namespace = \"edge\"\nstorage_class = \"local-path\"\n\
                   [nics.\"52:54:00:9e:22:02\"]\nname = \"vlan120\"\n";
    let work = tempfile::tempdir().unwrap();
    shop::write_under(work.path(), &shop::render(Format::KubeVirt, &inventory, &shop::toml(binding)).unwrap());
    let ours = accepted(&consumers, &schemas, work.path());
    let folder = Path::new(GOLDEN).join("kubevirt");
    let theirs = by_schema(&consumers, &schemas, &folder);
    let pair = |own: &str, example: &str, pointer: &str| {
        let at = |read: &Value, path: PathBuf| {
            read[path.to_str().unwrap()]["document"].pointer(pointer).cloned().unwrap_or(Value::Null)
        };
        (at(&ours, work.path().join(own)), at(&theirs, folder.join(example)))
    };
    let vm = "virtualmachine.yaml";
    let spec = "/spec/template/spec";
    for pointer in [
        "/metadata/name",
        "/metadata/namespace",
        "/spec/runStrategy",
        &format!("{spec}/domain/firmware"),
        &format!("{spec}/domain/machine"),
        &format!("{spec}/domain/cpu"),
        &format!("{spec}/domain/memory"),
        &format!("{spec}/networks"),
        &format!("{spec}/volumes"),
    ] {
        let (own, example) = pair(vm, vm, pointer);
        assert_eq!(own, example, "{pointer}");
        assert!(!own.is_null(), "{pointer}");
    }
    for list in ["disks", "interfaces"] {
        let (own, example) = pair(vm, vm, &format!("{spec}/domain/devices/{list}"));
        for (own, example) in own.as_array().unwrap().iter().zip(example.as_array().unwrap()) {
            for key in ["name", "serial", "bootOrder", "model", "macAddress", "masquerade", "bridge"] {
                assert_eq!(own.get(key), example.get(key), "{list} {key}");
            }
        }
    }
    for disk in ["vda", "vdb"] {
        let file = format!("datavolume-{disk}.yaml");
        for pointer in ["/metadata/name", "/spec/source", "/spec/storage/resources", "/spec/storage/storageClassName"] {
            let (own, example) = pair(&file, &file, pointer);
            assert_eq!(own, example, "{disk} {pointer}");
        }
    }
    let own = "network-attachment-definition-vlan120.yaml";
    let (own, example) = pair(own, "network-attachment-definition.yaml", "/spec/config");
    let read = |config: Value| serde_json::from_str::<Value>(config.as_str().unwrap()).unwrap();
    assert_eq!(read(own), read(example));
}
