//! What the host's owner decides about all of it, whatever providers hold: freezes, the ceiling, quotas, break-glass.
//!
//! | file | idea |
//! |---|---|
//! | `fact` | what happened to the host as a whole, as it is journalled |
//! | `state` | what those facts add up to: decide, then apply |
//! | `freeze` | what is stopped, for whom |
//! | `ceiling` | what no provider may exceed |
//! | `quota` | how much one provider may have under way |
//!
//! The facts are records of the same journal as the lanes', under the reserved subject [`VmId::HOST`](crate::model::VmId::HOST),
//! so that one chain covers both. A lane is told what bears on it ([`Restraint`]) and journals what it made of that.
//!
//! Pure: no I/O, no clock, no randomness, ordered maps only.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)
)]

use std::sync::Arc;

mod ceiling;
mod fact;
mod freeze;
mod quota;
mod state;

pub use ceiling::{Ceiling, Subject, Table};
pub use fact::{By, HostFact};
pub use freeze::{Freeze, Reach, Scope, frozen};
pub use quota::{Leaves, MINUTE, Quota, Usage};
pub use state::HostState;

/// The longest reason that is kept. *Units*: bytes.
pub const REASON_MAX: usize = 1024;

/// What of the host's rules a lane is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restraint {
    /// What is frozen, on the whole host.
    pub freezes: Vec<Freeze>,
    /// What no provider may exceed.
    pub ceiling: Arc<Ceiling>,
}

/// A reason that can be kept: one line, not empty, bounded.
///
/// *Errors*: [`Code::Malformed`](crate::model::Code::Malformed).
pub fn reason(text: &str) -> Result<String, crate::model::Refusal> {
    let text = text.trim();
    if text.is_empty() || text.len() > REASON_MAX || text.chars().any(char::is_control) {
        let message = format!("a reason is one line, at most {REASON_MAX} bytes");
        return Err(crate::model::Refusal::new(crate::model::Code::Malformed, message));
    }
    Ok(text.to_owned())
}
