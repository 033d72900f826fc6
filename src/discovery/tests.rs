mod changes;
mod everything;
mod hostile;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::model::units::{Bytes, Kib};

const LIVE: &str = include_str!("../../fixtures/domain/live-uefi-two-nics.xml");
const INACTIVE: &str = include_str!("../../fixtures/domain/inactive-bios-many-sources.xml");
const EVERYTHING: &str = include_str!("../../fixtures/domain/live-everything.xml");
const FRONT: &str = include_str!("../../fixtures/network/front.xml");

fn domain(xml: &str) -> Domain {
    parse_domain(xml, Limits::default()).unwrap()
}

fn refusal(xml: impl AsRef<[u8]>) -> ParseError {
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
fn a_second_boot_order_is_refused() {
    let error = refusal(LIVE.replace("<boot order='2'/>", "<boot order='1'/>"));
    assert_eq!(error.code(), "domain-malformed");
    assert_eq!(error.place().map(|place| place.line), Some(44));
    let error = refusal(LIVE.replace("</os>", "<boot dev='hd'/></os>"));
    assert!(error.to_string().contains("both by class and by device"), "{error}");
}

#[test]
fn a_repeated_element_is_unknown_with_its_line() {
    let domain = domain("<domain>\n<name>a</name>\n<name>b</name>\n</domain>");
    assert_eq!(domain.identity.name, "a");
    assert_eq!(domain.unknown, [UnknownPart { path: "/domain/name[2]".to_owned(), line: 3 }]);
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
