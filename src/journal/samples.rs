//! Entries for the tests of this module: one of every kind of fact, and arbitrary ones.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::Entry;
use crate::delegation::{Change, ChangeRequest, Drain, Grant, Mode};
use crate::model::operation::RelayedArgs;
use crate::model::{
    Action, Cause, ChannelId, ChannelKind, Class, ClientCall, Code, Command, CommandId, ConflictId, Ending, Guard,
    HoldKey, Interval, Kib, Mono, Now, Operation, Order, Outcome, Peer, PowerState, ProviderId, Resource, StartId,
    VmId, VmState, Wall,
};
use crate::resolver::{
    Admission, Answer, ChannelEnd, Closed, Fact, Feasible, Finding, GivenUp, Glass, Heard, Origin, Party, Rule,
    StampNote, Verdict,
};
use crate::sovereignty::{By, Freeze, HostFact, Reach, Scope};

pub(super) fn vm(lane: u64) -> VmId {
    VmId(Uuid::from_u128(0x1000 + u128::from(lane)))
}

pub(super) fn command_id(number: u64) -> CommandId {
    CommandId(Uuid::from_u128(0x2000 + u128::from(number)))
}

pub(super) fn at(step: u64) -> Now {
    let micros = i64::try_from(step).unwrap_or(i64::MAX);
    Now { mono: Mono(1_000 + step), wall: Wall::from_micros(1_700_000_000_000_000).shifted(micros) }
}

/// The `step`-th entry of a lane; no two are equal.
pub(super) fn entry(lane: u64, step: u64) -> Entry {
    Entry { vm: vm(lane), at: at(step), facts: vec![Fact::GapFlagged { command: command_id(lane), expected: step }] }
}

pub(super) fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

pub(super) fn delegated_until(end: Wall) -> Fact {
    let change = Change::Delegated {
        by: provider("north"),
        to: provider("south"),
        actions: BTreeSet::from([Action::PowerStart, Action::SnapshotCreate]),
        mode: Mode::Exclusive,
        epoch: 2,
        expires: Some(Mono(9)),
        expires_at: Some(end),
        renewed: std::collections::BTreeSet::new(),
    };
    Fact::Delegation { by: provider("north"), change }
}

fn state() -> VmState {
    VmState {
        power: PowerState::Running,
        start: StartId(Some(3)),
        vcpus: 2,
        vcpus_max: 4,
        memory_kib: Kib(1024),
        memory_max_kib: Kib(2048),
        snapshots: BTreeSet::from(["before-update".to_owned()]),
        checkpoints: BTreeSet::from(["south.monday".to_owned()]),
        devices: ["disk:vda", "nic:52:54:00:aa:bb:01"].map(|name| name.parse().unwrap()).into(),
        jobs: BTreeSet::from([crate::model::HoldKey::Backup]),
        saved: false,
        definition: Some("0123456789abcdef".to_owned()),
    }
}

fn admission(operation: Operation) -> Fact {
    let issued = Interval { earliest: at(1).wall, latest: at(2).wall };
    let command = Command {
        id: command_id(1),
        vm: vm(1),
        provider: provider("north"),
        operation,
        order: Order { seq: Some(7), after: BTreeSet::from([command_id(2)]) },
        issued_at: Some(at(1).wall),
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard { state: Some(PowerState::Running), ..Guard::default() },
        class: Class::Critical,
        epoch: Some(2),
        call: None,
    };
    let digest = command.digest();
    let grant = Grant { mode: Some(Mode::Shared), epoch: 2 };
    let deadline = Some(Mono(77));
    Fact::Admitted(Box::new(Admission {
        command,
        digest,
        grant,
        issued: Some(issued),
        stamp: StampNote::ClampedFuture,
        deadline,
        must_start_by: Some(Mono(66)),
        peer: Some(Peer::Local { uid: 1000, gid: Some(1000), pid: None }),
    }))
}

