//! One list of behaviours for the fake, libvirt's mock driver and QEMU, so that the fake cannot lie.
//!
//! ```text
//! list ──(a behaviour)──► run ──calls──► stage ──► fake | test:///default | QEMU
//!                          │ how each ends, what a look shows, what events tell, what a probe finds
//!                          └──► complaints
//! ```

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod behaviour;
pub(crate) mod list;
pub(crate) mod look;
pub(crate) mod run;
pub(crate) mod stage;
pub(crate) mod table;
