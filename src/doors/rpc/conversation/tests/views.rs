//! Who may see and change what.

use super::super::*;
use super::desk::*;
use crate::doors::rpc::frame::{Header, Kind, Status};
use crate::doors::rpc::procedures::{self, Handling, Place, Procedure};
use crate::doors::rpc::xdr::Writer;

const DEFINE_XML: u32 = 11;
const LOOKUP_BY_NAME: u32 = 23;
const NUM_OF_DOMAINS: u32 = 51;
const RESTORE: u32 = 54;
const BEGIN3: u32 = 213;
const CONFIRM3: u32 = 218;
const PREPARE3: u32 = 214;
const FINISH3: u32 = 217;
const VOL_WIPE: u32 = 165;
const LIST_ALL_DOMAINS: u32 = 273;
const SET_IDENTITY: u32 = 419;
const ABORT_JOB: u32 = 164;

fn text(text: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.string(text);
    writer.into_bytes()
}

fn definition(number: u128) -> Vec<u8> {
    text(&format!("<domain><name>vm{number}</name><uuid>{}</uuid></domain>", vm(number)))
}

fn volume() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.string("pool").string("disk.qcow2").string("/pool/disk.qcow2").u32(0);
    writer.into_bytes()
}

fn cookie_and_flags(mut payload: Vec<u8>) -> Vec<u8> {
    let mut writer = Writer::new();
    // No cookie, no URIs, flags, not cancelled.
    writer.opaque(&[]).bool(false).bool(false).u64(0).u32(0);
    payload.extend(writer.into_bytes());
    payload
}

fn begin(flags: u64) -> Vec<u8> {
    let mut payload = domain(OWN);
    let mut writer = Writer::new();
    // No XML, flags, no name, no limit.
    writer.bool(false).u64(flags).bool(false).u64(0);
    payload.extend(writer.into_bytes());
    payload
}

/// The client begins to send its VM, and libvirtd agrees.
fn begin_migration(desk: &mut Desk, serial: u32, ticket: u64, flags: u64) {
    let action = if flags == 0 { "migrate.begin" } else { "definition.undefine" };
    assert_eq!(desk.client(BEGIN3, serial, &begin(flags))[0][..], format!("submit {ticket} {action}"));
    desk.released(ticket);
    desk.libvirtd(BEGIN3, serial, &[0; 8]);
}

/// A VM that is to come.
fn arriving(name: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    // Nothing of a cookie and an URI, flags, the name, nothing of a bandwidth, what comes.
    let xml = format!("<domain><name>{name}</name></domain>");
    writer.opaque(&[]).bool(false).u64(0).optional_string(Some(name)).u64(0).string(&xml);
    writer.into_bytes()
}

#[test]
fn a_vm_that_a_provider_does_not_see_is_not_there() {
    for number in [OTHERS, FREE] {
        let mut desk = Desk::new();
        assert_eq!(desk.call(GET_INFO, 1, number), ["client 16#1 error 42"]);
        assert_eq!(desk.call(SUSPEND, 2, number), ["client 34#2 error 42"]);
        let uuid = vm(number).0;
        assert_eq!(desk.client(LOOKUP_BY_UUID, 3, uuid.as_bytes()), ["client 24#3 error 42"]);
        assert_eq!(desk.client(LOOKUP_BY_NAME, 4, &text(&format!("vm{number}"))), ["client 23#4 error 42"]);
    }
}

