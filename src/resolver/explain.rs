//! The story of one command: what happened to it and why, from the state alone. `covirt explain ID` prints it.

use serde::{Deserialize, Serialize};

use super::decide;
use super::fact::{Answer, Feasible, Heard, Party, Rule, StampNote, Verdict};
use super::lane::Lane;
use super::state::{Conflict, Phase, State, Tracked};
use crate::model::{CommandId, ConflictId, Now, Wall};

/// One moment of a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, by our clock.
    pub at: Wall,
    /// What happened, as one sentence.
    pub what: String,
}

/// Where a command stands, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Why it does not run yet.
    pub reason: String,
    /// The commands it waits for.
    pub on: Vec<CommandId>,
}

/// Why a command that has not ended waits; none when it does not.
#[must_use]
pub fn waiting(lane: &Lane, tracked: &Tracked, now: Now) -> Option<Waiting> {
    decide::waiting_reason(lane.state(), lane.policy(), lane.footing(), tracked, now)
        .map(|(reason, on)| Waiting { reason, on })
}

/// The rule that last decided when a command runs; none when nothing was contested.
#[must_use]
pub fn deciding_rule(state: &State, tracked: &Tracked) -> Option<Rule> {
    let settled = tracked.conflicts.iter().filter_map(|id| state.conflicts.get(id)?.settled.as_ref());
    settled.max_by_key(|(at, _)| at.mono).map(|(_, verdict)| verdict.rule)
}

/// What happened to a command, in order.
#[must_use]
pub fn story(state: &State, tracked: &Tracked) -> Vec<Moment> {
    let command = tracked.command();
    let mut story = vec![moment(tracked.received, received(tracked))];
    if let Some(expected) = tracked.gap {
        story.push(moment(
            tracked.received,
            format!("sequence number {expected} did not come in time; it went on without"),
        ));
    }
    for conflict in tracked.conflicts.iter().filter_map(|id| state.conflicts.get(id)) {
        story.extend(conflict_story(state, conflict, command.id));
    }
    if let Some(started) = tracked.started {
        let how = if command.call.is_some() {
            "its client's call was forwarded to libvirt"
        } else {
            "it was given to the hypervisor"
        };
        story.push(moment(started, how.to_owned()));
    }
    if let (Phase::Ended(outcome), Some(at)) = (&tracked.phase, tracked.finished) {
        let cause = outcome.cause.map(|cause| format!(" (because of {})", name(state, cause))).unwrap_or_default();
        story.push(moment(at, format!("it ended {}: {}{cause}", outcome.ending, outcome.reason)));
    }
    if tracked.phase == Phase::Unknown {
        let at = tracked.started.unwrap_or(tracked.received);
        story.push(moment(at, "its answer was lost; it is being observed before anything else is done".to_owned()));
    }
    // By our own time: a step of the wall clock does not turn a story round.
    story.sort_by_key(|(at, _)| at.mono);
    story.into_iter().map(|(at, what)| Moment { at: at.wall, what }).collect()
}

const fn moment(at: Now, what: String) -> (Now, String) {
    (at, what)
}

fn received(tracked: &Tracked) -> String {
    let command = tracked.command();
    let issued = match (tracked.admission.stamp, command.issued_at) {
        (StampNote::Good, Some(at)) => format!("issued {at}"),
        (StampNote::ClampedFuture, Some(at)) => format!("issued {at}, which lay in our future and was taken as now"),
        (StampNote::ClockBeyondLimit, Some(at)) => format!("issued {at} by a clock too far off to count"),
        (StampNote::Missing, _) | (_, None) => "without an issue time".to_owned(),
    };
    let after = match command.order.after.len() {
        0 => String::new(),
        1 => ", after another command".to_owned(),
        count => format!(", after {count} other commands"),
    };
    let begin = command.must_start_by.map(|by| format!(", to have begun by {by}")).unwrap_or_default();
    let glass = command.break_glass.as_ref().map(|why| format!(", breaking the glass: {why}")).unwrap_or_default();
    let (action, class) = (command.operation.action(), command.class);
    let seq = tracked.seq();
    let call = command.call.as_ref().map(|call| format!(", by its own call: {call}")).unwrap_or_default();
    format!("{} sent {action} as number {seq} ({class}, {issued}{after}{begin}{glass}){call}", command.provider)
}

