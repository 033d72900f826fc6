//! `[lane]`: how lanes behave.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::mistake::Mistakes;
use super::section::{Read, Table};
use super::{millis, of_millis};
use crate::model::ProviderId;
use crate::resolver::{GatherFor, HookUse, Policy, pair};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LaneTable {
    gather_ms: u64,
    gather_for: GatherFor,
    gap_window_ms: u64,
    after_wait_ms: u64,
    ask_timeout_ms: u64,
    hook_timeout_ms: u64,
    callback_budget_ms: u64,
    clock_limit_ms: u64,
    max_deferrals: u32,
    turn_margin_ms: u64,
    escalate: Vec<[ProviderId; 2]>,
    escalate_wait_ms: u64,
    drain_wait_ms: u64,
    queue_limit: usize,
}

impl Default for LaneTable {
    fn default() -> Self {
        let default = Policy::default();
        Self {
            gather_ms: millis(default.gather),
            gather_for: default.gather_for,
            gap_window_ms: millis(default.gap_window),
            after_wait_ms: millis(default.after_wait),
            ask_timeout_ms: millis(default.ask_timeout),
            hook_timeout_ms: millis(default.hook_timeout),
            callback_budget_ms: millis(default.callback_budget),
            clock_limit_ms: millis(default.clock_limit),
            max_deferrals: default.max_deferrals,
            turn_margin_ms: millis(default.turn_margin),
            escalate: Vec::new(),
            escalate_wait_ms: millis(default.escalate_wait),
            drain_wait_ms: millis(default.drain_wait),
            queue_limit: default.queue_limit,
        }
    }
}

impl Table for LaneTable {
    const NAME: &'static str = "lane";
}

impl Read<LaneTable> {
    /// The policy, without the providers' consent; `known` are the providers that are configured.
    pub(super) fn checked(&self, hook: HookUse, known: &BTreeSet<ProviderId>, mistakes: &mut Mistakes) -> Policy {
        let table = &self.value;
        if table.queue_limit == 0 {
            self.wrong("queue_limit", "with 0 nothing is ever taken in", Some("at least 1 is expected"), mistakes);
        }
        if table.max_deferrals == 0 {
            self.wrong("max_deferrals", "0 is no number of times", Some("at least 1 is expected"), mistakes);
        }
        for [one, other] in &table.escalate {
            if one == other || !known.contains(one) || !known.contains(other) {
                let what = format!("{one} and {other} are not two providers that are configured");
                self.wrong("escalate", what, Some("each pair names two ids of [[provider]]"), mistakes);
            }
        }
        Policy {
            gather: of_millis(table.gather_ms),
            gather_for: table.gather_for,
            gap_window: of_millis(table.gap_window_ms),
            after_wait: of_millis(table.after_wait_ms),
            hook,
            hook_timeout: of_millis(table.hook_timeout_ms),
            ask_timeout: of_millis(table.ask_timeout_ms),
            callback_budget: of_millis(table.callback_budget_ms),
            clock_limit: of_millis(table.clock_limit_ms),
            max_deferrals: table.max_deferrals,
            turn_margin: of_millis(table.turn_margin_ms),
            escalate: table.escalate.iter().cloned().map(|[one, other]| pair(one, other)).collect(),
            escalate_wait: of_millis(table.escalate_wait_ms),
            drain_wait: of_millis(table.drain_wait_ms),
            queue_limit: table.queue_limit,
            consent: BTreeMap::new(),
        }
    }
}
