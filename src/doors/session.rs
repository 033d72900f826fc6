//! Providers' sessions: who is connected, what was asked of whom, whose clock is how far off.
//!
//! One session per provider. A newer one takes over, because after a cut the older is a ghost; what the older was
//! asked and did not answer counts as lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::wire::FromAgent;
use crate::model::{ClockEstimate, ClockFilter, Code, ConflictId, Now, ProviderId, StepWatch, VmId};

/// How many messages wait for a slow provider before its session is ended.
pub(crate) const OUTBOX: usize = 64;
/// How many asks a session remembers, so that late answers are refused by name.
const REMEMBERED_ASKS: usize = 256;

/// Every provider's session. Clones are the same.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    open: BTreeMap<ProviderId, Session>,
    /// What is known of each provider's clock. It outlives the session, and becomes less certain with time.
    clocks: BTreeMap<ProviderId, ClockFilter>,
    steps: StepWatch,
    opened: u64,
    /// The agent stops: sessions end, and no new ones last.
    ending: bool,
}

struct Session {
    number: u64,
    outbox: mpsc::Sender<FromAgent>,
    asks: VecDeque<PendingAsk>,
}

/// An ask that was sent over a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingAsk {
    pub(crate) vm: VmId,
    pub(crate) conflict: ConflictId,
    pub(crate) epoch: u64,
}

/// A session that was opened: its number tells it from later ones.
pub(crate) struct Opened {
    pub(crate) number: u64,
    pub(crate) inbox: mpsc::Receiver<FromAgent>,
    /// What the session that it replaces was asked.
    pub(crate) orphaned: Vec<PendingAsk>,
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; an older one of the same provider ends, because its outbox closes.
    pub(crate) fn open(&self, provider: &ProviderId) -> Opened {
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        let mut table = self.table();
        table.opened += 1;
        let number = table.opened;
        let session = Session { number, outbox, asks: VecDeque::new() };
        // Without a place in the table its outbox is closed, and it ends at once.
        let older = if table.ending { None } else { table.open.insert(provider.clone(), session) };
        let orphaned = older.map(|old| Vec::from(old.asks)).unwrap_or_default();
        Opened { number, inbox, orphaned }
    }

    /// Ends a session and gives what it was asked; none when its provider has lost nothing, because a newer session has
    /// taken over or because the agent stops.
    pub(crate) fn close(&self, provider: &ProviderId, number: u64) -> Option<Vec<PendingAsk>> {
        let mut table = self.table();
        table.open.get(provider).filter(|session| session.number == number)?;
        table.open.remove(provider).map(|session| Vec::from(session.asks))
    }

    /// Ends every session, because the agent stops.
    pub(crate) fn end(&self) {
        let mut table = self.table();
        table.ending = true;
        table.open.clear();
    }

    /// Who has a session.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderId> {
        self.table().open.keys().cloned().collect()
    }

    /// Why a session's outbox was closed.
    pub(crate) fn why_closed(&self) -> Code {
        if self.table().ending { Code::Closing } else { Code::SessionReplaced }
    }

    /// Sends an ask, if the provider has a session with room.
    pub(crate) fn send_ask(&self, provider: &ProviderId, pending: PendingAsk, message: FromAgent) -> Sent {
        let mut table = self.table();
        let Some(session) = table.open.get_mut(provider) else { return Sent::NoSession };
        if session.outbox.try_send(message).is_err() {
            return Sent::Lost;
        }
        session.asks.push_back(pending);
        if session.asks.len() > REMEMBERED_ASKS {
            session.asks.pop_front();
        }
        Sent::OnItsWay
    }

    /// The ask of this session about a conflict.
    pub(crate) fn asked(&self, provider: &ProviderId, conflict: ConflictId) -> Option<PendingAsk> {
        let table = self.table();
        table.open.get(provider)?.asks.iter().find(|ask| ask.conflict == conflict).copied()
    }

    /// What is known of a provider's clock now. Of one that was never measured: it is a local peer, and its clock is ours.
    pub(crate) fn clock_of(&self, provider: &ProviderId, now: Now) -> ClockEstimate {
        let mut table = self.table();
        let shared = table.steps.shared(now);
        table.clocks.get(provider).and_then(|filter| filter.estimate(now)).unwrap_or(shared)
    }

    /// Notes a clock sample; gives what is known from now on.
    pub(crate) fn note_clock(&self, provider: &ProviderId, sample: ClockEstimate, now: Now) -> ClockEstimate {
        self.table().clocks.entry(provider.clone()).or_default().note(sample, now)
    }
}

/// What became of an ask at the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    OnItsWay,
    /// The provider has no session.
    NoSession,
    /// Its session does not take messages.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mono, Wall};

    fn estimate(offset_us: i64, uncertainty_us: u64) -> ClockEstimate {
        ClockEstimate { offset_us, uncertainty_us }
    }

    #[test]
    fn a_newer_session_takes_over_and_the_older_one_cannot_close_it() {
        let sessions = Sessions::default();
        let north: ProviderId = "north".parse().unwrap();
        let first = sessions.open(&north);
        let ask =
            PendingAsk { vm: VmId(uuid::Uuid::from_u128(1)), conflict: ConflictId(uuid::Uuid::from_u128(2)), epoch: 1 };
        let message = FromAgent::Answered { ask: ask.conflict };
        assert_eq!(sessions.send_ask(&north, ask, message), Sent::OnItsWay);
        let second = sessions.open(&north);
        assert_eq!(second.orphaned, [ask]);
        assert_eq!(sessions.close(&north, first.number), None);
        // The newer one is still there to be asked.
        let message = FromAgent::Answered { ask: ask.conflict };
        assert_eq!(sessions.send_ask(&north, ask, message), Sent::OnItsWay);
        assert_eq!(sessions.close(&north, second.number), Some(vec![ask]));
        assert_eq!(sessions.close(&north, second.number), None);
    }

    #[test]
    fn what_the_agent_ends_by_itself_is_no_loss() {
        let sessions = Sessions::default();
        let north: ProviderId = "north".parse().unwrap();
        let session = sessions.open(&north);
        sessions.end();
        assert_eq!(sessions.close(&north, session.number), None);
    }

    #[test]
    fn what_is_known_of_a_clock_outlives_the_session_and_becomes_less_certain() {
        let sessions = Sessions::default();
        let north: ProviderId = "north".parse().unwrap();
        let at =
            |s: u32| Now { mono: Mono(u64::from(s) * 1_000_000), wall: Wall::from_micros(i64::from(s) * 1_000_000) };
        assert_eq!(sessions.clock_of(&north, at(1)), ClockEstimate::SHARED);
        let session = sessions.open(&north);
        sessions.note_clock(&north, estimate(240_000_000, 50), at(1));
        sessions.close(&north, session.number);
        assert_eq!(sessions.clock_of(&north, at(1)), estimate(240_000_000, 50));
        assert_eq!(sessions.clock_of(&north, at(11)), estimate(240_000_000, 1_050));
    }
}
