//! covirt: two or more providers co-manage the same running virtual machine.
//!
//! The map below is the flow; each row is a module, read in this order.

pub mod model;
pub mod discovery;
pub mod artifacts;
pub mod cli;
