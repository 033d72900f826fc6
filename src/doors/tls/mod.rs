//! TLS 1.3 in front of the doors: who comes in is known by its certificate.
//!
//! ```text
//!   connection ──▶ bounds ──▶ handshake ──▶ trust, roster ──▶ pass ──▶ API, or a libvirt client's relay
//!                    │            │               │
//!                    └────────────┴── refused ────┴──▶ one line in the log: the reason, and from where
//! ```
//!
//! Guarantees: nobody without a certificate that speaks for somebody says a byte to what is behind; nothing is resumed, so
//! that every connection proves itself anew; each connection is in some bound's count until it is over.
//!
//! | file | idea |
//! |---|---|
//! | `certificate` | what a client's certificate says |
//! | `files` | certificates, keys and revocation lists from files |
//! | `trust` | whose certificates are believed, as of now |
//! | `gate` | one handshake's judge |
//! | `refused` | why somebody was not let in |
//! | `live` | the server's side, read again while it serves |
//! | `limits` | what a port lets in |
//! | `listener` | a port, and the handshakes on it |

mod certificate;
mod files;
mod gate;
mod limits;
mod listener;
mod live;
mod refused;
mod trust;

pub use files::{ReadTlsFileError, TlsFiles};
pub use limits::TlsLimits;
pub(crate) use listener::{Admission, TlsClient};
pub use listener::{BindPortError, TlsListener};
pub(crate) use live::Speaking;
pub use live::{Tls, fingerprint};
pub use refused::Refused;
pub(crate) use trust::{Chain, Trust};
