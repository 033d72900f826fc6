use super::check::{is_public_key, tells_a_secret};
use super::*;
use crate::discovery::{Discovered, Limits, parse_domain, parse_network};

const MAC: &str = "52:54:00:00:00:01";

/// A VM with one interface, whose element holds `more`, on a network that is served as `ip` says.
fn inventory(more: &str, ip: &str) -> Inventory {
    let domain = format!(
        "<domain type='kvm'><name>A b.</name><memory>1024</memory><devices><interface type='network'>\
         <mac address='{MAC}'/><source network='n'/>{more}</interface></devices></domain>"
    );
    let network = format!("<network><name>n</name><forward mode='nat'/>{ip}</network>");
    Inventory::build(Discovered {
        networks: vec![parse_network(network, Limits::default()).unwrap()],
        ..Discovered::from_domain(parse_domain(domain, Limits::default()).unwrap())
    })
}

fn guest(nic: GuestNic) -> Guest {
    Guest { nics: BTreeMap::from([(MAC.parse().unwrap(), nic)]), ..Guest::default() }
}

#[test]
fn a_password_in_user_data_is_found_wherever_it_stands() {
    for text in [
        "#cloud-config\npassword: x\n",
        "#cloud-config\nusers:\n  - name: a\n    passwd: \"$6$x\"\n",
        "#cloud-config\nusers: [{name: a, plain_text_passwd: x}]\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    ] {
        assert!(tells_a_secret(text), "{text}");
    }
    assert!(!tells_a_secret("#cloud-config\nssh_pwauth: false\nruncmd: [date]\n"));
}

#[test]
fn a_key_with_options_or_of_two_lines_is_no_public_key() {
    let body = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert!(is_public_key(&format!("ssh-ed25519 {body} ops@lab.example")));
    assert!(!is_public_key(&format!("command=\"x\" ssh-ed25519 {body}")));
    assert!(!is_public_key(&format!("ssh-ed25519 {body}\nssh-rsa {body}")));
}

#[test]
fn a_host_name_is_made_from_the_domains_name() {
    assert_eq!(hostname(&inventory("", ""), &Guest::default()).unwrap(), "a-b");
}

#[test]
fn what_a_network_does_for_ipv6_follows_its_subnets() {
    let v4 = "<ip address='192.0.2.1' netmask='255.255.255.0'/>";
    let v6 = "<ip family='ipv6' address='2001:db8::1' prefix='64'>";
    let dhcp = "<dhcp><range start='2001:db8::10' end='2001:db8::20'/></dhcp>";
    for (ip, expected) in [
        (v4.to_owned(), AutoIpv6::Silent),
        (format!("{v4}{v6}</ip>"), AutoIpv6::Advertised),
        (format!("{v4}{v6}{dhcp}</ip>"), AutoIpv6::Dhcp),
    ] {
        let inventory = inventory("", &ip);
        assert_eq!(auto_ipv6(&inventory.domain.nics[0], &inventory), expected, "{ip}");
    }
}

#[test]
fn what_dhcp_tells_is_not_the_bindings_to_say() {
    let inventory = inventory("", "");
    let told = guest(GuestNic { gateway: Some("192.0.2.1".parse().unwrap()), ..GuestNic::default() });
    assert_eq!(check_nics(&inventory, &told).unwrap_err().code(), "binding-malformed");
    let mut bound = told;
    let nic = bound.nics.values_mut().next().unwrap();
    nic.addresses = vec!["192.0.2.5/24".to_owned(), "2001:db8::5/64".to_owned()];
    nic.gateway6 = Some("2001:db8::1".parse().unwrap());
    check_nics(&inventory, &bound).unwrap();
    let Plan::Bound(fixed) = plan(&inventory.domain.nics[0], &inventory, &bound) else {
        panic!("the binding has addresses");
    };
    assert!(fixed.has_ipv6());
    assert_eq!(fixed.gateways().count(), 2);
}

#[test]
fn a_vlan_needs_a_port_that_carries_it_and_a_name() {
    let vlan = |id| GuestVlan { id, addresses: Vec::new(), gateway: None, dns: Vec::new() };
    let nic = |name: Option<&str>, id| {
        guest(GuestNic { name: name.map(str::to_owned), vlans: vec![vlan(id)], ..GuestNic::default() })
    };
    let trunk = inventory("<vlan trunk='yes'><tag id='10'/><tag id='20'/></vlan>", "");
    check_nics(&trunk, &nic(Some("lan0"), 20)).unwrap();
    assert!(check_nics(&trunk, &nic(Some("lan0"), 30)).is_err());
    assert!(check_nics(&trunk, &nic(None, 20)).is_err());
    assert!(check_nics(&trunk, &nic(Some("a-name-so-long"), 20)).is_err());
    assert!(check_nics(&inventory("<vlan><tag id='10'/></vlan>", ""), &nic(Some("lan0"), 10)).is_err());
    check_nics(&inventory("", ""), &nic(Some("lan0"), 10)).unwrap();
}
