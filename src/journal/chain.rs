//! The hash chain: each record's digest covers the record and the digest before it.
//!
//! Whoever changes, drops, inserts or reorders records must write every later digest anew; a head that was noted
//! elsewhere (`covirt` prints it) then no longer matches. Records cut off at the very end leave a valid, shorter
//! chain: only a noted head shows that.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::codec::Record;
use super::error::{Damage, What};
use super::store::Stored;
use super::{Entry, Position};

/// The digest of a record and, through it, of all records before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a chain: how many records it has and the digest of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Position of the last record; 0 for none.
    pub last: Position,
    /// Digest of the last record.
    pub head: Digest,
}

impl Chain {
    /// The chain of an empty journal.
    pub const EMPTY: Self = Self { last: 0, head: Digest([0; 32]) };

    /// The chain with one more record.
    #[must_use]
    pub fn with(self, record: &Record) -> Self {
        let last = self.last.saturating_add(1);
        let mut hash = Sha256::new();
        hash.update(self.head.0);
        // Each field is preceded by its length, so that no two records share one sequence of bytes.
        for field in [
            last.to_be_bytes().as_slice(),
            record.vm().0.as_bytes().as_slice(),
            record.at().mono.0.to_be_bytes().as_slice(),
            record.at().wall.micros().to_be_bytes().as_slice(),
            record.encoding().number().to_be_bytes().as_slice(),
            record.facts().as_bytes(),
        ] {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        Self { last, head: Digest(hash.finalize().into()) }
    }

    /// Takes in the record that a store has next, if it is the one that was written there.
    ///
    /// *Errors*: [`Damage`] at the position that does not fit.
    pub fn check(&mut self, stored: &Stored) -> Result<(), Damage> {
        let position = self.last.saturating_add(1);
        if stored.position != position {
            return Err(Damage::at(position, What::Missing { next: stored.position }));
        }
        let next = self.with(&stored.record);
        if next.head != stored.digest {
            return Err(Damage::at(position, What::Changed).of(stored.record.vm()));
        }
        *self = next;
        Ok(())
    }

    /// The same, and reads it.
    ///
    /// *Errors*: [`Damage`] at the position that does not fit, or cannot be read.
    pub fn follow(&mut self, stored: &Stored) -> Result<Entry, Damage> {
        let before = *self;
        self.check(stored)?;
        stored.record.decode().map_err(|error| {
            *self = before;
            Damage::at(stored.position, What::Undecodable(error)).of(stored.record.vm())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_field_changes_the_digest() {
        let entry = samples::entry(1, 1);
        let head = |entry: &Entry| Chain::EMPTY.with(&Record::encode(entry).unwrap()).head;
        let mut others = vec![Entry { vm: samples::vm(2), ..entry.clone() }, samples::entry(1, 2)];
        others.push(Entry { at: samples::at(99), ..entry.clone() });
        for other in others {
            assert_ne!(head(&entry), head(&other));
        }
        let record = Record::encode(&entry).unwrap();
        let second = Chain { last: 1, ..Chain::EMPTY };
        assert_ne!(second.with(&record).head, Chain::EMPTY.with(&record).head);
    }

    #[test]
    fn a_missing_and_a_changed_record_are_told_apart() {
        let records: Vec<_> = (1..=3).map(|step| Record::encode(&samples::entry(1, step)).unwrap()).collect();
        let mut chain = Chain::EMPTY;
        let stored: Vec<_> = (records.into_iter())
            .map(|record| {
                chain = chain.with(&record);
                Stored { position: chain.last, record, digest: chain.head }
            })
            .collect();

        let mut follow = Chain::EMPTY;
        follow.follow(&stored[0]).unwrap();
        let missing = follow.follow(&stored[2]).unwrap_err();
        assert_eq!(missing, Damage::at(2, What::Missing { next: 3 }));

        let mut changed = stored[1].clone();
        changed.record = stored[2].record.clone();
        assert_eq!(follow.follow(&changed).unwrap_err(), Damage::at(2, What::Changed).of(samples::vm(1)));
        assert_eq!(follow.last, 1);
    }
}
