//! Proxmox VE's configuration files, checked by the documented format of qm.conf(5).
//!
//! Proxmox's own parser cannot be installed here and was not run: `tests/consumers/proxmox_conf.py` is a checker of the
//! documentation's grammar, written apart from the renderer.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use covirt::artifacts::{Bundle, Fate, Format};
use covirt::discovery::{
    Bandwidth, BootOrder, Discovered, DiskCache, DiskDevice, DiskSize, Filesystem, Hostdev, HostdevType, HugePages,
    Inventory, Iommu, LaunchSecurity, Limits, NicSource, NumaCell, OtherDevice, Rate, Settings, Tpm, Trunk, Video,
    Vlan, Watchdog, parse_domain, parse_network,
};
use covirt::model::units::{Bytes, Kib};
use serde_json::{Value, json};
use support::bundle::{fate, nothing_is_forgotten};
use support::consumers::{Consumers, said};
use support::shop;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/artifacts/golden");
const PLAIN: &str = "vmid = 100\nstorage = \"local-lvm\"\n";

fn shop_bundle() -> Bundle {
    shop::shop(Format::Proxmox)
}

fn text(bundle: &Bundle) -> &str {
    let file = bundle.files.iter().find(|file| file.path.ends_with(".conf")).unwrap();
    std::str::from_utf8(&file.bytes).unwrap()
}

/// The lines of a configuration by key.
fn lines(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(": ").unwrap()).collect()
}

