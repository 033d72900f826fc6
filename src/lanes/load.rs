//! How much each provider has under way on all VMs: counted beside the lanes, so that a bound on the whole host needs no
//! lane to know another. Runners keep it up to date; what was let through and has not reached its lane yet counts as well.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Mono, ProviderId, Refusal, VmId};
use crate::resolver::State;
use crate::sovereignty::{Leaves, MINUTE, Quota, Usage};

/// Counts, by VM and by provider.
#[derive(Debug, Default)]
pub(super) struct Load(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    lanes: BTreeMap<VmId, BTreeMap<ProviderId, (u32, u32)>>,
    /// When each provider's commands of the last minute came.
    recent: BTreeMap<ProviderId, VecDeque<Mono>>,
    /// Let through, and not yet known to their lanes.
    coming: BTreeMap<ProviderId, u32>,
}

impl Load {
    /// Takes over what a lane has.
    pub(super) fn follow(&self, state: &State) {
        let counts = state.load();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.is_empty() {
            all.lanes.remove(&state.vm());
        } else {
            all.lanes.insert(state.vm(), counts);
        }
    }

    pub(super) fn forget(&self, vm: VmId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lanes.remove(&vm);
    }

    /// Counts a command that comes, and says why it is one too many, if it is. What is not bounded is not counted.
    pub(super) fn arrives(&self, provider: &ProviderId, quota: Quota, leaves: Leaves, now: Mono) -> Option<Refusal> {
        if quota == Quota::default() {
            return None;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (queued, open) = (all.lanes.values().filter_map(|lane| lane.get(provider)))
            .fold((0_u32, 0_u32), |(queued, open), more| (queued.saturating_add(more.0), open.saturating_add(more.1)));
        let coming = all.coming.get(provider).copied().unwrap_or_default();
        let recent = all.recent.entry(provider.clone()).or_default();
        while recent.front().is_some_and(|first| now.since(*first) >= MINUTE) {
            recent.pop_front();
        }
        let usage = Usage {
            queued: queued.saturating_add(coming),
            recent: u32::try_from(recent.len()).unwrap_or(u32::MAX),
            oldest: recent.front().copied(),
            open,
        };
        if let Err(refusal) = quota.admits(&usage, leaves, now) {
            return Some(refusal);
        }
        recent.push_back(now);
        *all.coming.entry(provider.clone()).or_default() += 1;
        None
    }

    /// A command that was let through has reached its lane, or never will.
    pub(super) fn arrived(&self, provider: &ProviderId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(coming) = all.coming.get_mut(provider) {
            *coming = coming.saturating_sub(1);
            if *coming == 0 {
                all.coming.remove(provider);
            }
        }
    }
}

/// A command on its way to its lane.
pub(super) struct Coming {
    load: Arc<Load>,
    provider: ProviderId,
}

impl Coming {
    pub(super) const fn new(load: Arc<Load>, provider: ProviderId) -> Self {
        Self { load, provider }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.load.arrived(&self.provider);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Code;

    #[test]
    fn what_is_on_its_way_counts_until_it_has_arrived() {
        let (load, south) = (Load::default(), "south".parse::<ProviderId>().unwrap());
        let quota = Quota { queued: Some(1), ..Quota::default() };
        assert_eq!(load.arrives(&south, quota, Leaves::Nothing, Mono(1)), None);
        let refused = load.arrives(&south, quota, Leaves::Nothing, Mono(1)).map(|refusal| refusal.code);
        assert_eq!(refused, Some(Code::QuotaExceeded));
        load.arrived(&south);
        assert_eq!(load.arrives(&south, quota, Leaves::Nothing, Mono(1)), None);
    }

    #[test]
    fn a_minute_later_there_is_room_again() {
        let (load, south) = (Load::default(), "south".parse::<ProviderId>().unwrap());
        let quota = Quota { per_minute: Some(2), ..Quota::default() };
        for at in [0, 30_000_000] {
            assert_eq!(load.arrives(&south, quota, Leaves::Nothing, Mono(at)), None);
        }
        let refusal = load.arrives(&south, quota, Leaves::Nothing, Mono(40_000_000)).unwrap();
        assert_eq!((refusal.code, refusal.retry_after_s), (Code::QuotaExceeded, Some(20)));
        assert_eq!(load.arrives(&south, quota, Leaves::Nothing, Mono(60_000_000)), None);
    }
}
