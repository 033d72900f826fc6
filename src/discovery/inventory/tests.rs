use super::*;
use crate::discovery::*;
use crate::model::units::Bytes;

fn domain(devices: &str) -> Domain {
    let xml = format!(
        "<domain type='kvm'><name>d</name><uuid>6f1c35a1-5a7e-4a0e-9d6c-0a1b2c3d4e5f</uuid><memory>1024</memory>\
         <vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{devices}</devices></domain>"
    );
    parse_domain(xml, Limits::default()).unwrap()
}

fn volume(name: &str, path: &str, format: &str, backing: Option<(&str, &str)>) -> Volume {
    let backing = backing.map(|(path, format)| BackingImage {
        source: DiskSource::File { path: path.to_owned() },
        format: Some(format.to_owned()),
        volume: None,
    });
    Volume {
        name: name.to_owned(),
        key: Some(path.to_owned()),
        kind: Some("file".to_owned()),
        path: Some(path.to_owned()),
        capacity: Bytes(10 << 30),
        allocation: Some(Bytes(1 << 30)),
        physical: Some(Bytes(2 << 30)),
        format: Some(format.to_owned()),
        backing,
        encryption: None,
        settings: Settings::new(),
        unknown: vec![UnknownPart { path: "/volume/spin".to_owned(), line: 3 }],
    }
}

fn pool(name: &str, kind: PoolType, volumes: Vec<Volume>) -> Pool {
    Pool {
        name: name.to_owned(),
        uuid: None,
        kind,
        capacity: None,
        allocation: None,
        available: None,
        source: Settings::new(),
        source_name: None,
        target: None,
        auth: None,
        settings: Settings::new(),
        volumes: volumes.into_iter().map(|volume| (volume.name.clone(), volume)).collect(),
        unknown: Vec::new(),
    }
}

fn disk(source: &str, format: &str, target: &str) -> String {
    format!(
        "<disk type='file'><driver name='qemu' type='{format}'/><source file='{source}'/><target dev='{target}'/></disk>"
    )
}

fn reference(pool: &str, volume: &str) -> Option<VolumeRef> {
    Some(VolumeRef { pool: pool.to_owned(), volume: volume.to_owned() })
}

#[test]
fn a_chain_goes_through_volumes_to_its_end_and_only_what_is_used_stays() {
    let images = vec![
        volume("top", "/i/top", "qcow2", Some(("/i/mid", "qcow2"))),
        volume("mid", "/i/mid", "qcow2", Some(("/b/base", "raw"))),
        volume("stray", "/i/stray", "raw", None),
    ];
    let pools = vec![
        pool("images", PoolType::Dir, images),
        pool("bases", PoolType::Dir, vec![volume("base", "/b/base", "raw", None)]),
        pool("unused", PoolType::Dir, vec![volume("x", "/u/x", "raw", None)]),
    ];
    let live = domain(&disk("/i/top", "qcow2", "vda"));
    let inventory = Inventory::build(Discovered { pools, ..Discovered::from_domain(live) });
    let disk = &inventory.domain.disks[0];
    assert_eq!(disk.volume, reference("images", "top"));
    let chain: Vec<_> = disk.backing.images.iter().map(|image| image.volume.clone()).collect();
    assert_eq!(chain, [reference("images", "mid"), reference("bases", "base")]);
    assert_eq!(disk.backing.end, ChainEnd::Seen);
    assert_eq!(disk.size.map(|size| (size.capacity, size.physical)), Some((Bytes(10 << 30), Bytes(2 << 30))));
    let kept: Vec<_> = inventory.pools.values().map(|pool| (pool.name.as_str(), pool.volumes.len())).collect();
    assert_eq!(kept, [("bases", 1), ("images", 2)]);
    let unknown: Vec<_> = inventory.unknown().map(|(document, part)| format!("{document} {}", part.path)).collect();
    assert_eq!(
        unknown,
        ["volume:bases/base /volume/spin", "volume:images/mid /volume/spin", "volume:images/top /volume/spin"]
    );
}

