//! Step 4, how a remote provider comes to its key: a token once, a request for a certificate, a certificate.
//!
//! | file | idea |
//! |---|---|
//! | `registrar` | lets providers in, gives them certificates, shows them out |
//! | `join` | the address for joining |
//! | `attempts` | how often an address may come with a token that is refused |
//! | `token` | what is said once to whoever is to join |
//! | `csr` | what is taken from a request for a certificate: its public key |
//! | `authority` | the small authority of this host |
//! | `kind` | what sort of control plane a provider is |
//! | `book` | who was let in: providers, keys, tokens, what is revoked |
//! | `store` | the book on disk |
//! | `files` | files that must be whole, and secrets that nobody else may read |
//! | `chance` | random bytes |

mod attempts;
pub mod authority;
mod book;
mod chance;
mod csr;
pub mod files;
pub mod join;
mod kind;
mod registrar;
mod store;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use super::wire::Certificate;

pub use authority::{Authority, AuthoritySettings, Serial, UseAuthorityError};
pub use book::Invitation;
pub(crate) use book::{Entry, Key, KeyState, Waiting};
pub use kind::{Kind, ParseKindError};
pub use registrar::{Audience, Certified, Invited, Joined, Joining, Registrar};
pub use store::{OpenStoreError, Store};
pub use token::TokenId;

/// The registrar, and what those who join are told beside their certificates. Clones are the same.
#[derive(Clone)]
pub struct Enrollment {
    /// Who lets providers in.
    pub registrar: Arc<Registrar>,
    /// Where providers reach this agent to join, `HOST:PORT`.
    pub endpoint: Option<String>,
    /// Who signed this agent's certificate, in PEM, if that is somebody else than its own authority.
    pub server_ca: Option<String>,
    /// How long a key that was replaced is good yet, at most.
    pub overlap: Duration,
    /// The port of the API over TLS.
    pub api_port: Option<u16>,
    /// The port for libvirt's clients over TLS.
    pub libvirt_port: Option<u16>,
}

impl Enrollment {
    pub(crate) fn certificate(&self, certified: Certified) -> Certificate {
        let Certified { certificate, mut authority } = certified;
        authority.extend(self.server_ca.as_deref());
        let (api_port, libvirt_port) = (self.api_port, self.libvirt_port);
        Certificate { certificate, authority, api_port, libvirt_port, overlap_s: None }
    }
}
