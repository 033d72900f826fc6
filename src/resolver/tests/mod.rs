//! The resolver, rule by rule. `tests/scenarios.rs` tells the same as stories, `tests/sim.rs` at random.

mod admission;
mod alike;
mod blamed;
mod channels;
mod explained;
mod client;
mod feasible;
mod holds;
mod loser;
mod pairs;
mod past_us;
mod recovery;
mod remembered;
mod restraint;
mod rules;
mod handover;
mod time;
mod turns;
mod unplugs;
mod world;

use super::*;
use crate::model::*;
use world::samples;
use world::{World, provider};

/// How a command ended, as `ending code`; empty while it has not.
fn ending(world: &mut World, name: &str) -> String {
    world.outcome(name).map(|outcome| format!("{} {}", outcome.ending, outcome.code)).unwrap_or_default()
}

/// The command that a command's outcome names as its cause.
fn cause(world: &mut World, name: &str) -> Option<String> {
    let cause = world.outcome(name)?.cause?;
    Some(world.name(cause))
}

/// The names of what was executed, in order.
fn executed(world: &World) -> Vec<String> {
    world.executed.iter().map(|id| world.name(*id)).collect()
}

/// The code of the refusal among these outputs.
fn refusal(outputs: &[Output]) -> Option<Refusal> {
    outputs.iter().find_map(|output| match output {
        Output::Refused { refusal, .. } => Some((**refusal).clone()),
        _ => None,
    })
}

fn refused(outputs: &[Output]) -> Option<Code> {
    refusal(outputs).map(|refusal| refusal.code)
}

/// The verdicts so far, as (first, second, rule).
fn verdicts(world: &World) -> Vec<(String, String, Rule)> {
    world
        .facts()
        .filter_map(|fact| match fact {
            Fact::Settled { verdict, .. } => {
                Some((world.name(verdict.first), world.name(verdict.second), verdict.rule))
            }
            _ => None,
        })
        .collect()
}

/// The single verdict there is.
fn verdict(world: &World) -> (String, String, Rule) {
    let all = verdicts(world);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}
