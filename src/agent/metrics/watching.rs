//! Lanes' facts become numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;

use super::families::{Answered, Command, Ended, Families, Provider, Settled, Standing};
use super::text;
use crate::lanes::{Journalled, Witness};
use crate::model::{CommandId, ConflictId, Mono, Now, ProviderId, VmId};
use crate::resolver::{Fact, Heard, Origin, Party, Phase, Rule, State, Tracked};

/// The operator's executable, among the providers that are asked.
const HOOK: &str = "hook";

/// Every rule.
const RULES: [Rule; 13] = [
    Rule::AlreadyRunning,
    Rule::DeclaredOrder,
    Rule::SameWish,
    Rule::BreakGlass,
    Rule::Feasibility,
    Rule::Escalation,
    Rule::Turn,
    Rule::Callback,
    Rule::Class,
    Rule::Ownership,
    Rule::IssueTime,
    Rule::Age,
    Rule::StableHash,
];

/// Where a command is that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Queued,
    Running,
}

impl At {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
        }
    }
}

/// A command that has not ended.
#[derive(Debug)]
struct Live {
    provider: ProviderId,
    action: &'static str,
    since: Mono,
    at: At,
}

/// What is remembered of one lane, for as long as it has not ended.
#[derive(Debug, Default)]
struct OfLane {
    commands: BTreeMap<CommandId, Live>,
    asks: BTreeMap<(ConflictId, u64, Option<ProviderId>), Mono>,
    holds: usize,
}

/// The numbers, and what is needed to go on counting.
pub(in crate::agent) struct Watching {
    registry: Registry,
    families: Families,
    lanes: Mutex<BTreeMap<VmId, OfLane>>,
}

impl Default for Watching {
    fn default() -> Self {
        let mut registry = Registry::default();
        let families = Families::new(&mut registry);
        // What can be counted is there from the beginning, so that the first one is a step and not a new series.
        for rule in RULES {
            drop(families.settled.get_or_create(&Settled { rule: word_of_rule(rule).to_owned() }));
        }
        for how in [Heard::Said, Heard::Standing, Heard::Silence] {
            let how = word_of(how).to_owned();
            drop(families.answers.get_or_create(&Answered { provider: HOOK.to_owned(), how }));
        }
        drop(families.ask_seconds.get_or_create(&Provider { provider: HOOK.to_owned() }));
        Self { registry, families, lanes: Mutex::default() }
    }
}

impl Watching {
    pub(super) const fn families(&self) -> &Families {
        &self.families
    }

    /// The configuration was read again.
    pub(in crate::agent) fn reloaded(&self) {
        self.families.reloads.inc();
    }

    pub(super) fn text(&self) -> String {
        let mut open_metrics = String::new();
        // It writes to memory.
        let _ = prometheus_client::encoding::text::encode(&mut open_metrics, &self.registry);
        text::of_open_metrics(&open_metrics)
    }

    fn count(&self, provider: &ProviderId, at: At, change: i64) {
        let standing = Standing { provider: provider.to_string(), state: at.as_str().to_owned() };
        self.families.live.get_or_create(&standing).inc_by(change);
    }

    fn forget(&self, lane: OfLane) {
        for live in lane.commands.into_values() {
            self.count(&live.provider, live.at, -1);
        }
        self.families.holds.dec_by(whole(lane.holds));
    }

    fn admit(&self, lane: &mut OfLane, tracked: &Tracked, since: Mono, at: At) {
        let command = tracked.command();
        let live = Live { provider: command.provider.clone(), action: command.operation.action().name(), since, at };
        self.count(&live.provider, at, 1);
        lane.commands.insert(command.id, live);
    }

    fn moved(&self, lane: &mut OfLane, command: CommandId, to: At) {
        let Some(live) = lane.commands.get_mut(&command) else { return };
        if live.at != to {
            self.count(&live.provider, live.at, -1);
            self.count(&live.provider, to, 1);
            live.at = to;
        }
    }

