//! XML and payloads that are made to be read in two ways, to take long, or to be something else than they say.

use std::time::{Duration, Instant};

use super::xml::{Device, device, domain, parse};
use super::*;

/// Far above what the slowest of these takes, far below what a reader without limits would need.
const SOON: Duration = Duration::from_secs(30);

const UUID: &str = "00000000-0000-0000-0000-000000000007";

fn known(xml: &str) -> (Option<VmId>, Option<String>) {
    let KnownAs { vm, name } = domain(xml).unwrap_or_else(|| panic!("{xml} has one meaning"));
    (vm, name)
}

#[test]
fn a_domain_that_can_be_read_in_two_ways_is_not_passed_on() {
    let other = "00000000-0000-0000-0000-000000000008";
    let children = [
        format!("<uuid>{UUID}</uuid><uuid>{other}</uuid>"),
        format!("<uuid xmlns='urn:x'>{UUID}</uuid><uuid>{other}</uuid>"),
        format!("<x:uuid xmlns:x='urn:x'>{UUID}</x:uuid><name>a</name>"),
        format!("<uuid>{UUID}<!-- -->8</uuid><name>a</name>"),
        "<uuid>no uuid</uuid><name>a</name>".to_owned(),
        "<uuid>{00000000-0000-0000-0000-000000000007}</uuid>".to_owned(),
        "<uuid>urn:uuid:00000000-0000-0000-0000-000000000007</uuid>".to_owned(),
        "<name>a</name><name>b</name>".to_owned(),
    ];
    let wholes = [
        format!("<x:domain xmlns:x='urn:x'><uuid>{UUID}</uuid></x:domain>"),
        format!("<network><uuid>{UUID}</uuid></network>"),
        format!("<!DOCTYPE domain><domain><uuid>{UUID}</uuid></domain>"),
        format!(
            "<?xml version='1.0' encoding='UTF-7'?><domain><name>a</name>+ADw-uuid+AD4-{other}+ADw-/uuid+AD4-</domain>"
        ),
        "<?xml version=\"encoding='utf-8'\" encoding='UTF-7'?><domain><name>a</name></domain>".to_owned(),
        "<?xml version='1.0' encoding = \"IBM037\"?><domain><name>a</name></domain>".to_owned(),
        "\u{feff}<?xml version='1.0' encoding='UTF-7'?><domain><name>a</name></domain>".to_owned(),
        "<domain><name>a</name>".to_owned(),
        String::new(),
    ];
    for xml in children.map(|children| format!("<domain>{children}</domain>")).into_iter().chain(wholes) {
        assert_eq!(domain(&xml), None, "{xml}");
        for (name, payload) in [
            ("domain_define_xml", p().s(&xml)),
            ("domain_create_xml", p().s(&xml).u(0)),
            ("domain_migrate_prepare3_params", p().parameters(&[("destination_xml", &xml)], &[]).s("").u(0)),
            ("domain_migrate_prepare_tunnel", p().h(0).none().h(0).s(&xml)),
        ] {
            assert_eq!(line(&treated(name, &payload.bytes())), "refuse: Ambiguous", "{name}: {xml}");
        }
    }
}

#[test]
fn what_says_twice_or_not_at_all_which_vm_comes_is_not_passed_on() {
    let xml = "<domain><name>a</name></domain>";
    let twice = [("destination_xml", xml), ("destination_xml", xml)];
    hold(vec![
        ("domain_migrate_prepare3_params", p().parameters(&twice, &[]).s("").u(0), "refuse: Ambiguous"),
        ("domain_migrate_prepare3_params", p().parameters(&[], &[]).s("").u(0), "refuse: Ambiguous"),
        ("domain_restore_params", p().parameters(&[("file", "/a"), ("file", "/b")], &[]).u(0), "refuse: Ambiguous"),
        ("domain_restore_params", p().parameters(&[], &[("file", 1)]).u(0), "refuse: Ambiguous"),
    ]);
}

#[test]
fn a_domain_is_read_as_libvirt_reads_it() {
    let named = |uuid: &str| known(&format!("<domain><uuid>{uuid}</uuid></domain>")).0;
    assert_eq!(named(UUID), Some(VM));
    assert_eq!(named("\n 0000000000000000-0000000000000007 "), Some(VM));
    assert_eq!(named("<!-- which? -->00000000<!-- this -->000000000000000000000007"), Some(VM));
    assert_eq!(known("<domain><name>a &amp; <![CDATA[b]]></name></domain>").1.as_deref(), Some("a & b"));
    assert_eq!(known("<domain><metadata><uuid>1</uuid><name>x</name></metadata></domain>"), (None, None));
    for declaration in ["<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"] {
        assert_eq!(known(&format!("{declaration}<domain><name>a</name></domain>")).1.as_deref(), Some("a"));
    }
}

