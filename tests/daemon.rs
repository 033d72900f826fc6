//! The built `covirtd` from outside, on libvirt's mock driver: what a client sees over the Unix socket.

#[path = "daemon/artifacts.rs"]
mod artifacts;
#[path = "daemon/bad_input.rs"]
mod bad_input;
#[path = "daemon/faults.rs"]
mod faults;
#[path = "daemon/life.rs"]
mod life;
#[path = "daemon/managers.rs"]
mod managers;
#[path = "daemon/provider_sessions.rs"]
mod provider_sessions;
#[path = "daemon/secrets.rs"]
mod secrets;
mod support;
#[path = "daemon/visibility.rs"]
mod visibility;
#[path = "daemon/waiting.rs"]
mod waiting;
