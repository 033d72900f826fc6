//! Turns: waiting is bounded. A command that was put back often enough, or that wishes to have begun about now, goes
//! before rivals of its own or a lower class, whatever a callback, an owner or a clock would say.
//!
//! Two places look at it: the rules, when two commands are to be ordered, and the release, where nothing may overtake a
//! command that has its turn and waits only for what is at the hypervisor already.

use super::policy::Policy;
use super::precedence::Waits;
use super::state::{State, Tracked};
use crate::model::{Class, CommandId, Mono, Now};

/// Why a command has its turn; the greater one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// It must begin by then. Said by its own provider, so it comes below what was counted here; the earlier is
    /// greater.
    Due(std::cmp::Reverse<Mono>),
    /// It was put back so often.
    PutBack(u32),
    /// The operator broke the glass.
    BreakGlass,
}

/// Whether a command has its turn, and why.
pub(crate) fn of(tracked: &Tracked, policy: &Policy, now: Now) -> Option<Turn> {
    let due = tracked.admission.must_start_by.filter(|by| begins(*by, policy) <= now.mono);
    if tracked.command().break_glass.is_some() {
        Some(Turn::BreakGlass)
    } else if tracked.deferrals >= policy.max_deferrals {
        Some(Turn::PutBack(tracked.deferrals))
    } else {
        due.map(|by| Turn::Due(std::cmp::Reverse(by)))
    }
}

/// When a command that must begin by a moment has its turn.
pub(crate) fn begins(must_start_by: Mono, policy: &Policy) -> Mono {
    let margin = u64::try_from(policy.turn_margin.as_micros()).unwrap_or(u64::MAX);
    Mono(must_start_by.0.saturating_sub(margin))
}

/// Its class, for turns: breaking the glass is above all but an emergency.
fn class(tracked: &Tracked) -> Class {
    let class = tracked.command().class;
    if tracked.command().break_glass.is_some() { class.max(Class::Critical) } else { class }
}

/// Whether the first goes before the second because it has its turn; the reason, as a sentence's end.
pub(crate) fn before(first: &Tracked, second: &Tracked, policy: &Policy, now: Now) -> Option<String> {
    let turn = of(first, policy, now).filter(|_| class(first) >= class(second))?;
    if of(second, policy, now) >= Some(turn) {
        return None;
    }
    Some(match turn {
        Turn::BreakGlass => "was sent by breaking the glass".to_owned(),
        Turn::PutBack(1) => "was put back once, and has its turn".to_owned(),
        Turn::PutBack(times) => format!("was put back {times} times, and has its turn"),
        Turn::Due(_) => match first.command().must_start_by {
            Some(by) => format!("must begin by {by}, and has its turn"),
            None => "must begin now, and has its turn".to_owned(),
        },
    })
}

/// The command that must not be overtaken by `tracked`, and why: it has its turn, clashes, and waits only for what is
/// at the hypervisor. Without this, commands that clash with it but not with each other could pass it for ever.
pub(crate) fn passed_by<'a>(
    state: &'a State,
    policy: &Policy,
    tracked: &Tracked,
    now: Now,
) -> Option<(&'a Tracked, String)> {
    state.queued().find_map(|waiting| {
        if waiting.command().provider == tracked.command().provider || !waiting.clashes_with(tracked) {
            return None;
        }
        let reason = before(waiting, tracked, policy, now)?;
        waits_for_running_only(state, waiting).then_some((waiting, reason))
    })
}

fn waits_for_running_only(state: &State, waiting: &Tracked) -> bool {
    let active = |id: &CommandId| state.commands.get(id).is_some_and(Tracked::is_active);
    waiting.coalesced_with.is_none()
        && matches!(state.waits(waiting), Some(Waits::For(_)))
        && state.predecessors(waiting).iter().all(active)
        && state.unseen_after(waiting).is_none()
}
