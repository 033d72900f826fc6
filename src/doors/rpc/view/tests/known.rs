use super::*;

fn whose(host: &HostNames, thing: Thing<'_>, seen: &[VmId]) -> Whose {
    host.whose(thing, &|vm| seen.contains(&vm))
}

#[test]
fn what_a_vm_has_is_read_from_its_xml() {
    let host = host();
    for (thing, other) in [
        (Thing::Mac("52:54:00:00:00:01"), Thing::Mac("52:54:00:00:00:02")),
        (Thing::Mac("FE:54:00:00:00:01"), Thing::Mac("fe:54:00:00:00:02")),
        (Thing::HostNic("vnet1"), Thing::HostNic("vnet2")),
        (Thing::Path("/pool/mine.qcow2"), Thing::Path("/pool/theirs.qcow2")),
        (Thing::Path("/pool/base-mine.qcow2"), Thing::Path("/pool/base-theirs.qcow2")),
        (Thing::Path("/nvram/mine_VARS.fd"), Thing::Path("/nvram/theirs_VARS.fd")),
        (Thing::Path("rbd/mine"), Thing::Path("rbd/theirs")),
        (Thing::NetworkPort(port_of(MINE)), Thing::NetworkPort(port_of(THEIRS))),
        (Thing::Name("mine"), Thing::Name("theirs")),
        (
            Thing::Volume { pool: "lvm", name: "mine-data", key: None },
            Thing::Volume { pool: "lvm", name: "theirs-data", key: Some("k") },
        ),
    ] {
        assert_eq!(whose(&host, thing, &[MINE]), Whose::Seen, "{thing:?}");
        assert_eq!(whose(&host, other, &[MINE]), Whose::Unseen, "{other:?}");
    }
    assert_eq!(whose(&host, Thing::Path("/pool/a.iso"), &[MINE]), Whose::Nobodys);
    assert_eq!(host.named("loose"), Some(LOOSE));
}

#[test]
fn what_two_have_is_seen_by_whoever_sees_one_of_them() {
    let mut host = HostNames::default();
    let shared = "<domain><devices><disk><source file='/pool/shared'/></disk></devices></domain>";
    host.observe(MINE, "mine", &[shared]);
    host.observe(THEIRS, "theirs", &[shared]);
    assert_eq!(whose(&host, Thing::Path("/pool/shared"), &[MINE]), Whose::Seen);
    assert_eq!(whose(&host, Thing::Path("/pool/shared"), &[LOOSE]), Whose::Unseen);
    host.forget(MINE);
    assert_eq!(whose(&host, Thing::Path("/pool/shared"), &[MINE]), Whose::Unseen);
    host.forget(THEIRS);
    assert_eq!(whose(&host, Thing::Path("/pool/shared"), &[MINE]), Whose::Unknown);
}

#[test]
fn what_a_vms_metadata_says_is_not_its() {
    let mut host = host();
    let forged = "<devices><interface><mac address='52:54:00:00:00:02'/></interface>\
        <disk><source file='/pool/theirs.qcow2'/></disk></devices>";
    host.observe(MINE, "mine", &[&format!("<domain><metadata>{forged}</metadata></domain>")]);
    for thing in [Thing::Mac("52:54:00:00:00:02"), Thing::Path("/pool/theirs.qcow2")] {
        assert_eq!(whose(&host, thing, &[MINE]), Whose::Unseen, "{thing:?}");
    }
}

#[test]
fn xml_that_is_made_to_take_long_leaves_it_unknown_what_a_vm_has() {
    let mut host = host();
    let attributes: String = (0..200_000).map(|i| format!("a{i}='' ")).collect();
    host.observe(id(9), "new", &[&format!("<domain><metadata><a {attributes}/></metadata></domain>")]);
    assert_eq!(whose(&host, Thing::Mac("02:00:00:00:00:77"), &[]), Whose::Unknown);
}

#[test]
fn nothing_is_nobodys_while_a_vm_may_be_missing_or_is_not_known_well() {
    let mut host = host();
    let stranger = Thing::Mac("02:00:00:00:00:77");
    assert_eq!(whose(&host, stranger, &[]), Whose::Nobodys);
    host.may_lack();
    assert_eq!(whose(&host, stranger, &[]), Whose::Unknown);
    host.is_all();
    for xmls in [&[][..], &["no xml"]] {
        host.observe(id(9), "new", xmls);
        assert_eq!(whose(&host, stranger, &[]), Whose::Unknown);
    }
    host.observe(id(9), "new", &["<domain/>"]);
    assert_eq!(whose(&host, stranger, &[]), Whose::Nobodys);
}

#[test]
fn a_later_observation_takes_the_place_of_the_earlier_one() {
    let mut host = host();
    let (live, next) = (domain_xml(THEIRS, "renamed", 5), "<domain><os><nvram>/new</nvram></os></domain>");
    host.observe(THEIRS, "renamed", &[&live, next]);
    assert_eq!((host.named("theirs"), host.named("renamed")), (None, Some(THEIRS)));
    assert_eq!(whose(&host, Thing::HostNic("vnet2"), &[]), Whose::Nobodys);
    assert_eq!(whose(&host, Thing::HostNic("vnet5"), &[]), Whose::Unseen);
    assert_eq!(whose(&host, Thing::Path("/new"), &[]), Whose::Unseen);
    host.forget(THEIRS);
    for thing in [Thing::HostNic("vnet5"), Thing::Mac("fe:54:00:00:00:05"), Thing::Name("renamed")] {
        assert_eq!(whose(&host, thing, &[]), Whose::Nobodys);
    }
}

#[test]
fn a_volume_is_told_by_its_pools_directory_else_by_its_key_else_by_its_name() {
    let host = host();
    let of = |pool, name, key| whose(&host, Thing::Volume { pool, name, key }, &[MINE]);
    assert_eq!(of("images", "theirs.qcow2", None), Whose::Unseen);
    assert_eq!(of("images", "other", Some("/pool/theirs.qcow2")), Whose::Nobodys);
    assert_eq!(of("elsewhere", "theirs.qcow2", Some("/elsewhere/theirs.qcow2")), Whose::Nobodys);
    assert_eq!(of("elsewhere", "x", Some("/pool/theirs.qcow2")), Whose::Unseen);
    assert_eq!(of("elsewhere", "theirs.qcow2", None), Whose::Unseen);
    assert_eq!(of("elsewhere", "theirs", Some("rbd/theirs")), Whose::Unseen);
    assert_eq!(of("elsewhere", "mine.qcow2", None), Whose::Seen);
}