#[test]
fn a_device_that_can_be_read_in_two_ways_has_no_name() {
    for xml in [
        "<disk><target dev='vda'/><target dev='vdb'/></disk>",
        "<disk><target xmlns:x='urn:x' x:dev='vda' dev='vdb'/></disk>",
        "<disk><x:target xmlns:x='urn:x' dev='vda'/><target dev='vdb'/></disk>",
        "<disk xmlns='urn:x'><target dev='vda'/></disk>",
        "<disk><source><target dev='vda'/></source></disk>",
        "<disk><target dev='../x'/></disk>",
        "<?xml version='1.0' encoding='UTF-7'?><disk><target dev='vda'/></disk>",
        "<disk",
        "",
    ] {
        assert_eq!(device(xml), Device::Unknown, "{xml}");
    }
    let nic = "<interface><mac address='52:54:00:00:00:01'/><mac address='52:54:00:00:00:02'/></interface>";
    assert_eq!(device(nic), Device::WithoutContents);
    for xml in
        ["<disk><target dev='vda'/><target dev='vdb'/></disk>", "<!DOCTYPE disk []><disk><target dev='vda'/></disk>"]
    {
        let treatment = treated("domain_attach_device_flags", &p().vm().s(xml).u(3).bytes());
        assert_ne!(line(&treatment).split(' ').next(), Some("device.attach"), "{xml}");
    }
}

#[test]
fn a_snapshot_or_backup_that_can_be_read_in_two_ways_has_no_name() {
    let (snapshot, checkpoint, backup) =
        ("domain_snapshot_create_xml", "domain_checkpoint_create_xml", "domain_backup_begin");
    let of = |xml: &str| p().vm().s(xml).u(0);
    let disks = "<disks><disk name='vda' xmlns:x='urn:x' x:name='vdb'><target file='/b'/></disk></disks>";
    hold(vec![
        (snapshot, of("<domainsnapshot><name>a</name><name>b</name></domainsnapshot>"), "relayed snapshot.create"),
        (
            snapshot,
            of("<domainsnapshot><name>a</name><memory/><memory snapshot='no'/></domainsnapshot>"),
            "relayed snapshot.create",
        ),
        (snapshot, of("<domainsnapshot xmlns='urn:x'><name>a</name></domainsnapshot>"), "relayed snapshot.create"),
        (
            checkpoint,
            of("<domaincheckpoint><name>a</name><name>b</name></domaincheckpoint>"),
            "relayed checkpoint.create",
        ),
        (backup, p().vm().s(&format!("<domainbackup>{disks}</domainbackup>")).none().u(0), "relayed backup.begin"),
        (
            backup,
            p().vm().s("<domainbackup><disks/><disks><disk name='vda'/></disks></domainbackup>").none().u(0),
            "relayed backup.begin",
        ),
    ]);
}

#[test]
fn no_entity_of_the_documents_own_is_looked_at() {
    let bomb = "<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><domain><name>&b;</name></domain>";
    assert!(parse(bomb).is_none());
    assert!(parse("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>").is_none());
}

