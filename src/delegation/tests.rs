use std::collections::BTreeSet;
use std::time::Duration;

use super::change::InFlight;
use super::{Authority, Change, ChangeRequest, Mode, decide};
use crate::model::{Action, Code, CommandId, Mono, Now, ProviderId, Wall};

fn at(seconds: u64) -> Now {
    Now { mono: Mono(seconds * 1_000_000), wall: Wall::from_micros(i64::try_from(seconds).unwrap() * 1_000_000) }
}

fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

fn north() -> ProviderId {
    provider("north")
}

fn delegate(to: &str, actions: &[Action], mode: Mode, lease: Option<u64>) -> ChangeRequest {
    ChangeRequest::Delegate {
        by: north(),
        to: provider(to),
        actions: actions.iter().copied().collect(),
        mode,
        lease: lease.map(Duration::from_secs),
    }
}

fn given(requests: &[ChangeRequest]) -> Authority {
    let mut authority = Authority::of_primary(north());
    for request in requests {
        let change = decide(&authority, request, &InFlight::new(), at(0)).unwrap();
        authority.apply(&change);
    }
    authority
}

const SNAPSHOTS: [Action; 3] = [Action::SnapshotCreate, Action::SnapshotRevert, Action::SnapshotDelete];

#[test]
fn the_primary_starts_with_every_action() {
    let authority = Authority::of_primary(north());
    let all = Action::ALL.into_iter().filter(|action| *action != Action::MonitorCommand);
    assert_eq!(authority.actions_of(&north(), Mono(0)), all.collect());
    assert!(authority.actions_of(&provider("south"), Mono(0)).is_empty());
}

#[test]
fn an_exclusive_delegation_moves_and_names_its_holder() {
    let authority = given(&[delegate("south", &SNAPSHOTS, Mode::Exclusive, None)]);
    authority.authorise(&provider("south"), Action::SnapshotCreate, at(1)).unwrap();
    let refusal = authority.authorise(&north(), Action::SnapshotCreate, at(1)).unwrap_err();
    assert_eq!((refusal.code, refusal.holder), (Code::NotDelegated, Some(provider("south"))));
}

#[test]
fn a_shared_delegation_is_held_by_both() {
    let authority = given(&[delegate("south", &SNAPSHOTS, Mode::Shared, None)]);
    for name in ["north", "south"] {
        let grant = authority.authorise(&provider(name), Action::SnapshotCreate, at(1)).unwrap();
        assert_eq!(grant.mode, Some(Mode::Shared), "{name}");
    }
}

#[test]
fn an_expired_delegation_goes_back_to_the_primary() {
    let authority = given(&[delegate("south", &SNAPSHOTS, Mode::Exclusive, Some(60))]);
    authority.authorise(&provider("south"), Action::SnapshotCreate, at(59)).unwrap();
    let refusal = authority.authorise(&provider("south"), Action::SnapshotCreate, at(60)).unwrap_err();
    assert_eq!(refusal.code, Code::UnknownVm);
    authority.authorise(&north(), Action::SnapshotCreate, at(60)).unwrap();
    assert_eq!(authority.next_expiry(Mono(0)), Some(at(60).mono));
}

#[test]
fn a_revoked_and_granted_again_action_is_another_grant() {
    let mut authority = given(&[delegate("south", &SNAPSHOTS, Mode::Exclusive, None)]);
    let south = provider("south");
    let before = authority.authorise(&south, Action::SnapshotCreate, at(1)).unwrap();
    let revoke = ChangeRequest::Revoke { by: north(), from: south.clone(), actions: BTreeSet::new() };
    for request in [revoke, delegate("south", &SNAPSHOTS, Mode::Exclusive, None)] {
        let change = decide(&authority, &request, &InFlight::new(), at(2)).unwrap();
        authority.apply(&change);
    }
    authority.authorise(&south, Action::SnapshotCreate, at(3)).unwrap();
    assert!(!authority.still_stands(&south, Action::SnapshotCreate, before, at(3)));
}

#[test]
fn a_longer_lease_is_the_same_grant_and_a_lapsed_one_is_not() {
    let south = provider("south");
    for (renewed_at, stands) in [(30, true), (90, false)] {
        let mut authority = given(&[delegate("south", &SNAPSHOTS, Mode::Exclusive, Some(60))]);
        let before = authority.authorise(&south, Action::SnapshotCreate, at(1)).unwrap();
        let request = delegate("south", &SNAPSHOTS, Mode::Exclusive, Some(600));
        let change = decide(&authority, &request, &InFlight::new(), at(renewed_at)).unwrap();
        authority.apply(&change);
        let still = authority.still_stands(&south, Action::SnapshotCreate, before, at(100));
        assert_eq!(still, stands, "renewed at {renewed_at} s");
    }
}