/// What the checker says of each of the files.
fn judged(consumers: &Consumers, files: &[PathBuf]) -> Value {
    let output = consumers.python("proxmox_conf.py", &files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Writes texts as files under `folder`; returns their paths in order.
fn written(folder: &Path, texts: impl Iterator<Item = (String, String)>) -> Vec<PathBuf> {
    let write = |(name, text): (String, String)| {
        let path = folder.join(name.replace('/', "_")).with_extension("conf");
        std::fs::write(&path, text).unwrap();
        path
    };
    texts.map(write).collect()
}

#[track_caller]
fn all_accepted(consumers: &Consumers, files: &[PathBuf]) {
    for (path, errors) in judged(consumers, files).as_object().unwrap() {
        assert_eq!(*errors, json!([]), "{path}:\n{}", std::fs::read_to_string(path).unwrap());
    }
}

#[test]
fn the_reference_vm_is_the_golden_one() {
    shop::is_golden(&shop_bundle(), "proxmox-shop-front");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(shop_bundle(), shop_bundle());
}

#[test]
fn the_documented_grammar_accepts_the_reference_vm_and_refuses_broken_ones() {
    let test = "the_documented_grammar_accepts_the_reference_vm_and_refuses_broken_ones";
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let work = tempfile::tempdir().unwrap();
    let bundle = shop_bundle();
    let good = text(&bundle);
    all_accepted(&consumers, &written(work.path(), [("good".to_owned(), good.to_owned())].into_iter()));
    let broken = [
        ("tag", "tag=42", "tag=5000"),
        ("memory", "memory: 3072", "memory: 4GiB"),
        ("machine", "machine: pc-q35-7.2", "machine: banana"),
        ("unknown-key", "onboot: 0", "onboat: 0"),
        ("unknown-property", "efitype=4m", "efikind=4m"),
        ("boot-of-nothing", "order=net0", "order=net7"),
        ("mac-of-a-group", "virtio=52:54", "virtio=53:54"),
        ("mac-in-small-letters", "1A:2B:02", "1a:2b:02"),
        ("cache", "serial=shop-root", "serial=shop-root,cache=maybe"),
        ("serial", "serial=shop-root", "serial=a-serial-of-more-than-20"),
        ("number-of-disk", "virtio1: ", "virtio16: "),
        ("bios", "bios: ovmf", "bios: uefi"),
        ("uuid", "smbios1: uuid=0d3f6a51", "smbios1: uuid=0d3f6a5"),
        ("twice", "onboot: 0\n", "onboot: 0\nonboot: 0\n"),
        ("more-vcpus", "vcpus: 2", "vcpus: 64"),
        ("description", "#covirt%3A", "#covirt:"),
        ("volume-twice", "nfs-images:101/vm-101-disk-2.qcow2", "ceph-vm:vm-101-disk-0"),
    ];
    let texts = broken.iter().map(|(name, from, to)| {
        assert!(good.contains(from), "{name}: {from} is not there");
        ((*name).to_owned(), good.replacen(from, to, 1))
    });
    let files = written(work.path(), texts);
    let judged = judged(&consumers, &files);
    for ((name, ..), path) in broken.iter().zip(&files) {
        assert_ne!(judged[path.to_str().unwrap()], json!([]), "{name}");
    }
}

#[test]
fn every_domain_of_the_corpus_renders_or_is_refused_for_a_reason() {
    let test = "every_domain_of_the_corpus_renders_or_is_refused_for_a_reason";
    let corpus = shop::corpus(test);
    let mut texts = Vec::new();
    for (name, mut inventory) in corpus.clone() {
        inventory.domain.identity.uuid.get_or_insert(uuid::Uuid::from_u128(7));
        match shop::render(Format::Proxmox, &inventory, &shop::toml(PLAIN)) {
            Ok(bundle) => {
                nothing_is_forgotten(&name, &bundle);
                texts.push((name, text(&bundle).to_owned()));
            }
            Err(error) => {
                assert_eq!(error.code(), "artifact-refused", "{name}: {error}");
                let told = error.to_string();
                assert!(told.starts_with("platform.arch") || told.starts_with("memory.max_kib"), "{name}: {told}");
            }
        }
    }
    if corpus.is_empty() {
        return;
    }
    assert!(texts.len() > 600, "{}", texts.len());
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let work = tempfile::tempdir().unwrap();
    all_accepted(&consumers, &written(work.path(), texts.into_iter()));
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

fn hostdev(kind: HostdevType, source: &str) -> Hostdev {
    Hostdev {
        kind,
        source: source.to_owned(),
        model: None,
        managed: true,
        display: None,
        boot_order: None,
        address: None,
        settings: settings(&[("rom.bar", "off")]),
    }
}

fn tpm() -> Tpm {
    Tpm {
        model: Some("tpm-crb".to_owned()),
        backend: "emulator".to_owned(),
        version: Some("2.0".to_owned()),
        settings: Settings::new(),
    }
}

/// The reference VM with one of everything.
fn rich() -> Inventory {
    let mut inventory = shop::inventory();
    let domain = &mut inventory.domain;
    domain.identity.genid = Some(uuid::Uuid::from_u128(9));
    domain.cpu.pinning.vcpus = [(0, "0-1".to_owned()), (1, "4,^5".to_owned())].into();
    domain.cpu.numa =
        vec![NumaCell { id: 0, cpus: Some("0-3".to_owned()), memory_kib: Kib(3_145_728), settings: Settings::new() }];
    domain.memory.hugepages = vec![HugePages { page_kib: Kib(2048), nodeset: None }];
    domain.smbios = settings(&[("mode", "sysinfo"), ("system.manufacturer", "Shop, Inc."), ("bios.vendor", "x")]);
    domain.iommu = Some(Iommu { model: "intel".to_owned(), settings: Settings::new() });
    domain.launch_security =
        Some(LaunchSecurity { kind: "sev".to_owned(), policy: Some("0x0007".to_owned()), settings: Settings::new() });
    domain.tpm = Some(tpm());
    domain.watchdogs = vec![Watchdog {
        model: "ib700".to_owned(),
        action: "poweroff".to_owned(),
        address: None,
        settings: BTreeMap::new(),
    }];
    domain.videos =
        vec![Video { model: "qxl".to_owned(), vram_kib: Some(65_536), heads: Some(2), settings: Settings::new() }];
    domain.hostdevs = vec![
        hostdev(HostdevType::Pci, "pci:0000:06:00.0"),
        hostdev(HostdevType::Pci, "pci:0000:07:00.0"),
        hostdev(HostdevType::Usb, "usb:0951:1625"),
    ];
    let other = |kind: &str, model: &str| OtherDevice {
        kind: kind.to_owned(),
        model: Some(model.to_owned()),
        address: None,
        settings: Settings::new(),
    };
    domain.devices =
        vec![other("input", "tablet"), other("sound", "ich9"), other("redirdev", "spicevmc"), other("tpm2", "x")];
    domain.filesystems = vec![Filesystem {
        kind: "mount".to_owned(),
        driver: Some("virtiofs".to_owned()),
        source: Some("/srv/share".to_owned()),
        target: Some("share".to_owned()),
        read_only: false,
        settings: Settings::new(),
    }];
    let disk = &mut domain.disks[1];
    disk.bus = Some("scsi".to_owned().into());
    disk.cache = Some(DiskCache::DirectSync);
    disk.io = Some("io_uring".to_owned());
    disk.discard = Some("unmap".to_owned());
    disk.serial = Some("a b,c".to_owned());
    disk.wwn = Some("5000C50015EA71AA".to_owned());
    disk.iotune =
        settings(&[("total_iops_sec", "500"), ("read_bytes_sec", "1000000"), ("write_bytes_sec_max", "2097152")]);
    disk.settings =
        settings(&[("driver.iothread", "1"), ("driver.error_policy", "enospace"), ("target.rotation_rate", "1")]);
    let mut drive = disk.clone();
    drive.target = "sda".to_owned();
    drive.device = DiskDevice::Cdrom;
    drive.source = None;
    domain.disks.push(drive);
    domain.nics[1].vlan = Vlan { tags: vec![10, 20, 30], trunk: Trunk::Yes, native: Some(10) };
    let rate = Some(Rate { average: Some(1280), ..Rate::default() });
    domain.nics[1].bandwidth = Some(Bandwidth { inbound: rate, outbound: rate });
    inventory
}

const RICH: &str = r#"
vmid = 4711
storage = "local"
file_storages = ["local"]
[host_devices."pci:0000:06:00.0"]
mapping = "gpu0"
mdev = "nvidia-63"
[filesystems]
share = "shared-files"
[bridges]
br-back = "vmbr1"
"#;

#[test]
fn one_of_everything_is_accepted_and_accounted_for() {
    let test = "one_of_everything_is_accepted_and_accounted_for";
    let bundle = shop::render(Format::Proxmox, &rich(), &shop::toml(RICH)).unwrap();
    nothing_is_forgotten(test, &bundle);
    let lines = lines(text(&bundle));
    for (key, value) in [
        ("affinity", "0-1,4"),
        ("amd-sev", "type=es,no-debug=1,no-key-sharing=1"),
        ("audio0", "device=ich9-intel-hda,driver=none"),
        ("hostpci0", "mapping=gpu0,mdev=nvidia-63,pcie=1,rombar=0"),
        ("hugepages", "2"),
        ("machine", "pc-q35-7.2,viommu=intel"),
        ("net1", "virtio=52:54:00:1A:2B:02,bridge=vmbr1,mtu=1450,rate=1.25,tag=10,trunks=20;30"),
        ("numa", "1"),
        ("numa0", "cpus=0-3,memory=3072"),
        ("scsi1", "none,media=cdrom"),
        ("scsihw", "virtio-scsi-single"),
        ("usb0", "spice"),
        ("usb1", "host=0951:1625"),
        ("vga", "qxl2,memory=64"),
        ("virtiofs0", "dirid=shared-files"),
        ("watchdog", "model=ib700,action=poweroff"),
    ] {
        // The number of queues comes from the parser.
        let written = lines.get(key).map(|line| line.replace("queues=2,", ""));
        assert_eq!(written.as_deref(), Some(value), "{key}");
    }
    let disk = lines["scsi0"];
    for property in [
        "local:4711/vm-4711-disk-3.raw,",
        "aio=io_uring",
        "cache=directsync",
        "discard=on",
        "iothread=1",
        "bps_rd=1000000",
        "iops=500",
        "mbps_wr_max=2",
        "werror=enospc",
        "serial=a%20b%2Cc",
        "ssd=1",
        "wwn=0x5000c50015ea71aa",
    ] {
        assert!(disk.contains(property), "{property}: {disk}");
    }
    assert!(
        lines["smbios1"].contains("manufacturer=U2hvcCwgSW5jLg==,") || lines["smbios1"].contains("U2hvcCwgSW5jLg==")
    );
    assert!(lines["smbios1"].ends_with("base64=1"));
    for field in ["hostdevs[1]", "devices[3]", "smbios.bios.vendor", "disks[vdb].writes"] {
        assert!(matches!(fate(&bundle, field), Fate::Refused { .. }), "{field}: {:?}", fate(&bundle, field));
    }
    let Some(consumers) = Consumers::of(test, "light") else { return };
    let work = tempfile::tempdir().unwrap();
    all_accepted(&consumers, &written(work.path(), [("rich".to_owned(), text(&bundle).to_owned())].into_iter()));
}

#[test]
fn what_has_no_bridge_is_left_out_and_user_mode_needs_none() {
    let mut inventory = shop::inventory();
    inventory.domain.nics[0].source = NicSource::User;
    inventory.domain.nics[1].source = NicSource::VhostUser { path: None, mode: None };
    inventory.domain.nics[0].mtu = None;
    inventory.domain.boot = BootOrder::Unsaid;
    let bundle = shop::render(Format::Proxmox, &inventory, &shop::toml(PLAIN)).unwrap();
    let lines = lines(text(&bundle));
    assert_eq!(lines["net0"], "virtio=52:54:00:1A:2B:01");
    assert!(!lines.contains_key("net1") && !lines.contains_key("boot"));
    assert!(matches!(fate(&bundle, "nics[52:54:00:1a:2b:02].source"), Fate::Refused { .. }));
}

#[test]
fn a_vm_never_starts_with_its_node_nor_takes_its_volumes_along() {
    let bundle = shop_bundle();
    let lines = lines(text(&bundle));
    assert_eq!((lines["onboot"], lines["protection"]), ("0", "1"));
    assert!(!lines.contains_key("args") && !lines.contains_key("lock"));
}

#[test]
fn memory_is_whole_mebibytes() {
    let mut inventory = shop::inventory();
    inventory.domain.memory.max_kib = Kib(3_145_728 + 512);
    let bundle = shop::render(Format::Proxmox, &inventory, &shop::toml(PLAIN)).unwrap();
    assert_eq!(lines(text(&bundle))["memory"], "3072");
    assert!(matches!(fate(&bundle, "memory.max_kib"), Fate::Approximate { .. }));
}

#[test]
fn a_binding_that_cannot_hold_is_refused_with_its_place() {
    let inventory = shop::inventory();
    for (binding, line, reason) in [
        ("storage = \"local\"\n", None, "vmid"),
        ("vmid = 99\nstorage = \"local\"\n", Some(1), "from 100"),
        ("vmid = 101\nstorage = \"7\"\n", Some(2), "storage"),
        ("vmid = 101\nstorage = \"local\"\nbridge = \"x\"\n", Some(3), "bridge"),
        ("vmid = 101\nstorage = \"local\"\nmachine = \"banana\"\n", Some(3), "machine type"),
        ("vmid = 101\nstorage = \"local\"\n[volumes]\nvda = \"a,b\"\n", Some(4), "STORAGE:VOLUME"),
        ("vmid = 101\nstorage = \"local\"\n[volumes]\nvdz = \"local:a\"\n", None, "no such disk"),
        ("vmid = 101\nstorage = \"local\"\n[nics.\"52:54:00:00:00:09\"]\n", None, "no such interface"),
    ] {
        let error = shop::render(Format::Proxmox, &inventory, &shop::toml(binding)).unwrap_err();
        assert_eq!(error.code(), "binding-malformed", "{binding}");
        let told = error.to_string();
        assert!(told.contains(reason), "{told}");
        if let Some(line) = line {
            assert!(told.contains(&format!("line {line}")), "{told}");
        }
    }
}

#[test]
fn the_worked_example_agrees() {
    let test = "the_worked_example_agrees";
    let input = Path::new(GOLDEN).join("input");
    let example = Path::new(GOLDEN).join("proxmox/101.conf");
    let (Ok(domain), Ok(theirs)) = (std::fs::read(input.join("domain.xml")), std::fs::read_to_string(&example)) else {
        support::skip(test, &format!("no worked example at {GOLDEN}"));
        return;
    };
    let network = std::fs::read(input.join("network-default.xml")).unwrap();
    let size = |gib: u64| DiskSize { capacity: Bytes(gib << 30), allocation: Bytes(0), physical: Bytes(0) };
    let mut inventory = Inventory::build(Discovered {
        networks: vec![parse_network(network, Limits::default()).unwrap()],
        sizes: [("vda".to_owned(), size(20)), ("vdb".to_owned(), size(10))].into(),
        ..Discovered::from_domain(parse_domain(domain, Limits::default()).unwrap())
    });
    inventory.domain.tpm = Some(tpm());
    let binding = "vmid = 101\nstorage = \"local\"\nfile_storages = [\"local\", \"vmdata\"]\n\
                   [volumes]\nvdb = \"vmdata:101/vm-101-disk-3.raw\"\n";
    let bundle = shop::render(Format::Proxmox, &inventory, &shop::toml(binding)).unwrap();
    let (ours, theirs) = (lines(text(&bundle)), lines(&theirs));
    for key in [
        "agent",
        "bios",
        "boot",
        "cores",
        "cpu",
        "efidisk0",
        "memory",
        "name",
        "onboot",
        "serial0",
        "smbios1",
        "sockets",
        "tpmstate0",
    ] {
        assert_eq!(ours.get(key), theirs.get(key), "{key}");
    }
    // The example does not say that sleep is off; its domain does.
    assert_eq!(ours["machine"], format!("{},enable-s3=0,enable-s4=0", theirs["machine"]));
    let pairs = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    for key in ["net0", "net1", "virtio0", "virtio1"] {
        // What is written of them is what the example has.
        for property in pairs(ours[key]) {
            assert!(pairs(theirs[key]).contains(&property), "{key}: {property} is not in {}", theirs[key]);
        }
    }
    if let Some(consumers) = Consumers::of(test, "light") {
        all_accepted(&consumers, &[example]);
    }
}