#[test]
fn a_chain_that_bites_its_tail_or_leaves_the_pools_stays_open() {
    let images = vec![
        volume("a", "/i/a", "qcow2", Some(("/i/b", "qcow2"))),
        volume("b", "/i/b", "qcow2", Some(("/i/a", "qcow2"))),
        volume("out", "/i/out", "qcow2", Some(("/elsewhere", "qcow2"))),
    ];
    let live = domain(&[disk("/i/a", "qcow2", "vda"), disk("/i/out", "qcow2", "vdb")].concat());
    let pools = vec![pool("images", PoolType::Dir, images)];
    let inventory = Inventory::build(Discovered { pools, ..Discovered::from_domain(live) });
    let [a, out] = &inventory.domain.disks[..] else { panic!() };
    assert_eq!((a.backing.images.len(), a.backing.end), (1, ChainEnd::Unseen));
    assert_eq!((out.backing.images.len(), out.backing.end), (1, ChainEnd::Unseen));
    assert_eq!(out.backing.images[0].volume, None);
}

#[test]
fn a_disk_used_as_raw_has_nothing_under_it_whatever_its_file_says() {
    let live = domain(&disk("/i/top", "raw", "vda"));
    let images = vec![volume("top", "/i/top", "qcow2", Some(("/i/mid", "qcow2")))];
    let pools = vec![pool("images", PoolType::Dir, images)];
    let inventory = Inventory::build(Discovered { pools, ..Discovered::from_domain(live) });
    assert_eq!(inventory.domain.disks[0].backing, Backing { images: Vec::new(), end: ChainEnd::Seen });
}

#[test]
fn a_pool_volume_is_found_by_name_and_block_info_is_the_nearer_word_on_its_size() {
    let source = "<disk type='volume'><source pool='images' volume='top'/><target dev='vda'/></disk>\
                  <disk type='volume'><source pool='images' volume='gone'/><target dev='vdb'/></disk>\
                  <disk type='network'><source protocol='rbd' name='rbd/one'/><target dev='vdc'/></disk>";
    let size = DiskSize { capacity: Bytes(5), allocation: Bytes(4), physical: Bytes(3) };
    let pools = vec![
        pool("images", PoolType::Dir, vec![volume("top", "/i/top", "raw", None)]),
        pool("ceph", PoolType::Rbd, vec![volume("one", "rbd/one", "raw", None)]),
    ];
    let inventory = Inventory::build(Discovered {
        pools,
        sizes: BTreeMap::from([("vda".to_owned(), size)]),
        ..Discovered::from_domain(domain(source))
    });
    let found: Vec<_> = inventory.domain.disks.iter().map(|disk| disk.volume.clone()).collect();
    assert_eq!(found, [reference("images", "top"), None, reference("ceph", "one")]);
    assert_eq!(inventory.domain.disks[0].size, Some(size));
    assert_eq!(inventory.domain.disks[1].size, None);
}

#[test]
fn a_port_is_put_together_from_interface_network_and_portgroup() {
    let xml = "<network><name>ovs</name><forward mode='bridge'/><bridge name='br-int'/>\
        <vlan><tag id='7'/></vlan><virtualport type='openvswitch'/>\
        <portgroup name='plain' default='yes'><virtualport><parameters profileid='gold'/></virtualport></portgroup>\
        <portgroup name='tagged'><vlan><tag id='9'/></vlan></portgroup></network>";
    let network = parse_network(xml, Limits::default()).unwrap();
    let id = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f";
    let nics = format!(
        "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='ovs'/>\
         <virtualport><parameters interfaceid='{id}'/></virtualport></interface>\
         <interface type='network'><mac address='52:54:00:00:00:02'/><source network='ovs' portgroup='tagged'/></interface>"
    );
    let networks = vec![network];
    let inventory = Inventory::build(Discovered { networks, ..Discovered::from_domain(domain(&nics)) });
    let [first, second] = &inventory.domain.nics[..] else { panic!() };
    let port = first.virtualport.as_ref().unwrap();
    assert_eq!(port.kind.as_deref(), Some("openvswitch"));
    assert_eq!(port.interface_id.as_deref(), Some(id));
    assert_eq!(port.profile_id.as_deref(), Some("gold"));
    assert_eq!(first.vlan.tags, [7]);
    assert_eq!(second.vlan.tags, [9]);
    assert_eq!(second.virtualport.as_ref().unwrap().profile_id, None);
}

