//! Steps 7 and 8: take commands in, notice when two conflict, resolve that, release them one after the other.
//!
//! | file | idea |
//! |---|---|
//! | `lane`, `message` | the machine: one input in, outputs out; keeps back what is not durable |
//! | `fact` | what happened, as it is journalled |
//! | `state`, `apply` | what the facts add up to; the only code that changes it |
//! | `admission` | taking a command in |
//! | `precedence` | which command waits for which: a graph without cycles |
//! | `decide` | the next thing to happen: deadlines, silence, conflicts, starts |
//! | `client` | commands that are a libvirt client's own call |
//! | `past_us`, `unplug` | what happened past this agent, and whether a command of ours explains it |
//! | `channel` | ways into a VM that are open at doors: who may, how many, until when |
//! | `recheck` | the last look before a start |
//! | `rules`, `feasibility` | which of two goes first, and what each rule found |
//! | `turn`, `budget`, `escalate`, `drain` | waiting is bounded: turns, time for asking, the operator's word, hand-overs |
//! | `restraint` | what the host's owner has put on the VM: freezes, the broken glass |
//! | `policy` | what the operator configured |
//! | `explain` | the story of one command, from the same state |
//!
//! Pure: no I/O, no clock, no randomness, ordered maps only.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)
)]

mod admission;
mod apply;
mod budget;
mod call;
mod channel;
mod client;
mod decide;
mod drain;
mod escalate;
mod explain;
mod fact;
mod feasibility;
mod hold;
mod lane;
mod message;
mod pairs;
mod past_us;
mod policy;
mod precedence;
mod recheck;
mod restraint;
mod rules;
mod state;
#[cfg(test)]
mod tests;
mod turn;
mod unplug;

pub use call::{Call, Whose};
pub use channel::{Channel, ChannelEnd, ChannelRequest, Force, may_do, may_look};
pub use client::nobody_carries;
pub use explain::{AskRecord, ConflictRecord, Moment, Waiting, deciding_rule, story, waiting};
pub use fact::{
    Admission, Answer, CallResult, Closed, Evidence, Fact, Feasible, Finding, GivenUp, Heard, Origin, Party, Rule,
    StampNote, Verdict,
};
pub use feasibility::Imagined;
pub use hold::Hold;
pub use lane::Lane;
pub use message::{Accepted, Ask, Input, Observation, Output, Sender, Token};
pub use policy::{Consent, GatherFor, HookUse, Policy, Said, pair};
pub use restraint::Glass;
pub use state::{Asked, Conflict, Escalation, Phase, Sequence, Standing, State, Tracked, Written};