#[test]
fn what_is_in_flight_is_not_handed_over() {
    let authority = Authority::of_primary(north());
    let command = CommandId(uuid::Uuid::from_u128(1));
    let busy = InFlight::from([(north(), Action::SnapshotCreate, command)]);
    let refusal = decide(&authority, &delegate("south", &SNAPSHOTS, Mode::Exclusive, None), &busy, at(0)).unwrap_err();
    assert_eq!((refusal.code, refusal.command), (Code::ActionInFlight, Some(command)));
    decide(&authority, &delegate("south", &SNAPSHOTS, Mode::Shared, None), &busy, at(0)).unwrap();
    // The operator loses nothing, and hides nobody who does.
    let of = |provider: ProviderId| (provider, Action::SnapshotCreate, command);
    let exclusive = delegate("west", &SNAPSHOTS, Mode::Exclusive, None);
    let operators = InFlight::from([of(ProviderId::operator())]);
    decide(&authority, &exclusive, &operators, at(0)).unwrap();
    let both = InFlight::from([of(ProviderId::operator()), of("south".parse().unwrap())]);
    assert_eq!(decide(&authority, &exclusive, &both, at(0)).unwrap_err().code, Code::ActionInFlight);
}

#[test]
fn equal_sets_third_parties_and_strangers_are_refused() {
    let authority = given(&[delegate("south", &SNAPSHOTS, Mode::Exclusive, None)]);
    let cases = [
        (delegate("west", &SNAPSHOTS, Mode::Exclusive, None), Code::HeldByOther),
        (delegate("north", &[Action::CpuSet], Mode::Shared, None), Code::BadDelegate),
        (delegate("operator", &[Action::CpuSet], Mode::Shared, None), Code::BadDelegate),
        (delegate("west", &[], Mode::Shared, None), Code::Malformed),
        (
            ChangeRequest::Delegate {
                by: provider("south"),
                to: provider("west"),
                actions: [Action::CpuSet].into(),
                mode: Mode::Shared,
                lease: None,
            },
            Code::Forbidden,
        ),
        (ChangeRequest::Revoke { by: north(), from: provider("west"), actions: BTreeSet::new() }, Code::NotDelegated),
    ];
    for (request, code) in cases {
        assert_eq!(decide(&authority, &request, &InFlight::new(), at(0)).unwrap_err().code, code, "{request:?}");
    }
    let everything: Vec<Action> = Action::ALL.into_iter().filter(|action| *action != Action::MonitorCommand).collect();
    let everything = delegate("south", &everything, Mode::Shared, None);
    let fresh = Authority::of_primary(north());
    assert_eq!(decide(&fresh, &everything, &InFlight::new(), at(0)).unwrap_err().code, Code::SetsEqual);
}

#[test]
fn a_holder_may_give_back_and_the_operator_may_revoke() {
    for by in ["south", "operator", "north"] {
        let authority = given(&[delegate("south", &SNAPSHOTS, Mode::Exclusive, None)]);
        let revoke = ChangeRequest::Revoke { by: provider(by), from: provider("south"), actions: BTreeSet::new() };
        let change = decide(&authority, &revoke, &InFlight::new(), at(1)).unwrap();
        assert!(matches!(change, Change::Revoked { actions, .. } if actions.len() == 3), "{by}");
    }
}

#[test]
fn who_has_any_part_in_the_vm_may_read_it() {
    let authority = given(&[delegate("south", &[Action::CpuSet], Mode::Exclusive, None)]);
    authority.authorise(&provider("south"), Action::InspectRead, at(1)).unwrap();
    authority.authorise(&provider("west"), Action::InspectRead, at(1)).unwrap_err();
}

#[test]
fn rivals_are_those_whose_actions_could_clash() {
    let authority = given(&[
        delegate("south", &SNAPSHOTS, Mode::Exclusive, None),
        delegate("west", &[Action::MetadataSet], Mode::Shared, None),
    ]);
    let south = provider("south");
    assert_eq!(authority.rivals(&north(), Action::PowerReboot, Mono(0)), BTreeSet::from([&south]));
    assert!(authority.rivals(&north(), Action::InspectRead, Mono(0)).is_empty());
}

#[test]
fn what_gets_round_everything_is_given_by_its_name_and_by_the_operator_alone() {
    let monitor = |by: &str, to: &str| ChangeRequest::Delegate {
        by: provider(by),
        to: provider(to),
        actions: [Action::MonitorCommand].into(),
        mode: Mode::Shared,
        lease: Some(Duration::from_secs(60)),
    };
    let fresh = Authority::of_primary(north());
    let refusal = fresh.authorise(&north(), Action::MonitorCommand, at(1)).unwrap_err();
    assert_eq!((refusal.code, refusal.holder), (Code::NotDelegated, None));
    fresh.authorise(&ProviderId::operator(), Action::MonitorCommand, at(1)).unwrap();
    let refused = decide(&fresh, &monitor("north", "south"), &InFlight::new(), at(0)).unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    // The primary, too, has it only so.
    let mut authority = fresh;
    for to in ["north", "south"] {
        let change = decide(&authority, &monitor("operator", to), &InFlight::new(), at(0)).unwrap();
        authority.apply(&change);
        authority.authorise(&provider(to), Action::MonitorCommand, at(1)).unwrap();
        authority.authorise(&provider(to), Action::MonitorCommand, at(61)).unwrap_err();
    }
    assert_eq!(authority.providers(Mono(0)), [&north(), &provider("south")]);
}
