//! Every procedure that acts on a VM, with arguments as a client usually gives them.

use std::collections::BTreeSet;

use super::*;
use crate::doors::rpc::procedures::Handling;

const DISK: &str = "<disk type='file'><source file='/d'/><target dev='vdb'/></disk>";
const NIC: &str = "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>";
const DOMAIN: &str = "<domain><name>a</name><uuid>00000000-0000-0000-0000-000000000007</uuid></domain>";
const ANOTHER: &str = "<domain><name>b</name></domain>";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        // power
        ("domain_create", p().vm(), "power.start {}"),
        ("domain_create_with_flags", p().vm().u(0), "power.start {}"),
        ("domain_create_with_files", p().vm().u(0), "power.start {}"),
        (
            "domain_create_xml",
            p().s("<domain/>").u(0),
            "DomainXml('<domain/>'): relayed power.start + cpu memory devices",
        ),
        (
            "domain_create_xml_with_files",
            p().s("<domain/>").u(0),
            "DomainXml('<domain/>'): relayed power.start + cpu memory devices",
        ),
        ("domain_destroy", p().vm(), "power.stop {}"),
        ("domain_destroy_flags", p().vm().u(0), "power.stop {}"),
        ("domain_shutdown", p().vm(), "relayed power.shutdown"),
        ("domain_shutdown_flags", p().vm().u(0), "relayed power.shutdown"),
        ("domain_reboot", p().vm().u(0), "relayed power.reboot"),
        ("domain_reset", p().vm().u(0), "power.reset {}"),
        ("domain_suspend", p().vm(), "power.suspend {}"),
        ("domain_resume", p().vm(), "power.resume {}"),
        ("domain_pm_suspend_for_duration", p().vm().u(0).h(0).u(0), "relayed power.suspend + guest-agent"),
        ("domain_pm_wakeup", p().vm().u(0), "relayed guest.input + power"),
        // saved memory
        ("domain_save", p().vm().s("/f"), "relayed power.save"),
        ("domain_save_flags", p().vm().s("/f").none().u(0), "relayed power.save"),
        ("domain_save_params", p().vm().parameters(&[("file", "/f")], &[]).u(0), "relayed power.save"),
        ("domain_managed_save", p().vm().u(0), "power.save {}"),
        ("domain_managed_save_remove", p().vm().u(0), "power.save-remove {}"),
        ("domain_managed_save_define_xml", p().vm().some(DOMAIN).u(0), "relayed definition.define + saved-image"),
        (
            "domain_restore",
            p().s("/f"),
            "SavedImage { path: '/f', xml: None }: relayed power.restore + cpu memory devices",
        ),
        (
            "domain_restore_flags",
            p().s("/f").some("<domain/>").u(0),
            "SavedImage { path: '/f', xml: Some('<domain/>') }: relayed power.restore + cpu memory devices",
        ),
        (
            "domain_restore_params",
            p().parameters(&[("file", "/f")], &[]).u(0),
            "SavedImage { path: '/f', xml: None }: relayed power.restore + cpu memory devices",
        ),
        (
            "domain_save_image_define_xml",
            p().s("/f").s("<domain/>").u(0),
            "SavedImage { path: '/f', xml: Some('<domain/>') }: relayed definition.define + saved-image",
        ),
        ("domain_core_dump", p().vm().s("/f").u(2), "relayed memory.dump"),
        ("domain_core_dump_with_format", p().vm().s("/f").u(0).u(2), "relayed memory.dump"),
        // snapshots
        (
            "domain_snapshot_create_xml",
            p().vm().s("<domainsnapshot><name>s</name></domainsnapshot>").u(0),
            "snapshot.create {'name':'s','kind':'full'}",
        ),
        ("domain_revert_to_snapshot", p().named("s").u(0), "snapshot.revert {'name':'s'}"),
        ("domain_snapshot_delete", p().named("s").u(0), "snapshot.delete {'name':'s'}"),
        // settings
        ("domain_set_vcpus", p().vm().u(2), "relayed cpu.set"),
        ("domain_set_vcpus_flags", p().vm().u(2).u(3), "cpu.set {'vcpus':2}"),
        ("domain_set_vcpu", p().vm().s("1").i(0).u(3), "relayed cpu.set"),
        ("domain_set_guest_vcpus", p().vm().s("1").i(0).u(0), "relayed cpu.set + guest-agent"),
        ("domain_set_memory", p().vm().h(1024), "relayed memory.set"),
        ("domain_set_memory_flags", p().vm().h(1024).u(3), "memory.set {'memory_kib':1024}"),
        ("domain_set_max_memory", p().vm().h(1024), "relayed memory.set + definition"),
        (
            "domain_set_metadata",
            p().vm().i(2).some("<a/>").some("k").some("urn:k").u(3),
            "metadata.set {'uri':'urn:k','key':'k','xml':'<a/>'}",
        ),
        ("domain_set_autostart", p().vm().i(1), "autostart.set {'enabled':true}"),
        (
            "domain_set_interface_parameters",
            p().vm().s("52:54:00:00:00:01").parameters(&[], &[("inbound.average", 10)]).u(3),
            "nic.qos {'mac':'52:54:00:00:00:01','inbound':{'average':10,'peak':0,'burst':0}}",
        ),
        (
            "domain_set_block_io_tune",
            p().vm().s("vda").parameters(&[], &[("read_bytes_sec", 10)]).u(3),
            "disk.iotune {'disk':'vda','total_bytes_sec':0,'read_bytes_sec':10,'write_bytes_sec':0}",
        ),
        // backups and checkpoints
        (
            "domain_backup_begin",
            p().vm()
                .s("<domainbackup><disks><disk name='vda'><target file='/b'/></disk></disks></domainbackup>")
                .none()
                .u(0),
            "backup.begin {'mode':'push','disks':['vda'],'files':{'vda':'/b'}}",
        ),
        ("domain_abort_job", p().vm(), "[Aborts] migrate.abort {}"),
        ("domain_abort_job_flags", p().vm().u(0), "[Aborts] migrate.abort {}"),
        (
            "domain_checkpoint_create_xml",
            p().vm().s("<domaincheckpoint><name>c</name></domaincheckpoint>").u(0),
            "checkpoint.create {'name':'c'}",
        ),
        ("domain_checkpoint_delete", p().named("c").u(0), "checkpoint.delete {'name':'c'}"),
        // disks and block jobs
        ("domain_block_resize", p().vm().s("vda").h(1024).u(0), "disk.resize {'disk':'vda','capacity':1048576}"),
        ("domain_block_commit", p().vm().s("vda").none().none().h(0).u(5), "block.commit {'disk':'vda','bandwidth':0}"),
        ("domain_block_pull", p().vm().s("vda").h(1).u(0), "block.pull {'disk':'vda','bandwidth':1048576}"),
        (
            "domain_block_rebase",
            p().vm().s("vda").some("/base").h(0).u(0),
            "block.pull {'disk':'vda','base':'/base','bandwidth':0}",
        ),
        (
            "domain_block_copy",
            p().vm()
                .s("vda")
                .s("<disk type='file'><driver type='qcow2'/><source file='/c'/></disk>")
                .parameters(&[], &[("bandwidth", 7)])
                .u(4),
            "block.copy {'disk':'vda','to':'/c','format':'qcow2','shallow':false,'reuse':false,'bandwidth':7}",
        ),
        ("domain_block_job_abort", p().vm().s("vda").u(0), "block.abort {'disk':'vda','pivot':false}"),
        ("domain_block_job_set_speed", p().vm().s("vda").h(1).u(0), "[Steers] relayed tuning.set + tuning:disk:vda"),
    ];
    rows.extend(devices());
    rows.extend(guest());
    rows.extend(definition_and_migration());
    rows.extend(tuned());
    rows
}

