//! An entry as text, and back.
//!
//! A [`Record`] can only be made by encoding an entry, and encoding reads its own output back: what the journal takes
//! in, it can replay. Each record carries the number of its encoding, so that a later version can write another one
//! into the same journal and still read these. Nothing is ever skipped: an unknown encoding or fact is an error.

use serde::Deserialize;

use super::Entry;
use crate::model::{Now, VmId};
use crate::resolver::Fact;

/// The largest record that is taken. The largest command is far below it; only a defect comes near.
pub const RECORD_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How the facts of a record are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Encoding 1: a JSON array of facts.
    Json,
}

impl Encoding {
    /// The number in the journal.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Json => 1,
        }
    }

    /// The encoding of this number.
    ///
    /// *Errors*: [`DecodeError::Encoding`] for a number of a later version.
    pub const fn from_number(number: i64) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(Self::Json),
            _ => Err(DecodeError::Encoding { number }),
        }
    }
}

/// Why an entry cannot be journalled. A defect of whoever decided it, and of no concern to other lanes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// There is nothing to make durable.
    #[error("an entry holds at least one fact")]
    NoFacts,
    /// It cannot be written, or not be read back.
    #[error("the facts cannot be written and read back as JSON: {reason}")]
    Unreadable {
        /// What JSON has against them.
        reason: String,
    },
    /// It is too large.
    #[error("the facts take {bytes} bytes; a record holds at most {RECORD_MAX_BYTES}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A later version wrote it.
    #[error("encoding {number} is not known to this version")]
    Encoding {
        /// The encoding's number.
        number: i64,
    },
    /// A fact is not known, or not whole.
    #[error("the facts cannot be read: {reason}")]
    Facts {
        /// What is wrong with them.
        reason: String,
    },
}

/// An encoded entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    vm: VmId,
    at: Now,
    encoding: Encoding,
    facts: String,
}

impl Record {
    /// Encodes an entry.
    ///
    /// *Errors*: [`EncodeError`] when it is empty, too large, or could not be read back.
    pub fn encode(entry: &Entry) -> Result<Self, EncodeError> {
        if entry.facts.is_empty() {
            return Err(EncodeError::NoFacts);
        }
        let unreadable = |error: serde_json::Error| EncodeError::Unreadable { reason: error.to_string() };
        let facts = serde_json::to_string(&entry.facts).map_err(unreadable)?;
        if facts.len() > RECORD_MAX_BYTES {
            return Err(EncodeError::TooLarge { bytes: facts.len() });
        }
        // JSON writes what it does not read: nesting past its limit, times past the calendar. Found now, this costs
        // one command; found at the next start, it would cost the journal.
        serde_json::from_str::<Vec<Fact>>(&facts).map_err(unreadable)?;
        Ok(Self { vm: entry.vm, at: entry.at, encoding: Encoding::Json, facts })
    }

    /// A record as a store kept it; the chain, not this, says whether it is what was written.
    pub(super) const fn stored(vm: VmId, at: Now, encoding: Encoding, facts: String) -> Self {
        Self { vm, at, encoding, facts }
    }

    /// The entry.
    ///
    /// *Errors*: [`DecodeError`] when a fact is not known or not whole.
    pub fn decode(&self) -> Result<Entry, DecodeError> {
        let facts = match self.encoding {
            Encoding::Json => decode_json(&self.facts)?,
        };
        Ok(Entry { vm: self.vm, at: self.at, facts })
    }

    /// The lane.
    #[must_use]
    pub const fn vm(&self) -> VmId {
        self.vm
    }

    /// When the step was taken.
    #[must_use]
    pub const fn at(&self) -> Now {
        self.at
    }

    /// How the facts are written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The facts as they are written.
    #[must_use]
    pub fn facts(&self) -> &str {
        &self.facts
    }
}

/// Reads the facts one by one, so that an error names which of them.
fn decode_json(text: &str) -> Result<Vec<Fact>, DecodeError> {
    if let Ok(facts) = serde_json::from_str(text) {
        return Ok(facts);
    }
    let refuse = |reason: String| DecodeError::Facts { reason };
    let raw: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
    for (index, value) in raw.into_iter().enumerate() {
        if let Err(error) = Fact::deserialize(value) {
            return Err(refuse(format!("fact {}: {error}", index.saturating_add(1))));
        }
    }
    Err(refuse("they are readable one by one, but not together".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::samples;
    use super::*;
    use crate::model::{Code, Ending, Outcome, Wall};

    #[test]
    fn every_kind_of_fact_is_read_back_as_written() {
        let sampled: BTreeSet<&str> = samples::every_fact().iter().map(Fact::kind).collect();
        assert_eq!(sampled, Fact::KINDS.iter().copied().collect());
        for fact in samples::every_fact() {
            assert_eq!(serde_json::to_value(&fact).unwrap()["fact"], fact.kind());
            let entry = Entry { facts: vec![fact], ..samples::entry(1, 1) };
            assert_eq!(Record::encode(&entry).unwrap().decode().unwrap(), entry);
        }
    }

    proptest! {
        #[test]
        fn any_entry_is_read_back_as_written(entry in samples::any_entry()) {
            let record = Record::encode(&entry).unwrap();
            prop_assert_eq!(record.decode().unwrap(), entry);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let entry = samples::entry(1, 1);
            let _ = Record::stored(entry.vm, entry.at, Encoding::Json, text).decode();
        }
    }

    #[test]
    fn an_unknown_fact_is_named_and_not_skipped() {
        let known = serde_json::to_value(&samples::every_fact()[0]).unwrap();
        let text = json!([known, {"fact": "teleported", "to": "mars"}]).to_string();
        let entry = samples::entry(1, 1);
        let error = Record::stored(entry.vm, entry.at, Encoding::Json, text).decode().unwrap_err().to_string();
        assert!(error.contains("fact 2") && error.contains("teleported"), "{error}");
    }

    #[test]
    fn a_later_encoding_is_refused_by_number() {
        assert_eq!(Encoding::from_number(2), Err(DecodeError::Encoding { number: 2 }));
        assert_eq!(Encoding::from_number(Encoding::Json.number()), Ok(Encoding::Json));
    }

    #[test]
    fn what_could_not_be_read_back_is_not_taken() {
        let entry = |facts| Entry { facts, ..samples::entry(1, 1) };
        assert_eq!(Record::encode(&entry(vec![])), Err(EncodeError::NoFacts));

        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        let outcome = Outcome { result: deep, ..Outcome::new(Ending::Done, Code::Executed, "done") };
        let nested = Fact::Ended { command: samples::command_id(1), outcome };
        assert!(matches!(Record::encode(&entry(vec![nested])), Err(EncodeError::Unreadable { .. })));

        let never = samples::delegated_until(Wall::from_micros(i64::MAX));
        assert!(matches!(Record::encode(&entry(vec![never])), Err(EncodeError::Unreadable { .. })));

        let long = Fact::GapFlagged { command: samples::command_id(1), expected: 1 };
        let huge = entry(vec![long; RECORD_MAX_BYTES / 64]);
        assert!(matches!(Record::encode(&huge), Err(EncodeError::TooLarge { .. })));
    }
}
