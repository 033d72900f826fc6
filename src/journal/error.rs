//! What can go wrong with a journal: one enum for each deed.

use std::path::PathBuf;

use super::Position;
use super::codec::{DecodeError, EncodeError};
use crate::model::{Code, VmId};

/// Why an entry was not made durable. It is not in the journal, except as [`AppendError::Closed`] says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The disk is full or failed; the whole batch was refused. A later append is a new attempt.
    #[error("the journal cannot be written: {reason}")]
    Unwritable {
        /// What the storage said.
        reason: String,
    },
    /// As many entries are waiting to be written as may.
    #[error("the journal is behind: {entries} entries with {bytes} bytes are waiting to be written")]
    Full {
        /// How many are waiting.
        entries: usize,
        /// How large they are together.
        bytes: usize,
    },
    /// An earlier entry of this VM was refused, and this one was decided on top of it.
    #[error("an earlier entry of VM {vm} was not written, and this one builds on it")]
    Fenced {
        /// The VM.
        vm: VmId,
    },
    /// The entry itself is at fault.
    #[error("the entry cannot be journalled")]
    Unencodable(#[from] EncodeError),
    /// The journal was closed, or its thread died of a defect. Only the next start tells whether what the thread had
    /// in its hands just then was written.
    #[error("the journal is closed")]
    Closed,
}

impl AppendError {
    /// The stable code for whoever asked.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unwritable { .. } | Self::Full { .. } | Self::Fenced { .. } => Code::JournalUnwritable,
            Self::Unencodable(_) => Code::Internal,
            Self::Closed => Code::Closing,
        }
    }
}

/// Why records could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// A record is not readable.
    #[error("record {position} of the journal cannot be read")]
    Undecodable {
        /// Which.
        position: Position,
        /// Why.
        source: DecodeError,
    },
    /// The storage failed.
    #[error("the journal cannot be read after record {after}: {reason}")]
    Unreadable {
        /// The last position before the failure.
        after: Position,
        /// What the storage said.
        reason: String,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl ReplayError {
    /// The stable code for whoever asked.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Undecodable { .. } | Self::Unreadable { .. } => Code::Internal,
            Self::Closed => Code::Closing,
        }
    }
}

/// The first place at which a journal is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal is damaged at record {position}{}: {what}", of_vm(vm.as_ref()))]
pub struct Damage {
    /// The record that is not as it was written; 0 when it is the journal as a whole.
    pub position: Position,
    /// The VM it is about, as the damaged record says; none when nothing says it.
    pub vm: Option<VmId>,
    /// What is wrong there.
    pub what: What,
}

fn of_vm(vm: Option<&VmId>) -> String {
    vm.map_or_else(String::new, |vm| format!(" (of VM {vm})"))
}

impl Damage {
    /// Damage at a record, or with 0 to the journal as a whole.
    #[must_use]
    pub const fn at(position: Position, what: What) -> Self {
        Self { position, vm: None, what }
    }

    /// The same, naming the VM it is about.
    #[must_use]
    pub fn of(self, vm: VmId) -> Self {
        Self { vm: Some(vm), ..self }
    }
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// It is not there.
    #[error("it is missing; the next known one is {next}")]
    Missing {
        /// A later position that is there, or was.
        next: Position,
    },
    /// It, or its digest, is not what was written.
    #[error("its content does not match its digest")]
    Changed,
    /// It was written like this, and cannot be read.
    #[error("{0}")]
    Undecodable(DecodeError),
    /// The storage cannot give it out.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Some of what is written about its VM is not found by the VM.
    #[error("the index of VMs does not fit the records up to here")]
    Index,
    /// The records are whole; a snapshot that ends here is not what they add up to.
    #[error("the snapshot that ends here is not what the records add up to: {0}")]
    Snapshot(String),
}

/// Why an open journal was not found to be what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is not.
    #[error("the journal does not hold what was written")]
    Damaged(#[from] Damage),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl VerifyError {
    /// The stable code for whoever asked.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Damaged(_) => Code::Internal,
            Self::Closed => Code::Closing,
        }
    }
}

/// Why a journal was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenJournalError {
    /// The file cannot be opened or created.
    #[error("the journal {} cannot be opened: {reason}", path.display())]
    Unopenable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another agent has it open.
    #[error("the journal {} is in use by another process", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a covirt journal: {found}", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A later version wrote it.
    #[error("the journal {} has format {found}; this version reads up to format {known}", path.display())]
    NewerFormat {
        /// Where.
        path: PathBuf,
        /// The journal's format.
        found: i64,
        /// The latest format this version knows.
        known: i64,
    },
    /// It is not what was written.
    #[error("the journal {} was not opened", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Where inside, and what.
        #[source]
        damage: Damage,
    },
}
