//! The built `covirtd` over TLS, on libvirt's mock driver, with clients that are no part of this project: `openssl`, `curl`,
//! and Python's standard library. Needs all three.

#[path = "support/authority.rs"]
mod authority;
#[path = "tls/bounds.rs"]
mod bounds;
#[path = "tls/clients.rs"]
mod clients;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "tls/refused.rs"]
mod refused;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/stage.rs"]
mod stage;
mod support;
