//! How often a simulation came to what it is about: one that never reaches a rule proves nothing about it.

use std::collections::BTreeMap;

/// How often what happened, over all seeds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub steps: u64,
    pub commands: u64,
    pub crashes: u64,
    pub lost_tails: u64,
    pub refused: BTreeMap<String, u64>,
    pub endings: BTreeMap<String, u64>,
    pub rules: BTreeMap<&'static str, u64>,
    pub silences: u64,
    pub out_of_band: u64,
    /// What was left open, and how it came to be closed.
    pub holds: BTreeMap<String, u64>,
    /// Hand-overs and escalations, by what came of them.
    pub handed: BTreeMap<&'static str, u64>,
    /// Channels that were opened, and how they ended.
    pub channels: BTreeMap<String, u64>,
    /// Jobs that ended and nobody said so.
    pub untold_ends: u64,
    /// Deaths of an agent that had not heard of all that was durable.
    pub unheard_tails: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.commands += other.commands;
        self.crashes += other.crashes;
        self.lost_tails += other.lost_tails;
        self.silences += other.silences;
        self.out_of_band += other.out_of_band;
        self.untold_ends += other.untold_ends;
        self.unheard_tails += other.unheard_tails;
        let counts = [
            (&mut self.refused, &other.refused),
            (&mut self.endings, &other.endings),
            (&mut self.holds, &other.holds),
            (&mut self.channels, &other.channels),
        ];
        for (into, from) in counts {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
        }
        for (into, from) in [(&mut self.rules, &other.rules), (&mut self.handed, &other.handed)] {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        }
    }

    pub(crate) fn assert_reached(&self) {
        let rules = [
            "already-running",
            "declared-order",
            "same-wish",
            "break-glass",
            "feasibility",
            "escalation",
            "turn",
            "callback",
            "class",
            "ownership",
            "issue-time",
            "age",
            "stable-hash",
        ];
        for rule in rules {
            assert!(self.rules.contains_key(rule), "no seed reached the rule {rule}");
        }
        for code in [
            "frozen",
            "above-ceiling",
            "glass-broken",
            "queue-full",
            "draining",
            "answer-late",
            "seq-replayed",
            "forbidden",
        ] {
            assert!(self.refused.contains_key(code), "no seed reached the refusal {code}");
        }
        for what in [
            "drained",
            "given up",
            "escalated",
            "decided by the operator",
            "nobody decided",
            "frozen",
            "thawed",
            "glass mended in time",
            "glass mended",
        ] {
            assert!(self.handed.contains_key(what), "no seed reached what is {what}");
        }
        for ending in ["done", "coalesced", "failed", "superseded", "impossible", "expired", "denied", "cancelled"] {
            assert!(self.endings.keys().any(|key| key.starts_with(ending)), "no seed reached the ending {ending}");
        }
        assert!(self.endings.contains_key("cancelled client-gone"), "no seed reached a client that goes away");
        for hold in
            ["opened backup", "opened block:vda", "opened freeze", "opened lock", "given up", "by command", "seen"]
        {
            assert!(self.holds.contains_key(hold), "no seed reached a hold that is {hold}");
        }
        for what in [
            "opened console",
            "opened screen",
            "opened nbd",
            "opened disk:vda",
            "stopped-by-owner",
            "agent-stopped",
            "delegation-ended",
            "replaced",
            "closed-by-request",
            "backup-over",
            "peer-left",
        ] {
            assert!(self.channels.contains_key(what), "no seed reached a channel that is {what}");
        }
        assert!(self.crashes > 0 && self.lost_tails > 0 && self.silences > 0 && self.out_of_band > 0);
        assert!(self.untold_ends > 0 && self.unheard_tails > 0);
    }
}
