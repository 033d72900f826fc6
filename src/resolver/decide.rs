//! What a lane does next, by itself: the one place that turns a state into the next fact.
//!
//! [`next`] looks at the state and gives at most one decision; the lane applies its facts and asks again until there
//! is none. It only ever reads: changing the state is [`State::apply`](super::apply)'s work.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::budget;
use super::channel;
use super::client;
use super::drain;
use super::fact::{Answer, Fact, Heard, Party};
use super::hold;
use super::past_us;
use super::policy::{GatherFor, Policy, Said};
use super::precedence::Waits;
use super::recheck;
use super::restraint;
use super::rules::{self, Progress};
use super::state::{Asked, Conflict, Standing, State, Tracked};
use super::turn;
use crate::model::action::Undo;
use crate::model::{
    Class, Code, CommandId, ConflictId, Effect, Ending, Mono, Now, Operation, Outcome, PowerState, Resource, VmState,
};
use crate::sovereignty::Restraint;

/// Whether commands may leave for the hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Gate {
    /// They may.
    #[default]
    Open,
    /// The agent is about to stop: what has not begun waits in the journal for its next start.
    Shut,
}

/// What a lane knows of this life of the agent alone; nothing of it is journalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footing {
    pub(crate) gate: Gate,
    /// The VM is being looked at, so what it is believed to be ends nothing.
    pub(crate) doubt: bool,
    /// What holds on the whole host; none until it was told.
    pub(crate) restraint: Option<Arc<Restraint>>,
}

/// The next thing to happen on a lane, if anything is due.
pub(crate) fn next(state: &State, policy: &Policy, footing: &Footing, now: Now) -> Option<Vec<Fact>> {
    restraint::due(state, footing.restraint.as_deref(), now)
        .or_else(|| overdue(state, policy, footing, now))
        .or_else(|| silence(state, policy, now))
        .or_else(|| resolution(state, policy, now))
        .or_else(|| drain::due(state, footing.restraint.as_deref(), now))
        .or_else(|| hold::due(state, now))
        .or_else(|| channel::over(state, footing.restraint.as_deref(), now))
        .or_else(|| in_line(state, policy, footing, now))
}

/// What is next among the commands as they stand behind one another.
fn in_line(state: &State, policy: &Policy, footing: &Footing, now: Now) -> Option<Vec<Fact>> {
    let lines = state.lines();
    let gaps = state.gaps_in(&lines);
    flag_gap(&gaps, policy, now).or_else(|| {
        let heads = state.heads(lines, &gaps);
        detection(state, &heads).or_else(|| hold::contest(state, &heads)).or_else(|| match footing.gate {
            Gate::Open => release(state, policy, footing, &heads, now),
            Gate::Shut => None,
        })
    })
}

/// The earliest moment after `now` at which [`next`] may have something it does not have now.
pub(crate) fn next_due(state: &State, policy: &Policy, now: Now) -> Option<Mono> {
    let mut due: Vec<Mono> = Vec::new();
    for tracked in state.queued() {
        due.extend(tracked.admission.deadline);
        due.extend(tracked.admission.must_start_by.map(|by| turn::begins(by, policy)));
        due.push(tracked.received.mono.after(policy.gather));
        if state.unseen_after(tracked).is_some() {
            due.push(tracked.received.mono.after(policy.after_wait));
        }
    }
    due.extend(state.gaps().into_iter().map(|(held, _)| held.received.mono.after(policy.gap_window)));
    let open = state.open.iter().filter_map(|id| state.conflicts.get(id));
    due.extend(open.clone().flat_map(|conflict| conflict.pending().map(|(_, asked)| asked.deadline)));
    due.extend(open.filter_map(|conflict| conflict.escalated.map(|escalated| escalated.deadline)));
    due.extend(restraint::next_due(state));
    due.extend(drain::next_due(state));
    due.extend(hold::next_due(state));
    due.extend(channel::next_due(state));
    if let Some(authority) = state.authority.as_ref().filter(|_| !due.is_empty() || !state.channels.is_empty()) {
        due.extend(authority.next_expiry(now.mono));
    }
    due.into_iter().filter(|moment| *moment > now.mono).min()
}