#[test]
fn of_the_host_only_what_the_interfaces_touch_stays() {
    let link = |kind: &str, master: Option<&str>, lower: Option<&str>| Link {
        kind: Some(kind.to_owned()),
        mac: None,
        mtu: 1500,
        up: true,
        master: master.map(str::to_owned),
        lower: lower.map(str::to_owned),
        vlan: None,
        addresses: Vec::new(),
    };
    let links = [
        ("vnet0", link("tun", Some("br0"), None)),
        ("br0", link("bridge", None, None)),
        ("eth0.7", link("vlan", Some("br0"), Some("eth0"))),
        ("macvtap0", link("macvtap", None, Some("bond0"))),
        ("bond0", link("bond", None, None)),
        ("vnet9", link("tun", Some("br0"), None)),
    ];
    let port = |name: &str| (name.to_owned(), OvsPort { bridge: Some("br-int".to_owned()), ..OvsPort::default() });
    let machines = |kind: &str| (kind.to_owned(), vec!["q35".to_owned()]);
    let host = Host {
        links: links.into_iter().map(|(name, link)| (name.to_owned(), link)).collect(),
        ovs_ports: BTreeMap::from([port("vnet0"), port("vnet9")]),
        capabilities: Some(Capabilities {
            machines: BTreeMap::from([machines("x86_64/kvm"), machines("x86_64/qemu"), machines("i686/kvm")]),
            ..Capabilities::default()
        }),
        ..Host::default()
    };
    let nics = "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/>\
                <target dev='vnet0'/></interface><interface type='direct'><mac address='52:54:00:00:00:02'/>\
                <source dev='bond0' mode='bridge'/><target dev='macvtap0'/></interface>";
    let discovered = Discovered { host: Some(Arc::new(host)), ..Discovered::from_domain(domain(nics)) };
    let host = Inventory::build(discovered).host.unwrap();
    assert_eq!(host.links.keys().collect::<Vec<_>>(), ["bond0", "br0", "macvtap0", "vnet0"]);
    assert_eq!(host.ovs_ports.keys().collect::<Vec<_>>(), ["vnet0"]);
    assert_eq!(host.capabilities.unwrap().machines.keys().collect::<Vec<_>>(), ["x86_64/kvm"]);
}

#[test]
fn an_address_says_where_it_was_learnt_and_when_its_lease_ends() {
    let mac = "52:54:00:00:00:01".parse().unwrap();
    let other = "52:54:00:00:00:02".parse().unwrap();
    let ip = "192.0.2.5".parse().unwrap();
    let expires = Some("2026-11-23T10:00:00Z".parse().unwrap());
    let nic = "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>";
    let inventory = Inventory::build(Discovered {
        leases: vec![Lease { mac, ip, prefix: Some(24), expires }],
        agent: vec![AgentAddress { mac, ip, prefix: Some(24) }],
        neighbours: vec![Neighbour { mac, ip }, Neighbour { mac, ip }, Neighbour { mac: other, ip }],
        ..Discovered::from_domain(domain(nic))
    });
    let told = &inventory.domain.nics[0].addresses;
    let origins: Vec<_> = told.iter().map(|told| (told.origin, told.certainty, told.expires)).collect();
    assert_eq!(
        origins,
        [
            (AddressOrigin::Arp, Certainty::Seen, None),
            (AddressOrigin::Lease, Certainty::Granted, expires),
            (AddressOrigin::Agent, Certainty::Reported, None),
        ]
    );
}
