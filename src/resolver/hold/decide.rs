//! When something is open, contested and over: what follows from a command's end, a look, a session's end and a wish.

use super::Hold;
use crate::model::{
    Code, CommandId, ConflictId, Effect, Ending, HoldKey, Now, Outcome, PowerState, ProviderId, Refusal, VmState,
};
use crate::resolver::fact::{Closed, Fact, GivenUp};
use crate::resolver::rules;
use crate::resolver::state::{Phase, State, Tracked};

/// What follows from a command's end for what is open.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other effect ends anything that is open")]
pub(crate) fn at_end(state: &State, tracked: &Tracked, outcome: &Outcome, now: Now) -> Vec<Fact> {
    if outcome.ending != Ending::Done || tracked.command().operation.only_asks() {
        return Vec::new();
    }
    let command = tracked.command();
    let closed =
        |hold: &Hold| Fact::HoldClosed { hold: hold.key.clone(), how: Closed::ByCommand { command: command.id } };
    let effect = command.operation.effect();
    let mut facts: Vec<Fact> = match &effect {
        Effect::Closed(key) => state.holds.get(key).map(closed).into_iter().collect(),
        Effect::Power(PowerState::ShutOff) | Effect::Saved | Effect::Reverted(_) => {
            state.holds.values().filter(|hold| hold.key != HoldKey::Lock).map(closed).collect()
        }
        Effect::Restart => state.holds.get(&HoldKey::Freeze).map(closed).into_iter().collect(),
        _ => Vec::new(),
    };
    if let Some((hold, footprint)) = command.operation.leaves_open() {
        // An answer that was lost comes late: what libvirt shows then is all that is known.
        let over = hold.is_observable()
            && tracked.phase == Phase::Unknown
            && state.believed.as_ref().is_some_and(|vm| !vm.jobs.contains(&hold));
        if !over {
            facts.push(Fact::HoldOpened {
                hold,
                command: Some(command.id),
                owner: Some(command.provider.clone()),
                footprint,
                lease: command.operation.lease().map(|lease| now.mono.after(lease)),
            });
        }
    }
    facts
}

/// What a look at the VM says of what is open.
pub(crate) fn seen(state: &State, vm: &VmState) -> Vec<Fact> {
    let in_hand = |key: &HoldKey| {
        state.active().any(|running| {
            let operation = &running.command().operation;
            operation.leaves_open().is_some_and(|(hold, _)| hold == *key) || operation.ends_open().as_ref() == Some(key)
        })
    };
    let mut facts: Vec<Fact> = (state.holds.values())
        .filter_map(|hold| {
            let how = if hold.key != HoldKey::Lock && vm.start != hold.start {
                Closed::Stopped {}
            } else if hold.key.is_observable() && !vm.jobs.contains(&hold.key) && !in_hand(&hold.key) {
                Closed::Seen {}
            } else {
                return None;
            };
            Some(Fact::HoldClosed { hold: hold.key.clone(), how })
        })
        .collect();
    let foreign = vm.jobs.iter().filter(|key| !state.holds.contains_key(key) && !in_hand(key));
    facts.extend(foreign.map(|key| Fact::HoldOpened {
        hold: key.clone(),
        command: None,
        owner: None,
        footprint: key.footprint(),
        lease: None,
    }));
    facts
}

/// The VM is not here any more, and nothing that was open in it.
pub(crate) fn gone(state: &State) -> Vec<Fact> {
    let close = |hold: &Hold| Fact::HoldClosed { hold: hold.key.clone(), how: Closed::Gone {} };
    state.holds.values().map(close).collect()
}

/// What a provider's lost session ends: what stands still for it and nobody else.
pub(crate) fn session_lost(state: &State, provider: &ProviderId) -> Vec<Fact> {
    (state.holds.get(&HoldKey::Freeze).into_iter())
        .filter(|hold| hold.owner.as_ref() == Some(provider) && hold.given_up.is_none())
        .map(|hold| Fact::HoldGivenUp { hold: hold.key.clone(), why: GivenUp::SessionLost {} })
        .collect()
}

/// Somebody asks for something open to be ended.
///
/// *Errors*: [`Code::UnknownHold`]; [`Code::Forbidden`] for who neither owns it nor is the host's owner.
pub(crate) fn request_end(state: &State, key: &HoldKey, by: ProviderId, reason: String) -> Result<Fact, Refusal> {
    let unknown = || Refusal::new(Code::UnknownHold, format!("no {key} is open on this VM"));
    let hold = state.holds.get(key).ok_or_else(unknown)?;
    if !by.is_operator() && hold.owner.as_ref() != Some(&by) {
        let refusal = Refusal::new(Code::Forbidden, format!("{} is ended by its owner or the operator", hold.named()));
        return Err(hold.owner.iter().fold(refusal, |refusal, owner| refusal.held_by(owner.clone(), None)));
    }
    Ok(Fact::HoldGivenUp { hold: key.clone(), why: GivenUp::Requested { by, reason } })
}

/// A command that waits for what another provider has open is a conflict, once; one that waits for what its own
/// provider has open ends that if it is the more urgent.
pub(crate) fn contest(state: &State, heads: &[&Tracked]) -> Option<Vec<Fact>> {
    heads.iter().copied().find_map(|tracked| {
        let hold = state.holds.values().find(|hold| hold.given_up.is_none() && hold.holds_back(tracked))?;
        let opener = state.commands.get(&hold.opener?)?;
        let (command, other) = (tracked.command(), opener.command());
        if command.provider == other.provider {
            let why = GivenUp::Yielded { to: command.id };
            return (command.class > other.class).then(|| vec![Fact::HoldGivenUp { hold: hold.key.clone(), why }]);
        }
        // What the two were at odds about before the hold was open was another question.
        let about = |conflict: &ConflictId| state.conflicts.get(conflict).and_then(|known| known.hold.as_ref());
        let known = tracked.conflicts.iter().filter(|id| opener.conflicts.contains(id));
        if known.map(about).any(|held| held == Some(&hold.key)) {
            return None;
        }
        let contested = hold.footprint.contested_with(&tracked.footprint);
        let conflict = ConflictId::nth(state.vm, state.conflict_count);
        let (first, second) = if command.id < other.id { (tracked, opener) } else { (opener, tracked) };
        let between = [first.command().id, second.command().id];
        Some(vec![Fact::ConflictOpened { conflict, between, contested, feasible: rules::either() }])
    })
}

/// The hold that a verdict gives up: its opener was put second.
pub(crate) fn given_up_by(state: &State, first: CommandId, second: CommandId) -> Option<Fact> {
    let hold = state.holds.values().find(|hold| hold.opener == Some(second))?;
    Some(Fact::HoldGivenUp { hold: hold.key.clone(), why: GivenUp::Yielded { to: first } })
}
