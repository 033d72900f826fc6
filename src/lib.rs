//! covirt: two or more providers co-manage the same running virtual machine.
//!
//! The map: each row is a step of the flow, in order. A module imports only those above it.
//!
//! | step | module | in | out | tests |
//! |---|---|---|---|---|
//! | words | [`model`] | | ids, units, time, actions, commands, states | beside each file |
//! | 1, 2 identify resources and network | [`discovery`] | domain XML and what surrounds it | `Inventory` | `tests/corpus.rs` |
//! | 3 generate artifacts | [`artifacts`] | `Inventory`, binding | `Bundle` | `tests/consumers_*.rs` |
//! | 5 delegate actions | [`delegation`] | the primary's actions | who may do what, with epoch and lease | `delegation/tests.rs` |
//! | the host's owner | [`sovereignty`] | the owner's decisions | freezes, the ceiling, quotas | beside each file |
//! | 7, 8 detect and resolve conflicts | [`resolver`] | commands, answers, observations | facts, verdicts, calls | `resolver/tests`, `tests/scenarios.rs`, `tests/sim.rs` |
//! | 10 remember | [`journal`] | facts | durable history | `tests/journal_*.rs` |
//! | 9 execute | [`hypervisor`] | calls | outcomes, events | `tests/libvirt_*.rs`, `tests/parity` |
//! | 9 run | [`lanes`] | requests, timers | the lane's outputs, performed | `lanes/tests.rs` |
//! | 4, 6, 8 access, commands, callbacks | [`doors`] | HTTP on a Unix socket | replies, asks, events | `tests/daemon.rs` |
//! | wiring | [`agent`] | configuration | `covirtd` | `tests/daemon.rs` |
//! | people | [`cli`] | the `covirt` commands | tables, JSON | `tests/cli.rs` |

// Test harnesses that integration tests share name the crate as those do.
#[cfg(test)]
extern crate self as covirt;

pub mod model;
pub mod discovery;
pub mod artifacts;
pub mod delegation;
pub mod sovereignty;
pub mod resolver;
pub mod journal;
pub mod hypervisor;
pub mod lanes;
pub mod doors;
pub mod agent;
pub mod cli;
