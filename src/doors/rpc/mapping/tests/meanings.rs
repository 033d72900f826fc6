//! Flags and arguments that make another thing of a call.

use super::*;

const START: [(u32, &str); 7] = [
    (0, "power.start {}"),
    (4 | 16, "power.start {}"),
    (1, "relayed power.start"),
    (2, "relayed power.start"),
    (8, "relayed power.start + saved-image"),
    (32, "relayed power.start"),
    (1 << 30, "relayed power.start + saved-image"),
];

/// The same procedure with other flags, which come last.
#[track_caller]
fn by_flags<const N: usize>(name: &'static str, before: fn() -> Payload, flags: [(u32, &'static str); N]) {
    hold(flags.into_iter().map(|(flags, expected)| (name, before().u(flags), expected)).collect());
}

#[test]
fn a_start_halted_destroyed_with_its_client_or_past_its_image_is_another_wish() {
    by_flags("domain_create_with_flags", || p().vm(), START);
    by_flags("domain_create_with_files", || p().vm(), START);
}

#[test]
fn how_a_guest_is_asked_and_a_vm_is_stopped() {
    let asked = [(0, "relayed power.reboot"), (1, "relayed power.reboot"), (2, "relayed power.reboot + guest-agent")];
    by_flags("domain_reboot", || p().vm(), asked);
    let asked = [
        (1, "relayed power.shutdown"),
        (2, "relayed power.shutdown + guest-agent"),
        (3, "relayed power.shutdown + guest-agent"),
    ];
    by_flags("domain_shutdown_flags", || p().vm(), asked);
    by_flags("domain_destroy_flags", || p().vm(), [(1, "power.stop {}"), (2, "relayed power.stop")]);
    let target = |target: u32| p().vm().u(target).h(0).u(0);
    hold(vec![
        ("domain_pm_suspend_for_duration", target(0), "relayed power.suspend + guest-agent"),
        ("domain_pm_suspend_for_duration", target(1), "relayed power.shutdown + guest-agent"),
        ("domain_pm_suspend_for_duration", target(2), "relayed power.suspend + guest-agent"),
    ]);
}

#[test]
fn a_saved_vm_that_is_to_go_on_otherwise_is_another_wish() {
    let saved = [
        (0, "power.save {}"),
        (1, "power.save {}"),
        (2, "relayed power.save + saved-image"),
        (4, "relayed power.save + saved-image"),
    ];
    by_flags("domain_managed_save", || p().vm(), saved);
}

#[test]
fn what_else_a_snapshot_does() {
    let create = |xml: &str, flags: u32| p().vm().s(xml).u(flags);
    let plain = "<domainsnapshot><name>s</name><description>why</description></domainsnapshot>";
    let memory = |how: &str| format!("<domainsnapshot><name>s</name><memory snapshot='{how}'/></domainsnapshot>");
    let name = "domain_snapshot_create_xml";
    hold(vec![
        (name, create(plain, 0), "snapshot.create {'name':'s','description':'why','kind':'full'}"),
        (name, create(plain, 2 | 128 | 256), "snapshot.create {'name':'s','description':'why','kind':'full'}"),
        (name, create(plain, 16 | 32), "snapshot.create {'name':'s','description':'why','kind':'disk-only'}"),
        (name, create(&memory("external"), 0), "snapshot.create {'name':'s','kind':'full'}"),
        (name, create(&memory("no"), 0), "relayed snapshot.create"),
        (name, create(&memory("no"), 16), "snapshot.create {'name':'s','kind':'disk-only'}"),
        // Defined again, perhaps as one that runs or is halted: nothing is made.
        (name, create(plain, 1), "relayed snapshot.create"),
        (name, create(plain, 1 | 2), "relayed snapshot.create"),
        (name, create(plain, 4), "relayed snapshot.create"),
        (name, create(plain, 8), "relayed snapshot.create + power process"),
        (name, create(plain, 16 | 64), "relayed snapshot.create + guest-agent"),
        (name, create("<domainsnapshot/>", 0), "relayed snapshot.create"),
        (name, create("<domainsnapshot><name>a b</name></domainsnapshot>", 0), "relayed snapshot.create"),
        (name, create("<domain><name>s</name></domain>", 0), "relayed snapshot.create"),
        ("domain_revert_to_snapshot", p().named("s").u(1 | 4), "snapshot.revert {'name':'s'}"),
        ("domain_revert_to_snapshot", p().named("s").u(2), "snapshot.revert {'name':'s'}"),
        ("domain_revert_to_snapshot", p().named("a b").u(0), "relayed snapshot.revert"),
        ("domain_snapshot_delete", p().named("s").u(1), "relayed snapshot.delete"),
        ("domain_snapshot_delete", p().named("s").u(2), "relayed snapshot.delete"),
        ("domain_snapshot_delete", p().named("s").u(4), "relayed snapshot.delete"),
    ]);
}