/// The same, as a libvirt client's own call.
fn carried(admitted: Fact) -> Fact {
    let Fact::Admitted(mut admission) = admitted else { return admitted };
    admission.command.call = Some(ClientCall {
        procedure: "domain_suspend".to_owned(),
        peer: Peer::Local { uid: 107, gid: Some(64), pid: Some(4711) },
    });
    admission.digest = admission.command.digest();
    Fact::Admitted(admission)
}

fn by() -> By {
    let peer = Peer::Local { uid: 0, gid: Some(0), pid: Some(4711) };
    By { provider: ProviderId::operator(), peer: Some(peer) }
}

fn freeze() -> Freeze {
    Freeze {
        scope: Scope::Provider { provider: provider("south") },
        reach: Reach::Everyone,
        reason: Some("it loops".to_owned()),
        since: at(3).wall,
    }
}

/// At least one of every kind.
pub(crate) fn every_fact() -> Vec<Fact> {
    let conflict = ConflictId::nth(vm(1), 1);
    let parse = |action, args| Operation::parse(action, args).unwrap();
    let metadata = json!({"uri": "urn:example", "key": "example", "xml": "<a b='\u{e9}\n'/>"});
    let result = json!({"snapshot": "s1", "bytes": u64::MAX, "ratio": 0.5, "none": null});
    vec![
        Fact::Enrolled { name: "web-1".to_owned(), primary: provider("north"), state: state() },
        Fact::Released { by: ProviderId::operator() },
        delegated_until(at(5).wall),
        Fact::Delegation {
            by: ProviderId::operator(),
            change: Change::Revoked {
                by: ProviderId::operator(),
                from: provider("south"),
                actions: BTreeSet::from([Action::PowerStart]),
                epoch: 3,
            },
        },
        admission(parse(Action::PowerShutdown, json!({"timeout_s": 9}))),
        admission(parse(Action::InspectRead, json!({}))),
        admission(parse(Action::MetadataSet, metadata)),
        carried(admission(parse(Action::PowerSuspend, json!({})))),
        carried(admission(Operation::Relayed(RelayedArgs {
            action: Action::TuningSet,
            procedure: "domain_pin_vcpu".to_owned(),
            touches: [Resource::Cpu, Resource::Tunings, Resource::Disk("vda".to_owned())].into(),
        }))),
        Fact::GapFlagged { command: command_id(1), expected: 6 },
        Fact::ConflictOpened {
            conflict,
            between: [command_id(1), command_id(2)],
            contested: BTreeSet::from([Resource::Power, Resource::Metadata("urn:a".to_owned())]),
            feasible: Feasible { first_then_second: None, second_then_first: Some("it is off then".to_owned()) },
        },
        Fact::Asked {
            conflict,
            epoch: 1,
            who: vec![Party::Hook, Party::Provider(provider("south"))],
            deadline: Mono(u64::MAX),
        },
        Fact::Answered { conflict, epoch: 1, by: Party::Hook, answer: Answer::First(command_id(1)), how: Heard::Said },
        Fact::Answered {
            conflict,
            epoch: 1,
            by: Party::Provider(provider("south")),
            answer: Answer::NoOpinion,
            how: Heard::Silence,
        },
        Fact::Settled {
            conflict,
            verdict: Verdict {
                first: command_id(1),
                second: command_id(2),
                rule: Rule::Callback,
                trail: vec![Finding { rule: Rule::DeclaredOrder, found: "no order is declared".to_owned() }],
            },
        },
        Fact::Started { command: command_id(1), start: StartId(None) },
        Fact::BecameUnknown { command: command_id(1) },
        Fact::FoundUndone { command: command_id(1) },
        Fact::Ended {
            command: command_id(1),
            outcome: Outcome { result, ..Outcome::new(Ending::Done, Code::Executed, "executed") },
        },
        Fact::Ended {
            command: command_id(2),
            outcome: Outcome::new(Ending::Superseded, Code::Overwritten, "").because_of(Some(command_id(1))),
        },
        Fact::Observed { state: state(), origin: Origin::Command { command: command_id(1) } },
        Fact::Observed { state: state(), origin: Origin::past_us(None) },
        Fact::Observed { state: state(), origin: Origin::past_us(Some(Cause::Destroyed)) },
        Fact::Observed { state: state(), origin: Origin::past_us(Some(Cause::GuestShutdown)) },
        Fact::Observed { state: state(), origin: Origin::past_us(Some(Cause::Crashed)) },
        Fact::Happened { origin: Origin::past_us(Some(Cause::Rebooted)), subject: None },
        Fact::Happened { origin: Origin::past_us(Some(Cause::DeviceRemoved)), subject: Some("net0".to_owned()) },
        Fact::Frozen { freeze: Box::new(freeze()) },
        Fact::Thawed { scope: Scope::Vm { vm: vm(1) } },
        Fact::GlassBroken {
            by: ProviderId::operator(),
            glass: Glass { reason: "a disk burns".to_owned(), until: Mono(9), until_at: at(9).wall },
        },
        Fact::GlassMended { by: ProviderId::agent() },
        Fact::Host(Box::new(HostFact::Frozen { by: by(), freeze: freeze() })),
        Fact::Host(Box::new(HostFact::Thawed { by: by(), scope: Scope::Host {}, reason: None })),
        Fact::Host(Box::new(HostFact::CeilingChanged { by: By::agent(), file: None, digest: None })),
        Fact::Host(Box::new(HostFact::GlassBroken {
            by: by(),
            vm: vm(1),
            reason: "a disk burns".to_owned(),
            until: at(9).wall,
        })),
        Fact::Vanished { origin: None },
        Fact::Vanished { origin: Some(Origin::past_us(Some(Cause::Undefined))) },
    ]
    .into_iter()
    .chain(drains())
    .chain([
        Fact::Escalated { conflict, deadline: Mono(88) },
        Fact::Decided { conflict, by: ProviderId::operator(), first: command_id(2) },
    ])
    .chain(holds())
    .chain(channels())
    .collect()
}