/// A command's end, with that of the commands it was executed for.
pub(crate) fn end(state: &State, command: CommandId, outcome: Outcome, now: Now) -> Vec<Fact> {
    let left = state.commands.get(&command).map(|tracked| hold::at_end(state, tracked, &outcome, now));
    let served = matches!(outcome.ending, Ending::Done | Ending::Failed);
    let followers = state.queued().filter(|tracked| served && tracked.coalesced_with == Some(command));
    let mut facts: Vec<Fact> = followers
        .map(|follower| {
            let reason = format!("one execution served both; it ended {}: {}", outcome.ending, outcome.reason);
            let mut coalesced = Outcome::new(Ending::Coalesced, Code::SameWish, reason).because_of(Some(command));
            coalesced.result = outcome.result.clone();
            Fact::Ended { command: follower.command().id, outcome: coalesced }
        })
        .collect();
    facts.insert(0, Fact::Ended { command, outcome });
    facts.extend(left.into_iter().flatten());
    facts
}

/// Whether a running command can have brought the change about.
pub(crate) fn explains(running: &Tracked, before: Option<&VmState>, after: &VmState) -> bool {
    let Some(before) = before else { return false };
    let writes = &running.footprint.writes;
    let writes_any = |resources: &[Resource]| resources.iter().any(|r| writes.iter().any(|written| written.meets(r)));
    // What a change that is seen would have been brought about by; disks come and go with their contents.
    let explained = [
        (before.vcpus != after.vcpus || before.vcpus_max != after.vcpus_max, &[Resource::Cpu][..]),
        (before.memory_kib != after.memory_kib || before.memory_max_kib != after.memory_max_kib, &[Resource::Memory]),
        (before.snapshots != after.snapshots, &[Resource::Snapshots]),
        (before.checkpoints != after.checkpoints, &[Resource::Backup]),
        (before.devices != after.devices, &[Resource::Devices, Resource::Disks]),
        (before.jobs != after.jobs, &[Resource::Backup, Resource::Disks, Resource::Process]),
        (before.saved != after.saved, &[Resource::SavedImage]),
        // Whatever is kept for the next start is a part of the definition.
        (
            before.definition != after.definition,
            &[Resource::Definition, Resource::Cpu, Resource::Memory, Resource::Devices, Resource::Disks],
        ),
    ];
    // A guest's balloon and a start change memory by themselves: power explains all of it.
    let tunes = writes.iter().any(|written| matches!(written, Resource::Tuning(_)));
    let tuned = VmState { definition: before.definition.clone(), ..after.clone() } == *before;
    let rest = writes.contains(&Resource::Power)
        || (tunes && tuned)
        || explained.iter().filter(|(differs, _)| *differs).all(|(_, resources)| writes_any(resources));
    let power = before.power == after.power || passes_through(&running.command().operation, after.power);
    rest && power && (before.start == after.start || writes.contains(&Resource::Power))
}

/// Whether an operation can be seen to make the power state this, on its way or at its end.
fn passes_through(operation: &Operation, power: PowerState) -> bool {
    match operation.effect() {
        Effect::Power(PowerState::ShutOff) | Effect::Saved => {
            matches!(power, PowerState::ShuttingDown | PowerState::ShutOff)
        }
        Effect::Power(PowerState::Running)
        | Effect::Restart
        | Effect::Restored
        | Effect::SnapshotAdded(_)
        | Effect::Opened { .. }
        | Effect::Closed(_) => {
            matches!(power, PowerState::Paused | PowerState::Running)
        }
        Effect::Power(end) => end == power,
        Effect::Reverted(_) => true,
        Effect::Nothing
        | Effect::SavedImageRemoved
        | Effect::SnapshotRemoved(_)
        | Effect::Vcpus(_)
        | Effect::Memory(_)
        | Effect::Metadata(_)
        | Effect::DeviceAdded(_)
        | Effect::DeviceRemoved(_)
        | Effect::Setting(_)
        | Effect::CheckpointAdded(_)
        | Effect::CheckpointRemoved(_)
        | Effect::Redefined
        | Effect::Undefined
        | Effect::Renamed(_) => false,
        // Of a client's own call nobody knows more than that it writes the power state.
        Effect::Elsewhere => operation.footprint().writes.contains(&Resource::Power),
    }
}