fn devices() -> Vec<Row> {
    let attached =
        "device.attach {'xml':'<disk type=\\'file\\'><source file=\\'/d\\'/><target dev=\\'vdb\\'/></disk>'}";
    let attached = attached.replace("\\'", "'").leak();
    let updated = attached.replace("attach", "update").leak();
    vec![
        ("domain_attach_device", p().vm().s(DISK), attached),
        ("domain_attach_device_flags", p().vm().s(DISK).u(3), attached),
        ("domain_detach_device", p().vm().s(NIC), "relayed device.detach + device:nic:52:54:00:00:00:01"),
        (
            "domain_detach_device_flags",
            p().vm().s(NIC).u(3),
            "device.detach {'device':'nic:52:54:00:00:00:01','timeout_s':30}",
        ),
        ("domain_detach_device_alias", p().vm().s("net0").u(1), "relayed device.detach + disks devices"),
        ("domain_update_device_flags", p().vm().s(DISK).u(3), updated),
        ("domain_fd_associate", p().vm().s("group").u(0), "relayed device.attach + disks devices"),
        ("domain_open_console", p().vm().none().u(0), "console.open {}"),
        ("domain_open_channel", p().vm().some("org.example.0").u(0), "console.open {}"),
        ("domain_open_graphics", p().vm().u(0).u(0), "screen.open {}"),
        ("domain_open_graphics_fd", p().vm().u(0).u(0), "screen.open {}"),
    ]
}

