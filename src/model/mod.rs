//! The words every other module speaks: identities, units, time, actions, commands, states.
//!
//! Pure: no I/O, no clock, no randomness. A type here either cannot be built wrong or says why not.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod action;
pub mod cause;
pub mod channel;
pub mod clock;
pub mod code;
pub mod command;
pub mod device;
pub mod footprint;
pub mod hold;
pub mod ids;
pub mod operation;
pub mod peer;
pub mod secret;
pub mod state;
pub mod time;
pub mod units;
pub(crate) mod xml;

pub use action::Action;
pub use cause::{Actor, Cause, Happening};
pub use channel::ChannelKind;
pub use clock::{ClockFilter, StepWatch};
pub use code::Code;
pub use command::{Class, ClientCall, Command, Ending, Guard, Order, Outcome, Refusal};
pub use device::DeviceName;
pub use footprint::{Footprint, Resource};
pub use hold::HoldKey;
pub use ids::{ChannelId, CommandId, ConflictId, ProviderId, VmId};
pub use operation::{Effect, Operation};
pub use peer::{KeyId, Peer};
pub use secret::Secret;
pub use state::{PowerState, StartId, VmState};
pub use time::{ClockEstimate, Interval, Issued, Mono, Now, Wall};
pub use units::{Bytes, Kib, Mac};