fn ended(command: CommandId, ending: Ending, code: Code, reason: impl Into<String>) -> Fact {
    Fact::Ended { command, outcome: Outcome::new(ending, code, reason) }
}

/// Queued commands that have become pointless, whatever they wait for.
fn overdue(state: &State, policy: &Policy, footing: &Footing, now: Now) -> Option<Vec<Fact>> {
    let gone = state.standing == Standing::Vanished && !client::is_coming_back(state);
    state.queued().find_map(|tracked| {
        let command = tracked.command();
        let (id, action) = (command.id, command.operation.action());
        if gone {
            let reason = match &state.moved_to {
                Some(host) => format!("the VM has moved to {host}"),
                None => format!("the VM does not exist any more{}", past_us::aside(state)),
            };
            return Some(vec![ended(id, Ending::Impossible, Code::VmGone, reason)]);
        }
        // Whose wish is being executed already has begun in time.
        let begun = tracked.coalesced_with.and_then(|id| state.commands.get(&id)).is_some_and(Tracked::is_active);
        if !begun && tracked.admission.deadline.is_some_and(|deadline| deadline <= now.mono) {
            let mut outcome = Outcome::new(Ending::Expired, Code::DeadlinePassed, "not_after passed while it waited");
            outcome.cause = match state.waits(tracked) {
                Some(Waits::For(other) | Waits::ForUnseen(other)) => Some(other),
                Some(Waits::ForSequence(_)) | None => None,
            };
            return Some(vec![Fact::Ended { command: id, outcome }]);
        }
        if let Some(outcome) = restraint::ends(state, footing.restraint.as_deref(), tracked).filter(|_| !begun) {
            return Some(vec![Fact::Ended { command: id, outcome }]);
        }
        let stands = (state.authority.as_ref())
            .is_some_and(|authority| authority.still_stands(&command.provider, action, tracked.admission.grant, now));
        if !stands {
            let reason = format!("the delegation of {action} to {} ended while the command waited", command.provider);
            return Some(vec![ended(id, Ending::Denied, Code::DelegationEnded, reason)]);
        }
        let unseen = state.unseen_after(tracked)?;
        if tracked.received.mono.after(policy.after_wait) <= now.mono {
            let reason = format!("command {unseen}, named in `after`, never came");
            let outcome = Outcome::new(Ending::Expired, Code::AfterUnknown, reason).because_of(Some(unseen));
            return Some(vec![Fact::Ended { command: id, outcome }]);
        }
        None
    })
}

/// Whoever was asked and has not answered in time has said what it declared its silence to mean (I5).
fn silence(state: &State, policy: &Policy, now: Now) -> Option<Vec<Fact>> {
    open_conflicts(state).find_map(|conflict| {
        let (party, asked) = conflict.pending().find(|(_, asked)| asked.deadline <= now.mono)?;
        Some(vec![silent(state, policy, conflict, party, asked)])
    })
}

/// The answer that a party's silence stands for.
pub(crate) fn silent(state: &State, policy: &Policy, conflict: &Conflict, party: &Party, asked: &Asked) -> Fact {
    let said = match party {
        Party::Hook => Said::NoOpinion,
        Party::Provider(provider) => policy.consent_of(provider).on_silence,
    };
    let answer = meaning(state, conflict, party, said);
    Fact::Answered { conflict: conflict.id, epoch: asked.epoch, by: party.clone(), answer, how: Heard::Silence }
}

/// What "mine" and "theirs" mean to a party of a conflict.
pub(crate) fn meaning(state: &State, conflict: &Conflict, party: &Party, said: Said) -> Answer {
    let is_mine = |id: &CommandId| match party {
        Party::Hook => false,
        Party::Provider(provider) => state.commands.get(id).is_some_and(|t| t.command().provider == *provider),
    };
    let Some(mine) = conflict.between.iter().copied().find(is_mine) else { return Answer::NoOpinion };
    match said {
        Said::MineFirst => Answer::First(mine),
        Said::TheirsFirst => Answer::First(conflict.other_than(mine)),
        Said::WithdrawMine => Answer::Withdraw(mine),
        Said::NoOpinion => Answer::NoOpinion,
    }
}

fn open_conflicts(state: &State) -> impl Iterator<Item = &Conflict> {
    state.open.iter().filter_map(|id| state.conflicts.get(id))
}

