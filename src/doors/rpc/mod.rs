//! A libvirt-compatible socket per provider: unmodified libvirt clients become co-managers.
//!
//! ```text
//!  client ──▶ transport ──▶ conversation ──▶ transport ──▶ libvirtd
//!                             │    ▲
//!                     mapping │    │ released, refused
//!                             ▼    │
//!                            lane of the VM
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `xdr` | the words that payloads are made of |
//! | `frame` | one message: length, header, payload, descriptors |
//! | `intake` | reads whole messages with their descriptors |
//! | `outlet` | writes them, and keeps in order what is not taken yet |
//! | `relay` | a client's connection and its own one at libvirt, and the policy between them |
//! | `upstream` | where libvirt is |
//! | `door` | a provider's socket: who comes in, and as whom |

mod door;
pub mod frame;
mod intake;
mod outlet;
mod relay;
#[cfg(test)]
mod samples;
mod upstream;
pub mod xdr;

pub use door::{CONNECTIONS_MAX, Client, Door, Entry, OpenDoorError, Policies};
pub use intake::ReadFrameError;
pub use relay::{Ending, NoNews, Outputs, Policy, Relay, RelayError, Side, Transparent};
pub use upstream::{NoSocketError, ReachUpstreamError, Upstream};
