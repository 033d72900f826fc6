//! The operator's word: any open conflict may be decided by it, and for pairs of providers that it named it is waited
//! for when both want to be first.

use super::fact::Fact;
use super::policy::{Policy, pair};
use super::state::{Conflict, State, Tracked};
use crate::model::action::Undo;
use crate::model::{Code, CommandId, ConflictId, Mono, Now, ProviderId, Refusal};

/// How far an escalation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody declared it for these two.
    None,
    /// It begins, and lasts until then.
    Begin(Mono),
    /// The operator is waited for.
    Pending,
    /// Nobody decided in time; this one can be undone and the other cannot.
    Over(Option<CommandId>),
}

/// What is to be done about two commands whose providers both want to be first.
pub(crate) fn stage(policy: &Policy, conflict: &Conflict, (a, b): (&Tracked, &Tracked), now: Now) -> Stage {
    match conflict.escalated {
        Some(escalated) if now.mono < escalated.deadline => Stage::Pending,
        Some(_) => Stage::Over(milder(a, b)),
        None => {
            let pair = pair(a.command().provider.clone(), b.command().provider.clone());
            let begin = || Stage::Begin(now.mono.after(policy.escalate_wait));
            if policy.escalate.contains(&pair) { begin() } else { Stage::None }
        }
    }
}

/// The one of two that can be undone, if the other cannot.
fn milder(a: &Tracked, b: &Tracked) -> Option<CommandId> {
    let undo = |tracked: &Tracked| tracked.command().operation.action().spec().undo;
    match (undo(a), undo(b)) {
        (Undo::Reversible, Undo::Irreversible) => Some(a.command().id),
        (Undo::Irreversible, Undo::Reversible) => Some(b.command().id),
        (Undo::Reversible, Undo::Reversible) | (Undo::Irreversible, Undo::Irreversible) => None,
    }
}

/// Takes the operator's word on a conflict.
///
/// *Errors*: [`Code::Forbidden`] for anybody else; [`Code::UnknownConflict`]; [`Code::ConflictSettled`];
/// [`Code::UnknownCommand`] for a command that is not one of the two.
pub(crate) fn decide(state: &State, by: ProviderId, id: ConflictId, first: CommandId) -> Result<Fact, Refusal> {
    if !by.is_operator() {
        return Err(Refusal::new(Code::Forbidden, "only the operator decides a conflict by its word"));
    }
    let unknown = || Refusal::new(Code::UnknownConflict, format!("there is no conflict {id} on this VM"));
    let conflict = state.conflicts.get(&id).ok_or_else(unknown)?;
    if !conflict.between.contains(&first) {
        let message = format!("command {first} has no part in conflict {id}");
        return Err(Refusal::new(Code::UnknownCommand, message).blocked_by(first));
    }
    if !state.open.contains(&id) {
        return Err(Refusal::new(Code::ConflictSettled, format!("conflict {id} is over")));
    }
    Ok(Fact::Decided { conflict: id, by, first })
}