/// Open conflicts on which the rules can go on.
fn resolution(state: &State, policy: &Policy, now: Now) -> Option<Vec<Fact>> {
    open_conflicts(state).find_map(|conflict| match rules::resolve(state, policy, conflict, now) {
        Progress::Pending => None,
        Progress::Decided(verdict) => {
            let given_up = hold::given_up_by(state, verdict.first, verdict.second).filter(|_| conflict.hold.is_some());
            Some([Fact::Settled { conflict: conflict.id, verdict }].into_iter().chain(given_up).collect())
        }
        Progress::Ask(who) => {
            let think = if who.contains(&Party::Hook) { policy.hook_timeout } else { policy.ask_timeout };
            let deadline = now.mono.after(think.min(budget::left(state, policy, conflict, now)));
            let epoch = state.ask_epoch.saturating_add(1);
            Some(vec![Fact::Asked { conflict: conflict.id, epoch, who, deadline }])
        }
        Progress::Escalate(deadline) => Some(vec![Fact::Escalated { conflict: conflict.id, deadline }]),
        Progress::Withdrawn(commands) => {
            let withdraw = |command: CommandId| {
                let reason = "its provider took it back when asked about a conflict";
                let outcome = Outcome::new(Ending::Cancelled, Code::Withdrawn, reason);
                Fact::Ended { command, outcome: outcome.because_of(Some(conflict.other_than(command))) }
            };
            Some(commands.into_iter().map(withdraw).collect())
        }
    })
}

fn flag_gap(gaps: &[(&Tracked, u64)], policy: &Policy, now: Now) -> Option<Vec<Fact>> {
    gaps.iter().find_map(|(tracked, expected)| {
        let passed = tracked.received.mono.after(policy.gap_window) <= now.mono;
        passed.then(|| vec![Fact::GapFlagged { command: tracked.command().id, expected: *expected }])
    })
}

/// Two commands of different providers that clash and have no order between them.
fn detection(state: &State, heads: &[&Tracked]) -> Option<Vec<Fact>> {
    let active: Vec<&Tracked> = state.active().collect();
    heads.iter().enumerate().find_map(|(place, head)| {
        let rivals = active.iter().chain(heads.iter().skip(place.saturating_add(1)));
        rivals.copied().find_map(|rival| conflict_between(state, head, rival))
    })
}

fn conflict_between(state: &State, a: &Tracked, b: &Tracked) -> Option<Vec<Fact>> {
    let (left, right) = (a.command(), b.command());
    if left.provider == right.provider || left.provider.is_agent() || right.provider.is_agent() {
        return None;
    }
    let known = a.conflicts.iter().filter(|id| b.conflicts.contains(id)).any(|id| state.open.contains(id));
    if known {
        return None;
    }
    // Whatever waits for a VM that is being brought back waits for that, and leaves nobody a choice.
    if !a.clashes_with(b) || waits_for_the_vm(state, a) != waits_for_the_vm(state, b) {
        return None;
    }
    let contested = a.footprint.contested_with(&b.footprint);
    let conflict = ConflictId::nth(state.vm, state.conflict_count);
    // The pair's order says nothing about who came first: it is that of the ids.
    let (first, second) = if left.id < right.id { (a, b) } else { (b, a) };
    let between = [first.command().id, second.command().id];
    let feasible = rules::feasible(state, first, second);
    Some(vec![Fact::ConflictOpened { conflict, between, contested, feasible }])
}

/// A command that nothing holds back any more: looked at once more, then started or ended with a reason.
fn release(state: &State, policy: &Policy, footing: &Footing, heads: &[&Tracked], now: Now) -> Option<Vec<Fact>> {
    let contested: BTreeSet<CommandId> = open_conflicts(state).flat_map(|conflict| conflict.between).collect();
    heads.iter().copied().find_map(|tracked| {
        let id = tracked.command().id;
        if contested.contains(&id) || gathers(state, policy, tracked, now) || overlaps_active(state, tracked) {
            return None;
        }
        if turn::passed_by(state, policy, tracked, now).is_some() || hold::errand_first(state, tracked) {
            return None;
        }
        if channel::blocking(state, tracked).is_some() {
            return None;
        }
        if hold::blocking(state, tracked).is_some() || waits_for_the_vm(state, tracked) {
            return None;
        }
        match recheck::refusal(state, tracked) {
            Some(_) if footing.doubt => None,
            Some(outcome) => Some(vec![Fact::Ended { command: id, outcome }]),
            None => {
                let start = state.believed.as_ref().map_or_else(Default::default, |vm| vm.start);
                Some(vec![Fact::Started { command: id, start }])
            }
        }
    })
}

