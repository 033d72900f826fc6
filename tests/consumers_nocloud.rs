//! NoCloud seeds, read back by the software that reads them in a guest: cloud-init, netplan, and a reader of discs.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covirt::artifacts::{Bundle, Fate, Format, RenderError, Source, Subject};
use covirt::cli::artifacts_dir::write_bundle;
use covirt::discovery::{Discovered, Inventory, Limits, LinkState, parse_domain, parse_network};
use serde_json::{Value, json};
use support::bundle::{nothing_is_forgotten, text};
use support::consumers::said;
use support::debian::Debian;
use support::{shop, skip};

fn seed() -> Bundle {
    shop::shop(Format::NoCloud)
}

fn render(inventory: &Inventory, binding: &str) -> Result<Bundle, RenderError> {
    shop::render(Format::NoCloud, inventory, &shop::toml(binding))
}

/// A VM with an interface on a network that serves IPv6 as `ip6` says, and a trunk whose cable is out.
fn with_ipv6(ip6: &str) -> Inventory {
    let domain = "<domain type='kvm'><name>six</name><uuid>0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f61</uuid>\
                  <memory>1048576</memory><devices><interface type='network'><mac address='52:54:00:00:06:01'/>\
                  <source network='six'/></interface><interface type='bridge'><mac address='52:54:00:00:06:02'/>\
                  <source bridge='br0'/><vlan trunk='yes'><tag id='10'/><tag id='20'/></vlan><link state='down'/>\
                  </interface></devices></domain>";
    let network = format!(
        "<network><name>six</name><forward mode='route'/><ip address='192.0.2.1' netmask='255.255.255.0'><dhcp>\
         <range start='192.0.2.9' end='192.0.2.99'/></dhcp></ip><ip family='ipv6' address='2001:db8:6::1' prefix='64'>\
         {ip6}</ip></network>"
    );
    let live = parse_domain(domain, Limits::default()).unwrap();
    assert_eq!(live.nics[1].link, LinkState::Down);
    let networks = vec![parse_network(network, Limits::default()).unwrap()];
    Inventory::build(Discovered { networks, ..Discovered::from_domain(live) })
}

const VLANS: &str = "[nics.\"52:54:00:00:06:02\"]\nname = \"lan0\"\n\
                     vlans = [{ id = 10, addresses = [\"198.51.100.5/24\"] }, { id = 20 }]\n";
const DHCP6: &str = "<dhcp><range start='2001:db8:6::10' end='2001:db8:6::20'/></dhcp>";

