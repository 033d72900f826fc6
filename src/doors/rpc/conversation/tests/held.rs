//! Calls that are held, released, refused.

use super::super::*;
use super::desk::*;
use crate::doors::rpc::frame::{Header, KEEPALIVE, Kind, QEMU, Status};
use crate::doors::rpc::xdr::Writer;
use crate::model::operation::NoArgs;
use crate::model::{Code, Ending};

#[test]
fn a_write_is_held_while_everything_else_flows() {
    let mut desk = Desk::new();
    assert_eq!(desk.call(SUSPEND, 1, OWN), ["submit 1 power.suspend"]);
    assert_eq!(desk.call(GET_INFO, 2, OWN), ["libvirtd call 16#2"]);
    assert_eq!(desk.libvirtd(GET_INFO, 2, &[0; 4]), ["client 16#2 ok"]);
    assert_eq!(desk.client(HOSTNAME, 3, &[]), ["libvirtd call 59#3"]);
    let ping = Header { program: KEEPALIVE, ..head(1, Kind::Event, 0) };
    assert_eq!(desk.hear(Heard::FromClient(Frame::new(ping, &[]))), ["libvirtd keepalive 1"]);
    assert_eq!(desk.hear(Heard::FromUpstream(Frame::new(ping, &[]))), ["client keepalive 1"]);
    assert_eq!(desk.libvirtd(HOSTNAME, 3, &[0; 4]), ["client 59#3 ok"]);
    assert_eq!(desk.released(1), ["libvirtd call 34#1"]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "client 34#1 ok"]);
    assert_eq!(desk.ended(1, Ending::Done, Code::Executed), [""; 0], "it has its answer");
}

#[test]
fn later_writes_on_the_same_vm_stay_behind_a_held_one() {
    let mut desk = Desk::new();
    desk.world.standing.insert(vm(9), Standing::Own);
    assert_eq!(desk.call(SUSPEND, 1, OWN), ["submit 1 power.suspend"]);
    assert_eq!(desk.call(RESUME, 2, OWN), ["submit 2 power.resume after 1"]);
    assert_eq!(desk.call(SUSPEND, 3, 9), ["submit 3 power.suspend"], "another VM");
    desk.released(1);
    desk.libvirtd(SUSPEND, 1, &[]);
    assert_eq!(desk.call(SUSPEND, 4, OWN), ["submit 4 power.suspend after 2"]);
    desk.hear(Heard::Refused(Ticket(4), Refusal::new(Code::QueueFull, "it is full")));
    assert_eq!(
        desk.call(SUSPEND, 5, OWN),
        ["submit 5 power.suspend after 2"],
        "what was refused is nothing to wait for"
    );
}

#[test]
fn a_refused_call_is_answered_with_libvirts_error_and_one_sentence() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    let refusal = Refusal::new(Code::NotDelegated, "power.suspend is not delegated to south")
        .held_by("north".parse().unwrap(), None);
    assert_eq!(desk.hear(Heard::Refused(Ticket(1), refusal)), ["told domain_suspend 88", "client 34#1 error 88"]);
    let text = last_error(&desk.deeds);
    assert!(text.contains("north holds it") && text.contains("ask the VM's primary"), "{text}");
    desk.call(DESTROY, 2, OWN);
    assert_eq!(
        desk.ended(2, Ending::Superseded, Code::Overwritten),
        ["told domain_destroy 55", "client 12#2 error 55"]
    );
    assert!(last_error(&desk.deeds).contains("covirt explain 00000000-0000-0000-0000-000000000002"));
}

#[test]
fn libvirts_own_failure_reaches_the_client_and_the_lane() {
    let mut desk = Desk::new();
    for (serial, code, settled) in
        [(1, 55, "impossible state-forbids"), (2, 42, "impossible vm-gone"), (3, 9, "failed hypervisor-failed")]
    {
        desk.call(SUSPEND, serial, OWN);
        desk.released(u64::from(serial));
        let said = desk.libvirtd_fails(SUSPEND, serial, code, "domain is not running");
        assert_eq!(said, [format!("settle {serial} {settled}"), format!("client 34#{serial} error {code}")]);
    }
}