#[test]
fn no_procedure_leads_to_a_vm_of_others() {
    let mut absent = 0;
    let named = |procedure: &&Procedure| matches!(procedure.place, Place::First | Place::InNamed);
    for procedure in procedures::all().filter(named).filter(|procedure| procedure.handling != Handling::Refuse) {
        for mut desk in [Desk::new(), Desk::of_the_host()] {
            desk.world.secrets = true;
            let mut payload = if procedure.place == Place::InNamed { text("named") } else { Vec::new() };
            payload.extend(domain(OTHERS));
            // Enough of nothing to be most procedures' other arguments.
            payload.extend([0; 64]);
            let head = Header { program: procedure.program, ..head(procedure.number, Kind::Call, 1) };
            let said = desk.hear(Heard::FromClient(Frame::new(head, &payload)));
            let answer = format!("client {}#1 error ", procedure.number);
            let code = said.iter().find_map(|line| line.strip_prefix(&answer));
            let leaves = |deed: &Deed| matches!(deed, Deed::ToUpstream(_) | Deed::Submit(..) | Deed::Resolve(..));
            assert!(!desk.deeds.iter().any(leaves), "{}: {said:?}", procedure.name);
            assert!(code.is_some(), "{}: {said:?}", procedure.name);
            absent += usize::from(code == Some("42"));
        }
    }
    assert!(absent > 2 * 150, "only {absent} were told that there is no such VM");
}

#[test]
fn what_passes_open_files_is_refused_to_a_client_on_another_machine_alone() {
    let passes = |procedure: &&Procedure| procedures::passes_files(procedure.program, procedure.number);
    assert_eq!(procedures::all().filter(passes).count(), 6);
    for Procedure { program, number, name, .. } in procedures::all().filter(passes) {
        for wire in [Wire::Local, Wire::Remote] {
            let mut desk = Desk::new();
            desk.world.wire = wire;
            let head = Header { program: *program, ..head(*number, Kind::Call, 1) };
            let said = desk.hear(Heard::FromClient(Frame::new(head, &[domain(OWN), vec![0; 64]].concat())));
            let refused = [format!("told {name} 88"), format!("client {number}#1 error 88")];
            assert_eq!(said == refused && last_error(&desk.deeds).contains("network"), wire == Wire::Remote, "{name}");
        }
    }
}

#[test]
fn on_a_vm_that_nobody_co_manages_the_host_role_has_plain_libvirt() {
    let mut desk = Desk::of_the_host();
    assert_eq!(desk.call(SUSPEND, 1, FREE), ["libvirtd call 34#1"]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["client 34#1 ok"]);
    assert_eq!(desk.call(SUSPEND, 2, OTHERS), ["client 34#2 error 42"]);
    assert_eq!(desk.call(SUSPEND, 3, OWN), ["submit 2 power.suspend"]);
}

#[test]
fn who_makes_a_vm_becomes_its_primary_before_the_answer_goes_on() {
    let mut desk = Desk::of_the_host();
    assert_eq!(desk.client(DEFINE_XML, 1, &definition(FREE)), ["resolve 1"]);
    let new = Heard::Resolved(Ticket(1), Found::New(Some(vm(FREE))));
    assert_eq!(desk.hear(new), ["libvirtd call 11#1"]);
    assert_eq!(desk.libvirtd(DEFINE_XML, 1, &domain(FREE)), ["enroll 2 3"]);
    desk.world.standing.insert(vm(FREE), Standing::Own);
    assert_eq!(desk.hear(Heard::Enrolled(Ticket(2))), ["client 11#1 ok"]);
    // One that libvirt refuses to make is nobody's.
    desk.client(DEFINE_XML, 2, &definition(9));
    assert_eq!(desk.hear(Heard::Resolved(Ticket(3), Found::New(None))), ["libvirtd call 11#2"]);
    assert_eq!(desk.libvirtd_fails(DEFINE_XML, 2, 9, "no"), ["client 11#2 error 9"]);
}

#[test]
fn a_new_definition_of_a_vm_that_is_there_takes_the_way_of_every_change() {
    let mut desk = Desk::of_the_host();
    desk.client(DEFINE_XML, 1, &definition(OWN));
    assert_eq!(desk.hear(Heard::Resolved(Ticket(1), Found::Vm(vm(OWN)))), ["submit 1 definition.define"]);
    desk.client(DEFINE_XML, 2, &definition(OTHERS));
    let said = desk.hear(Heard::Resolved(Ticket(2), Found::Vm(vm(OTHERS))));
    assert_eq!(said, ["told domain_define_xml 88", "client 11#2 error 88"]);
    desk.client(DEFINE_XML, 3, &definition(FREE));
    assert_eq!(desk.hear(Heard::Resolved(Ticket(3), Found::Vm(vm(FREE)))), ["libvirtd call 11#3"]);
    assert_eq!(desk.libvirtd(DEFINE_XML, 3, &domain(FREE)), ["client 11#3 ok"], "it was there before");
}