#[test]
fn what_is_made_to_take_long_is_not_read() {
    let many = |what: fn(usize) -> String, count: usize| (0..count).map(what).collect::<String>();
    let nested: String = many(|i| format!("<a xmlns:a{i}='u{i}'>"), 20_000) + &"</a>".repeat(20_000);
    let documents = [
        format!("<a {}/>", many(|i| format!("a{i:07}='' "), 200_000)),
        format!("<a {}/>", many(|i| format!("xmlns:a{i:07}='u{i:07}' "), 100_000)),
        nested,
        format!("<a>{}</a>", "<b/>".repeat(1_000_000)),
        format!("<a>{}</a>", "<!---->".repeat(500_000)),
        "<a>".repeat(1_000_000),
        many(|i| format!("<a {}/>", format!("a{i}='' ").repeat(1)), 100_000),
        format!("<a>{}</a>", format!("<b {}/>", many(|i| format!("a{i:04}='' "), 2_000)).repeat(170)),
    ];
    let begun = Instant::now();
    for document in &documents {
        assert!(parse(document).is_none(), "{} bytes", document.len());
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn what_is_only_long_is_read() {
    let begun = Instant::now();
    let disk =
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/a.qcow2'/></disk>";
    let domain = format!("<domain><name>a</name><devices>{}</devices></domain>", disk.repeat(2_000));
    assert_eq!(known(&domain).1.as_deref(), Some("a"));
    let text = format!("<domain><name>a</name><description>{}</description></domain>", "=".repeat(5_000));
    assert_eq!(known(&text).1.as_deref(), Some("a"));
    let deep = format!("<domain><name>a</name>{}{}</domain>", "<x>".repeat(30_000), "</x>".repeat(30_000));
    assert_eq!(known(&deep).1.as_deref(), Some("a"));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_long_definition_is_relayed_and_told_by_its_name() {
    let padding = " ".repeat(2 * 1024 * 1024);
    let xml = format!("<domain><uuid>{UUID}</uuid>{padding}</domain>");
    let Treatment::Change { subject, operation, .. } = treated("domain_define_xml", &p().s(&xml).bytes()) else {
        panic!("a definition changes a VM")
    };
    assert_eq!(subject.known_as().vm, Some(VM));
    assert_eq!(operation_in_words(&operation), "relayed definition.define");
}

#[test]
fn no_secret_gets_into_an_operation_that_is_journalled() {
    let secret = "s3cr3t";
    let (graphics, cookies) = (
        format!("<domain><uuid>{UUID}</uuid><devices><graphics type='vnc' passwd='{secret}'/></devices></domain>"),
        format!(
            "<disk type='network'><source><cookies><cookie name='a'>{secret}</cookie></cookies></source><target dev='vdb'/></disk>"
        ),
    );
    let agent = |command: &str| format!("{{\"execute\":\"{command}\",\"arguments\":{{\"x\":\"{secret}\"}}}}");
    for (name, payload) in [
        ("domain_define_xml", p().s(&graphics)),
        ("domain_create_xml", p().s(&graphics).u(0)),
        ("domain_attach_device_flags", p().vm().s(&cookies).u(3)),
        ("domain_set_user_password", p().vm().some("root").some(secret).u(0)),
        ("domain_set_launch_security_state", p().vm().parameters(&[("sev-secret", secret)], &[]).u(0)),
        ("domain_authorized_ssh_keys_set", p().vm().s("root").texts(&[secret]).u(0)),
        ("qemu:domain_agent_command", p().vm().s(&agent("guest-exec")).i(0).u(0)),
        ("qemu:domain_agent_command", p().vm().s(&agent("guest-set-user-password")).i(0).u(0)),
        ("qemu:domain_monitor_command", p().vm().s(secret).u(0)),
    ] {
        let Treatment::Change { operation, .. } = treated(name, &payload.bytes()) else { panic!("{name}") };
        assert!(!serde_json::to_string(&operation).unwrap().contains(secret), "{name}");
    }
}

#[test]
fn a_payload_that_ends_early_or_counts_too_far_is_no_call() {
    let refused = |name: &str, payload: Payload| {
        let procedure = procedure(name);
        treatment(procedure.program, procedure.number, &payload.bytes()).unwrap_err()
    };
    assert_eq!(refused("domain_suspend", p()), ReadXdrError::Short);
    assert_eq!(refused("domain_suspend", p().s("a").u(0)), ReadXdrError::Short);
    assert_eq!(refused("domain_suspend", p().u(u32::MAX)), ReadXdrError::TooLong(u32::MAX));
    assert_eq!(refused("domain_set_vcpus_flags", p().vm().u(2)), ReadXdrError::Short);
    assert_eq!(refused("domain_set_metadata", p().vm().i(2).u(2)), ReadXdrError::NoSuchValue(2));
    assert_eq!(refused("connect_get_all_domain_stats", p().u(20_000)), ReadXdrError::TooLong(20_000));
    assert_eq!(refused("domain_restore_params", p().u(257)), ReadXdrError::TooLong(257));
    assert_eq!(refused("domain_restore_params", p().u(1).s("file").u(8)), ReadXdrError::NoSuchValue(8));
    assert_eq!(refused("domain_fsfreeze", p().vm().u(20_000)), ReadXdrError::TooLong(20_000));
    let mut bytes = p();
    bytes.0.opaque(b"/a\xff");
    assert_eq!(refused("domain_restore", bytes), ReadXdrError::NotUtf8);
    // It would end there for libvirt.
    assert_eq!(refused("domain_restore", p().s("/a\0b")), ReadXdrError::NoSuchValue(0));
    assert_eq!(refused("domain_lookup_by_name", p().s("a\0b")), ReadXdrError::NoSuchValue(0));
    assert_eq!(
        refused("domain_restore_params", p().parameters(&[("file", "/a\0b")], &[]).u(0)),
        ReadXdrError::NoSuchValue(0)
    );
}
