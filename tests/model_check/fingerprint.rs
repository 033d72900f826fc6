//! 128 bits of a state: two states of the same bits are taken for the same.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;

use serde::Serialize;

/// What tells a state from all others.
pub(crate) type Mark = (u64, u64);

/// What a state is marked by, as text.
#[derive(Default)]
pub(crate) struct Marker(Vec<u8>);

impl Marker {
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value).unwrap();
    }

    pub(crate) fn debug(&mut self, value: &impl Debug) {
        write!(self.0, "{value:?};").unwrap();
    }

    /// Two hashes of it, which begin differently.
    pub(crate) fn mark(&self) -> Mark {
        let (mut one, mut other) = (DefaultHasher::new(), DefaultHasher::new());
        other.write_u8(1);
        one.write(&self.0);
        other.write(&self.0);
        (one.finish(), other.finish())
    }
}
