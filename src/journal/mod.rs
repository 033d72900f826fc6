//! Step 10: what happened, durably, in order, and provably unchanged.
//!
//! ```text
//! lane runner ──append(entry, ack)──▶ Journal ──▶ writer thread ──one transaction──▶ Store
//!      ▲                                              │                        (sqlite | memory)
//!      └──────────── ack(position) ───────────────────┘──▶ watch(last durable position)
//! ```
//!
//! Assumes that the facts of one lane are appended in the order in which they were decided. Guarantees that an
//! acknowledged entry survives the end of the process and of the host, that a refused entry is not in the journal,
//! that no entry of a lane is written after one of the same lane was refused (until the lane was rebuilt), and that a
//! changed or missing record is found and named by its position.
//!
//! Opening replays what came after the newest snapshots of the lanes (`restore`), so that it takes as long as there is
//! live state; a thread beside the writer keeps it so (`coverage`, `writer/keeper`); `audit` checks all there is.
//! `docs/journal.md` has the format and the figures.

mod audit;
mod chain;
mod codec;
mod coverage;
mod error;
mod memory;
mod restore;
mod snapshot;
mod sqlite;
mod store;
mod writer;

#[cfg(test)]
mod parity;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
#[path = "../../tests/support/traffic.rs"]
mod traffic;

use crate::model::{Now, VmId};
use crate::resolver::Fact;

pub use chain::{Chain, Digest};
pub use codec::{DecodeError, EncodeError, Encoding, RECORD_MAX_BYTES, Record};
pub use coverage::{Coverage, Errand, TAIL_FLOOR};
pub use error::{AppendError, Damage, OpenJournalError, ReplayError, VerifyError, What};
pub use memory::{Disk, Fault, MemoryStore, Tail};
pub use restore::Restored;
pub use snapshot::{Basis, FACTS_CODE, Header, Headers, Snapshot, UnusableSnapshotError};
pub use sqlite::{FORMAT, SqliteStore};
pub use store::{Each, Store, Stored, Verified};
pub use writer::{Journal, QUEUE_MAX_BYTES, QUEUE_MAX_ENTRIES};

/// The position of a record: 1 for the first, without gaps.
pub type Position = u64;

/// The facts of one step of one lane, to be made durable together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The lane.
    pub vm: VmId,
    /// When the step was taken.
    pub at: Now,
    /// What happened, in order; at least one.
    pub facts: Vec<Fact>,
}