/// What cloud-init's own data source makes of a seed folder.
fn read_by_cloud_init(debian: &Debian, seed: &Path, work: &Path) -> Value {
    let output = debian.python("nocloud.py", &[seed, work]);
    assert!(output.status.success(), "{}", said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// netplan's verdict on a network-config, and how many units it made.
fn generate(debian: &Debian, network: &str) -> (Output, usize) {
    let work = tempfile::tempdir().unwrap();
    let etc = work.path().join("etc/netplan");
    std::fs::create_dir_all(&etc).unwrap();
    let indented: String = network.lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(etc.join("50-seed.yaml"), format!("network:\n{indented}")).unwrap();
    let generate = debian.path("usr/libexec/netplan/generate");
    let output = debian.run(&generate, &[Path::new("--root-dir"), work.path()]);
    let units = work.path().join("run/systemd/network");
    (output, std::fs::read_dir(units).map_or(0, Iterator::count))
}

#[test]
fn the_reference_vm_renders_as_kept() {
    let bundle = seed();
    shop::is_golden(&bundle, "nocloud-shop-front");
    assert_eq!(bundle, seed(), "the same input gives the same bytes");
    assert_eq!(text(&bundle, "network-config").matches("0.0.0.0/0").count(), 1, "one default route");
}

#[test]
fn no_field_of_any_real_domain_is_forgotten() {
    for (name, mut inventory) in shop::corpus("no_field_of_any_real_domain_is_forgotten") {
        inventory.domain.identity.uuid.get_or_insert_with(|| "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60".parse().unwrap());
        let bundle = render(&inventory, "").unwrap_or_else(|error| panic!("{name}: {error}"));
        nothing_is_forgotten(&name, &bundle);
    }
}

#[test]
fn interfaces_without_a_mac_or_with_a_trunk_are_reported() {
    let inventory = shop::inventory_of(&shop::fixture("domain/inactive-bios-many-sources.xml"));
    let bundle = render(&inventory, "").unwrap();
    let refused: Vec<&str> = bundle
        .mapping
        .0
        .iter()
        .filter(|entry| matches!(entry.fate, Fate::Refused { .. }))
        .map(|entry| entry.field.as_str())
        .collect();
    assert!(refused.contains(&"nics[1].source") && refused.contains(&"nics[52:54:00:1a:2b:13].vlan"), "{refused:?}");
    assert!(refused.iter().all(|field| field.starts_with("nics[1].") || field.ends_with(".vlan")), "{refused:?}");
    assert!(text(&bundle, "meta-data").contains("local-hostname: \"ledger---co-2\""));
}

#[test]
fn the_guest_takes_ipv6_as_its_network_serves_it() {
    let advertised = render(&with_ipv6(""), "").unwrap();
    let asked = render(&with_ipv6(DHCP6), "").unwrap();
    assert!(text(&advertised, "network-config").contains("dhcp6: false\n    accept-ra: true"));
    assert!(text(&asked, "network-config").contains("dhcp6: true\n    accept-ra: true"));
    // Where nothing is known of the network, the guest keeps its own way.
    assert_eq!(text(&asked, "network-config").matches("accept-ra").count(), 1);
}

#[test]
fn a_trunk_has_the_vlans_that_the_binding_asks_for() {
    let plain = render(&with_ipv6(""), "").unwrap();
    assert!(!text(&plain, "network-config").contains("vlans:"));
    let bundle = render(&with_ipv6(""), VLANS).unwrap();
    let network = text(&bundle, "network-config");
    assert!(network.contains("vlans:\n  \"lan0.10\":\n    id: 10\n    link: \"lan0\""), "{network}");
    assert!(network.contains("set-name: \"lan0\"") && network.contains("optional: true"), "{network}");
    let fate = bundle.mapping.0.iter().find(|entry| entry.field == "nics[52:54:00:00:06:02].vlan").unwrap();
    assert!(matches!(fate.fate, Fate::Approximate { .. }), "{fate:?}");
}

#[test]
fn a_binding_that_cannot_hold_is_refused_with_its_field() {
    let inventory = shop::inventory();
    let bound = |text: &str| format!("[nics.\"52:54:00:1a:2b:02\"]\n{text}");
    for (binding, code, names) in [
        ("hostnam = \"typo\"".to_owned(), "binding-malformed", "line 1"),
        ("hostname = \"two words\"".to_owned(), "binding-malformed", "hostname"),
        ("[nics.\"52:54:00:00:00:09\"]".to_owned(), "binding-malformed", "52:54:00:1a:2b:01, 52:54:00:1a:2b:02"),
        (bound("addresses = [\"198.51.100.21\"]"), "binding-malformed", "192.0.2.21/24"),
        (bound("addresses = [\"2001:db8::1/129\"]"), "binding-malformed", ".addresses"),
        (bound("gateway = \"198.51.100.1\""), "binding-malformed", "give its addresses too"),
        (bound("name = \"net7\""), "binding-malformed", "taken"),
        (bound("name = \"a/b\""), "binding-malformed", "15 letters"),
        (bound("name = \"b\"\nvlans = [{ id = 7 }]"), "binding-malformed", "vlans[7]"),
        ("ssh_keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"]".to_owned(), "artifact-secret", "ssh_keys[0]"),
        ("user_data = \"#cloud-config\\npassword: hunter2\\n\"".to_owned(), "artifact-secret", "user_data"),
    ] {
        let error = render(&inventory, &binding).unwrap_err();
        assert_eq!(error.code(), code, "{binding}");
        assert!(error.to_string().contains(names), "{binding}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_connection_with_a_password_is_not_named_in_a_manifest() {
    let inventory = shop::inventory();
    let render = |uri: &str| {
        let source = Source::Libvirt { uri: uri.to_owned() };
        Format::NoCloud.render(&Subject::new(&inventory, &source), &shop::toml(""))
    };
    assert_eq!(render("qemu+ssh://ops:hunter2@host.example/system").unwrap_err().code(), "artifact-secret");
    render("qemu+tcp://ops@[2001:db8::1]:16509/system").unwrap();
}

#[test]
fn the_worked_example_agrees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/artifacts/golden");
    let read = |path: &str| std::fs::read_to_string(folder.join(path));
    let (Ok(domain), Ok(network)) = (read("input/domain.xml"), read("input/network-default.xml")) else {
        return skip("the_worked_example_agrees", &format!("no worked example at {}", folder.display()));
    };
    let Some(debian) = Debian::of("the_worked_example_agrees") else { return };
    let live = parse_domain(domain, Limits::default()).unwrap();
    let networks = vec![parse_network(network, Limits::default()).unwrap()];
    let inventory = Inventory::build(Discovered { networks, ..Discovered::from_domain(live) });
    let given: Value = serde_json::from_str(&read("input/binding.json").unwrap()).unwrap();
    let nic = &given["nics"]["52:54:00:9e:22:02"];
    let binding = json!({
        "hostname": given["hostname"],
        "ssh_keys": [given["ssh_keys"]["ops"]],
        "nics": {"52:54:00:9e:22:02": {"addresses": [nic["address"]], "gateway": nic["gateway"], "dns": nic["dns"]}},
    });
    let binding = covirt::artifacts::BindingText { syntax: covirt::artifacts::Syntax::Json, text: binding.to_string() };
    let work = tempfile::tempdir().unwrap();
    let ours = work.path().join("ours");
    write_bundle(&shop::render(Format::NoCloud, &inventory, &binding).unwrap(), &ours).unwrap();
    let ours = read_by_cloud_init(&debian, &ours, &work.path().join("a"));
    let theirs = read_by_cloud_init(&debian, &folder.join("nocloud"), &work.path().join("b"));
    for fact in ["instance_id", "hostname", "keys"] {
        assert_eq!(ours[fact], theirs[fact], "{fact}");
    }
    // The first interface is told its reserved address here, and to ask for it there.
    let static_ones =
        |read: &Value| (read["interfaces"][1]["mac_address"].clone(), read["interfaces"][1]["mtu"].clone());
    assert_eq!(static_ones(&ours), static_ones(&theirs));
    for fact in ["address", "prefix", "dns_nameservers"] {
        let of = |read: &Value| read["interfaces"][1]["subnets"][0][fact].clone();
        assert_eq!(of(&ours), of(&theirs), "{fact}");
    }
}

#[test]
fn cloud_init_reads_identity_keys_and_network_from_the_folder() {
    let Some(debian) = Debian::of("cloud_init_reads_identity_keys_and_network_from_the_folder") else { return };
    let work = tempfile::tempdir().unwrap();
    let seed = work.path().join("seed");
    write_bundle(&self::seed(), &seed).unwrap();
    let read = read_by_cloud_init(&debian, &seed, &work.path().join("cloud"));
    assert_eq!(read["found"], true);
    assert_eq!(read["instance_id"], "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60");
    assert_eq!(read["hostname"], "shop-front.shop.example");
    assert!(read["keys"][0].as_str().unwrap().starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFFF"));
    let interfaces = read["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), 2);
    assert_eq!(interfaces[0]["mac_address"], "52:54:00:1a:2b:01");
    assert_eq!(interfaces[0]["subnets"][0]["address"], "192.0.2.21");
    assert_eq!(interfaces[0]["accept-ra"], true);
    assert_eq!(interfaces[1]["mac_address"], "52:54:00:1a:2b:02");
    assert_eq!(interfaces[1]["mtu"], 1450);
    let subnets = interfaces[1]["subnets"].as_array().unwrap();
    assert_eq!((&subnets[0]["address"], &subnets[1]["address"]), (&json!("198.51.100.21"), &json!("2001:db8:b::21")));
    let gateways: Vec<&Value> =
        subnets[0]["routes"].as_array().unwrap().iter().map(|route| &route["gateway"]).collect();
    // The first interface has the default route of IPv4, and what its network advertises that of IPv6.
    assert_eq!(gateways, [&json!("198.51.100.9")]);
}

#[test]
fn cloud_init_finds_no_seed_in_a_folder_without_meta_data() {
    let Some(debian) = Debian::of("cloud_init_finds_no_seed_in_a_folder_without_meta_data") else { return };
    let work = tempfile::tempdir().unwrap();
    let seed = work.path().join("seed");
    write_bundle(&self::seed(), &seed).unwrap();
    std::fs::remove_file(seed.join("meta-data")).unwrap();
    let read = read_by_cloud_init(&debian, &seed, &work.path().join("cloud"));
    assert_eq!(read, json!({"found": false}));
}

#[test]
fn in_a_guest_networkd_matches_the_names_that_the_kernel_gave() {
    let Some(debian) = Debian::of("in_a_guest_networkd_matches_the_names_that_the_kernel_gave") else { return };
    let work = tempfile::tempdir().unwrap();
    let config = work.path().join("network-config");
    std::fs::write(&config, text(&seed(), "network-config")).unwrap();
    let output = debian.python("nocloud_networkd.py", &[&config, &work.path().join("root")]);
    assert!(output.status.success(), "{}", said(&output));
    let units: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unit = units["10-cloud-init-enp1s0.network"].as_str().expect("a unit for the first interface");
    assert!(unit.contains("MACAddress=52:54:00:1a:2b:01") && unit.contains("Name=enp1s0"), "{unit}");
    assert!(unit.contains("Address=192.0.2.21/24") && !units.to_string().contains("net0"), "{units}");
}

#[test]
fn the_schema_of_cloud_init_accepts_the_user_data_and_refuses_a_broken_one() {
    let test = "the_schema_of_cloud_init_accepts_the_user_data_and_refuses_a_broken_one";
    let Some(debian) = Debian::of(test) else { return };
    let work = tempfile::tempdir().unwrap();
    let bundle = seed();
    let program = debian.path("usr/bin/cloud-init");
    let check = |name: &str, content: &str| {
        let path = work.path().join(name);
        std::fs::write(&path, content).unwrap();
        let words = [&program, Path::new("schema"), Path::new("--config-file"), &path];
        debian.run(Path::new("/usr/bin/python3"), &words)
    };
    for name in ["user-data", "vendor-data"] {
        let output = check(name, text(&bundle, name));
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    let broken = check("broken", "#cloud-config\npreserve_hostname: 7\nusers: maybe\n");
    assert!(!broken.status.success(), "{}", said(&broken));
}

#[test]
fn the_schema_of_network_configs_accepts_ours_and_refuses_a_broken_one() {
    let test = "the_schema_of_network_configs_accepts_ours_and_refuses_a_broken_one";
    let schema: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/artifacts/schemas/cloud-init/schema-network-config-v2.json");
    if !schema.exists() {
        return skip(test, &format!("no schema at {}", schema.display()));
    }
    let Some(debian) = Debian::of(test) else { return };
    let work = tempfile::tempdir().unwrap();
    let check = |network: &str| {
        let path = work.path().join("network-config");
        std::fs::write(&path, network).unwrap();
        debian.python("nocloud_schema.py", &[&schema, &path])
    };
    let vlans = render(&with_ipv6(DHCP6), VLANS).unwrap();
    for bundle in [&seed(), &vlans] {
        let output = check(text(bundle, "network-config"));
        assert!(output.status.success(), "{}", said(&output));
    }
    for (ours, broken) in [("mtu: 1450", "mtu: \"many\""), ("via:", "through:"), ("version: 2", "version: 3")] {
        let output = check(&text(&seed(), "network-config").replace(ours, broken));
        assert!(!output.status.success(), "{broken}");
    }
}

#[test]
fn netplan_accepts_the_network_and_refuses_a_broken_one() {
    let Some(debian) = Debian::of("netplan_accepts_the_network_and_refuses_a_broken_one") else { return };
    let bundle = seed();
    let vlans = render(&with_ipv6(DHCP6), VLANS).unwrap();
    for (bundle, least) in [(&bundle, 2), (&vlans, 4)] {
        let (output, made) = generate(&debian, text(bundle, "network-config"));
        assert!(output.status.success(), "{}", said(&output));
        assert!(made >= least, "one unit for each interface and VLAN, found {made}");
    }
    let network = text(&bundle, "network-config");
    for (ours, broken) in [("192.0.2.21/24", "192.0.2.21/99"), ("2001:db8:b::21/64", "2001:db8:b::21/640")] {
        let (output, _) = generate(&debian, &network.replace(ours, broken));
        assert!(!output.status.success(), "{broken}: {}", said(&output));
    }
    let (output, _) = generate(&debian, &text(&vlans, "network-config").replace("link: \"lan0\"", "link: \"lan9\""));
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
fn an_independent_reader_finds_the_files_on_the_disc() {
    let Some(debian) = Debian::of("an_independent_reader_finds_the_files_on_the_disc") else { return };
    let work = tempfile::tempdir().unwrap();
    let bundle = seed();
    let disc = work.path().join("seed.iso");
    std::fs::write(&disc, &bundle.file("seed.iso").unwrap().bytes).unwrap();
    let isoinfo = |words: &[&str]| {
        let words: Vec<&Path> = words.iter().map(Path::new).chain([Path::new("-i"), &disc]).collect();
        debian.run(Path::new("isoinfo"), &words)
    };
    // -R and -J read the two name extensions, each on its own.
    for extension in ["-R", "-J"] {
        let listing = isoinfo(&[extension, "-f"]);
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        let mut names: Vec<&str> = listing.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["/meta-data", "/network-config", "/user-data", "/vendor-data"], "{extension}");
        for name in names {
            let content = isoinfo(&[extension, "-x", name]).stdout;
            assert_eq!(content, bundle.file(&name[1..]).unwrap().bytes, "{extension} {name}");
        }
    }
    let label = isoinfo(&["-d"]);
    assert!(said(&label).contains("Volume id: cidata"), "{}", said(&label));
}

#[test]
fn blkid_sees_the_label_that_cloud_init_looks_for() {
    let work = tempfile::tempdir().unwrap();
    let disc = work.path().join("seed.iso");
    std::fs::write(&disc, &seed().file("seed.iso").unwrap().bytes).unwrap();
    let found = ["blkid", "/usr/sbin/blkid", "/sbin/blkid"]
        .iter()
        .find_map(|program| Command::new(program).arg("-p").arg(&disc).output().ok());
    match found {
        None => skip("blkid_sees_the_label_that_cloud_init_looks_for", "blkid is not there"),
        Some(output) => {
            assert!(said(&output).contains("LABEL=\"cidata\""), "{}", said(&output));
            assert!(said(&output).contains("TYPE=\"iso9660\""), "{}", said(&output));
        }
    }
}
