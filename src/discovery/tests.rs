use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::model::units::{Bytes, Kib};

const LIVE: &str = include_str!("../../fixtures/domain/live-uefi-two-nics.xml");
const INACTIVE: &str = include_str!("../../fixtures/domain/inactive-bios-many-sources.xml");
const FRONT: &str = include_str!("../../fixtures/network/front.xml");

fn domain(xml: &str) -> Domain {
    parse_domain(xml, Limits::default()).unwrap()
}

fn refusal(xml: impl AsRef<[u8]>) -> ParseDomainError {
    parse_domain(xml, Limits::default()).unwrap_err()
}

/// The live fixture with all that surrounds it.
fn surrounded() -> Inventory {
    let mac = "52:54:00:1a:2b:01".parse().unwrap();
    let ip = "192.0.2.21".parse().unwrap();
    let size = DiskSize { capacity: Bytes(20 << 30), allocation: Bytes(3 << 30), physical: Bytes(3 << 30) };
    let mut inactive = domain(LIVE);
    inactive.memory.current_kib = Kib(3_145_728);
    Inventory::build(Discovered {
        live: domain(LIVE),
        inactive: Inactive::Known(Box::new(inactive)),
        sizes: BTreeMap::from([("vda".to_owned(), size)]),
        networks: vec![parse_network(FRONT, Limits::default()).unwrap()],
        leases: vec![Lease { mac, ip, prefix: Some(24), expires: None }],
        agent: vec![
            AgentAddress { mac, ip, prefix: Some(24) },
            AgentAddress { mac, ip: "127.0.0.1".parse().unwrap(), prefix: Some(8) },
            AgentAddress {
                mac: "52:54:00:1a:2b:02".parse().unwrap(),
                ip: "198.51.100.21".parse().unwrap(),
                prefix: Some(24),
            },
        ],
        neighbours: Vec::new(),
        pools: Vec::new(),
        host: None,
    })
}

/// Compares with the golden file of `name`; `COVIRT_BLESS=1` rewrites it.
#[track_caller]
fn golden(name: &str, inventory: &Inventory) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/domain"));
    let path = path.join(format!("{name}.inventory.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(inventory).unwrap());
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).expect("the golden file is there (make it with COVIRT_BLESS=1)");
    assert!(text == expected, "{} differs; look at the diff after COVIRT_BLESS=1", path.display());
    assert_eq!(&serde_json::from_str::<Inventory>(&text).unwrap(), inventory);
}

#[test]
fn the_live_domain_with_its_surroundings_is_the_golden_inventory() {
    golden("live-uefi-two-nics", &surrounded());
}

#[test]
fn the_inactive_domain_with_unknown_words_is_the_golden_inventory() {
    let mut discovered = Discovered::from_domain(domain(INACTIVE));
    discovered.networks = vec![parse_network(FRONT, Limits::default()).unwrap()];
    golden("inactive-bios-many-sources", &Inventory::build(discovered));
}

#[test]
fn no_password_reaches_the_inventory() {
    assert!(LIVE.contains("not-for-the-inventory"));
    assert!(!serde_json::to_string(&surrounded()).unwrap().contains("not-for-the-inventory"));
}

#[test]
fn addresses_leases_and_runtime_names_leave_the_generation_alone() {
    let alone = Inventory::build(Discovered::from_domain(domain(LIVE)));
    let restarted = LIVE
        .replace("vnet9", "vnet31")
        .replace("virbr7", "virbr0")
        .replace("5907", "5912")
        .replace("/dev/pts/3", "/dev/pts/8")
        .replace("state='connected'", "state='disconnected'")
        .replace("id='12'", "id='40'");
    assert_eq!(Generation::of_domain(&domain(&restarted)), alone.generation());
    let mut grown = surrounded();
    let before = grown.generation();
    for disk in &mut grown.domain.disks {
        if let Some(size) = &mut disk.size {
            size.allocation = Bytes(size.allocation.0 + 4096);
        }
    }
    assert_eq!(grown.generation(), before);
}

#[test]
fn every_decided_change_moves_the_generation() {
    let before = Generation::of_domain(&domain(LIVE));
    for (from, to) in [
        ("3145728", "4194304"),
        ("current='2'", "current='3'"),
        ("shop-front.qcow2", "shop-front-2.qcow2"),
        ("br-back", "br-other"),
        ("<tag id='42'/>", "<tag id='43'/>"),
        ("<link state='up'/>", "<link state='down'/>"),
        ("secure='yes'", "secure='no'"),
        ("<shareable/>", ""),
        ("https://manager.example/ns/1", "https://manager.example/ns/2"),
    ] {
        let changed = LIVE.replace(from, to);
        assert_ne!(changed, LIVE, "{from}");
        assert_ne!(Generation::of_domain(&domain(&changed)), before, "{from}");
    }
}

#[test]
fn the_pending_sections_of_the_definition_are_named() {
    let Definition::Persistent { pending, .. } = surrounded().definition else { panic!("a definition was given") };
    assert_eq!(pending, ["memory"]);
}

#[test]
fn what_libvirt_fills_in_at_the_start_is_not_pending() {
    let inactive = LIVE
        .replace("listen='127.0.0.1'", "")
        .replace("<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>", "")
        .replace("host-passthrough", "host-model")
        .replace("port='5907'", "port='-1'");
    let live = LIVE.replace("mode='host-passthrough'", "mode='custom'");
    let mut discovered = Discovered::from_domain(domain(&live));
    discovered.inactive = Inactive::Known(Box::new(domain(&inactive)));
    let Definition::Persistent { pending, .. } = Inventory::build(discovered).definition else {
        panic!("a definition was given")
    };
    assert!(pending.is_empty(), "{pending:?}");
}