fn conflict_story(state: &State, conflict: &Conflict, of: CommandId) -> Vec<(Now, String)> {
    let other = conflict.other_than(of);
    let contested = conflict.contested.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut story = vec![moment(conflict.opened, format!("it conflicts with {} over {contested}", name(state, other)))];
    for (party, asked) in &conflict.asked {
        let who = match party {
            Party::Hook => "the operator's hook".to_owned(),
            Party::Provider(provider) => provider.to_string(),
        };
        story.push(moment(asked.at, format!("{who} was asked which goes first (epoch {})", asked.epoch)));
    }
    if let Some(escalated) = conflict.escalated {
        story.push(moment(escalated.at, "both want to be first; the operator is waited for".to_owned()));
    }
    if let Some((at, verdict)) = &conflict.settled {
        for finding in &verdict.trail {
            story.push(moment(*at, format!("rule {}: {}", finding.rule.as_str(), finding.found)));
        }
        let place = match (verdict.rule, verdict.first == of) {
            (Rule::SameWish, true) => format!("it is executed for {}, too", name(state, other)),
            (Rule::SameWish, false) => format!("{} is executed for it, too", name(state, other)),
            (_, true) => format!("it goes first, then {}", name(state, other)),
            (_, false) => format!("{} goes first, then it is looked at again", name(state, other)),
        };
        story.push(moment(*at, format!("decided by {}: {place}", verdict.rule.as_str())));
    }
    if let Some(moot) = conflict.moot {
        let at = state.commands.get(&moot).and_then(|tracked| tracked.finished).unwrap_or(conflict.opened);
        story.push(moment(at, format!("the conflict needs no decision: {} is over", name(state, moot))));
    }
    story
}

/// A command as a sentence names it.
fn name(state: &State, id: CommandId) -> String {
    state.commands.get(&id).map_or_else(
        || format!("command {id}"),
        |tracked| format!("{}'s {} ({id})", tracked.command().provider, tracked.command().operation.action()),
    )
}

impl Rule {
    /// The rule's word, on the wire and in stories.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyRunning => "already-running",
            Self::DeclaredOrder => "declared-order",
            Self::SameWish => "same-wish",
            Self::BreakGlass => "break-glass",
            Self::Feasibility => "feasibility",
            Self::Escalation => "escalation",
            Self::Turn => "turn",
            Self::Callback => "callback",
            Self::Class => "class",
            Self::Ownership => "ownership",
            Self::IssueTime => "issue-time",
            Self::Age => "age",
            Self::StableHash => "stable-hash",
        }
    }
}

/// A conflict as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRecord {
    /// Its id.
    pub id: ConflictId,
    /// The two commands.
    pub between: [CommandId; 2],
    /// What both touch, as text.
    pub contested: Vec<String>,
    /// Both orders, as seen when it was found.
    pub feasible: Feasible,
    /// When it was found.
    pub opened_at: Wall,
    /// Who was asked, and what came of it.
    pub asked: Vec<AskRecord>,
    /// When it was decided.
    pub settled_at: Option<Wall>,
    /// Until when the operator is waited for: both want to be first, and it wants to decide about this pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated_until: Option<Wall>,
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// The command whose end made a decision needless.
    pub moot: Option<CommandId>,
}

/// A question and its answer as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRecord {
    /// Who was asked.
    pub who: Party,
    /// In which round.
    pub epoch: u64,
    /// When.
    pub asked_at: Wall,
    /// What was answered.
    pub answer: Option<Answer>,
    /// How that came about.
    pub how: Option<Heard>,
}

impl From<&Conflict> for ConflictRecord {
    fn from(conflict: &Conflict) -> Self {
        let asked = (conflict.asked.iter())
            .map(|(who, asked)| AskRecord {
                who: who.clone(),
                epoch: asked.epoch,
                asked_at: asked.at.wall,
                answer: asked.answer.map(|(answer, _)| answer),
                how: asked.answer.map(|(_, how)| how),
            })
            .collect();
        Self {
            id: conflict.id,
            between: conflict.between,
            contested: conflict.contested.iter().map(ToString::to_string).collect(),
            feasible: conflict.feasible.clone(),
            opened_at: conflict.opened.wall,
            asked,
            escalated_until: conflict.escalated.map(|escalated| {
                let wait = escalated.deadline.since(escalated.at.mono);
                escalated.at.wall.shifted(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
            }),
            settled_at: conflict.settled.as_ref().map(|(at, _)| at.wall),
            verdict: conflict.settled.as_ref().map(|(_, verdict)| verdict.clone()),
            moot: conflict.moot,
        }
    }
}