fn guest() -> Vec<Row> {
    vec![
        ("domain_fsfreeze", p().vm().texts(&[]).u(0), "guest.freeze {'lease_s':600}"),
        ("domain_fsthaw", p().vm().texts(&[]).u(0), "guest.thaw {}"),
        ("domain_fstrim", p().vm().none().h(0).u(0), "guest.trim {'minimum':0}"),
        ("domain_set_time", p().vm().h(9).u(0).u(0), "guest.set-time {'seconds':9}"),
        (
            "domain_set_user_password",
            p().vm().some("root").some("word").u(0),
            "guest.set-password {'user':'root','password':'(hidden)','encrypted':false}",
        ),
        ("domain_authorized_ssh_keys_set", p().vm().s("root").texts(&["k"]).u(0), "relayed guest.set-password"),
        ("domain_send_key", p().vm().u(0).u(0).u(1).u(28).u(0), "relayed guest.input"),
        ("domain_inject_nmi", p().vm().u(0), "relayed guest.input"),
        ("domain_send_process_signal", p().vm().h(1).u(15).u(0), "relayed guest.input + power"),
        ("domain_set_launch_security_state", p().vm().parameters(&[], &[]).u(0), "relayed guest.input + memory"),
        (
            "qemu:domain_agent_command",
            p().vm().s(r#"{"execute":"guest-info"}"#).i(-2).u(0),
            "guest.command {'execute':'guest-info','timeout_s':3600}",
        ),
        ("qemu:domain_monitor_command", p().vm().s("stop").u(1), "relayed monitor.command"),
        ("qemu:domain_monitor_command_with_files", p().vm().s("stop").u(1), "relayed monitor.command"),
        ("qemu:domain_attach", p().u(4711).u(0), "Process(4711): relayed monitor.command"),
    ]
}

fn definition_and_migration() -> Vec<Row> {
    let defined =
        "definition.define {'xml':'<domain><name>a</name><uuid>00000000-0000-0000-0000-000000000007</uuid></domain>'}";
    let defined: &'static str = format!("DomainXml('{DOMAIN}'): {defined}").leak();
    let arriving = "relayed power.start + cpu memory disks devices definition";
    let named: &'static str = format!("Arriving {{ name: Some('b'), xml: None }}: {arriving}").leak();
    let finished: &'static str = named.replace(": relayed", ": [Never] relayed").leak();
    let described: &'static str = format!("Arriving {{ name: Some('b'), xml: Some('{ANOTHER}') }}: {arriving}").leak();
    let (there, xml) = ([("destination_name", "b")], [("destination_name", "b"), ("destination_xml", ANOTHER)]);
    vec![
        ("domain_define_xml", p().s(DOMAIN), defined),
        ("domain_define_xml_flags", p().s(DOMAIN).u(1), defined),
        (
            "domain_undefine",
            p().vm(),
            "definition.undefine {'saved_image':false,'snapshots_metadata':false,'checkpoints_metadata':false,'nvram':false}",
        ),
        (
            "domain_undefine_flags",
            p().vm().u(31),
            "definition.undefine {'saved_image':true,'snapshots_metadata':true,'checkpoints_metadata':true,'nvram':true}",
        ),
        ("domain_rename", p().vm().some("b").u(0), "definition.rename {'name':'b'}"),
        ("domain_migrate_begin3", p().vm().none().h(1).none().h(0), "relayed migrate.begin"),
        ("domain_migrate_begin3_params", p().vm().parameters(&there, &[]).u(1), "relayed migrate.begin"),
        ("domain_migrate_perform", p().vm().s("").s("qemu:///").h(1).none().h(0), "[Steers] relayed migrate.begin"),
        (
            "domain_migrate_perform3",
            p().vm().none().s("cookie").none().some("tcp:b").h(1).none().h(0),
            "[Steers] relayed migrate.begin",
        ),
        (
            "domain_migrate_perform3_params",
            p().vm()
                .some("qemu+tls://b/system")
                .parameters(&[("migrate_uri", "tcp:b")], &[("bandwidth", 5)])
                .s("")
                .u(27),
            "migrate.begin {'to':'qemu+tls://b/system','through':'tcp:b','live':true,'persistent':true,'unsafe':false,'bandwidth':5}",
        ),
        ("domain_migrate_confirm3", p().vm().s("").h(1).i(0), "[Never] relayed migrate.begin"),
        (
            "domain_migrate_confirm3_params",
            p().vm().parameters(&[], &[]).s("").u(1).i(0),
            "[Never] relayed migrate.begin",
        ),
        ("domain_migrate_prepare", p().none().h(1).some("b").h(0), named),
        ("domain_migrate_prepare2", p().none().h(1).some("b").h(0).s(ANOTHER), described),
        ("domain_migrate_prepare_tunnel", p().h(1).some("b").h(0).s(ANOTHER), described),
        ("domain_migrate_prepare3", p().s("c").some("tcp:b").h(1).some("b").h(0).s(ANOTHER), described),
        ("domain_migrate_prepare_tunnel3", p().s("c").h(1).some("b").h(0).s(ANOTHER), described),
        ("domain_migrate_prepare3_params", p().parameters(&xml, &[]).s("c").u(1), described),
        ("domain_migrate_prepare_tunnel3_params", p().parameters(&xml, &[]).s("c").u(1), described),
        ("domain_migrate_finish", p().s("b").s("").s("tcp:b").h(1), finished),
        ("domain_migrate_finish2", p().s("b").s("").s("tcp:b").h(1).i(0), finished),
        ("domain_migrate_finish3", p().s("b").s("").none().none().h(1).i(0), finished),
        ("domain_migrate_finish3_params", p().parameters(&there, &[]).s("").u(1).i(0), finished),
        ("domain_migrate_set_max_downtime", p().vm().h(100).u(0), "[Steers] relayed migrate.begin"),
        ("domain_migrate_set_max_speed", p().vm().h(100).u(0), "[Steers] relayed migrate.begin"),
        ("domain_migrate_set_compression_cache", p().vm().h(100).u(0), "[Steers] relayed migrate.begin"),
        ("domain_migrate_start_post_copy", p().vm().u(0), "[Steers] relayed migrate.begin"),
    ]
}

fn tuned() -> Vec<Row> {
    vec![
        ("domain_pin_vcpu", p().vm().u(0).s("\u{1}"), "relayed tuning.set + cpu"),
        ("domain_pin_vcpu_flags", p().vm().u(0).s("\u{1}").u(0), "relayed tuning.set + cpu"),
        ("domain_pin_emulator", p().vm().s("\u{1}").u(0), "relayed tuning.set"),
        ("domain_pin_iothread", p().vm().u(1).s("\u{1}").u(0), "relayed tuning.set"),
        ("domain_add_iothread", p().vm().u(1).u(0), "relayed tuning.set"),
        ("domain_del_iothread", p().vm().u(1).u(0), "relayed tuning.set"),
        ("domain_set_iothread_params", p().vm().u(1).parameters(&[], &[]).u(0), "relayed tuning.set"),
        ("domain_set_scheduler_parameters", p().vm().parameters(&[], &[("cpu_shares", 9)]), "relayed tuning.set"),
        ("domain_set_scheduler_parameters_flags", p().vm().parameters(&[], &[]).u(0), "relayed tuning.set"),
        ("domain_set_blkio_parameters", p().vm().parameters(&[], &[]).u(0), "relayed tuning.set"),
        ("domain_set_numa_parameters", p().vm().parameters(&[], &[]).u(0), "relayed tuning.set"),
        ("domain_set_perf_events", p().vm().parameters(&[], &[]).u(0), "relayed tuning.set"),
        ("domain_set_memory_parameters", p().vm().parameters(&[], &[]).u(0), "relayed tuning.set + memory"),
        ("domain_set_memory_stats_period", p().vm().i(1).u(0), "relayed tuning.set + memory"),
        ("domain_set_lifecycle_action", p().vm().u(0).u(0).u(0), "relayed tuning.set + definition"),
        ("domain_set_block_threshold", p().vm().s("vda[1]").h(1).u(0), "relayed tuning.set + tuning:disk:vda"),
        ("domain_agent_set_response_timeout", p().vm().i(5).u(0), "relayed tuning.set + guest-agent"),
        ("domain_start_dirty_rate_calc", p().vm().i(1).u(0), "relayed tuning.set"),
    ]
}

#[test]
fn a_call_is_the_operation_that_says_the_same() {
    hold(rows());
}

#[test]
fn every_procedure_that_acts_is_here_and_becomes_one_of_its_actions() {
    let rows = rows();
    let here: BTreeSet<&str> = rows.iter().map(|(name, _, _)| name.trim_start_matches("qemu:")).collect();
    let acts = procedures::all().filter(|procedure| matches!(procedure.handling, Handling::Act(_)));
    let missing: Vec<&str> = acts.map(|procedure| procedure.name).filter(|name| !here.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (name, payload, _) in rows {
        let Handling::Act(actions) = &procedure(name).handling else { panic!("{name} acts") };
        match treated(name, &payload.bytes()) {
            Treatment::Change { operation, .. } => assert!(actions.contains(&operation.action()), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