#[test]
fn now_later_the_most_and_the_guests_own_are_four_settings() {
    let vcpus = [
        (3, "cpu.set {'vcpus':2}"),
        (0, "relayed cpu.set"),
        (1, "relayed cpu.set"),
        (2, "relayed cpu.set + definition"),
        (2 | 4, "relayed cpu.set + definition"),
        (8, "relayed cpu.set + guest-agent"),
        (16, "relayed cpu.set + definition"),
    ];
    by_flags("domain_set_vcpus_flags", || p().vm().u(2), vcpus);
    let memory = [
        (3, "memory.set {'memory_kib':2}"),
        (1, "relayed memory.set"),
        (2, "relayed memory.set + definition"),
        (2 | 4, "relayed memory.set + definition"),
    ];
    by_flags("domain_set_memory_flags", || p().vm().h(2), memory);
    let element = || p().vm().i(2).some("<a/>").some("k").some("urn:k");
    let metadata =
        [(3, "metadata.set {'uri':'urn:k','key':'k','xml':'<a/>'}"), (2, "relayed metadata.set + metadata:urn:k")];
    by_flags("domain_set_metadata", element, metadata);
    hold(vec![
        (
            "domain_set_metadata",
            p().vm().i(0).some("t").none().none().u(3),
            "relayed metadata.set + metadata:description",
        ),
        ("domain_set_metadata", p().vm().i(1).some("t").none().none().u(3), "relayed metadata.set + metadata:title"),
        (
            "domain_set_metadata",
            p().vm().i(2).none().none().some("urn:k").u(3),
            "relayed metadata.set + metadata:urn:k",
        ),
        ("domain_set_metadata", p().vm().i(9).none().none().none().u(3), "relayed metadata.set"),
        ("domain_set_autostart", p().vm().i(0), "autostart.set {'enabled':false}"),
    ]);
}

#[test]
fn how_fast_a_device_may_be() {
    let qos = |device: &str, numbers: &[(&str, u64)], flags: u32| p().vm().s(device).parameters(&[], numbers).u(flags);
    let iotune = |disk: &str, texts: &[(&str, &str)], numbers: &[(&str, u64)], flags: u32| {
        p().vm().s(disk).parameters(texts, numbers).u(flags)
    };
    let mac = "52:54:00:00:00:01";
    hold(vec![
        (
            "domain_set_interface_parameters",
            qos(mac, &[("inbound.average", 1)], 1),
            "relayed nic.qos + tuning:nic:52:54:00:00:00:01",
        ),
        (
            "domain_set_interface_parameters",
            qos(mac, &[("inbound.floor", 1)], 3),
            "relayed nic.qos + tuning:nic:52:54:00:00:00:01",
        ),
        ("domain_set_interface_parameters", qos("vnet0", &[("inbound.average", 1)], 3), "relayed nic.qos"),
        (
            "domain_set_block_io_tune",
            iotune("vda", &[], &[("total_iops_sec", 1)], 0),
            "relayed disk.iotune + tuning:disk:vda",
        ),
        (
            "domain_set_block_io_tune",
            iotune("vda", &[], &[("total_bytes_sec_max", 1)], 3),
            "relayed disk.iotune + tuning:disk:vda",
        ),
        (
            "domain_set_block_io_tune",
            iotune("vda", &[("group_name", "g")], &[], 3),
            "relayed disk.iotune + tuning:disk:vda",
        ),
        ("domain_set_block_io_tune", iotune("/disk.qcow2", &[], &[("total_iops_sec", 1)], 3), "relayed disk.iotune"),
        (
            "domain_set_block_io_tune",
            iotune("vda", &[], &[("total_iops_sec", 1), ("total_iops_sec", 2)], 3),
            "relayed disk.iotune + tuning:disk:vda",
        ),
    ]);
}