/// Hand-overs: one that comes about, and why one does not.
fn drains() -> Vec<Fact> {
    let by = provider("north");
    let lease = Some(std::time::Duration::from_millis(1500));
    let actions = BTreeSet::from([Action::SnapshotCreate]);
    let requests = [
        ChangeRequest::Delegate { by: by.clone(), to: provider("south"), actions, mode: Mode::Exclusive, lease },
        ChangeRequest::Revoke { by: by.clone(), from: provider("south"), actions: BTreeSet::new() },
    ];
    let began = requests.map(|request| Fact::DrainBegan {
        by: by.clone(),
        drain: Drain {
            request,
            closing: [(by.clone(), BTreeSet::from([Action::SnapshotCreate, Action::PowerStop]))].into(),
            deadline: Mono(99),
            until: at(9).wall,
        },
    });
    let ended = [None, Some("a command had not ended in time".to_owned())].map(|failed| Fact::DrainEnded { failed });
    began.into_iter().chain(ended).collect()
}

/// What is left open: by whom, given up why, closed how.
fn holds() -> Vec<Fact> {
    let keys = ["backup", "block:vda", "migration", "freeze", "lock"].map(|key| key.parse::<HoldKey>().unwrap());
    let opened = keys.map(|hold| Fact::HoldOpened {
        footprint: hold.footprint(),
        command: hold.is_observable().then(|| command_id(1)),
        owner: hold.is_observable().then(|| provider("north")),
        lease: (!hold.is_observable()).then_some(Mono(55)),
        hold,
    });
    let whys = [
        GivenUp::LeaseExpired {},
        GivenUp::SessionLost {},
        GivenUp::Yielded { to: command_id(2) },
        GivenUp::Requested { by: ProviderId::operator(), reason: "the night is over".to_owned() },
    ];
    let hows = [
        Closed::ByCommand { command: command_id(2) },
        Closed::Seen {},
        Closed::Stopped {},
        Closed::Gone {},
        Closed::GivenBack {},
        Closed::Unverified { reason: "the agent does not answer".to_owned() },
    ];
    let given_up = whys.map(|why| Fact::HoldGivenUp { hold: HoldKey::Freeze, why });
    let closed = hows.map(|how| Fact::HoldClosed { hold: HoldKey::Block("vda".to_owned()), how });
    opened.into_iter().chain(given_up).chain(closed).collect()
}

