//! What moves the generation, what differs, and what waits for the next start.

use super::*;

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
    assert_eq!(Inventory::build(Discovered::from_domain(domain(&restarted))).generation(), alone.generation());
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
fn a_network_is_decided_and_how_full_a_pool_is_is_not() {
    let before = surrounded();
    let mut after = before.clone();
    for pool in after.pools.values_mut() {
        pool.available = Some(Bytes(1));
    }
    assert_eq!(after.generation(), before.generation());
    assert_eq!(differences(&before, &after), []);
    for network in after.networks.values_mut() {
        network.mtu = Some(9000);
    }
    assert_ne!(after.generation(), before.generation());
    let told: Vec<String> = differences(&before, &after).into_iter().map(|difference| difference.path).collect();
    assert_eq!(told, ["networks[front].mtu"]);
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
fn what_waits_for_the_next_start_is_named_by_path() {
    let Definition::Persistent { pending, .. } = surrounded().definition else { panic!("a definition was given") };
    assert_eq!(pending, ["memory.current_kib"]);
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

fn pending(live: &str, definition: &str) -> Vec<String> {
    let mut discovered = Discovered::from_domain(domain(live));
    discovered.inactive = Inactive::Known(Box::new(domain(definition)));
    match Inventory::build(discovered).definition {
        Definition::Persistent { pending, .. } => pending,
        Definition::NotAsked | Definition::Transient => panic!("a definition was given"),
    }
}

#[test]
fn what_the_definition_adds_removes_and_changes_is_pending() {
    let definition = LIVE
        .replace("cache='none' ", "")
        .replace("dev='vdb'", "dev='vdc'")
        .replace("<watchdog model='itco' action='reset'/>", "")
        .replace("<link state='up'/>", "<link state='down'/>")
        .replace("<smm state='on'/>", "<smm state='off'/>")
        .replace("cores='2'", "cores='4'");
    let expected = [
        "cpu.topology.cores",
        "disks[vda].cache",
        "disks[vdb]",
        "disks[vdc]",
        "nics[52:54:00:1a:2b:02].link",
        "watchdogs[0]",
        "features[smm].enabled",
    ];
    assert_eq!(pending(LIVE, &definition), expected);
}

#[test]
fn a_definition_without_all_that_a_start_fills_in_has_nothing_pending() {
    let start = EVERYTHING.find("<backingStore type='file' index='3'>").unwrap();
    let end = EVERYTHING.find("<mirror ").unwrap();
    let definition = format!("{}{}", &EVERYTHING[..start], &EVERYTHING[end..])
        .replace("<mirror type='block' job='copy' ready='yes'><format type='raw'/><source dev='/dev/vg0/atlas-copy'/></mirror>", "")
        .replace("pc-q35-7.2", "q35")
        .replace("check='full'", "check='partial'")
        .replace("<feature policy='disable' name='hle'/>", "")
        .replace(" index='1'>", ">")
        .replace("<emulator>/usr/bin/qemu-system-x86_64</emulator>", "")
        .replace("<address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0' multifunction='on'/>", "")
        .replace("<address type='virtio-serial' controller='0' bus='0' port='1'/>", "")
        .replace("<label>system_u:system_r:svirt_t:s0:c1,c2</label>", "")
        .replace("<resource><partition>/machine/tenants</partition></resource>", "")
        .replace(" address='4'/></vsock>", "/></vsock>")
        .replace("adjustment='3600'", "adjustment='3611'")
        .replace("port='5911'", "port='-1'")
        .replace("<qemu:tomorrow/>", "");
    let mut definition = definition;
    let start = definition.find("<controller ").unwrap();
    let end = definition.find("</controller>").unwrap() + "</controller>".len();
    definition.replace_range(start..end, "");
    assert_eq!(pending(EVERYTHING, &definition), Vec::<String>::new());
}

#[test]
fn a_versioned_machine_that_is_another_one_is_pending() {
    assert_eq!(pending(LIVE, &LIVE.replace("pc-q35-7.2", "q35")), Vec::<String>::new());
    assert_eq!(pending(LIVE, &LIVE.replace("pc-q35-7.2", "pc-q35-8.0")), ["platform.machine"]);
    assert_eq!(pending(LIVE, &LIVE.replace("pc-q35-7.2", "pc")), ["platform.machine"]);
}

#[test]
fn differences_say_what_was_and_what_is() {
    let look = |xml: &str| Inventory::build(Discovered::from_domain(domain(xml)));
    let before = look(LIVE);
    assert_eq!(differences(&before, &before), []);
    let after = look(&LIVE.replace("<serial>shop-root</serial>", "").replace("mtu size='1450'", "mtu size='9000'"));
    let said: Vec<_> = differences(&before, &after)
        .into_iter()
        .map(|Difference { path, before, after }| (path, before, after))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        said,
        [
            ("disks[vda].serial".to_owned(), text("shop-root"), None),
            ("nics[52:54:00:1a:2b:02].mtu".to_owned(), text("1450"), text("9000")),
        ]
    );
}

#[test]
fn another_order_of_disks_is_a_difference() {
    let before = Inventory::build(Discovered::from_domain(domain(LIVE)));
    let mut after = before.clone();
    after.domain.disks.reverse();
    let said = differences(&before, &after);
    assert_eq!(said.len(), 1);
    assert_eq!(
        (said[0].path.as_str(), said[0].before.as_deref(), said[0].after.as_deref()),
        ("disks", Some("vda, vdb"), Some("vdb, vda"))
    );
}

#[test]
fn there_is_a_difference_exactly_when_the_generation_moves() {
    // Each attribute and text in turn gets another value; whatever it was, both must agree.
    let look =
        |xml: &str| parse_domain(xml, Limits::default()).ok().map(|d| Inventory::build(Discovered::from_domain(d)));
    let before = look(EVERYTHING).unwrap();
    let mut moved = 0;
    for (start, _) in EVERYTHING.match_indices(['\'', '>']).step_by(4) {
        let mut changed = EVERYTHING.to_owned();
        changed.insert(start + 1, '1');
        let Some(after) = look(&changed) else { continue };
        let differs = !differences(&before, &after).is_empty();
        assert_eq!(differs, before.generation() != after.generation(), "{}", &EVERYTHING[start..start + 40]);
        moved += usize::from(differs);
    }
    assert!(moved > 50, "{moved}");
}
