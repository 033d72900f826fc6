//! What a journal came to when it was opened.

use std::collections::BTreeMap;

use crate::model::{Now, VmId};
use crate::resolver::State;

/// What the journal came to when it was opened.
#[derive(Debug, Default)]
pub struct History {
    pub(super) states: BTreeMap<VmId, State>,
    pub(super) last: Option<Now>,
}

impl History {
    /// The VMs' states, and the moment at which the journal was last written.
    #[must_use]
    pub const fn new(states: BTreeMap<VmId, State>, last: Option<Now>) -> Self {
        Self { states, last }
    }
}
