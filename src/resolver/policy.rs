//! What the operator configured for a lane. Decisions read it; facts record what came of it, so replaying a journal
//! needs none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::ProviderId;

/// What a provider says when asked which of two commands goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Its own command.
    MineFirst,
    /// The other provider's command.
    TheirsFirst,
    /// It takes its own command back.
    WithdrawMine,
    /// Either.
    #[default]
    NoOpinion,
}

/// What was agreed with one provider about being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consent {
    /// Its answer when it has no session; none counts as silence.
    pub standing: Option<Said>,
    /// What its silence means.
    pub on_silence: Said,
}

/// Which commands wait for a rival to be heard before they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatherFor {
    /// Those whose effect cannot be undone.
    #[default]
    Irreversible,
    /// All that change anything.
    Writes,
}

/// Whether the operator's hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HookUse {
    /// There is none.
    #[default]
    None,
    /// It is asked before the providers.
    Ask,
}

/// The configured behaviour of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a command waits for a rival to be heard, when some other provider could be one.
    pub gather: Duration,
    /// Which commands wait so.
    pub gather_for: GatherFor,
    /// How long a command waits for a missing lower sequence number.
    pub gap_window: Duration,
    /// How long a command waits for one named in `after` that has not come.
    pub after_wait: Duration,
    /// Whether the operator's hook is asked.
    pub hook: HookUse,
    /// How long the hook may think.
    pub hook_timeout: Duration,
    /// How long providers may think.
    pub ask_timeout: Duration,
    /// How long asks may hold one command in all: those of one conflict, and those of all conflicts it ever has.
    pub callback_budget: Duration,
    /// How far a provider's clock may be off before its time decides nothing.
    pub clock_limit: Duration,
    /// How often a command may be put back before it has its turn. At least 1.
    pub max_deferrals: u32,
    /// How long before its `must_start_by` a command has its turn, so that what runs can end.
    pub turn_margin: Duration,
    /// Pairs of providers about whose disagreements the operator wants to decide; each as [`pair`].
    pub escalate: BTreeSet<(ProviderId, ProviderId)>,
    /// How long the operator is waited for.
    pub escalate_wait: Duration,
    /// How long a hand-over waits for what is in flight.
    pub drain_wait: Duration,
    /// How many commands of one provider may wait on one VM.
    pub queue_limit: usize,
    /// What was agreed with each provider.
    pub consent: BTreeMap<ProviderId, Consent>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(25),
            gather_for: GatherFor::Irreversible,
            gap_window: Duration::from_millis(200),
            after_wait: Duration::from_secs(30),
            hook: HookUse::None,
            hook_timeout: Duration::from_secs(2),
            ask_timeout: Duration::from_secs(2),
            callback_budget: Duration::from_secs(5),
            clock_limit: Duration::from_secs(60),
            max_deferrals: 3,
            turn_margin: Duration::from_secs(2),
            escalate: BTreeSet::new(),
            escalate_wait: Duration::from_secs(60),
            drain_wait: Duration::from_secs(600),
            queue_limit: 64,
            consent: BTreeMap::new(),
        }
    }
}

/// A pair of providers, whoever is named first.
#[must_use]
pub fn pair(one: ProviderId, other: ProviderId) -> (ProviderId, ProviderId) {
    if one <= other { (one, other) } else { (other, one) }
}

impl Policy {
    /// What was agreed with `provider`, or the default: no standing answer, silence means no opinion.
    #[must_use]
    pub fn consent_of(&self, provider: &ProviderId) -> Consent {
        self.consent.get(provider).copied().unwrap_or_default()
    }
}
