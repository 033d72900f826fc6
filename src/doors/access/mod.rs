//! Ways into a VM that are open: whose they are, what they carried, and how they are cut off.
//!
//! The lane decides who may open one and when it ends, and journals both. Here is what only a door can know: the live
//! end of each, its bytes, and how many there are over all VMs. An [`Open`] that is dropped is over for its lane.

mod carry;
mod metrics;
mod picture;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::identity::Caller;
use crate::lanes::{Carried, Lanes};
use crate::model::{ChannelId, ChannelKind, Code, ProviderId, Refusal, VmId};
use crate::resolver::{ChannelEnd, ChannelRequest, Force};

pub(crate) use self::carry::carry;
pub(crate) use self::metrics::exposition;
pub(crate) use self::picture::png_of;

/// How many channels of one provider may be open over all VMs.
const OF_PROVIDER_MAX: usize = 64;
/// How many may be open in all: each console has a thread.
const IN_ALL_MAX: usize = 256;

/// Every channel that is open. Clones are the same.
#[derive(Clone, Default)]
pub struct Channels(Arc<Mutex<BTreeMap<ChannelId, Live>>>);

struct Live {
    owner: ProviderId,
    meter: Arc<Meter>,
}

/// What a channel has carried.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Meter {
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn carried(&self) -> Carried {
        Carried { received: self.received.load(Ordering::Relaxed), sent: self.sent.load(Ordering::Relaxed) }
    }
}

/// A channel that was opened. Dropped, it counts as left by its peer.
pub(crate) struct Open {
    lanes: Lanes,
    channels: Channels,
    vm: VmId,
    id: ChannelId,
    closing: Option<oneshot::Receiver<ChannelEnd>>,
    told: Told,
    pub(crate) meter: Arc<Meter>,
}

/// Whether the lane was told that a channel is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

impl Channels {
    /// Has the VM's lane open a channel for a caller.
    ///
    /// *Errors*: why it may not be opened; [`Code::TooManyChannels`].
    pub(crate) async fn open(
        &self,
        lanes: &Lanes,
        caller: &Caller,
        vm: VmId,
        kind: ChannelKind,
        force: Force,
    ) -> Result<Open, Refusal> {
        let id = ChannelId(Uuid::now_v7());
        let meter = Arc::new(Meter::default());
        let (owner, peer) = (caller.provider.clone(), caller.peer.clone());
        self.reserve(id, Live { owner: owner.clone(), meter: Arc::clone(&meter) })?;
        // From here on the lane hears of its end, even of one that is given up while it is being asked.
        let mut open =
            Open { lanes: lanes.clone(), channels: self.clone(), vm, id, closing: None, told: Told::No, meter };
        let request = ChannelRequest { id, by: owner, kind, from: peer, force };
        open.closing = Some(lanes.open_channel(vm, request).await?);
        Ok(open)
    }

    fn reserve(&self, id: ChannelId, live: Live) -> Result<(), Refusal> {
        let mut table = self.table();
        let theirs = table.values().filter(|other| other.owner == live.owner).count();
        let refuse = |message: String| Err(Refusal::new(Code::TooManyChannels, message));
        if theirs >= OF_PROVIDER_MAX {
            return refuse(format!("{} has {theirs} channels open, the most it may", live.owner));
        }
        if table.len() >= IN_ALL_MAX {
            return refuse("as many channels are open as this agent carries".to_owned());
        }
        table.insert(id, live);
        Ok(())
    }

    /// What a channel has carried so far.
    pub(crate) fn carried(&self, id: ChannelId) -> Carried {
        self.table().get(&id).map(|live| live.meter.carried()).unwrap_or_default()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    pub(crate) const fn id(&self) -> ChannelId {
        self.id
    }

    /// Ends when the channel is to be closed, with why.
    pub(crate) async fn closed(&mut self) -> ChannelEnd {
        let Some(closing) = self.closing.as_mut() else { return ChannelEnd::AgentStopped {} };
        // Without a word, the lane knows the channel no more.
        closing.await.unwrap_or(ChannelEnd::AgentStopped {})
    }

    /// The channel is over.
    pub(crate) async fn over(mut self, how: ChannelEnd) {
        self.told = Told::Yes;
        tracing::info!(vm = %self.vm, channel = %self.id, how = how.as_str(), "a channel is closed");
        self.lanes.channel_over(self.vm, self.id, how, self.meter.carried()).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.channels.table().remove(&self.id);
        if self.told == Told::Yes {
            return;
        }
        let (lanes, vm, id, carried) = (self.lanes.clone(), self.vm, self.id, self.meter.carried());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { lanes.channel_over(vm, id, ChannelEnd::PeerLeft {}, carried).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(owner: &str) -> Live {
        Live { owner: owner.parse().unwrap(), meter: Arc::default() }
    }

    #[test]
    fn one_provider_cannot_take_the_others_room() {
        let channels = Channels::default();
        let open = |owner: &str| channels.reserve(ChannelId(Uuid::now_v7()), live(owner)).map_err(|r| r.code);
        for _ in 0..OF_PROVIDER_MAX {
            open("north").unwrap();
        }
        assert_eq!(open("north"), Err(Code::TooManyChannels));
        open("south").unwrap();
    }
}