#[test]
fn only_the_host_role_brings_vms_to_the_host() {
    let mut desk = Desk::new();
    desk.client(DEFINE_XML, 1, &definition(FREE));
    let said = desk.hear(Heard::Resolved(Ticket(1), Found::New(Some(vm(FREE)))));
    assert_eq!(said, ["told domain_define_xml 88", "client 11#1 error 88"]);
}

#[test]
fn a_call_whose_vm_is_not_known_yet_keeps_later_writes_and_nothing_else() {
    let mut desk = Desk::new();
    assert_eq!(desk.client(RESTORE, 1, &text("/saved")), ["resolve 1"]);
    assert_eq!(desk.call(SUSPEND, 2, OWN), [""; 0]);
    assert_eq!(desk.call(GET_INFO, 3, OWN), ["libvirtd call 16#3"]);
    let found = Heard::Resolved(Ticket(1), Found::Vm(vm(OWN)));
    assert_eq!(desk.hear(found), ["submit 1 power.restore", "submit 2 power.suspend after 1"]);
    desk.client(RESTORE, 4, &text("/saved"));
    desk.call(SUSPEND, 5, OWN);
    let said = desk.hear(Heard::Resolved(Ticket(4), Found::Unknown("who knows".to_owned())));
    assert_eq!(said, ["told domain_restore 9", "client 54#4 error 9", "submit 5 power.suspend after 2"]);
}

#[test]
fn the_end_of_a_migration_is_never_held() {
    let mut desk = Desk::new();
    begin_migration(&mut desk, 10, 1, 0);
    assert_eq!(desk.client(PREPARE3, 11, &arriving("vm1")), ["submit 2 power.start"]);
    desk.released(2);
    desk.libvirtd(PREPARE3, 11, &[]);
    desk.call(SUSPEND, 1, OWN);
    let confirm = cookie_and_flags(domain(OWN));
    assert_eq!(desk.client(CONFIRM3, 2, &confirm), ["libvirtd call 218#2"]);
    let finish = cookie_and_flags(text("vm1"));
    assert_eq!(desk.client(FINISH3, 3, &finish), ["libvirtd call 217#3"]);
    assert_eq!(desk.client(CONFIRM3, 4, &cookie_and_flags(domain(OTHERS))), ["client 218#4 error 42"]);
    assert_eq!(desk.client(FINISH3, 5, &cookie_and_flags(text("vm2"))), ["client 217#5 error 42"]);
}

#[test]
fn only_a_migration_that_was_begun_on_the_connection_is_ended_on_it() {
    let (confirm, finish) = (cookie_and_flags(domain(OWN)), cookie_and_flags(text("vm1")));
    let mut desk = Desk::new();
    let refused = |desk: &mut Desk, procedure: u32, serial: u32, payload: &[u8]| {
        let said = desk.client(procedure, serial, payload);
        assert!(said[1].ends_with("error 55") && said.len() == 2, "{said:?}");
        assert!(last_error(&desk.deeds).contains("no migration of this VM was begun on this connection"));
    };
    refused(&mut desk, CONFIRM3, 1, &confirm);
    refused(&mut desk, FINISH3, 2, &finish);
    // What libvirt refused, or has not answered, is not begun.
    desk.client(BEGIN3, 3, &begin(0));
    desk.released(1);
    refused(&mut desk, CONFIRM3, 4, &confirm);
    desk.libvirtd_fails(BEGIN3, 3, 55, "another one is under way");
    refused(&mut desk, CONFIRM3, 5, &confirm);
    // One is ended once.
    begin_migration(&mut desk, 6, 2, 0);
    assert_eq!(desk.client(CONFIRM3, 7, &confirm), ["libvirtd call 218#7"]);
    desk.libvirtd(CONFIRM3, 7, &[]);
    refused(&mut desk, CONFIRM3, 8, &confirm);
    // The host role does not end another's either.
    let mut desk = Desk::of_the_host();
    refused(&mut desk, FINISH3, 1, &cookie_and_flags(text("vm3")));
}