#[test]
fn what_a_backup_is_of_and_begins_at() {
    let begin = |backup: &str, checkpoint: Option<&str>, flags: u32| {
        let payload = p().vm().s(backup);
        checkpoint.map_or_else(|| p().vm().s(backup).none(), |xml| payload.some(xml)).u(flags)
    };
    let push = "<domainbackup mode='push'><incremental>c1</incremental><disks><disk name='vda' type='file'>\
                <target file='/b'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>";
    let pull = "<domainbackup mode='pull'><server transport='unix' socket='/s'/><disks><disk name='vda' backup='yes' \
                type='file'><scratch file='/t'/></disk></disks></domainbackup>";
    let tcp = "<domainbackup mode='pull'><server name='localhost' port='10809'/></domainbackup>";
    let named = "<domaincheckpoint><name>virtnbdbackup.1</name></domaincheckpoint>";
    let name = "domain_backup_begin";
    hold(vec![
        (
            name,
            begin(push, None, 0),
            "backup.begin {'mode':'push','disks':['vda'],'incremental':'c1','files':{'vda':'/b'}}",
        ),
        (
            name,
            begin(pull, Some(named), 0),
            "backup.begin {'mode':'pull','disks':['vda'],'checkpoint':'virtnbdbackup.1','socket':'/s','scratch':{'vda':'/t'}}",
        ),
        (name, begin(push, None, 1), "relayed backup.begin + disk:vda"),
        (name, begin(push, Some("<domaincheckpoint/>"), 0), "relayed backup.begin + disk:vda"),
        (name, begin(tcp, None, 0), "relayed backup.begin"),
        (name, begin("<domainbackup/>", None, 0), "relayed backup.begin"),
        (name, begin(&pull.replace("vda", "/d"), None, 0), "relayed backup.begin"),
        ("domain_checkpoint_create_xml", p().vm().s(named).u(2), "relayed checkpoint.create + guest-agent"),
        ("domain_checkpoint_create_xml", p().vm().s(named).u(1), "relayed checkpoint.create"),
        ("domain_checkpoint_delete", p().named("c").u(1), "relayed checkpoint.delete"),
        ("domain_checkpoint_delete", p().named("c").u(2), "relayed checkpoint.delete"),
    ]);
}

