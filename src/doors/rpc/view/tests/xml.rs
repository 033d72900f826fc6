use super::*;

fn shown(procedure: u32, xml: &str, eyes: &Provider) -> Shown {
    reply(REMOTE, procedure, &bytes(|w| w.string(xml)), eyes).unwrap()
}

#[test]
fn a_network_keeps_only_the_addresses_and_names_of_guests_that_are_seen() {
    let network = |count: &str, hosts: &str, names: &str| {
        format!(
            "<network{count}>\n  <name>default</name>\n  <dns>\n    {names}\n  </dns>\n  <ip address='192.0.2.1'>\
             <dhcp><range start='192.0.2.2' end='192.0.2.9'/>{hosts}</dhcp></ip>\n  <!-- äöü -->\n</network>\n"
        )
    };
    let mine = "<host mac='52:54:00:00:00:01' name='mine' ip='192.0.2.2'/>";
    let theirs = "<host mac='52:54:00:00:00:02' name='theirs' ip='192.0.2.3'/>";
    let printer = "<host mac='02:00:00:00:00:77' name='printer' ip='192.0.2.4'/>";
    let by_name = "<host id='0:3:0:1' name='theirs' ip='2001:db8::3'></host>";
    let gateway = "<host ip='192.0.2.1'><hostname>gateway</hostname></host>";
    let theirs_too = "<host ip='192.0.2.3'><hostname>web</hostname><hostname>theirs</hostname></host>";
    let service = "<srv service='ldap' protocol='tcp' target='theirs' port='389'/>";
    let forwarder = "<forwarder addr='192.0.2.53'/>";
    let two = " connections='2'";
    let all =
        network(two, &[theirs, mine, printer, by_name].concat(), &[theirs_too, gateway, service, forwarder].concat());
    let seen = network("", mine, &[gateway, forwarder].concat());
    assert_eq!(text_of(&shown(43, &all, &secondary())), seen);
    let seen = network(two, &[mine, printer].concat(), &[gateway, forwarder].concat());
    assert_eq!(text_of(&shown(43, &all, &hoster())), seen);
    assert_eq!(text_of(&shown(43, &all, &unsure())), network("", "", forwarder));
    assert_eq!(shown(43, &network("", mine, gateway), &secondary()), Shown::Same);
    assert_eq!(shown(43, &all, &operator()), Shown::Same);
}

#[test]
fn what_goes_goes_whole_though_a_part_of_it_would_go_by_itself() {
    let network = |hosts: &str| format!("<network><ip><dhcp>{hosts}</dhcp></ip></network>");
    let theirs = "<host mac='52:54:00:00:00:02'><interface connections='2'/><a name='theirs'/></host>";
    let mine = "<host mac='52:54:00:00:00:01'/>";
    let shown = shown(43, &network(&[theirs, mine].concat()), &secondary());
    assert_eq!(text_of(&shown), network(mine));
}

#[test]
fn a_bridge_has_only_the_ports_of_vms_that_are_seen() {
    let bridge =
        |ports: &str| format!("<interface type='bridge' name='br0'><bridge stp='on'>{ports}</bridge></interface>");
    let (eth, one, two) = (
        "<interface type='ethernet' name='eth0'><mac address='02:00:00:00:00:99'/></interface>",
        "<interface type='ethernet' name='vnet1'/>",
        "<interface type='ethernet' name='vnet2'><mac address='fe:54:00:00:00:02'/></interface>",
    );
    let all = bridge(&[eth, two, one].concat());
    assert_eq!(text_of(&shown(130, &all, &secondary())), bridge(&[eth, one].concat()));
    assert_eq!(text_of(&shown(130, &all, &hoster())), bridge(&[eth, one].concat()));
    assert_eq!(shown(130, &bridge(eth), &secondary()), Shown::Same);
}

#[test]
fn a_volume_is_told_by_its_path_and_what_it_lies_on_is_cut_out() {
    let volume = |path: &str, below: &str| {
        format!("<volume type='file'><name>v</name><target><path>{path}</path></target>{below}</volume>")
    };
    let below = "<backingStore><path>/pool/theirs.qcow2</path><format type='qcow2'/></backingStore>";
    let base = "<backingStore><path>/pool/base-mine.qcow2</path></backingStore>";
    for eyes in [secondary(), hoster()] {
        assert_eq!(shown(99, &volume("/pool/theirs.qcow2", ""), &eyes), Shown::Hidden);
        assert_eq!(shown(99, &volume("/pool/mine.qcow2", base), &eyes), Shown::Same);
        let cut = volume("/pool/mine.qcow2", "");
        assert_eq!(text_of(&shown(99, &volume("/pool/mine.qcow2", below), &eyes)), cut);
    }
    assert_eq!(shown(99, &volume("/pool/a.iso", ""), &unsure()), Shown::Hidden);
}

#[test]
fn a_secret_is_told_by_what_it_is_for_and_not_by_its_own_uuid() {
    let secret = |usage: &str, about: &str| {
        format!(
            "<secret><uuid>{NETWORK}</uuid><description>{about}</description><usage type='x'>{usage}</usage></secret>"
        )
    };
    for eyes in [secondary(), hoster()] {
        assert_eq!(shown(143, &secret("<name>ceph</name>", ""), &eyes), Shown::Same);
        assert_eq!(shown(143, &secret("<volume>/pool/mine.qcow2</volume>", ""), &eyes), Shown::Same);
        assert_eq!(shown(143, &secret("<volume>/pool/theirs.qcow2</volume>", ""), &eyes), Shown::Hidden);
        assert_eq!(shown(143, &secret(&format!("<name>{THEIRS}</name>"), ""), &eyes), Shown::Hidden);
        assert_eq!(shown(143, &secret("<name>tpm</name>", &format!("of {THEIRS}")), &eyes), Shown::Hidden);
    }
}

#[test]
fn a_saved_image_a_port_and_a_binding_are_told_by_the_uuid_of_their_vm() {
    for (procedure, around) in [
        (235, ("<domain type='qemu'><name>x</name>", "<metadata><uuid>no</uuid></metadata></domain>")),
        (409, ("<networkport><uuid>1f</uuid><owner><name>x</name>", "</owner></networkport>")),
        (398, ("<filterbinding><owner><name>x</name>", "</owner><portdev name='vnet2'/></filterbinding>")),
    ] {
        let of = |vm: VmId| format!("{}<uuid>{vm}</uuid>{}", around.0, around.1);
        assert_eq!(shown(procedure, &of(MINE), &secondary()), Shown::Same);
        assert_eq!(shown(procedure, &of(LOOSE), &secondary()), Shown::Hidden);
        assert_eq!(shown(procedure, &of(LOOSE), &hoster()), Shown::Same);
        assert_eq!(shown(procedure, &of(THEIRS), &hoster()), Shown::Hidden);
        let nobodys = format!("{}{}", around.0, around.1);
        assert_eq!(shown(procedure, &nobodys, &secondary()), Shown::Hidden);
        assert_eq!(shown(procedure, &nobodys, &hoster()), Shown::Same);
    }
}

#[test]
fn what_is_no_xml_is_shown_only_where_it_names_nobody() {
    for procedure in [43, 99, 130, 143, 235, 398, 409] {
        assert_eq!(shown(procedure, "no <xml", &secondary()), Shown::Hidden);
        assert_eq!(shown(procedure, "no <xml", &hoster()), Shown::Same);
        assert_eq!(shown(procedure, &format!("<no xml {THEIRS}"), &hoster()), Shown::Hidden);
        assert_eq!(shown(procedure, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", &secondary()), Shown::Hidden);
    }
}