#[test]
fn a_coalesced_call_is_answered_by_us() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    assert_eq!(desk.ended(1, Ending::Coalesced, Code::SameWish), ["client 34#1 ok"]);
    // One that gives a VM back: it is looked up, and that reply goes no further.
    desk.call(CREATE_WITH_FLAGS, 2, OWN);
    assert_eq!(desk.ended(2, Ending::Coalesced, Code::SameWish), ["libvirtd call 24#2147483649"]);
    let said = desk.libvirtd(LOOKUP_BY_UUID, 0x8000_0001, &domain(OWN));
    assert_eq!(said, ["client 196#2 ok"]);
    let Some(Deed::ToClient(answer)) = desk.deeds.last() else { panic!() };
    assert_eq!(answer.payload(), domain(OWN));
    // The lookup may fail.
    desk.call(CREATE_WITH_FLAGS, 3, OWN);
    assert_eq!(desk.ended(3, Ending::Coalesced, Code::SameWish), ["libvirtd call 24#2147483650"]);
    assert_eq!(desk.libvirtd_fails(LOOKUP_BY_UUID, 0x8000_0002, 42, "gone"), ["client 196#3 error 42"]);
}

#[test]
fn what_only_libvirt_can_answer_is_no_wish_that_another_call_may_serve() {
    const FSTHAW: u32 = 336;
    const RENAME: u32 = 358;
    const AGENT_COMMAND: u32 = 3;
    let submitted = |desk: &Desk| match desk.deeds.last() {
        Some(Deed::Submit(_, submit)) => submit.operation.clone(),
        other => panic!("{other:?}"),
    };
    let mut desk = Desk::new();
    let mut thaw = domain(OWN);
    thaw.extend([0; 8]);
    desk.client(FSTHAW, 1, &thaw);
    let mut told = Writer::new();
    told.raw(&domain(OWN)).string(r#"{"execute":"guest-fsfreeze-thaw"}"#).i32(5).u32(0);
    let by_agent = submitted(&desk);
    let head = Header { program: QEMU, ..head(AGENT_COMMAND, Kind::Call, 2) };
    desk.hear(Heard::FromClient(Frame::new(head, &told.into_bytes())));
    for operation in [by_agent, submitted(&desk)] {
        assert!(matches!(operation, Operation::Relayed(_)), "{operation:?}");
        let plain = Operation::GuestThaw(NoArgs {});
        assert_eq!((operation.action(), operation.effect()), (plain.action(), plain.effect()));
        assert_eq!(operation.footprint(), plain.footprint());
    }
    // Should it be served all the same, no number is made up.
    assert_eq!(desk.ended(1, Ending::Coalesced, Code::SameWish), ["told domain_fsthaw 55", "client 336#1 error 55"]);
    // The answer to a name is known.
    let mut rename = domain(OWN);
    let mut writer = Writer::new();
    writer.optional_string(Some("vm8")).u32(0);
    rename.extend(writer.into_bytes());
    desk.client(RENAME, 3, &rename);
    assert!(matches!(submitted(&desk), Operation::DefinitionRename(_)));
    assert_eq!(desk.ended(3, Ending::Coalesced, Code::SameWish), ["client 358#3 ok"]);
    let Some(Deed::ToClient(answer)) = desk.deeds.last() else { panic!() };
    assert_eq!(answer.payload(), [0; 4]);
}

#[test]
fn at_most_four_released_calls_are_at_libvirtd() {
    let mut desk = Desk::new();
    for serial in 1..=6 {
        desk.call(SUSPEND, serial, OWN);
    }
    for ticket in 1..=4 {
        assert_eq!(desk.released(ticket), [format!("libvirtd call 34#{ticket}")]);
    }
    assert_eq!(desk.released(5), [""; 0]);
    assert_eq!(desk.released(6), [""; 0]);
    assert_eq!(desk.client(HOSTNAME, 90, &[]), ["libvirtd call 59#90"], "a read has its place");
    assert_eq!(desk.libvirtd(HOSTNAME, 90, &[0; 4]), ["client 59#90 ok"]);
    assert_eq!(desk.libvirtd(SUSPEND, 3, &[]), ["settle 3 done", "client 34#3 ok", "libvirtd call 34#5"]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "client 34#1 ok", "libvirtd call 34#6"]);
}

#[test]
fn the_clients_own_calls_take_places_too_but_do_not_starve_what_is_released() {
    let mut desk = Desk::new();
    for serial in 10..14 {
        desk.client(HOSTNAME, serial, &[]);
    }
    desk.call(SUSPEND, 1, OWN);
    assert_eq!(desk.released(5), [""; 0], "libvirtd would stop reading");
    // A client with many threads always has as many calls under way.
    let mut forwarded_after = 0;
    for serial in 10..40 {
        desk.client(HOSTNAME, serial + 4, &[]);
        forwarded_after += 1;
        if desk.libvirtd(HOSTNAME, serial, &[0; 4]).contains(&"libvirtd call 34#1".to_owned()) {
            break;
        }
    }
    assert_eq!(forwarded_after, 8);
}