#[test]
fn the_end_of_a_copied_definition_is_no_end_of_a_guest() {
    const OFFLINE: u64 = 1024;
    const UNDEFINE_SOURCE: u64 = 16;
    let confirm = |flags: u64| {
        let mut payload = domain(OWN);
        let mut writer = Writer::new();
        writer.opaque(&[]).u64(flags).u32(0);
        payload.extend(writer.into_bytes());
        payload
    };
    let passes = |desk: &mut Desk, serial: u32, flags: u64| {
        desk.client(CONFIRM3, serial, &confirm(flags)) == [format!("libvirtd call 218#{serial}")]
    };
    let mut desk = Desk::new();
    assert!(!passes(&mut desk, 1, OFFLINE), "whose it is libvirt does not ask");
    desk.world.secrets = true;
    assert_eq!(desk.client(BEGIN3, 2, &begin(OFFLINE)), ["libvirtd call 213#2"], "it only looks");
    desk.libvirtd(BEGIN3, 2, &[0; 8]);
    assert!(!passes(&mut desk, 3, 0), "a guest was not sent");
    assert!(!passes(&mut desk, 4, OFFLINE | UNDEFINE_SOURCE), "nor the definition");
    assert!(passes(&mut desk, 5, OFFLINE));
    let mut desk = Desk::new();
    begin_migration(&mut desk, 1, 1, OFFLINE | UNDEFINE_SOURCE);
    assert!(!passes(&mut desk, 2, 0), "a guest was not sent");
    assert!(passes(&mut desk, 3, OFFLINE | UNDEFINE_SOURCE));
}

#[test]
fn a_vm_that_another_host_sends_is_enrolled_when_it_has_come() {
    let mut desk = Desk::of_the_host();
    assert_eq!(desk.client(PREPARE3, 1, &arriving("vm3")), ["resolve 1"]);
    let new = Heard::Resolved(Ticket(1), Found::New(Some(vm(FREE))));
    assert_eq!(desk.hear(new), ["libvirtd call 214#1"]);
    assert_eq!(desk.libvirtd(PREPARE3, 1, &[]), ["client 214#1 ok"], "it is not there yet, and its reply is not kept");
    let finish = cookie_and_flags(text("vm3"));
    assert_eq!(desk.client(FINISH3, 2, &finish), ["libvirtd call 217#2"]);
    assert_eq!(desk.libvirtd(FINISH3, 2, &domain(FREE)), ["enroll 3 3"]);
}

#[test]
fn the_end_of_a_job_does_not_stay_behind_the_job() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    assert_eq!(desk.call(ABORT_JOB, 2, OWN), ["submit 2 migrate.abort"]);
    assert_eq!(desk.call(SUSPEND, 3, OWN), ["submit 3 power.suspend after 1"], "nor does anything stay behind it");
}

#[test]
fn a_volume_that_is_a_vms_disk_is_written_through_its_lane() {
    let disk = |number| Heard::Resolved(Ticket(1), Found::Disk(vm(number), "vda".to_owned()));
    let mut desk = Desk::new();
    assert_eq!(desk.client(VOL_WIPE, 1, &volume()), ["resolve 1"]);
    assert_eq!(desk.hear(disk(OWN)), ["submit 1 disk.write"]);
    let mut desk = Desk::of_the_host();
    desk.client(VOL_WIPE, 1, &volume());
    assert_eq!(desk.hear(disk(OTHERS)), ["told storage_vol_wipe 88", "client 165#1 error 88"]);
    let mut desk = Desk::of_the_host();
    desk.client(VOL_WIPE, 1, &volume());
    assert_eq!(desk.hear(Heard::Resolved(Ticket(1), Found::Nothing)), ["libvirtd call 165#1"]);
}

