//! Reads, objects of the host, and what is refused.

use super::*;

fn volume() -> Payload {
    p().s("pool").s("vm.qcow2").s("/pool/vm.qcow2")
}

const VOLUME: &str = "Volume { pool: 'pool', name: 'vm.qcow2', key: '/pool/vm.qcow2' }";

#[test]
fn whom_a_read_is_about() {
    let two = || {
        let mut payload = p().u(2);
        payload = payload.vm();
        payload.vm().u(0).u(0)
    };
    hold(vec![
        ("domain_get_info", p().vm(), "look at the VM"),
        ("domain_get_state", p().vm().u(0), "look at the VM"),
        ("domain_snapshot_get_parent", p().named("s").u(0), "look at the VM"),
        ("domain_checkpoint_get_parent", p().named("c").u(0), "look at the VM"),
        ("domain_lookup_by_id", p().i(3), "look at VmNumber(3)"),
        ("domain_lookup_by_name", p().s("a"), "look at VmName('a')"),
        ("connect_list_all_domains", p().i(1).u(0), "look at no VM"),
        ("connect_get_all_domain_stats", p().u(0).u(0).u(0), "look at no VM"),
        (
            "connect_get_all_domain_stats",
            two(),
            "look at Many([VmId(00000000-0000-0000-0000-000000000007), VmId(00000000-0000-0000-0000-000000000007)])",
        ),
        ("connect_domain_event_register", p(), "look at no VM"),
        ("connect_domain_event_callback_register_any", p().i(0).u(0), "look at no VM"),
        ("connect_domain_event_callback_register_any", p().i(0).u(1).vm(), "look at the VM"),
        ("qemu:connect_domain_monitor_event_register", p().u(1).vm().none().u(0), "look at the VM"),
        ("domain_screenshot", p().vm().u(0).u(0), "look at the VM"),
    ]);
    let mut uuid = p();
    uuid.0.raw(VM.0.as_bytes());
    hold(vec![("domain_lookup_by_uuid", uuid, "look at the VM")]);
}

#[test]
fn secrets_are_asked_for_by_flags_or_by_what_is_read() {
    hold(vec![
        ("domain_get_xml_desc", p().vm().u(2), "look at the VM"),
        ("domain_get_xml_desc", p().vm().u(1), "look at the secrets of the VM"),
        ("domain_get_xml_desc", p().vm().u(2 | 8), "look at the secrets of the VM"),
        ("domain_snapshot_get_xml_desc", p().named("s").u(0), "look at the VM"),
        ("domain_snapshot_get_xml_desc", p().named("s").u(1), "look at the secrets of the VM"),
        ("domain_checkpoint_get_xml_desc", p().named("s").u(1), "look at the secrets of the VM"),
        ("domain_managed_save_get_xml_desc", p().vm().u(1), "look at the secrets of the VM"),
        ("domain_save_image_get_xml_desc", p().s("/f").u(0), "look at SavedImage { path: '/f', xml: None }"),
        (
            "domain_save_image_get_xml_desc",
            p().s("/f").u(1),
            "look at the secrets of SavedImage { path: '/f', xml: None }",
        ),
        ("domain_memory_peek", p().vm().h(0).u(1).u(1), "look at the secrets of the VM"),
        ("domain_block_peek", p().vm().s("/d").h(0).u(1).u(0), "look at the secrets of the VM"),
        ("secret_get_value", p(), "look at the secrets of no VM"),
    ]);
}

