//! Step 10: what happened, durably, in order, and provably unchanged.

use crate::model::{Now, VmId};
use crate::resolver::Fact;

/// The position of a record: 1 for the first, without gaps.
pub type Position = u64;

/// The facts of one step of one lane, to be made durable together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The lane.
    pub vm: VmId,
    /// When the step was taken.
    pub at: Now,
    /// What happened, in order; at least one.
    pub facts: Vec<Fact>,
}