#[test]
fn a_second_boot_order_is_refused() {
    let error = refusal(LIVE.replace("<boot order='2'/>", "<boot order='1'/>"));
    assert_eq!(error.code(), "domain-malformed");
    assert_eq!(error.place().map(|place| place.line), Some(37));
    let error = refusal(LIVE.replace("</os>", "<boot dev='hd'/></os>"));
    assert!(error.to_string().contains("both by class and by device"), "{error}");
}

#[test]
fn a_repeated_element_is_refused_with_its_line() {
    let error = refusal("<domain>\n<name>a</name>\n<name>b</name>\n</domain>");
    assert_eq!((error.code(), error.place()), ("domain-malformed", Some(Place { line: 3, column: 1 })));
}

#[test]
fn a_value_that_is_none_is_refused_with_its_line() {
    for (xml, line) in [
        ("<domain>\n<name>a</name>\n<memory unit='parsec'>1</memory></domain>", 3),
        ("<domain>\n<name>a</name>\n<uuid>zz</uuid></domain>", 3),
        ("<domain>\n<name>a</name>\n\n<vcpu>many</vcpu></domain>", 4),
        ("<domain><name>a</name><devices>\n<disk><target dev='a'/></disk>\n<disk/></devices></domain>", 3),
        (
            "<domain><name>a</name><devices>\n<interface type='user'><mac address='x'/></interface></devices></domain>",
            2,
        ),
        ("\n<domain/>", 2),
    ] {
        let error = refusal(xml);
        assert_eq!((error.code(), error.place().map(|place| place.line)), ("domain-malformed", Some(line)), "{xml}");
    }
}

#[test]
fn hostile_texts_are_refused_by_name() {
    let billion = "<!DOCTYPE domain [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]>\n<domain><name>&b;</name></domain>";
    assert_eq!(refusal(billion).code(), "domain-unsupported");
    assert_eq!(refusal("<domain><name>&other;</name></domain>").code(), "domain-malformed");
    assert_eq!(refusal("<?xml version='1.0' encoding='utf-16'?><domain/>").code(), "domain-unsupported");
    assert_eq!(refusal("<domainsnapshot/>").code(), "domain-unsupported");
    assert_eq!(refusal(vec![b' '; (4 << 20) + 1]).code(), "domain-too-large");
    assert_eq!(refusal(format!("<domain>{}</domain>", "<a/>".repeat(20_000))).code(), "domain-too-large");
    let deep = format!("<domain>{}{}</domain>", "<a>".repeat(70), "</a>".repeat(70));
    assert_eq!(refusal(deep).code(), "domain-too-deep");
    let bytes = b"<domain>\n<name>\xff</name></domain>";
    let error = refusal(bytes);
    assert_eq!((error.code(), error.place()), ("domain-malformed", Some(Place { line: 2, column: 7 })));
    for text in [
        "",
        "<",
        "<domain",
        "<domain>",
        "<domain><!--",
        "<domain><![CDATA[",
        "<?xml",
        "</domain>",
        "<domain/><domain/>",
    ] {
        assert!(refusal(text).code().starts_with("domain-"), "{text}");
    }
}

#[test]
fn a_refusal_does_not_repeat_a_password() {
    let error = refusal("<domain><name><graphics passwd='hunter2'/></name></domain>");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn memory_may_come_from_numa_cells() {
    let xml = "<domain><name>a</name><cpu><numa><cell memory='1' unit='GiB'/><cell memory='512' unit='MiB'/></numa></cpu></domain>";
    assert_eq!(domain(xml).memory.max_kib, Kib(1_572_864));
}

#[test]
fn both_encodings_of_uefi_are_read_alike() {
    let os = "<domain><name>a</name><os firmware='efi'><firmware><feature enabled='yes' name='secure-boot'/></firmware></os></domain>";
    let auto = domain(os).firmware;
    assert_eq!((auto.kind, auto.secure_boot), (FirmwareKind::Uefi, SecureBoot::On));
    let by_hand = domain(LIVE).firmware;
    assert_eq!((by_hand.kind, by_hand.secure_boot), (FirmwareKind::Uefi, SecureBoot::On));
    assert_eq!(domain(INACTIVE).firmware.kind, FirmwareKind::Bios);
}

#[test]
fn interleaved_devices_of_a_large_domain_are_read_in_time() {
    let devices: String =
        (0..4000).map(|n| format!("<disk><target dev='d{n}'/></disk><interface type='user'/><serial/>")).collect();
    let xml = format!("<domain><name>a</name><devices>{devices}</devices></domain>");
    let limits = Limits { elements: 20_000, ..Limits::default() };
    assert_eq!(parse_domain(xml, limits).unwrap().disks.len(), 4000);
}

#[test]
fn a_network_gives_what_its_guests_can_expect() {
    let network = parse_network(FRONT, Limits::default()).unwrap();
    assert_eq!(network.subnets.len(), 2);
    assert_eq!(network.subnets[0].prefix, 24);
    assert_eq!(network.forwarders, ["198.51.100.53".parse::<core::net::IpAddr>().unwrap()]);
    assert!(network.routes_guests());
    let error = parse_network(
        "<network>\n<name>a</name><ip address='192.0.2.1' netmask='255.0.255.0'/></network>",
        Limits::default(),
    );
    assert_eq!(error.unwrap_err().code(), "network-malformed");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(<[a-z/!?]{0,3}[ ='\"a-z]{0,8}>|[a-z<>&;'\"=/ ]|<!--|-->|]]>){0,40}") {
        let _ = parse_domain(format!("<domain>{text}</domain>"), Limits::default());
        let _ = parse_network(&text, Limits::default());
    }
}
