//! Step 5: who may do what to one VM, until when, under which epoch.
//!
//! The primary starts with every action. Delegating *exclusively* moves actions to another provider, delegating
//! *shared* gives them to both. What is revoked or runs out goes back to the primary. Every grant carries the epoch
//! in which it was made; a command keeps the epoch of the grant that admitted it, and is denied when that grant is
//! gone by the time it could run (I4).
//!
//! Pure. The operator is sovereign: always authorised, never delegated to.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod authority;
mod change;
pub mod confinement;
mod drain;
#[cfg(test)]
mod tests;

pub use authority::{Authority, Grant, Hold, Mode};
pub use change::{Change, ChangeRequest, Flight, InFlight, decide};
pub use drain::Drain;
