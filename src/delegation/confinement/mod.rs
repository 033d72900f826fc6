//! What of the host a provider's commands may name.
//!
//! An action says what is done to a VM; its arguments can name more than that VM: files, networks, devices and programs of
//! the host, which libvirt reaches as root. A *confined* provider names only what the VM has already, new files beside its
//! disks, and what the operator lists for that provider. Who has the host role makes VMs of its own there and is not
//! confined; nor is the operator.
//!
//! Assumes that the VM's descriptions are libvirt's own. Guarantees that what is not understood is refused: elements that
//! are not known here pass only where the VM has the very same already.
//!
//! | file | idea |
//! |---|---|
//! | `asked` | what a command names of the host |
//! | `holdings` | what the VM has |
//! | `device`, `document` | what XML names, element by element |
//! | `form` | when two elements are the same |

mod asked;
mod device;
mod document;
mod form;
mod holdings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use asked::{Asked, How};
pub use holdings::Holdings;

use document::Judge;

/// What the operator lets a confined provider name besides what its VMs have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confinement {
    /// Folders: files in them, at any depth. Absolute, without a slash at the end.
    pub folders: BTreeSet<String>,
    /// Networks of libvirt's that interfaces may be on.
    pub networks: BTreeSet<String>,
}

/// What is at a path of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing; where it would be once symbolic links are followed.
    Nothing(String),
    /// Something; where it really is.
    Something(String),
    /// It cannot be told.
    Hidden,
}

/// Looks at the host's files.
pub trait Look {
    /// What is at an absolute path.
    fn at(&self, path: &str) -> Seen;
}

/// Something of the host that a provider may not name; the rest of a sentence that begins with what is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BeyondVm(String);

impl BeyondVm {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Whether a command names only what its provider may.
///
/// *Errors*: [`BeyondVm`] for the first thing that is neither the VM's nor allowed.
pub fn judge(asked: &Asked, holdings: &Holdings, allowed: &Confinement, look: &dyn Look) -> Result<(), BeyondVm> {
    let judge = Judge { holdings, allowed, look };
    asked.named().try_for_each(|named| judge.named(named))
}