#[test]
fn an_upload_is_done_when_its_stream_is_at_its_end() {
    const VOL_UPLOAD: u32 = 208;
    let mut desk = Desk::new();
    let begin = |desk: &mut Desk, serial: u32, ticket: u64| {
        let mut payload = volume();
        payload.extend([0; 20]);
        desk.client(VOL_UPLOAD, serial, &payload);
        desk.hear(Heard::Resolved(Ticket(ticket), Found::Disk(vm(OWN), "vda".to_owned())));
        desk.released(ticket);
        assert_eq!(desk.libvirtd(VOL_UPLOAD, serial, &[]), [format!("client 208#{serial} ok")]);
    };
    let packet = |serial: u32, status: Status| {
        let head = Header { status, ..head(VOL_UPLOAD, Kind::Stream, serial) };
        let payload = if status == Status::Error { vec![0; 48] } else { vec![7] };
        Frame::new(head, &payload)
    };
    begin(&mut desk, 1, 1);
    let data = Heard::FromClient(packet(1, Status::Continue));
    assert_eq!(desk.hear(data), ["libvirtd stream 208#1"]);
    assert_eq!(desk.call(SUSPEND, 2, OWN), ["submit 2 power.suspend after 1"]);
    assert_eq!(desk.hear(Heard::FromClient(packet(1, Status::Ok))), ["libvirtd stream 208#1"]);
    let taken = Heard::FromUpstream(packet(1, Status::Ok));
    assert_eq!(desk.hear(taken), ["settle 1 done", "client stream 208#1"]);
    begin(&mut desk, 3, 3);
    let failed = Heard::FromUpstream(packet(3, Status::Error));
    assert_eq!(desk.hear(failed), ["settle 3 failed hypervisor-failed", "client stream 208#3"]);
    begin(&mut desk, 4, 4);
    assert_eq!(
        desk.hear(Heard::ClientGone),
        ["cancel 2", "settle 4 lost", "close"],
        "nobody knows how much was written"
    );
}

#[test]
fn what_counts_vms_counts_those_that_are_seen() {
    let mut desk = Desk::new();
    let mut said = desk.client(NUM_OF_DOMAINS, 1, &[]);
    if said == ["libvirtd call 51#1"] {
        said = desk.libvirtd(NUM_OF_DOMAINS, 1, &[0, 0, 0, 3]);
    }
    assert_eq!(said, ["libvirtd call 273#2147483649"]);
    let mut writer = Writer::new();
    writer.u32(3).raw(&domain(OWN)).raw(&domain(OTHERS)).raw(&domain(FREE)).u32(3);
    assert_eq!(desk.libvirtd(LIST_ALL_DOMAINS, 0x8000_0001, &writer.into_bytes()), ["client 51#1 ok"]);
    let Some(Deed::ToClient(answer)) = desk.deeds.last() else { panic!() };
    assert_eq!(answer.payload(), [0, 0, 0, 1]);
}

#[test]
fn no_client_says_who_it_is() {
    let mut desk = Desk::of_the_host();
    assert_eq!(desk.client(SET_IDENTITY, 1, &[0; 8]), ["told connect_set_identity 88", "client 419#1 error 88"]);
}

#[test]
fn a_call_that_is_newer_than_the_table_is_not_passed_on() {
    let mut desk = Desk::of_the_host();
    assert_eq!(desk.client(9_999, 1, &[]), ["told unknown 39", "client 9999#1 error 39"]);
}

#[test]
fn arguments_that_cannot_be_read_are_answered_and_the_connection_goes_on() {
    let mut desk = Desk::new();
    assert_eq!(desk.client(SUSPEND, 1, &[0, 0]), ["told domain_suspend 39", "client 34#1 error 39"]);
    assert_eq!(desk.client(HOSTNAME, 2, &[]), ["libvirtd call 59#2"]);
}

#[test]
fn secrets_need_their_role() {
    let mut desk = Desk::new();
    let mut payload = domain(OWN);
    payload.extend([0, 0, 0, 1]);
    assert_eq!(desk.client(14, 1, &payload), ["told domain_get_xml_desc 88", "client 14#1 error 88"]);
    desk.world.secrets = true;
    assert_eq!(desk.client(14, 2, &payload), ["libvirtd call 14#2"]);
}
