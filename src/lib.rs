//! covirt: two or more providers co-manage the same running virtual machine.
//!
//! The map below is the flow; each row is a module, read in this order.

// Test harnesses that integration tests share name the crate as those do.
#[cfg(test)]
extern crate self as covirt;

pub mod artifacts;
pub mod delegation;
pub mod discovery;
pub mod hypervisor;
pub mod journal;
pub mod model;
pub mod resolver;