/// Whether a rival is still being listened for.
pub(crate) fn gathers(state: &State, policy: &Policy, tracked: &Tracked, now: Now) -> bool {
    let command = tracked.command();
    let action = command.operation.action();
    let listens = match policy.gather_for {
        GatherFor::Irreversible => action.spec().undo == Undo::Irreversible,
        GatherFor::Writes => !action.is_read(),
    };
    listens
        && command.class != Class::Emergency
        && command.break_glass.is_none()
        && !command.provider.is_agent()
        && tracked.conflicts.is_empty()
        && now.mono < tracked.received.mono.after(policy.gather)
        && (state.authority.as_ref()).is_some_and(|held| !held.rivals(&command.provider, action, now.mono).is_empty())
}

/// Whether there is no VM yet for it to act on, and one is on its way.
fn waits_for_the_vm(state: &State, tracked: &Tracked) -> bool {
    state.standing == Standing::Vanished && !client::brings_back(state, tracked.command())
}

/// I1: whatever else is decided, nothing starts beside something it clashes with.
fn overlaps_active(state: &State, tracked: &Tracked) -> bool {
    state.active().any(|other| tracked.clashes_with(other))
}

/// Why a queued command does not run yet, for people and programs.
pub(crate) fn waiting_reason(
    state: &State,
    policy: &Policy,
    footing: &Footing,
    tracked: &Tracked,
    now: Now,
) -> Option<(String, Vec<CommandId>)> {
    if !tracked.is_queued() {
        return None;
    }
    let id = tracked.command().id;
    if let Some(leader) = tracked.coalesced_with {
        return Some((format!("command {leader} wishes the same and is executed for both"), vec![leader]));
    }
    match state.waits(tracked) {
        Some(Waits::For(_)) => {
            let before: Vec<CommandId> = state.predecessors(tracked).into_iter().collect();
            return Some(("commands that go first have not ended".to_owned(), before));
        }
        Some(Waits::ForUnseen(unseen)) => {
            return Some((format!("command {unseen}, named in `after`, has not come"), vec![unseen]));
        }
        Some(Waits::ForSequence(missing)) => {
            return Some((format!("sequence number {missing} has not come"), Vec::new()));
        }
        None => {}
    }
    let rivals: Vec<CommandId> = open_conflicts(state)
        .filter(|conflict| conflict.between.contains(&id))
        .map(|conflict| conflict.other_than(id))
        .collect();
    if !rivals.is_empty() {
        let parked =
            open_conflicts(state).any(|conflict| conflict.between.contains(&id) && conflict.escalated.is_some());
        let reason = if parked { "the operator is to decide a conflict" } else { "a conflict is being resolved" };
        return Some((reason.to_owned(), rivals));
    }
    if let Some(hold) = hold::blocking(state, tracked) {
        return Some((hold::reason(hold, now), hold.opener().into_iter().collect()));
    }
    if let Some(channel) = channel::blocking(state, tracked) {
        return Some((channel::reason(channel, now), Vec::new()));
    }
    if waits_for_the_vm(state, tracked) {
        let before = state.live().map(Tracked::command).filter(|command| client::brings_back(state, command));
        return Some(("the VM does not exist; it is being brought back".to_owned(), before.map(|c| c.id).collect()));
    }
    if let Some((first, reason)) = turn::passed_by(state, policy, tracked, now) {
        let first = first.command();
        let reason = format!("{}'s {} {reason}", first.provider, first.operation.action());
        return Some((reason, vec![first.id]));
    }
    if gathers(state, policy, tracked, now) {
        return Some(("a rival command is listened for".to_owned(), Vec::new()));
    }
    footing.doubt.then(|| ("something changed at the VM; it is being looked at".to_owned(), Vec::new()))
}
