//! What a start would have to replay, and whose snapshot is to be written next so that it does not grow.
//!
//! ```text
//! records   1 ─────────────── base ─────────────────────────── last
//!           every one in some   │ a VM's first record that no   │
//!           snapshot            │ snapshot has is the oldest    │
//!                               └──────────── the tail ─────────┘
//! ```
//!
//! The VM with the oldest uncovered record is next, once the tail is larger than all snapshots together (and than a
//! floor). So a start reads at most about twice what lives, however long the history; and no snapshot is written again
//! before the journal has grown by as much as all of them take: writing them costs no more than writing the facts.

use std::collections::BTreeMap;

use super::Position;
use super::snapshot::{Header, Headers};
use crate::model::VmId;

/// The tail may always grow to this. *Units*: bytes of facts. A start reads it in a few hundredths of a second.
pub const TAIL_FLOOR: u64 = 4 * 1024 * 1024;

/// Which records the snapshots cover, and which a start would replay.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    headers: Headers,
    /// The store has snapshots that are not to be believed.
    stale: bool,
    uncovered: BTreeMap<VmId, Uncovered>,
    /// The same VMs, by their first uncovered record.
    order: BTreeMap<Position, VmId>,
    /// What is being put into a snapshot; later records of that VM count anew.
    covering: Option<(VmId, Uncovered)>,
    /// All facts since some point in the past. *Units*: bytes.
    written: u64,
    /// No snapshot is tried before `written` has come to this.
    not_before: u64,
}

/// Records of one VM that no snapshot has.
#[derive(Debug, Clone, Copy)]
struct Uncovered {
    first: Position,
    /// How much had been written before the first.
    before: u64,
    last: Position,
    records: u64,
}

/// A snapshot to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand {
    /// The lane.
    pub vm: VmId,
    /// The snapshot it has, to begin with.
    pub from: Option<Header>,
    /// The last record that the new one is to cover.
    pub through: Position,
    /// How many records lie between the two.
    pub records: u64,
}

impl Coverage {
    /// That of a journal of which these snapshots are believed; `stale` when it has others that are not.
    #[must_use]
    pub fn after(headers: Headers, stale: bool) -> Self {
        Self { headers, stale, ..Self::default() }
    }

    /// Takes a record in; they come in order. *Units*: bytes of facts.
    pub fn note(&mut self, vm: VmId, position: Position, bytes: u64) {
        let before = self.written;
        self.written = self.written.saturating_add(bytes);
        if self.headers.get(&vm).is_some_and(|header| position <= header.through) {
            return;
        }
        let new = Uncovered { first: position, before, last: position, records: 0 };
        let uncovered = self.uncovered.entry(vm).or_insert(new);
        uncovered.last = position;
        uncovered.records = uncovered.records.saturating_add(1);
        self.order.insert(uncovered.first, vm);
    }

    /// The snapshots that are believed.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Whether other snapshots are to be removed before one is written.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// The VMs with records that no snapshot has: how many they are, and the last of them.
    pub fn uncovered(&self) -> impl Iterator<Item = (VmId, u64, Position)> {
        self.uncovered.iter().map(|(vm, uncovered)| (*vm, uncovered.records, uncovered.last))
    }