#[test]
fn what_is_held_is_bounded() {
    let mut desk = Desk::new();
    for serial in 1..=u32::try_from(HELD_MAX).unwrap() {
        assert_eq!(desk.call(SUSPEND, serial, OWN).len(), 1);
    }
    assert_eq!(desk.call(SUSPEND, 1000, OWN), ["told domain_suspend 87", "client 34#1000 error 87"]);
    assert_eq!(desk.talk.held(), HELD_MAX);
    // By size as well.
    let mut desk = Desk::new();
    let mut large = domain(OWN);
    large.resize(30 << 20, 0);
    assert_eq!(desk.client(SUSPEND, 1, &large).len(), 1);
    assert_eq!(desk.client(SUSPEND, 2, &large).len(), 1);
    assert_eq!(desk.client(SUSPEND, 3, &large), ["told domain_suspend 87", "client 34#3 error 87"]);
}

#[test]
fn an_event_is_not_queued_behind_held_calls() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    let mut payload = vec![0, 0, 0, 1];
    payload.extend(domain(OWN));
    payload.extend([0, 0, 0, 3, 0, 0, 0, 0]);
    let event = Frame::new(head(318, Kind::Event, 1), &payload);
    assert_eq!(desk.hear(Heard::FromUpstream(event)), ["client event 318"]);
    // The event of a call comes before its reply, and stays there.
    desk.released(1);
    let event = Frame::new(head(318, Kind::Event, 1), &payload);
    assert_eq!(desk.hear(Heard::FromUpstream(event)), ["client event 318"]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "client 34#1 ok"]);
}

#[test]
fn a_job_that_is_seen_to_have_begun_counts_as_executed_and_its_reply_still_comes() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.released(1);
    assert_eq!(desk.hear(Heard::Begun(Ticket(1))), ["settle 1 done"]);
    assert_eq!(desk.call(RESUME, 2, OWN), ["submit 2 power.resume"], "nothing to wait for any more");
    assert_eq!(desk.hear(Heard::Begun(Ticket(1))), [""; 0], "once");
    assert_eq!(desk.libvirtd_fails(SUSPEND, 1, 9, "aborted"), ["client 34#1 error 9"]);
}

#[test]
fn a_call_that_only_stops_its_own_providers_job_goes_on_at_once() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    assert_eq!(desk.hear(Heard::Waved(Ticket(1))), ["libvirtd call 34#1"]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["client 34#1 ok"]);
}

#[test]
fn a_call_on_a_connection_that_only_reads_is_libvirtds_to_refuse() {
    let mut desk = Desk::new();
    let read_only = [0, 0, 0, 0, 0, 0, 0, 1];
    desk.client(OPEN, 1, &read_only);
    assert_eq!(desk.call(SUSPEND, 2, OWN), ["submit 2 power.suspend"], "before it is open nobody knows");
    desk.libvirtd(OPEN, 1, &[]);
    assert_eq!(desk.call(SUSPEND, 3, OWN), ["libvirtd call 34#3"]);
    // It cannot become one that writes.
    assert_eq!(desk.client(OPEN, 4, &[0; 8]), ["told connect_open 55", "client 1#4 error 55"]);
}

#[test]
fn an_open_that_failed_may_be_tried_again() {
    let mut desk = Desk::new();
    desk.client(OPEN, 1, &[0; 8]);
    assert_eq!(desk.libvirtd_fails(OPEN, 1, 38, "no"), ["client 1#1 error 38"]);
    assert_eq!(desk.client(OPEN, 2, &[0; 8]), ["libvirtd call 1#2"]);
}

#[test]
fn what_came_under_way_with_descriptors_keeps_them() {
    let mut desk = Desk::new();
    let mut payload = vec![0, 0, 0, 1];
    payload.extend(domain(OWN));
    let mut frame = Frame::new(head(SUSPEND, Kind::CallWithDescriptors, 1), &payload);
    let (_end, other) = std::os::unix::net::UnixStream::pair().unwrap();
    frame.add_descriptor(other.into());
    desk.hear(Heard::FromClient(frame));
    desk.released(1);
    let Some(Deed::ToUpstream(frame)) = desk.deeds.last() else { panic!() };
    assert_eq!((frame.descriptors().len(), frame.header().status), (1, Status::Ok));
}