#[test]
fn what_of_the_host_is_looked_at_and_changed() {
    let own: &'static str = format!("host write {VOLUME}").leak();
    let cloned = p().s("pool").h(0).h(0).s("<volume/>").s("pool").s("vm.qcow2").s("/pool/vm.qcow2").u(0);
    hold(vec![
        ("node_get_info", p(), "pass"),
        ("connect_open", p().some("qemu:///system").u(0), "pass"),
        ("network_get_xml_desc", p(), "host read"),
        ("network_destroy", p(), "host write"),
        ("network_port_create_xml", p(), "host write"),
        ("network_list_all_ports", p(), "host read"),
        ("storage_vol_get_info", volume(), "host read"),
        ("storage_vol_download", volume().h(0).h(0).u(0), format!("host read {VOLUME}").leak()),
        ("storage_vol_upload", volume().h(0).h(0).u(0), own),
        ("storage_vol_wipe", volume().u(0), own),
        ("storage_vol_wipe_pattern", volume().u(0).u(0), own),
        ("storage_vol_delete", volume().u(0), own),
        ("storage_vol_resize", volume().h(1).u(0), own),
        ("storage_vol_create_xml_from", cloned, own),
        ("storage_vol_create_xml", p(), "host write"),
        ("node_suspend_for_duration", p(), "host write"),
    ]);
    assert_eq!(operation_in_words(&past_the_guest("storage_vol_wipe")), "relayed disk.write");
}

#[test]
fn only_the_systems_own_emulator_is_run_for_a_question() {
    hold(vec![
        ("connect_get_domain_capabilities", p().none().none().none().none().u(0), "host read"),
        ("connect_get_domain_capabilities", p().some("/usr/bin/qemu-system-x86_64"), "host read"),
        ("connect_get_domain_capabilities", p().some("/usr/libexec/qemu-kvm"), "host read"),
        ("connect_get_domain_capabilities", p().some("/usr/bin/../../tmp/qemu"), "host write"),
        ("connect_get_domain_capabilities", p().some("/usr/bin/qemu/../../../tmp/x"), "host write"),
        ("connect_compare_hypervisor_cpu", p().some("/tmp/qemu"), "host write"),
        ("connect_baseline_hypervisor_cpu", p().some("sh"), "host write"),
    ]);
}

#[test]
fn what_does_not_go_through_a_door() {
    assert_eq!(line(&treated("connect_set_identity", &[])), "refuse: Identity");
    assert_eq!(treatment(0x2000_8088, 1, &[]), Ok(Treatment::Refuse(Why::Namespace)));
    for (program, procedure) in [(0x2000_8086, 444), (0x2000_8086, 0), (0x2000_8087, 8), (1, 1)] {
        assert_eq!(treatment(program, procedure, &[]), Ok(Treatment::Refuse(Why::Unknown)));
    }
    for why in [Why::Identity, Why::Namespace, Why::Unknown, Why::Ambiguous] {
        assert!(why.sentence().ends_with('.') && why.sentence().starts_with(char::is_uppercase));
    }
}

#[test]
fn what_leads_to_a_vm_says_so_itself_where_it_can() {
    let known = |subject: Subject| subject.known_as();
    let xml = "<domain><name>a</name><uuid>00000000-0000-0000-0000-000000000007</uuid></domain>".to_owned();
    let both = KnownAs { vm: Some(VM), name: Some("a".to_owned()) };
    assert_eq!(known(Subject::Vm(VM)), KnownAs { vm: Some(VM), name: None });
    assert_eq!(known(Subject::DomainXml(xml.clone())), both);
    assert_eq!(known(Subject::SavedImage { path: "/f".to_owned(), xml: Some(xml.clone()) }), both);
    assert_eq!(known(Subject::SavedImage { path: "/f".to_owned(), xml: None }), KnownAs::default());
    let renamed = Subject::Arriving { name: Some("b".to_owned()), xml: Some(xml) };
    assert_eq!(known(renamed), KnownAs { vm: Some(VM), name: Some("b".to_owned()) });
    assert_eq!(known(Subject::VmName("a".to_owned())).name.as_deref(), Some("a"));
    for other in [Subject::None, Subject::VmNumber(1), Subject::Process(1), Subject::Many(vec![VM])] {
        assert_eq!(known(other), KnownAs::default());
    }
}