/// Channels: opened, and closed in every way.
fn channels() -> Vec<Fact> {
    let id = |number| ChannelId(Uuid::from_u128(number));
    let kinds = ["console", "screen", "nbd", "disk:vda"].map(|kind| kind.parse::<ChannelKind>().unwrap());
    let opened = kinds.map(|kind| Fact::ChannelOpened {
        channel: id(1),
        owner: provider("south"),
        grant: Grant { mode: Some(Mode::Shared), epoch: 2 },
        from: Peer::Local { uid: 1000, gid: Some(1000), pid: None },
        lease: matches!(kind, ChannelKind::Disk(_)).then_some(Mono(77)),
        kind,
    });
    let hows = [
        ChannelEnd::Complete {},
        ChannelEnd::PeerLeft {},
        ChannelEnd::VmLeft {},
        ChannelEnd::Stalled {},
        ChannelEnd::Misused {},
        ChannelEnd::PeerRefused {},
        ChannelEnd::DelegationEnded {},
        ChannelEnd::Stopped {},
        ChannelEnd::Released {},
        ChannelEnd::VmGone {},
        ChannelEnd::VmStarted {},
        ChannelEnd::BackupOver {},
        ChannelEnd::LeaseExpired {},
        ChannelEnd::Replaced { by: id(2) },
        ChannelEnd::Requested { by: ProviderId::operator(), reason: "enough".to_owned() },
        ChannelEnd::Failed { reason: "it broke".to_owned() },
        ChannelEnd::AgentStopped {},
    ];
    let closed = |(number, how): (usize, ChannelEnd)| {
        let carried = number.is_multiple_of(2).then_some(u64::MAX);
        Fact::ChannelClosed { channel: id(1), how, received: carried, sent: carried }
    };
    opened.into_iter().chain(hows.into_iter().enumerate().map(closed)).collect()
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,40}", ".{0,40}", Just("\0\u{1}\"\\\u{2028}".to_owned())]
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let observed = (any::<Option<u32>>(), any::<u64>(), proptest::collection::btree_set(any_text(), 0..4)).prop_map(
        |(start, memory, snapshots)| {
            let state = VmState { start: StartId(start), memory_kib: Kib(memory), snapshots, ..state() };
            Fact::Observed { state, origin: Origin::Look }
        },
    );
    let ended = (any_text(), any_text(), any::<i64>()).prop_map(|(reason, key, number)| {
        let outcome = Outcome::new(Ending::Failed, Code::HypervisorFailed, reason);
        Fact::Ended { command: command_id(1), outcome: Outcome { result: json!({key: number}), ..outcome } }
    });
    let asked = (any::<u64>(), any::<u64>()).prop_map(|(epoch, deadline)| Fact::Asked {
        conflict: ConflictId::nth(vm(1), epoch),
        epoch,
        who: vec![Party::Hook],
        deadline: Mono(deadline),
    });
    // RFC 3339 writes the years 0 to 9999.
    let leased = (-62_000_000_000_000_000_i64..250_000_000_000_000_000).prop_map(Wall::from_micros);
    prop_oneof![
        observed,
        ended,
        asked,
        leased.prop_map(delegated_until),
        proptest::sample::select(every_fact()),
        any_text().prop_map(|name| Fact::Enrolled { name, primary: provider("north"), state: state() }),
    ]
}

/// Any entry whose times the calendar has.
pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    let facts = proptest::collection::vec(any_fact(), 1..6);
    (any::<u128>(), any::<u64>(), any::<i64>(), facts).prop_map(|(vm, mono, wall, facts)| Entry {
        vm: VmId(Uuid::from_u128(vm)),
        at: Now { mono: Mono(mono), wall: Wall::from_micros(wall) },
        facts,
    })
}
