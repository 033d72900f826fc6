//! Steps 4, 6 and 8: how providers and the operator reach the agent, and how the agent asks them.
//!
//! | file | idea |
//! |---|---|
//! | `wire` | what travels: one type per message, shared with the command line |
//! | `view` | from what a lane knows to what travels |
//! | `identity` | who is at the other end of a connection, and whom it may speak for |
//! | `roster` | who may call, as it is now |
//! | `pass` | a connection's right to speak, and when it ends |
//! | `tls` | TLS 1.3 in front of the doors |
//! | `bounds`, `pace` | how many connections at once, of one place and of one provider; how many requests and lines a second |
//! | `reach` | how far a provider's commands reach into the host |
//! | `listener` | a Unix socket bound safely |
//! | `accept` | the next connection, whatever the system says |
//! | `api` | HTTP/1.1 and JSON on the Unix socket and over TLS; a provider's WebSocket |
//! | `access` | channels into a VM: who has which open, and what carries their bytes; pictures and figures |
//! | `session` | who is connected, what was asked of whom, whose clock is how far off |
//! | `bindings` | what the operator adds to a VM for each format of artifacts |
//! | `enrollment` | how a remote provider comes to its key |
//! | `rpc` | libvirt's own protocol, for unmodified clients |
//! | `tally` | how many connections are open |
//! | `callback` | carries a lane's questions to sessions, standing answers and the operator's hook |

mod accept;
mod access;
pub mod api;
mod bindings;
mod bounds;
mod callback;
pub mod enrollment;
pub mod identity;
mod listener;
mod pace;
mod pass;
pub mod reach;
pub mod rpc;
mod roster;
mod session;
pub mod tally;
pub mod tls;
mod view;
pub mod wire;

pub use access::Channels;
pub use api::{Api, Exposition, Limits, LiveLimits, openapi_document, serve, serve_observers, serve_tls, status_of};
pub use bindings::Bindings;
pub use callback::{Callbacks, Hook};
pub use listener::{BindSocketError, Listener, SocketOwner};
pub use roster::Roster;
pub use session::Sessions;
pub(crate) use view::events as events_for;
