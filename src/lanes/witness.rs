//! Whoever counts what lanes decide; the agent implements it.

use std::time::Duration;

use crate::model::{Now, VmId};
use crate::resolver::{Fact, State};

/// Sees what lanes do as they do it, a moment before it is durable. It is called by every lane, and must not block.
///
/// Should the journal refuse facts, they were seen all the same; the lane then begins anew ([`Witness::begins`]).
pub trait Witness: Send + Sync + 'static {
    /// A lane begins, or begins anew, with this state.
    fn begins(&self, state: &State);

    /// A lane decided this; `state` is what it is afterwards.
    fn saw(&self, at: Now, state: &State, facts: &[Fact]);

    /// What a lane decided is durable, or was refused, this long after it was handed to the journal.
    fn journalled(&self, took: Duration, outcome: Journalled);

    /// A lane is gone.
    fn gone(&self, vm: VmId);
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journalled {
    /// It is durable.
    Durable,
    /// The journal did not take it.
    Refused,
}

/// Nobody counts.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Witness for Nobody {
    fn begins(&self, _: &State) {}

    fn saw(&self, _: Now, _: &State, _: &[Fact]) {}

    fn journalled(&self, _: Duration, _: Journalled) {}

    fn gone(&self, _: VmId) {}
}
