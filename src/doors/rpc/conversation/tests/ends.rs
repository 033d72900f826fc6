//! Sides that go, and sides that break the protocol.

use super::super::*;
use super::desk::*;
use crate::doors::rpc::frame::{Header, KEEPALIVE, Kind, QEMU};

#[test]
fn a_client_that_goes_takes_its_held_calls_with_it() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.call(RESUME, 2, OWN);
    assert_eq!(desk.hear(Heard::ClientGone), ["cancel 1", "cancel 2", "close"]);
    assert_eq!(desk.released(1), ["settle 1 cancelled client-gone"], "the lane was faster");
}

#[test]
fn what_was_forwarded_is_awaited_when_the_client_has_gone() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.released(1);
    desk.client(HOSTNAME, 2, &[]);
    assert_eq!(desk.hear(Heard::ClientGone), [""; 0]);
    let ping = Header { program: KEEPALIVE, ..head(1, Kind::Event, 0) };
    assert_eq!(desk.hear(Heard::FromUpstream(Frame::new(ping, &[]))), ["libvirtd keepalive 2"], "for the client");
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "close"]);
}

#[test]
fn what_nobody_waits_for_any_more_does_not_end_what_is_awaited() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.released(1);
    desk.client(HOSTNAME, 2, &[]);
    desk.hear(Heard::ClientGone);
    assert_eq!(desk.libvirtd(HOSTNAME, 2, &[0; 4]), [""; 0]);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "close"]);
}

#[test]
fn what_is_not_answered_in_time_is_lost() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.released(1);
    desk.hear(Heard::ClientGone);
    assert_eq!(desk.hear(Heard::TimeUp), ["settle 1 lost", "close"]);
}

#[test]
fn released_calls_that_never_left_are_not_lost() {
    let mut desk = Desk::new();
    for serial in 1..=5 {
        desk.call(SUSPEND, serial, OWN);
        desk.released(u64::from(serial));
    }
    assert_eq!(desk.hear(Heard::ClientGone), ["settle 5 cancelled client-gone"]);
    let mut said = desk.hear(Heard::UpstreamGone);
    assert_eq!(said.pop().unwrap(), "close");
    assert_eq!(said, ["settle 1 lost", "settle 2 lost", "settle 3 lost", "settle 4 lost"]);
}

#[test]
fn with_libvirtd_gone_the_client_is_closed() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.call(SUSPEND, 2, OWN);
    desk.released(1);
    assert_eq!(desk.hear(Heard::UpstreamGone), ["settle 1 lost", "cancel 2", "close"]);
    assert_eq!(desk.hear(Heard::ClientGone), [""; 0]);
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_connection_and_is_not_passed_on() {
    let mut desk = Desk::new();
    desk.client(HOSTNAME, 1, &[]);
    assert_eq!(desk.libvirtd(HOSTNAME, 2, &[]), ["close"], "another serial");
    let mut desk = Desk::new();
    desk.client(HOSTNAME, 1, &[]);
    assert_eq!(desk.libvirtd(GET_INFO, 1, &[]), ["close"], "another call");
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["cancel 1", "close"], "a call that is held");
    let mut desk = Desk::new();
    desk.client(HOSTNAME, 1, &[]);
    desk.libvirtd(HOSTNAME, 1, &[0; 4]);
    assert_eq!(desk.libvirtd(HOSTNAME, 1, &[0; 4]), ["close"], "twice");
}

#[test]
fn a_client_that_breaks_the_protocol_is_sent_away_alone() {
    let broken = |heard: Heard| {
        let mut desk = Desk::new();
        desk.call(SUSPEND, 1, OWN);
        desk.call(SUSPEND, 2, OWN);
        desk.released(1);
        let said = desk.hear(heard);
        assert_eq!(said, ["cancel 2", "drop the client"]);
        assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "close"], "what was forwarded is awaited");
    };
    let from_client =
        |procedure, kind, serial| Heard::FromClient(Frame::new(head(procedure, kind, serial), &domain(OWN)));
    broken(from_client(HOSTNAME, Kind::Call, 1));
    broken(from_client(HOSTNAME, Kind::Call, 2));
    broken(from_client(HOSTNAME, Kind::Reply, 7));
    broken(from_client(318, Kind::Event, 7));
    broken(from_client(SUSPEND, Kind::Stream, 2));
}

#[test]
fn a_serial_may_be_used_again_once_it_is_answered_and_however_large() {
    let mut desk = Desk::new();
    for serial in [7, 7, 0x8000_0001, u32::MAX, 0] {
        assert_eq!(desk.client(HOSTNAME, serial, &[]), [format!("libvirtd call 59#{serial}")]);
        assert_eq!(desk.libvirtd(HOSTNAME, serial, &[0; 4]), [format!("client 59#{serial} ok")]);
    }
}

#[test]
fn a_serial_of_another_program_is_no_serial_of_ours() {
    const COUNT: u32 = 51;
    const MONITOR_EVENTS_OFF: u32 = 5;
    let of_qemu = |kind| Header { program: QEMU, ..head(MONITOR_EVENTS_OFF, kind, 0x8000_0001) };
    let mut desk = Desk::new();
    assert_eq!(desk.hear(Heard::FromClient(Frame::new(of_qemu(Kind::Call), &[0; 4]))), ["libvirtd call 5#2147483649"]);
    assert_eq!(desk.client(COUNT, 1, &[]), ["libvirtd call 273#2147483649"], "ours, with the same serial");
    assert_eq!(desk.hear(Heard::FromUpstream(Frame::new(of_qemu(Kind::Reply), &[]))), ["client 5#2147483649 ok"]);
    assert_eq!(desk.libvirtd(273, 0x8000_0001, &[0; 8]), ["client 51#1 ok"]);
}

#[test]
fn a_client_with_more_calls_than_any_needs_is_sent_away() {
    let mut desk = Desk::new();
    for serial in 0..u32::try_from(CALLS_MAX).unwrap() {
        desk.client(HOSTNAME, serial, &[]);
    }
    assert_eq!(desk.client(HOSTNAME, 9_999, &[]), ["drop the client", "close"]);
}

#[test]
fn whoever_is_held_when_the_agent_stops_is_told_so_in_libvirts_words() {
    let mut desk = Desk::new();
    desk.call(SUSPEND, 1, OWN);
    desk.released(1);
    desk.call(RESUME, 2, OWN);
    assert_eq!(desk.hear(Heard::Stopping), ["told domain_resume 9", "client 28#2 error 9"]);
    let text = last_error(&desk.deeds);
    assert!(text.contains("covirtd closes this connection, and this call was not made; try again later"), "{text}");
    // What was at libvirtd may still be answered.
    assert_eq!(desk.libvirtd(SUSPEND, 1, &[]), ["settle 1 done", "client 34#1 ok"]);
}
