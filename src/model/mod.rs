//! The words every other module speaks: identities, units, time, actions, commands, states.
//!
//! Pure: no I/O, no clock, no randomness. A type here either cannot be built wrong or says why not.

pub mod units;
