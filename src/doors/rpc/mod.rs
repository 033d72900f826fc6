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
//! | `remote` | the port of libvirt clients on other machines: TLS ends there, and a relay begins |
//! | `procedures` | what a door does with each of libvirt's procedures: a table |
//! | `mapping` | from a call to the VM and the operation that it is |
//! | `view` | what a provider may see of replies, events and errors |
//! | `refusal` | what a client is told when its call is not made |
//! | `conversation` | one client's connection: what is held, passed on, answered |
//! | `courier` | carries out what the conversation decides: the policy of a provider's door |

pub mod conversation;
mod courier;
mod door;
pub mod frame;
mod intake;
pub mod mapping;
mod outlet;
pub mod procedures;
pub mod refusal;
mod relay;
mod remote;
#[cfg(test)]
mod samples;
mod upstream;
pub mod view;
pub mod xdr;

pub use courier::{Census, Couriers};
pub use door::{CONNECTIONS_MAX, Client, Door, Entry, OpenDoorError, Policies};
pub use intake::{Filled, Intake, ReadFrameError};
pub use relay::{Ending, NoNews, Outputs, Policy, Relay, RelayError, Side, Transparent};
pub use remote::{JoinedClients, RemoteDoor, Welcome};
pub use upstream::{NoSocketError, ReachUpstreamError, Upstream};
