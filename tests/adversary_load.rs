//! A secondary provider, mallory, who floods, stalls, forges and plants: nothing leaks, nothing changes, others are
//! answered. The agent is the built `covirtd` on libvirt's mock driver.
//!
//! What belongs here and needs another stage is elsewhere: packets of a libvirt client that are too long in `door.rs` and
//! `fuzz/`, handshakes that stall in `tls/refused.rs`.

#[path = "support/authority.rs"]
mod authority;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "adversary_load/idle.rs"]
mod idle;
#[path = "adversary_load/lines.rs"]
mod lines;
#[path = "adversary_load/links.rs"]
mod links;
#[path = "adversary_load/oversized.rs"]
mod oversized;
#[path = "adversary_load/scene.rs"]
mod scene;
#[path = "adversary_load/slow.rs"]
mod slow;
#[path = "tls/stage.rs"]
#[allow(dead_code, reason = "a part of it is enough here")]
mod stage;
mod support;
#[path = "adversary_load/over_tls.rs"]
mod over_tls;
