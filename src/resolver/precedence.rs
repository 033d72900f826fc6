//! Which command must wait for which: the lane as a graph that never has a cycle.
//!
//! Three kinds of edges, all of them "ends before the other begins": `after`, a provider's own sequence where its
//! commands clash, and verdicts. A new command whose edges would close a cycle is refused; a conflict is only settled
//! against a path by taking the path's own direction; and a command that once began keeps its place before its
//! provider's others. What ends something that its provider has open does not wait for what that holds back. So the graph stays free of cycles, however many providers and conflicts there are.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{State, Tracked};
use crate::model::{Command, CommandId, Footprint, ProviderId, Resource};

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

/// A command's place in its provider's own order: what once began comes first.
fn place(tracked: &Tracked) -> (bool, u64, CommandId) {
    (!tracked.began, tracked.seq(), tracked.command().id)
}

impl State {
    /// The live commands that must end before `tracked` begins.
    pub(crate) fn predecessors(&self, tracked: &Tracked) -> BTreeSet<CommandId> {
        let command = tracked.command();
        let declared = command.order.after.iter().copied().filter(|id| self.live.contains(id));
        let decided = self.verdicts.iter().filter(|(_, second)| *second == command.id).map(|(first, _)| *first);
        let earlier = (self.live())
            .filter(|other| other.command().provider == command.provider && place(other) < place(tracked))
            .filter(|other| tracked.clashes_with(other) && !self.frees(tracked, other))
            .map(|other| other.command().id);
        declared.chain(decided).chain(earlier).collect()
    }

    /// Whether a command ends what its own provider has open and what holds an earlier one of that provider back: that
    /// one cannot go first, whatever its number.
    fn frees(&self, tracked: &Tracked, other: &Tracked) -> bool {
        let key = tracked.command().operation.ends_open();
        let held = key.and_then(|key| self.holds.get(&key)).filter(|hold| hold.holds_back(other));
        held.is_some_and(|hold| hold.owner() == Some(&tracked.command().provider))
    }

    /// Whether `from` must end before `to` begins, directly or through others.
    pub(crate) fn leads_to(&self, from: CommandId, to: CommandId) -> bool {
        self.path(from, to).is_some()
    }

    /// The cycle that taking `command` in would close, as the commands along it; none when it closes none.
    pub(crate) fn cycle_closed_by(&self, command: &Command) -> Option<Vec<CommandId>> {
        if command.order.after.contains(&command.id) {
            return Some(vec![command.id, command.id]);
        }
        let footprint = command.footprint();
        let own =
            |other: &&Tracked| other.command().provider == command.provider && other.footprint.clashes_with(&footprint);
        let new = (true, command.order.seq.unwrap_or(u64::MAX), command.id);
        // Who would wait for it, and for whom it would wait: the cycle closes where the second leads to the first.
        let waiting = (self.live())
            .filter(|other| other.command().order.after.contains(&command.id) || (own(other) && place(other) > new));
        let declared = command.order.after.iter().copied().filter(|id| self.live.contains(id));
        let earlier = self.live().filter(own).filter(|other| place(other) < new).map(|other| other.command().id);
        let before: BTreeSet<CommandId> = declared.chain(earlier).collect();
        waiting.map(|successor| successor.command().id).find_map(|successor| {
            let mut path = before.iter().find_map(|start| self.path(successor, *start))?;
            // From the last to begin to the first: each word "after" in the refusal is then true.
            path.reverse();
            path.insert(0, command.id);
            path.push(command.id);
            Some(path)
        })
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
        let id = tracked.command().id;
        if let Some((_, missing)) = self.gaps().into_iter().find(|(held, _)| held.command().id == id) {
            return Some(Waits::ForSequence(missing));
        }
        self.unseen_after(tracked).map(Waits::ForUnseen)
    }

    /// The first command named in `after` that this lane never saw.
    pub(crate) fn unseen_after(&self, tracked: &Tracked) -> Option<CommandId> {
        tracked.command().order.after.iter().copied().find(|id| !self.has_seen(*id))
    }

