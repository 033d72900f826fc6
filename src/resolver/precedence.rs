//! Which command must wait for which: the lane as a graph that never has a cycle.
//!
//! Three kinds of edges, all of them "ends before the other begins": `after`, a provider's own sequence where its
//! commands clash, and verdicts. A new `after` that would close a cycle is refused; a conflict is only settled
//! against a path by taking the path's own direction. So the graph stays free of cycles, however many providers
//! and conflicts there are.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{State, Tracked};
use crate::model::{Command, CommandId};

/// What keeps a queued command from being looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Waits {
    /// A live command that goes first.
    For(CommandId),
    /// A command named in `after` that has not come.
    ForUnseen(CommandId),
    /// A lower sequence number that has not come.
    ForSequence(u64),
}

impl State {
    /// The live commands that must end before `tracked` begins.
    pub(crate) fn predecessors(&self, tracked: &Tracked) -> BTreeSet<CommandId> {
        let command = tracked.command();
        let mut before: BTreeSet<CommandId> =
            command.order.after.iter().copied().filter(|id| self.live.contains(id)).collect();
        before.extend(self.verdicts.iter().filter(|(_, second)| *second == command.id).map(|(first, _)| *first));
        let footprint = command.operation.footprint();
        let earlier = self.live().filter(|other| {
            other.command().provider == command.provider
                && other.command().id != command.id
                && (other.seq() < tracked.seq() || other.is_active())
        });
        before.extend(
            earlier
                .filter(|other| !footprint.contested_with(&other.command().operation.footprint()).is_empty())
                .map(|other| other.command().id),
        );
        before
    }

    /// Whether `from` must end before `to` begins, directly or through others.
    pub(crate) fn leads_to(&self, from: CommandId, to: CommandId) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![to];
        while let Some(id) = next.pop() {
            if id == from {
                return true;
            }
            if seen.insert(id) {
                next.extend(self.commands.get(&id).map(|tracked| self.predecessors(tracked)).unwrap_or_default());
            }
        }
        false
    }

    /// The cycle that taking `command` in would close, as the commands along it; none when it closes none.
    pub(crate) fn cycle_closed_by(&self, command: &Command) -> Option<Vec<CommandId>> {
        // Live commands that wait for this one, though it had not come yet.
        let waiting: Vec<CommandId> = (self.live())
            .filter(|other| other.command().order.after.contains(&command.id))
            .map(|other| other.command().id)
            .collect();
        if command.order.after.contains(&command.id) {
            return Some(vec![command.id, command.id]);
        }
        if waiting.is_empty() {
            return None;
        }
        let before = self.would_precede(command);
        waiting.into_iter().find_map(|successor| {
            before.iter().find_map(|start| {
                let mut path = self.path(successor, *start)?;
                path.insert(0, command.id);
                path.push(command.id);
                Some(path)
            })
        })
    }

    fn would_precede(&self, command: &Command) -> BTreeSet<CommandId> {
        let footprint = command.operation.footprint();
        let by_sequence = self.live().filter(|other| {
            other.command().provider == command.provider
                && command.order.seq.is_none_or(|seq| other.seq() < seq)
                && !footprint.contested_with(&other.command().operation.footprint()).is_empty()
        });
        let declared = command.order.after.iter().copied().filter(|id| self.live.contains(id));
        by_sequence.map(|other| other.command().id).chain(declared).collect()
    }

    /// The commands from `from` to `to` along "ends before", both included.
    fn path(&self, from: CommandId, to: CommandId) -> Option<Vec<CommandId>> {
        let mut came_from: BTreeMap<CommandId, CommandId> = BTreeMap::new();
        let mut next = vec![to];
        while let Some(id) = next.pop() {
            if id == from {
                let mut path = vec![from];
                let mut at = from;
                while at != to {
                    at = *came_from.get(&at)?;
                    path.push(at);
                }
                return Some(path);
            }
            let before = self.commands.get(&id).map(|tracked| self.predecessors(tracked)).unwrap_or_default();
            for earlier in before {
                if earlier != to && !came_from.contains_key(&earlier) {
                    came_from.insert(earlier, id);
                    next.push(earlier);
                }
            }
        }
        None
    }

    /// What keeps a queued command from being looked at, if anything does.
    pub(crate) fn waits(&self, tracked: &Tracked) -> Option<Waits> {
        if let Some(id) = self.predecessors(tracked).into_iter().next() {
            return Some(Waits::For(id));
        }
        if let Some(missing) = self.missing_before(tracked) {
            return Some(Waits::ForSequence(missing));
        }
        self.unseen_after(tracked).map(Waits::ForUnseen)
    }

    /// The first command named in `after` that this lane never saw.
    pub(crate) fn unseen_after(&self, tracked: &Tracked) -> Option<CommandId> {
        tracked.command().order.after.iter().copied().find(|id| !self.commands.contains_key(id))
    }

    /// The lowest sequence number of the same provider that should have come before `tracked` and has not.
    pub(crate) fn missing_before(&self, tracked: &Tracked) -> Option<u64> {
        if tracked.gap.is_some() {
            return None;
        }
        let (provider, seq) = (&tracked.command().provider, tracked.seq());
        let ended = self.sequences.get(provider).and_then(|sequence| sequence.ended).filter(|ended| *ended < seq);
        let live = self.live().filter(|other| other.command().provider == *provider && other.seq() < seq);
        let previous = live.map(Tracked::seq).max().max(ended)?;
        Some(previous.saturating_add(1)).filter(|expected| *expected < seq)
    }

    /// Queued commands that nothing declared or decided holds back.
    pub(crate) fn heads(&self) -> Vec<&Tracked> {
        self.queued().filter(|tracked| self.waits(tracked).is_none()).collect()
    }
}
