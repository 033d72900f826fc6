//! Commands that are a libvirt client's own call: once the client's connection is gone, nobody can make it any more.

use std::collections::BTreeSet;

use super::fact::{Fact, Origin};
use super::state::{Phase, Standing, State, Tracked};
use crate::model::{Action, Cause, Code, Command, CommandId, Ending, Operation, Outcome};

/// A client's connection ended before its call was released.
pub(crate) fn left(command: CommandId) -> Fact {
    ended(command, "the client's connection ended before its call was released")
}

/// A call whose answer was lost never took effect; it was its client's, and is not made again.
pub(crate) fn undone(command: CommandId) -> Fact {
    ended(
        command,
        "the answer was lost, the call is seen not to have taken effect, and only its client could make it again",
    )
}

/// Why a call that is to be made now is not.
#[must_use]
pub fn nobody_carries() -> Outcome {
    outcome("nobody is there any more to make the client's call")
}

/// Queued commands whose clients are gone, after a restart; those of these are not.
pub(crate) fn gone(state: &State, carried: &BTreeSet<CommandId>) -> Vec<Fact> {
    let gone = state.queued().map(Tracked::command).filter(|command| command.call.is_some());
    gone.filter(|command| !carried.contains(&command.id)).map(|command| left(command.id)).collect()
}

/// Commands whose start is durable and whose client's call was not made all the same, because the lane never heard
/// that it was: they wait again.
pub(crate) fn unmade(state: &State, carried: &BTreeSet<CommandId>) -> Vec<Fact> {
    let unmade = state.active().filter(|tracked| carried.contains(&tracked.command().id));
    let facts = unmade.flat_map(|tracked| {
        let command = tracked.command().id;
        let unknown = (tracked.phase == Phase::Running).then_some(Fact::BecameUnknown { command });
        unknown.into_iter().chain([Fact::FoundUndone { command }])
    });
    facts.collect()
}

/// Whether a client's call brings a VM back that does not exist: its manager removes the definition and defines the same
/// VM again, or creates it so. What is defined here of a VM that has left for another host is not started: that would
/// run it twice.
pub(crate) fn brings_back(state: &State, command: &Command) -> bool {
    let action = command.operation.action();
    let arrives = matches!(&command.operation, Operation::Relayed(args) if args.arrives());
    let starts = matches!(action, Action::PowerStart | Action::PowerRestore);
    let created = starts && (arrives || !has_left(state));
    let managers = command.provider.is_operator()
        || state.authority.as_ref().is_some_and(|authority| authority.primary == command.provider);
    command.call.is_some() && managers && (created || action == Action::DefinitionDefine)
}

/// Whether the VM does not exist and a command is under way that brings it back.
pub(crate) fn is_coming_back(state: &State) -> bool {
    state.standing == Standing::Vanished && state.live().any(|tracked| brings_back(state, tracked.command()))
}

/// Whether the VM has gone to another host.
fn has_left(state: &State) -> bool {
    let cause = state.brought_about.as_ref().and_then(Origin::cause);
    state.moved_to.is_some() || cause == Some(Cause::MigratedAway)
}

fn ended(command: CommandId, reason: &str) -> Fact {
    Fact::Ended { command, outcome: outcome(reason) }
}

fn outcome(reason: &str) -> Outcome {
    Outcome::new(Ending::Cancelled, Code::ClientGone, reason)
}
