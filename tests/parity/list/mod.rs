//! The behaviours, group by group.

mod backup;
mod block;
mod definition;
mod device;
mod guest;
mod hibernate;
mod others;
mod power;
mod settings;
mod snapshot;
mod wrong_state;

use crate::parity::behaviour::Behaviour;

/// All of them, in the order of the actions' catalogue.
pub(crate) fn all() -> Vec<Behaviour> {
    [
        power::list(),
        hibernate::list(),
        snapshot::list(),
        settings::list(),
        backup::list(),
        block::list(),
        device::list(),
        guest::list(),
        definition::list(),
        others::list(),
        wrong_state::list(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
