//! A lane's state, kept so that a start need not replay what led to it.
//!
//! A snapshot is a cache, never the truth: one that other code made, that was changed, or that does not fit the chain
//! is left aside, and the facts are replayed. What snapshots there are, and up to where the journal is covered by
//! them, is the [`Basis`]; it is written together with each snapshot, and its seal covers all of them, so that a
//! snapshot that is missing is noticed as well as one that was changed.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::Position;
use super::chain::{Chain, Digest};
use crate::model::VmId;
use crate::resolver::State;

/// Names the code that turns facts into states, and states into text: whoever runs other code replays the facts.
pub const FACTS_CODE: u64 = number(env!("COVIRT_FACTS_CODE"));

/// The seals of all snapshots, by VM: what a start trusts is what the last basis names.
pub type Headers = BTreeMap<VmId, Header>;

/// What is known of a snapshot without its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The lane.
    pub vm: VmId,
    /// The last record of this lane that it covers.
    pub through: Position,
    /// The chain's digest there.
    pub digest: Digest,
    /// Which code made it.
    pub code: u64,
    /// Whether nobody co-managed the VM: a start need not read it.
    pub released: bool,
    /// How long its text is. *Units*: bytes.
    pub length: u64,
    /// The digest of its text.
    pub sum: Digest,
}

/// A lane's state at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub header: Header,
    /// The state as JSON.
    pub body: String,
}

/// What the snapshots cover together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// Every record up to this is covered by the snapshot of its VM.
    pub base: Position,
    /// The chain's digest there.
    pub digest: Digest,
    /// A digest of this and of every header.
    pub seal: Digest,
}

/// Why a snapshot is left aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSnapshotError {
    /// Other code made it.
    #[error("other code made it")]
    OtherCode,
    /// Its text is not what was written, or not that of this VM.
    #[error("its text does not match its digest")]
    Changed,
    /// The chain is another one.
    #[error("it does not fit the chain")]
    OtherChain,
    /// It cannot be read, or would not be.
    #[error("its state cannot be written and read back: {reason}")]
    Unreadable {
        /// What JSON has against it.
        reason: String,
    },
    /// What the basis names is not what is there.
    #[error("the snapshots are not those that were written last")]
    Unsealed,
    /// The store does not give it out.
    #[error("it cannot be read: {reason}")]
    Store {
        /// What the store said.
        reason: String,
    },
    /// A record it should cover was not found.
    #[error("{found} records were found that it covers, and {expected} were written")]
    Uncounted {
        /// How many the index gave.
        found: u64,
        /// How many there are.
        expected: u64,
    },
}

impl Snapshot {
    /// A state as it is kept: `chain` ends with the last record that is in it.
    ///
    /// *Errors*: [`UnusableSnapshotError::Unreadable`] when it would not be read back as it is.
    pub fn encode(state: &State, chain: Chain) -> Result<Self, UnusableSnapshotError> {
        let unreadable = |reason: String| UnusableSnapshotError::Unreadable { reason };
        let body = serde_json::to_string(state).map_err(|error| unreadable(error.to_string()))?;
        let header = Header {
            vm: state.vm(),
            through: chain.last,
            digest: chain.head,
            code: FACTS_CODE,
            released: !state.is_needed(),
            length: body.len() as u64,
            sum: sum(&body),
        };
        let snapshot = Self { header, body };
        // What a start would make of it is known now, while the facts are at hand.
        if snapshot.decode()? != *state {
            return Err(unreadable("it is read back as another state".to_owned()));
        }
        Ok(snapshot)
    }

    /// The state.
    ///
    /// *Errors*: [`UnusableSnapshotError`] when it is not what was written, or not for this code.
    pub fn decode(&self) -> Result<State, UnusableSnapshotError> {
        if self.header.code != FACTS_CODE {
            return Err(UnusableSnapshotError::OtherCode);
        }
        if sum(&self.body) != self.header.sum {
            return Err(UnusableSnapshotError::Changed);
        }
        let state: State = serde_json::from_str(&self.body)
            .map_err(|error| UnusableSnapshotError::Unreadable { reason: error.to_string() })?;
        if state.vm() == self.header.vm { Ok(state) } else { Err(UnusableSnapshotError::Changed) }
    }
}

impl Basis {
    /// The basis of these snapshots; `chain` ends with the last record they cover together.
    #[must_use]
    pub fn seal(chain: Chain, headers: &Headers) -> Self {
        let mut hash = Sha256::new();
        hash.update(chain.last.to_be_bytes());
        hash.update(chain.head.0);
        for header in headers.values() {
            hash.update(header.vm.0.as_bytes());
            hash.update(header.through.to_be_bytes());
            hash.update(header.digest.0);
            hash.update(header.code.to_be_bytes());
            hash.update([u8::from(header.released)]);
            hash.update(header.length.to_be_bytes());
            hash.update(header.sum.0);
        }
        Self { base: chain.last, digest: chain.head, seal: Digest(hash.finalize().into()) }
    }

    /// Where the chain goes on.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        Chain { last: self.base, head: self.digest }
    }
}

fn sum(body: &str) -> Digest {
    Digest(Sha256::digest(body).into())
}

/// A decimal number, read while compiling.
const fn number(text: &str) -> u64 {
    match u64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("the build script gives a number"),
    }
}
