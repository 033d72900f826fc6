//! What happened past this agent: whether a command of ours explains it, and if not, who brought it about.

use std::time::Duration;

use super::client;
use super::decide::explains;
use super::fact::{Fact, Origin};
use super::message::Observation;
use super::state::{Standing, State, Tracked};
use crate::model::{Action, Actor, Cause, Effect, Happening, HoldKey, Now, PowerState, Resource, VmState};

/// For how long after its end a command explains what happens: an event takes another way than an answer.
const ECHO: Duration = Duration::from_millis(500);

/// Whether an observation differs, and who brought that about.
pub(crate) fn observation(state: &State, seen: &VmState, why: Observation) -> Option<Fact> {
    let believed = state.believed.as_ref();
    if believed == Some(seen) && state.standing != Standing::Vanished {
        return None;
    }
    let why = match why {
        // It says how that job ended and nothing of the rest, least of all how the VM came to be off.
        Observation::Told(cause)
            if cause.is_of_a_job() && !believed.is_some_and(|before| a_job_ended(before, seen)) =>
        {
            Observation::Event
        }
        Observation::Told(_) | Observation::Event | Observation::Look => why,
    };
    let vanished = state.standing == Standing::Vanished;
    let explains = |running: &&Tracked| {
        (vanished && client::brings_back(state, running.command()))
            || (explains(running, believed, seen) && may_be_of(running, why))
    };
    let active = || state.active().find(explains).map(|running| running.command().id);
    let origin = match state.obeyed_late(seen).or_else(active) {
        Some(command) => Origin::Command { command },
        None => origin(why, believed.and_then(|before| derived(state, before, seen, why))),
    };
    Some(Fact::Observed { state: seen.clone(), origin })
}

/// The VM is not there any more, and who brought that about.
pub(crate) fn vanishing(state: &State, why: Observation) -> Fact {
    // One without a definition goes when it is off, and one that is off with its definition.
    let ends = |running: &&Tracked| {
        let effect = running.command().operation.effect();
        matches!(effect, Effect::Power(PowerState::ShutOff) | Effect::Undefined) && may_be_of(running, why)
    };
    let ours = state.active().find(ends).map(|running| running.command().id);
    Fact::Vanished { origin: Some(ours.map_or_else(|| origin(why, None), |command| Origin::Command { command })) }
}

/// Something that the state does not show, unless a command of ours explains it.
pub(crate) fn happening(state: &State, happening: Happening, now: Now) -> Option<Fact> {
    let lately = (state.ended.iter().rev().filter_map(|id| state.commands.get(id)))
        .take_while(|ended| ended.finished.is_some_and(|at| now.mono < at.mono.after(ECHO)))
        .filter(|ended| ended.began);
    // The guest may have obeyed late. The look that follows tells whether it has, and otherwise which device went.
    let late = happening.cause == Cause::DeviceRemoved && !state.unobeyed.is_empty();
    let ours = late || state.active().chain(lately).any(|tracked| accounts_for(tracked, &happening));
    let Happening { cause, subject } = happening;
    (!ours).then(|| Fact::Happened { origin: Origin::past_us(Some(cause)), subject })
}

/// Who brought the power state about and how, as an aside to a reason, where that is known and was nobody of ours.
pub(crate) fn aside(state: &State) -> String {
    let past_us = state.brought_about.as_ref().filter(|origin| origin.cause().is_some());
    past_us.map(|origin| format!(" ({origin})")).unwrap_or_default()
}

fn origin(why: Observation, derived: Option<Cause>) -> Origin {
    match why {
        Observation::Look => Origin::Look,
        Observation::Told(cause) => Origin::past_us(Some(derived.unwrap_or(cause))),
        Observation::Event => Origin::past_us(derived),
    }
}