    /// Queued commands that wait for a lower sequence number of their provider, with the lowest that is missing.
    ///
    /// What comes behind a gap is held with it: were it to end first, the late command would look like a replay.
    pub(crate) fn gaps(&self) -> Vec<(&Tracked, u64)> {
        self.gaps_in(&self.lines())
    }

    /// [`State::gaps`], when the lines are at hand.
    pub(crate) fn gaps_in<'a>(&self, lines: &Lines<'a>) -> Vec<(&'a Tracked, u64)> {
        let mut gaps = Vec::new();
        for (provider, line) in &lines.0 {
            let mut line = line.clone();
            line.sort_by_key(|tracked| tracked.seq());
            let ended = self.sequences.get(*provider).and_then(|sequence| sequence.ended);
            let (mut previous, mut missing) = (None, None);
            for tracked in line {
                let seq = tracked.seq();
                let below = previous.max(ended.filter(|ended| *ended < seq));
                let own = below.map(|below: u64| below.saturating_add(1)).filter(|expected| *expected < seq);
                let goes_on = tracked.gap.is_some() || !tracked.is_queued();
                missing = if goes_on { None } else { missing.or(own) };
                gaps.extend(missing.map(|expected| (tracked, expected)));
                previous = Some(seq);
            }
        }
        gaps
    }

    /// Queued commands that nothing declared or decided holds back.
    ///
    /// The same as asking [`State::waits`] of each, in one pass over every provider's line.
    pub(crate) fn heads<'a>(&self, lines: Lines<'a>, gaps: &[(&Tracked, u64)]) -> Vec<&'a Tracked> {
        let held: BTreeSet<CommandId> = gaps.iter().map(|(tracked, _)| tracked.command().id).collect();
        let second: BTreeSet<CommandId> = self.verdicts.iter().map(|(_, second)| *second).collect();
        let mut heads = Vec::new();
        for (_, mut line) in lines.0 {
            line.sort_by_key(|tracked| place(tracked));
            let mut touched = Touched::default();
            for tracked in line {
                let id = tracked.command().id;
                let declared = (tracked.command().order.after.iter())
                    .any(|before| self.live.contains(before) || !self.has_seen(*before));
                let free = !(declared || held.contains(&id) || second.contains(&id));
                let first = !touched.clashes_with(&tracked.footprint)
                    || (tracked.command().operation.ends_open().is_some() && self.predecessors(tracked).is_empty());
                if tracked.is_queued() && free && first {
                    heads.push(tracked);
                }
                touched.add(&tracked.footprint);
            }
        }
        heads.sort_by_key(|tracked| tracked.command().id);
        heads
    }

    /// The live commands of each provider.
    pub(crate) fn lines(&self) -> Lines<'_> {
        let mut lines: Vec<(&ProviderId, Vec<&Tracked>)> = Vec::new();
        for tracked in self.live() {
            let provider = &tracked.command().provider;
            match lines.iter_mut().find(|(known, _)| *known == provider) {
                Some((_, line)) => line.push(tracked),
                None => lines.push((provider, vec![tracked])),
            }
        }
        lines.sort_by_key(|(provider, _)| *provider);
        Lines(lines)
    }
}

/// The live commands of each provider, by the providers' names: they are few, and a decision makes it anew each time.
pub(crate) struct Lines<'a>(Vec<(&'a ProviderId, Vec<&'a Tracked>)>);

/// What the commands of a line touch together.
#[derive(Default)]
struct Touched<'a> {
    reads: BTreeSet<&'a Resource>,
    writes: BTreeSet<&'a Resource>,
}

impl<'a> Touched<'a> {
    fn add(&mut self, footprint: &'a Footprint) {
        self.reads.extend(&footprint.reads);
        self.writes.extend(&footprint.writes);
    }

    fn clashes_with(&self, footprint: &Footprint) -> bool {
        let meets = |ours: &BTreeSet<Resource>, theirs: &BTreeSet<&Resource>| {
            ours.iter().any(|resource| theirs.iter().any(|other| resource.meets(other)))
        };
        meets(&footprint.writes, &self.writes)
            || meets(&footprint.writes, &self.reads)
            || meets(&footprint.reads, &self.writes)
    }
}
