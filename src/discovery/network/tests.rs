use super::*;
use crate::discovery::{Limits, Rate, Trunk};

#[track_caller]
fn network(xml: &str) -> Network {
    parse_network(xml, Limits::default()).unwrap()
}

#[test]
fn a_nat_network_says_what_it_translates_to() {
    let read = network(
        "<network ipv6='no' trustGuestRxFilters='yes'><name>n</name><forward mode='nat' dev='eth1'>\
         <nat ipv6='yes'><address start='192.0.2.4' end='192.0.2.7'/><port start='500' end='1000'/></nat>\
         <interface dev='eth1'/></forward><bridge name='virbr1' stp='on' delay='0' zone='home' macTableManager='libvirt'/>\
         <mac address='52:54:00:00:00:01'/><port isolated='yes'/></network>",
    );
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let nat = Nat { addresses: Some((ip("192.0.2.4"), ip("192.0.2.7"))), ports: Some((500, 1000)), ipv6: Some(true) };
    assert_eq!(read.nat, Some(nat));
    assert_eq!(read.forward_devices, [ForwardDevice::Interface { name: "eth1".to_owned() }]);
    let settings: Vec<_> = read.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        settings,
        [
            "bridge.delay=0",
            "bridge.macTableManager=libvirt",
            "bridge.stp=on",
            "bridge.zone=home",
            "ipv6=no",
            "mac.address=52:54:00:00:00:01",
            "port.isolated=yes",
            "trustGuestRxFilters=yes",
        ]
    );
    assert_eq!(read.unknown, []);
}

#[test]
fn a_switch_with_portgroups_keeps_tags_profiles_and_limits_apart() {
    let read = network(
        "<network><name>ovs</name><forward mode='bridge'/><bridge name='br-int'/><virtualport type='openvswitch'/>\
         <bandwidth><inbound average='1000' peak='5000' floor='200' burst='1024'/></bandwidth>\
         <portgroup name='all' default='yes' trustGuestRxFilters='no'>\
         <vlan trunk='yes'><tag id='42' nativeMode='untagged'/><tag id='47'/></vlan>\
         <virtualport><parameters profileid='gold'/></virtualport>\
         <bandwidth><outbound average='128'/></bandwidth></portgroup></network>",
    );
    let group = &read.portgroups[0];
    assert_eq!((&group.vlan.tags[..], group.vlan.native, group.vlan.trunk), (&[42, 47][..], Some(42), Trunk::Yes));
    assert_eq!(group.default, PortgroupDefault::Yes);
    assert_eq!(group.virtualport.as_ref().and_then(|port| port.profile_id.as_deref()), Some("gold"));
    assert_eq!(group.bandwidth.as_ref().and_then(|limit| limit.outbound).and_then(|rate| rate.average), Some(128));
    assert_eq!(group.settings["trustGuestRxFilters"], "no");
    let rate = Rate { average: Some(1000), peak: Some(5000), burst: Some(1024), floor: Some(200) };
    assert_eq!(read.bandwidth.and_then(|limit| limit.inbound), Some(rate));
    assert_eq!(read.unknown, []);
}

#[test]
fn a_pool_of_virtual_functions_names_its_devices() {
    let read = network(
        "<network><name>sriov</name><forward mode='hostdev' managed='yes'><driver name='vfio'/><pf dev='eth3'/>\
         <address type='pci' domain='0' bus='4' slot='0' function='1'/></forward></network>",
    );
    assert_eq!(read.forward, Some(ForwardMode::Hostdev));
    let [ForwardDevice::PhysicalFunction { name }, ForwardDevice::Address { address }] = &read.forward_devices[..]
    else {
        panic!("{:?}", read.forward_devices)
    };
    assert_eq!((name.as_str(), address.as_str()), ("eth3", "pci:0000:04:00.1"));
    assert_eq!(read.settings["forward.managed"], "yes");
    assert_eq!(read.settings["forward.driver.name"], "vfio");
    assert_eq!(read.unknown, []);
}