#[test]
fn what_becomes_of_a_disks_images() {
    let commit = |base: Option<&str>, top: Option<&str>, flags: u32| {
        let mut payload = p().vm().s("vda");
        payload.0.optional_string(base).optional_string(top);
        payload.h(1).u(flags)
    };
    let rebase = |to: &str, flags: u32| p().vm().s("vda").some(to).h(1).u(flags);
    let copy = |xml: &str, flags: u32| p().vm().s("vda").s(xml).parameters(&[], &[]).u(flags);
    let raw = "<disk type='file'><source file='/c'/><driver type='raw'/></disk>";
    let whole = "disk:vda device:disk:vda";
    let relayed = |action: &str| -> &'static str { format!("relayed {action} + {whole}").leak() };
    hold(vec![
        // Without a base and without "the next one" it is the lowest of all.
        ("domain_block_commit", commit(None, None, 4), relayed("block.commit")),
        (
            "domain_block_commit",
            commit(Some("vda[2]"), Some("vda[1]"), 16),
            "block.commit {'disk':'vda','top':'vda[1]','base':'vda[2]','bandwidth':1}",
        ),
        (
            "domain_block_commit",
            commit(None, Some("vda[1]"), 1),
            "block.commit {'disk':'vda','top':'vda[1]','bandwidth':1048576}",
        ),
        ("domain_block_commit", commit(None, None, 1), relayed("block.commit")),
        ("domain_block_commit", commit(None, None, 1 | 2 | 4), relayed("block.commit")),
        ("domain_block_rebase", rebase("/b", 64), "block.pull {'disk':'vda','base':'/b','bandwidth':1}"),
        ("domain_block_rebase", rebase("/b", 1), relayed("block.pull")),
        (
            "domain_block_rebase",
            rebase("/b", 8 | 4 | 1 | 2),
            "block.copy {'disk':'vda','to':'/b','format':'raw','shallow':true,'reuse':true,'bandwidth':1048576}",
        ),
        ("domain_block_rebase", rebase("/b", 8), relayed("block.copy")),
        ("domain_block_rebase", rebase("/dev/b", 8 | 32), relayed("block.copy")),
        (
            "domain_block_copy",
            copy(raw, 3),
            "block.copy {'disk':'vda','to':'/c','format':'raw','shallow':true,'reuse':true,'bandwidth':0}",
        ),
        ("domain_block_copy", copy("<disk type='block'><source dev='/c'/></disk>", 0), relayed("block.copy")),
        ("domain_block_copy", copy(raw, 64), relayed("block.copy")),
        ("domain_block_job_abort", p().vm().s("vda").u(1), "block.abort {'disk':'vda','pivot':false}"),
        ("domain_block_job_abort", p().vm().s("vda").u(2), "block.abort {'disk':'vda','pivot':true}"),
        ("domain_block_job_abort", p().vm().s("vda").u(4), relayed("block.abort")),
        ("domain_block_job_abort", p().vm().s("/disk.qcow2").u(0), "[Steers] relayed block.abort"),
        ("domain_block_resize", p().vm().s("vda").h(1024).u(1), "disk.resize {'disk':'vda','capacity':1024}"),
        ("domain_block_resize", p().vm().s("vda").h(u64::MAX).u(0), relayed("disk.resize")),
        ("domain_block_resize", p().vm().s("vda").h(0).u(2), relayed("disk.resize")),
        ("domain_block_pull", p().vm().s("/disk.qcow2").h(0).u(0), "relayed block.pull"),
    ]);
}

#[test]
fn half_of_a_devices_change_is_another_wish() {
    let flagged = |xml: &str, flags: u32| p().vm().s(xml).u(flags);
    let (disk, nic) = ("<disk><target dev='vdb'/></disk>", "<interface><mac address='52:54:00:00:00:01'/></interface>");
    let of_disk = |verb: &str| -> &'static str { format!("relayed device.{verb} + disk:vdb device:disk:vdb").leak() };
    let (attach, detach, update) =
        ("domain_attach_device_flags", "domain_detach_device_flags", "domain_update_device_flags");
    hold(vec![
        (attach, flagged(disk, 0), "device.attach {'xml':'<disk><target dev='vdb'/></disk>'}"),
        (attach, flagged(disk, 1), "device.attach {'xml':'<disk><target dev='vdb'/></disk>'}"),
        (attach, flagged(disk, 2), of_disk("attach")),
        (attach, flagged("<interface/>", 3), "relayed device.attach + devices"),
        (attach, flagged("<hostdev/>", 3), "relayed device.attach + devices"),
        (attach, flagged("<memory/>", 3), "relayed device.attach + memory devices"),
        (attach, flagged("<disk/>", 3), "relayed device.attach + disks devices"),
        (detach, flagged(disk, 3), "device.detach {'device':'disk:vdb','timeout_s':30}"),
        (detach, flagged(disk, 1), of_disk("detach")),
        (detach, flagged(disk, 2), of_disk("detach")),
        (detach, flagged(nic, 0), "relayed device.detach + device:nic:52:54:00:00:00:01"),
        (update, flagged(disk, 1), of_disk("update")),
        (update, flagged(disk, 3 | 4), of_disk("update")),
    ]);
}

