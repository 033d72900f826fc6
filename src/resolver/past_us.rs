//! What happened past this agent: whether a command of ours explains it, and if not, who brought it about.

use std::time::Duration;

use super::decide::explains;
use super::fact::{Fact, Origin};
use super::message::Observation;
use super::state::{Standing, State, Tracked};
use crate::model::{Action, Actor, Cause, Effect, Happening, Now, PowerState, Resource, VmState};

/// For how long after its end a command explains what happens: an event takes another way than an answer.
const ECHO: Duration = Duration::from_millis(500);

/// Whether an observation differs, and who brought that about.
pub(crate) fn observation(state: &State, seen: &VmState, why: Observation) -> Option<Fact> {
    let believed = state.believed.as_ref();
    if believed == Some(seen) && state.standing != Standing::Vanished {
        return None;
    }
    let explains = |running: &&Tracked| explains(running, believed, seen) && may_be_of(running, why);
    let ours = state.active().find(explains).map(|running| running.command().id);
    let origin = match ours {
        Some(command) => Origin::Command { command },
        None => origin(why, believed.is_some_and(|before| differ_in_snapshots_alone(before, seen))),
    };
    Some(Fact::Observed { state: seen.clone(), origin })
}

/// The VM is not there any more, and who brought that about.
pub(crate) fn vanishing(state: &State, why: Observation) -> Fact {
    // One without a definition goes when it is off.
    let ends = |running: &&Tracked| {
        running.command().operation.effect() == Effect::Power(PowerState::ShutOff) && may_be_of(running, why)
    };
    let ours = state.active().find(ends).map(|running| running.command().id);
    Fact::Vanished { origin: Some(ours.map_or_else(|| origin(why, false), |command| Origin::Command { command })) }
}

/// Something that the state does not show, unless a command of ours explains it.
pub(crate) fn happening(state: &State, happening: Happening, now: Now) -> Option<Fact> {
    let lately = (state.ended.iter().rev().filter_map(|id| state.commands.get(id)))
        .take_while(|ended| ended.finished.is_some_and(|at| now.mono < at.mono.after(ECHO)))
        .filter(|ended| ended.began);
    let ours = state.active().chain(lately).any(|tracked| accounts_for(tracked, &happening));
    let Happening { cause, subject } = happening;
    (!ours).then(|| Fact::Happened { origin: Origin::past_us(Some(cause)), subject })
}

/// Who made the VM what it is, as an aside to a reason, where that was nobody of ours.
pub(crate) fn aside(state: &State) -> String {
    let past_us = state.brought_about.as_ref().filter(|origin| origin.actor().is_some());
    past_us.map(|origin| format!(" ({origin})")).unwrap_or_default()
}

fn origin(why: Observation, snapshots_alone: bool) -> Origin {
    match why {
        Observation::Look => Origin::Look,
        Observation::Told(cause) => Origin::past_us(Some(cause)),
        // No event of libvirt's tells of snapshots.
        Observation::Event => Origin::past_us(snapshots_alone.then_some(Cause::SnapshotsChanged)),
    }
}

fn differ_in_snapshots_alone(before: &VmState, after: &VmState) -> bool {
    before.snapshots != after.snapshots && VmState { snapshots: after.snapshots.clone(), ..before.clone() } == *after
}

/// Whether what was told can be a running command's doing.
fn may_be_of(running: &Tracked, why: Observation) -> bool {
    let Observation::Told(cause) = why else { return true };
    let action = running.command().operation.action();
    match cause.actor() {
        Actor::Hypervisor => false,
        Actor::Guest => cause != Cause::GuestPanicked,
        // A guest that is asked to shut down does not end like this.
        Actor::OutOfBand => !(action == Action::PowerShutdown && cause == Cause::Destroyed),
    }
}

/// Whether a command's footprint explains what happened while it ran. A restart is none of these: each of ours explains
/// one, and whoever makes the calls counts them.
fn accounts_for(tracked: &Tracked, happening: &Happening) -> bool {
    use Cause::{AgentGone, AgentReady, Defined, DeviceAdded, DeviceRemoved, Redefined, Renamed, Tuned, Undefined};
    let mut writes = tracked.footprint.writes.iter();
    let cause = happening.cause;
    if cause == Cause::MetadataChanged {
        let subject = happening.subject.as_ref();
        writes.any(|resource| match resource {
            Resource::Metadata(uri) => subject.is_none_or(|subject| subject == uri),
            other => *other == Resource::Definition,
        })
    } else if matches!(cause, DeviceAdded | DeviceRemoved | Cause::UnplugRefused | Tuned) {
        // vCPUs and memory are devices, too.
        writes.any(|resource| !matches!(resource, Resource::Power | Resource::Snapshots | Resource::Metadata(_)))
    } else if matches!(cause, Defined | Redefined | Renamed | Undefined) {
        // Whatever is written for good is written into the definition.
        writes.any(|resource| *resource != Resource::Power)
    } else {
        matches!(cause, AgentReady | AgentGone) && writes.any(|resource| *resource == Resource::Power)
    }
}