#[test]
fn dns_dhcp_and_routes_are_read() {
    let read = network(
        "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>n</name><forward mode='open'/>\
         <domain name='example.org' localOnly='yes'/><dns forwardPlainNames='no'><forwarder addr='192.0.2.53'/>\
         <forwarder domain='corp.example' addr='192.0.2.54'/><forwarder domain='local.example'/>\
         <host ip='192.0.2.2'><hostname>a</hostname><hostname>b</hostname></host><txt name='k' value='v'/>\
         <srv service='ldap' protocol='tcp' target='a' port='389' priority='1' weight='2'/></dns>\
         <ip address='192.0.2.1' netmask='255.255.255.128' localPtr='yes'><tftp root='/srv'/><dhcp>\
         <range start='192.0.2.10' end='192.0.2.20'><lease expiry='1' unit='hours'/></range>\
         <range start='192.0.2.30' end='192.0.2.40'/><host mac='52:54:00:00:00:01' ip='192.0.2.9'/>\
         <bootp file='pxe' server='192.0.2.3'/></dhcp></ip><ip family='ipv6' address='2001:db8::1' prefix='64'>\
         <dhcp><host id='0:3:0:1' name='six' ip='2001:db8::9'/></dhcp></ip>\
         <route address='198.51.100.0' prefix='24' gateway='192.0.2.9' metric='2'/>\
         <dnsmasq:options><dnsmasq:option value='no-ping'/></dnsmasq:options></network>",
    );
    assert_eq!(read.unknown, []);
    assert_eq!(read.forwarders, ["192.0.2.53".parse::<IpAddr>().unwrap()]);
    let domains: Vec<_> =
        read.domain_forwarders.iter().map(|one| (one.domain.as_str(), one.address.is_some())).collect();
    assert_eq!(domains, [("corp.example", true), ("local.example", false)]);
    assert_eq!(read.records.len(), 3);
    assert!(matches!(&read.records[0], DnsRecord::Host { names, .. } if names == &["a", "b"]), "{:?}", read.records);
    let [four, six] = &read.subnets[..] else { panic!() };
    assert_eq!((four.prefix, four.ranges.len(), six.prefix), (25, 2, 64));
    assert_eq!(six.hosts[0].id.as_deref(), Some("0:3:0:1"));
    for (name, value) in [
        ("dhcp.range[1].lease.expiry", "1"),
        ("dhcp.range[1].lease.unit", "hours"),
        ("dhcp.bootp.server", "192.0.2.3"),
        ("tftp.root", "/srv"),
        ("localPtr", "yes"),
    ] {
        assert_eq!(four.settings.get(name).map(String::as_str), Some(value), "{name}: {:?}", four.settings);
    }
    assert_eq!((read.routes[0].prefix, read.routes[0].metric), (24, Some(2)));
    assert_eq!(read.settings["dnsmasq.option[1]"], "no-ping");
    assert_eq!(read.settings["domain.localOnly"], "yes");
}

#[test]
fn what_is_new_or_wrong_is_told_with_its_line() {
    let read = network("<network>\n<name>n</name>\n<quantum spin='up'/>\n<bridge name='b' colour='red'/></network>");
    let unknown: Vec<_> = read.unknown.iter().map(|part| (part.path.as_str(), part.line)).collect();
    assert_eq!(unknown, [("/network/quantum", 3), ("/network/bridge/@colour", 4)]);
    for (xml, code) in [
        ("<network><name>n</name><ip address='x'/></network>", "network-malformed"),
        ("<network><name>n</name><ip address='192.0.2.1' netmask='255.0.255.0'/></network>", "network-malformed"),
        ("<network/>", "network-malformed"),
        ("<domain/>", "network-unsupported"),
    ] {
        assert_eq!(parse_network(xml, Limits::default()).unwrap_err().code(), code, "{xml}");
    }
}