    fn fact(&self, lane: &mut OfLane, now: Mono, state: &State, fact: &Fact) {
        let families = &self.families;
        match fact {
            Fact::Admitted(admission) => {
                let command = &admission.command;
                let (provider, action) = (command.provider.to_string(), command.operation.action().to_string());
                families.received.get_or_create(&Command { provider, action }).inc();
                if let Some(tracked) = state.command(command.id) {
                    self.admit(lane, tracked, now, At::Queued);
                }
            }
            Fact::Started { command, .. } => {
                if let Some(live) = lane.commands.get(command).filter(|live| live.at == At::Queued) {
                    families.wait_seconds.get_or_create(&name(&live.provider)).observe(seconds(live.since, now));
                }
                self.moved(lane, *command, At::Running);
            }
            Fact::FoundUndone { command } => self.moved(lane, *command, At::Queued),
            Fact::Ended { command, outcome } => {
                let Some(live) = lane.commands.remove(command) else { return };
                self.count(&live.provider, live.at, -1);
                families.command_seconds.get_or_create(&name(&live.provider)).observe(seconds(live.since, now));
                let (provider, action) = (live.provider.to_string(), live.action.to_owned());
                let ended = Ended { provider, action, state: outcome.ending.as_str().to_owned() };
                families.ended.get_or_create(&ended).inc();
            }
            Fact::ConflictOpened { .. } => _ = families.conflicts.inc(),
            Fact::Asked { conflict, epoch, who, .. } => {
                lane.asks.extend(who.iter().map(|who| ((*conflict, *epoch, named(who)), now)));
            }
            Fact::Answered { conflict, epoch, by, how, .. } => {
                let provider = named(by).map_or_else(|| HOOK.to_owned(), |provider| provider.to_string());
                if let Some(asked) = lane.asks.remove(&(*conflict, *epoch, named(by))) {
                    let provider = Provider { provider: provider.clone() };
                    families.ask_seconds.get_or_create(&provider).observe(seconds(asked, now));
                }
                families.answers.get_or_create(&Answered { provider, how: word_of(*how).to_owned() }).inc();
            }
            Fact::Escalated { .. } => _ = families.escalated.inc(),
            Fact::Settled { conflict, verdict } => {
                lane.asks.retain(|(of, _, _), _| of != conflict);
                let rule = word_of_rule(verdict.rule).to_owned();
                families.settled.get_or_create(&Settled { rule }).inc();
            }
            Fact::Observed { origin, .. } | Fact::Happened { origin, .. } => {
                if matches!(origin, Origin::OutOfBand { .. }) {
                    families.out_of_band.inc();
                }
            }
            Fact::Enrolled { .. }
            | Fact::Released { .. }
            | Fact::Delegation { .. }
            | Fact::DrainBegan { .. }
            | Fact::DrainEnded { .. }
            | Fact::GapFlagged { .. }
            | Fact::Decided { .. }
            | Fact::BecameUnknown { .. }
            | Fact::HoldOpened { .. }
            | Fact::HoldGivenUp { .. }
            | Fact::HoldClosed { .. }
            | Fact::ChannelOpened { .. }
            | Fact::ChannelClosed { .. }
            | Fact::Frozen { .. }
            | Fact::Thawed { .. }
            | Fact::GlassBroken { .. }
            | Fact::GlassMended { .. }
            | Fact::Host { .. }
            | Fact::Vanished { .. } => {}
        }
    }

    fn count_holds(&self, lane: &mut OfLane, state: &State) {
        let holds = state.holds().count();
        self.families.holds.inc_by(whole(holds) - whole(lane.holds));
        lane.holds = holds;
    }
}

impl Witness for Watching {
    fn begins(&self, state: &State) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = lanes.remove(&state.vm()) {
            self.forget(before);
        }
        let mut lane = OfLane::default();
        for tracked in state.commands() {
            let at = match tracked.phase() {
                Phase::Queued => At::Queued,
                Phase::Running | Phase::Unknown => At::Running,
                Phase::Ended(_) => continue,
            };
            self.admit(&mut lane, tracked, tracked.times().0.mono, at);
        }
        self.count_holds(&mut lane, state);
        lanes.insert(state.vm(), lane);
    }

    fn saw(&self, at: Now, state: &State, facts: &[Fact]) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(state.vm()).or_default();
        for fact in facts {
            self.fact(lane, at.mono, state, fact);
        }
        self.count_holds(lane, state);
    }

    fn journalled(&self, took: Duration, outcome: Journalled) {
        match outcome {
            Journalled::Durable => self.families.journal_seconds.observe(took.as_secs_f64()),
            Journalled::Refused => _ = self.families.journal_refused.inc(),
        }
    }

    fn gone(&self, vm: VmId) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.remove(&vm) {
            self.forget(lane);
        }
    }
}

fn name(provider: &ProviderId) -> Provider {
    Provider { provider: provider.to_string() }
}

fn named(party: &Party) -> Option<ProviderId> {
    match party {
        Party::Hook => None,
        Party::Provider(provider) => Some(provider.clone()),
    }
}

const fn word_of(how: Heard) -> &'static str {
    match how {
        Heard::Said => "said",
        Heard::Standing => "standing",
        Heard::Silence => "silence",
    }
}

const fn word_of_rule(rule: Rule) -> &'static str {
    match rule {
        Rule::AlreadyRunning => "already-running",
        Rule::DeclaredOrder => "declared-order",
        Rule::SameWish => "same-wish",
        Rule::BreakGlass => "break-glass",
        Rule::Feasibility => "feasibility",
        Rule::Escalation => "escalation",
        Rule::Turn => "turn",
        Rule::Callback => "callback",
        Rule::Class => "class",
        Rule::Ownership => "ownership",
        Rule::IssueTime => "issue-time",
        Rule::Age => "age",
        Rule::StableHash => "stable-hash",
    }
}

fn seconds(from: Mono, to: Mono) -> f64 {
    Duration::from_micros(to.0.saturating_sub(from.0)).as_secs_f64()
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_the_word_that_it_is_journalled_with() {
        for rule in RULES {
            assert_eq!(serde_json::to_value(rule).unwrap(), word_of_rule(rule));
        }
    }
}