/// What follows from the states themselves, where events say nothing or only in part.
fn derived(state: &State, before: &VmState, after: &VmState, why: Observation) -> Option<Cause> {
    let silent = why == Observation::Event;
    let told_off = matches!(why, Observation::Told(cause) if leads_to(cause) == Some(PowerState::ShutOff));
    if told_off && after.start.0.is_some() && before.start != after.start {
        // It was stopped and started again before anybody looked.
        return Some(Cause::Started);
    }
    if silent && before.start.0.is_none() && after.start.0.is_some() {
        // libvirt says so only once the vCPUs run.
        return Some(Cause::Started);
    }
    if silent && differ_in_snapshots_alone(before, after) {
        return Some(Cause::SnapshotsChanged);
    }
    if silent && only_jobs_ended(before, after) {
        return Some(Cause::JobEnded);
    }
    // A start halts the vCPUs first and lets them go when all is ready.
    let begun = state.brought_about.as_ref().and_then(Origin::cause);
    let starts = begun == Some(Cause::Started) && before.power == PowerState::Paused && before.start == after.start;
    (why == Observation::Told(Cause::Resumed) && starts).then_some(Cause::Started)
}

fn differ_in_snapshots_alone(before: &VmState, after: &VmState) -> bool {
    before.snapshots != after.snapshots && VmState { snapshots: after.snapshots.clone(), ..before.clone() } == *after
}

/// Whether a job has ended without the VM.
fn a_job_ended(before: &VmState, after: &VmState) -> bool {
    before.power == after.power && !before.jobs.is_subset(&after.jobs)
}

/// Whether jobs have ended and nothing else has happened, but what their ends lead to.
fn only_jobs_ended(before: &VmState, after: &VmState) -> bool {
    // A disk's job ends with another chain of images, which the definition names.
    let of_disk = before.jobs.difference(&after.jobs).any(|job| matches!(job, HoldKey::Block(_)));
    let definition = if of_disk { &before.definition } else { &after.definition };
    let rest = VmState { jobs: before.jobs.clone(), definition: definition.clone(), ..after.clone() };
    a_job_ended(before, after) && after.jobs.is_subset(&before.jobs) && rest == *before
}

/// Whether what was told can be a running command's doing.
fn may_be_of(running: &Tracked, why: Observation) -> bool {
    let Observation::Told(cause) = why else { return true };
    let operation = &running.command().operation;
    let leads_elsewhere = match (operation.effect(), leads_to(cause)) {
        (Effect::Power(wanted), Some(led)) => wanted != led,
        _ => false,
    };
    // A guest that is asked to shut down is not switched off.
    let switched_off = operation.action() == Action::PowerShutdown && cause == Cause::Destroyed;
    // What ends the process ends the jobs in it.
    let ends_jobs = cause.is_of_a_job() && running.footprint.writes.contains(&Resource::Power);
    let may = ends_jobs || (cause.actor() != Actor::Hypervisor && cause != Cause::GuestPanicked);
    may && !leads_elsewhere && !switched_off
}

/// The power state that a cause leads to, where it leads to one for certain.
fn leads_to(cause: Cause) -> Option<PowerState> {
    use Cause::{Destroyed, GuestShutdown, MigratedAway, Resumed, Saved, Started, Suspended, Terminated, Woken};
    if matches!(cause, Destroyed | Terminated | GuestShutdown | Saved | MigratedAway) {
        Some(PowerState::ShutOff)
    } else if matches!(cause, Started | Resumed | Woken) {
        Some(PowerState::Running)
    } else {
        (cause == Suspended).then_some(PowerState::Paused)
    }
}

/// Whether a command's footprint explains what happened while it ran. A restart is none of these: whoever makes the
/// calls knows which are ours.
fn accounts_for(tracked: &Tracked, happening: &Happening) -> bool {
    use Cause::{AgentGone, AgentReady, Defined, DeviceAdded, DeviceRemoved, Redefined, Renamed, Tuned, Undefined};
    let mut writes = tracked.footprint.writes.iter();
    let cause = happening.cause;
    if cause == Cause::MetadataChanged {
        let subject = happening.subject.as_ref();
        let of = |uri: &String| subject.is_none_or(|subject| subject == uri);
        writes
            .any(|resource| *resource == Resource::Definition || matches!(resource, Resource::Metadata(uri) if of(uri)))
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