#[test]
fn what_is_relayed_of_a_device_is_about_no_other_device() {
    let of = |xml: &str| match treated("domain_detach_device_flags", &p().vm().s(xml).u(1).bytes()) {
        Treatment::Change { operation, .. } => {
            operation.footprint().writes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(of("<disk><target dev='vdb'/></disk>"), "disk:vdb device:disk:vdb");
    let nic = "<interface><mac address='52:54:00:00:00:01'/></interface>";
    assert_eq!(of(nic), "device:nic:52:54:00:00:00:01");
    assert_eq!(of("<hostdev/>"), "devices");
    assert_eq!(of("<disk/>"), "disks devices");
}

#[test]
fn what_goes_with_a_definition() {
    let undefined = |snapshots: bool| -> &'static str {
        let args = format!("'snapshots_metadata':{snapshots},'checkpoints_metadata':false,'nvram':false");
        format!("definition.undefine {{'saved_image':false,{args}}}").leak()
    };
    let flags = [
        (0, undefined(false)),
        (8, undefined(false)),
        (2, undefined(true)),
        (32, "relayed definition.undefine"),
        (1 | 64, "relayed definition.undefine + saved-image"),
    ];
    by_flags("domain_undefine_flags", || p().vm(), flags);
    let define = |xml: &str, flags: u32| p().s(xml).u(flags);
    let graphics = "<domain><uuid>00000000-0000-0000-0000-000000000007</uuid><graphics passwd='p'/></domain>";
    let secret: &'static str = format!("DomainXml('{}'): relayed definition.define", graphics.replace('"', "'")).leak();
    hold(vec![
        ("domain_define_xml_flags", define(graphics, 0), secret),
        ("domain_define_xml_flags", define("<domain/>", 0), "DomainXml('<domain/>'): relayed definition.define"),
        ("domain_define_xml_flags", define("", 0), "refuse: Ambiguous"),
        ("domain_rename", p().vm().some("a/b").u(0), "relayed definition.rename"),
        ("domain_rename", p().vm().none().u(0), "relayed definition.rename"),
    ]);
}

#[test]
fn what_is_sent_to_another_host_and_how() {
    let perform =
        |flags: u32, texts: &[(&str, &str)]| p().vm().some("qemu+tls://b/system").parameters(texts, &[]).s("").u(flags);
    let sent = |persistent: bool, live: bool, is_unsafe: bool| -> &'static str {
        let args = format!("'live':{live},'persistent':{persistent},'unsafe':{is_unsafe},'bandwidth':0");
        format!("migrate.begin {{'to':'qemu+tls://b/system',{args}}}").leak()
    };
    let name = "domain_migrate_perform3_params";
    hold(vec![
        (name, perform(2, &[]), sent(false, false, false)),
        (name, perform(2 | 1 | 8 | 16, &[]), sent(true, true, false)),
        (name, perform(2 | 512 | 4096, &[]), sent(false, false, true)),
        // It stays defined here and there, or here it goes and there it is not kept.
        (name, perform(2 | 8, &[]), "relayed migrate.begin"),
        (name, perform(2 | 16, &[]), "relayed migrate.begin"),
        (name, perform(2 | 32, &[]), "relayed migrate.begin"),
        (name, perform(2, &[("destination_name", "b")]), "relayed migrate.begin"),
        // A step of a client's own migration.
        (name, perform(1, &[]), "[Steers] relayed migrate.begin"),
        // Only the definition goes.
        (name, perform(2 | 1024, &[]), "look at the secrets of the VM"),
        (name, perform(2 | 1024 | 16, &[]), "relayed definition.undefine"),
        ("domain_migrate_begin3", p().vm().none().h(1024).none().h(0), "look at the secrets of the VM"),
        ("domain_migrate_begin3_params", p().vm().parameters(&[], &[]).u(1024 | 16), "relayed definition.undefine"),
        ("domain_migrate_confirm3", p().vm().s("").h(1 | 16).i(0), "[Never] relayed migrate.begin"),
        ("domain_migrate_confirm3", p().vm().s("").h(1024).i(0), "look at the VM"),
        (
            "domain_migrate_confirm3_params",
            p().vm().parameters(&[], &[]).s("").u(1024 | 16).i(0),
            "[Never] relayed definition.undefine",
        ),
        (
            "domain_migrate_perform3",
            p().vm().none().s("").some("q:b").none().h(2).none().h(0),
            "migrate.begin {'to':'q:b','live':false,'persistent':false,'unsafe':false,'bandwidth':0}",
        ),
    ]);
}