    /// How much a start would read beside the snapshots. *Units*: bytes of facts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let waiting = self.order.first_key_value().and_then(|(_, vm)| self.uncovered.get(vm));
        let oldest = waiting.into_iter().chain(self.covering.as_ref().map(|(_, uncovered)| uncovered));
        oldest.map(|uncovered| self.written.saturating_sub(uncovered.before)).max().unwrap_or(0)
    }

    /// Hands out the snapshot that is due, if one is; the answer is [`Self::kept`] or [`Self::failed`].
    pub fn due(&mut self, floor: u64) -> Option<Errand> {
        let live: u64 = self.headers.values().map(|header| header.length).sum();
        if self.covering.is_some() || self.written < self.not_before || self.bytes() <= floor.max(live) {
            return None;
        }
        let (_, vm) = self.order.pop_first()?;
        let uncovered = self.uncovered.remove(&vm)?;
        self.covering = Some((vm, uncovered));
        let from = self.headers.get(&vm).copied();
        Some(Errand { vm, from, through: uncovered.last, records: uncovered.records })
    }

    /// What the headers and the base (the last position is `last`) will be once this snapshot is written.
    #[must_use]
    pub fn with(&self, header: Header, last: Position) -> (Headers, Position) {
        let mut headers = self.headers.clone();
        headers.insert(header.vm, header);
        let base = self.order.first_key_value().map_or(last, |(first, _)| first.saturating_sub(1));
        (headers, base)
    }

    /// The snapshot was written.
    pub fn kept(&mut self, header: Header) {
        self.headers.insert(header.vm, header);
        self.covering = None;
        self.stale = false;
    }

    /// It was not: its records are uncovered still, and nothing is tried for a while.
    pub fn failed(&mut self, pause: u64) {
        let Some((vm, covering)) = self.covering.take() else { return };
        if let Some(later) = self.uncovered.get_mut(&vm) {
            self.order.remove(&later.first);
            *later =
                Uncovered { last: later.last, records: covering.records.saturating_add(later.records), ..covering };
        } else {
            self.uncovered.insert(vm, covering);
        }
        self.order.insert(covering.first, vm);
        self.not_before = self.written.saturating_add(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::Digest;
    use super::super::samples::vm;
    use super::*;

    fn header(errand: Errand, length: u64) -> Header {
        let (digest, sum) = (Digest([1; 32]), Digest([2; 32]));
        Header { vm: errand.vm, through: errand.through, digest, code: 0, released: false, length, sum }
    }

    #[test]
    fn the_oldest_uncovered_record_is_next_once_the_tail_is_larger_than_what_lives() {
        let mut coverage = Coverage::default();
        coverage.note(vm(2), 1, 10);
        coverage.note(vm(1), 2, 10);
        coverage.note(vm(2), 3, 10);
        assert_eq!((coverage.bytes(), coverage.due(30)), (30, None));
        let errand = coverage.due(29).unwrap();
        assert_eq!(errand, Errand { vm: vm(2), from: None, through: 3, records: 2 });
        assert_eq!(coverage.due(0), None, "one at a time");
        // What comes meanwhile is not in it.
        coverage.note(vm(2), 4, 10);
        let (headers, base) = coverage.with(header(errand, 25), 4);
        assert_eq!((headers.len(), base), (1, 1));
        coverage.kept(header(errand, 25));
        assert_eq!(coverage.bytes(), 30);
        assert_eq!(coverage.due(25).map(|errand| (errand.vm, errand.through, errand.records)), Some((vm(1), 2, 1)));
        coverage.failed(5);
        assert_eq!((coverage.bytes(), coverage.due(0)), (30, None), "not at once again");
        coverage.note(vm(3), 5, 5);
        let errand = coverage.due(0).unwrap();
        assert_eq!(errand.vm, vm(1));
        coverage.kept(header(errand, 25));
        // Now all snapshots together are larger than the tail.
        assert_eq!((coverage.bytes(), coverage.due(0)), (15, None));
        coverage.note(vm(3), 6, 50);
        let errand = coverage.due(0).unwrap();
        assert_eq!((errand.vm, errand.records, errand.from.map(|header| header.through)), (vm(2), 1, Some(3)));
    }

    #[test]
    fn a_failure_gives_the_records_back_with_those_that_came_meanwhile() {
        let mut coverage = Coverage::default();
        coverage.note(vm(1), 1, 10);
        let errand = coverage.due(0).unwrap();
        coverage.note(vm(1), 2, 10);
        coverage.failed(0);
        assert_eq!(coverage.bytes(), 20);
        let again = coverage.due(0).unwrap();
        assert_eq!((again.through, again.records), (2, errand.records + 1));
        coverage.kept(header(again, 1));
        assert_eq!((coverage.bytes(), coverage.due(0)), (0, None));
        assert_eq!(coverage.with(header(again, 1), 2).1, 2, "all is covered");
    }

    #[test]
    fn what_a_snapshot_has_is_not_counted_again() {
        let mut coverage = Coverage::default();
        coverage.note(vm(1), 1, 10);
        let first = header(coverage.due(0).unwrap(), 1);
        let mut coverage = Coverage::after([(vm(1), first)].into(), false);
        coverage.note(vm(1), 1, 10);
        assert_eq!(coverage.bytes(), 0);
        coverage.note(vm(1), 2, 10);
        assert_eq!((coverage.bytes(), coverage.uncovered().count()), (10, 1));
    }
}