#[test]
fn what_a_guest_is_told_by_its_agent() {
    let tell = |json: &str| p().vm().s(json).i(5).u(0);
    let name = "qemu:domain_agent_command";
    hold(vec![
        (
            name,
            tell(r#"{"execute":"guest-exec","arguments":{"path":"/bin/sh","input-data":"word"}}"#),
            "guest.command {'execute':'guest-exec','timeout_s':5}",
        ),
        (name, tell(r#"{"execute":"guest-fsfreeze-freeze"}"#), "guest.freeze {'lease_s':600}"),
        (
            name,
            tell(r#"{"execute":"guest-fsfreeze-freeze-list","arguments":{"mountpoints":["/a"]}}"#),
            "guest.freeze {'mountpoints':['/a'],'lease_s':600}",
        ),
        (name, tell(r#"{"execute":"guest-fsfreeze-thaw","id":4}"#), "guest.thaw {}"),
        (name, tell(r#"{"execute":"guest-fstrim","arguments":{"minimum":9}}"#), "guest.trim {'minimum':9}"),
        (name, tell(r#"{"execute":"guest-set-time","arguments":{"time":5000000000}}"#), "guest.set-time {'seconds':5}"),
        (
            name,
            tell(r#"{"execute":"guest-set-user-password","arguments":{"username":"root","password":"d29yZA=="}}"#),
            "relayed guest.set-password + guest-agent",
        ),
        (name, tell(r#"{"execute":"guest-shutdown"}"#), "relayed power.shutdown + guest-agent"),
        (
            name,
            tell(r#"{"execute":"guest-shutdown","arguments":{"mode":"reboot"}}"#),
            "relayed power.reboot + guest-agent",
        ),
        (name, tell(r#"{"execute":"guest-suspend-ram"}"#), "relayed power.suspend + guest-agent"),
        (name, tell(r#"{"execute":"guest-suspend-disk"}"#), "relayed power.shutdown + guest-agent"),
        (name, tell(r#"{"execute":"guest-set-vcpus","arguments":{"vcpus":[]}}"#), "relayed cpu.set + guest-agent"),
        (name, tell(r#"{"execute":"guest-set-memory-blocks"}"#), "relayed memory.set + guest-agent"),
        // What could be read in two ways, or in none.
        (name, tell(r#"{"execute":"guest-info","execute":"guest-shutdown"}"#), "relayed monitor.command + guest-agent"),
        (name, tell(r#"{"execute":"guest-info","other":1}"#), "relayed monitor.command + guest-agent"),
        (
            name,
            tell(r#"{"execute":"guest-info"} {"execute":"guest-shutdown"}"#),
            "relayed monitor.command + guest-agent",
        ),
        (name, tell("guest-info"), "relayed monitor.command + guest-agent"),
        (name, tell(r#"{"execute":"stop"}"#), "relayed guest.command + guest-agent"),
        ("domain_open_channel", p().vm().some("org.qemu.guest_agent.0").u(0), "relayed monitor.command + guest-agent"),
        ("domain_open_channel", p().vm().none().u(0), "relayed monitor.command + guest-agent"),
        ("domain_fsfreeze", p().vm().texts(&["/a"]).u(0), "guest.freeze {'mountpoints':['/a'],'lease_s':600}"),
        ("domain_fstrim", p().vm().some("/a").h(0).u(0), "relayed guest.trim"),
        ("domain_set_time", p().vm().h(9).u(0).u(1), "guest.set-time {}"),
        ("domain_set_user_password", p().vm().none().some("word").u(0), "relayed guest.set-password"),
        ("domain_set_user_password", p().vm().some("root").some("word").u(2), "relayed guest.set-password"),
    ]);
}

#[test]
fn a_dump_may_halt_stop_or_restart_its_vm() {
    // That it is halted meanwhile, the action says by itself.
    let flags = [
        (2, "relayed memory.dump"),
        (0, "relayed memory.dump + power"),
        (1 | 2, "relayed memory.dump + power process"),
        (8 | 2, "relayed memory.dump + power"),
    ];
    by_flags("domain_core_dump", || p().vm().s("/f"), flags);
}
