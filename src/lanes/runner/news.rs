//! What one lane is told of its VM by events, which of it calls of our own explain, and how often it is passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{Cause, CommandId, Happening, PowerState};

/// How much news waits for a lane before it just looks.
const PIECES: usize = 64;
/// How long after a restart of ours ended another one is a part of it: firmware may reset the machine once more, and no
/// guest is up so soon.
const LATE: Duration = Duration::from_secs(1);
/// How often the same happening is told: a guest must not fill the journal by restarting in a loop.
const ONCE_IN: Duration = Duration::from_secs(1);

/// What one lane is told of its VM, from when it last listened.
#[derive(Default)]
pub(in crate::lanes) struct Ear {
    news: Mutex<News>,
    some: Notify,
}

/// What happened, as far as events say.
#[derive(Debug, Default)]
pub(super) struct News {
    /// In order.
    pub(super) pieces: Vec<Piece>,
    /// More happened than is kept.
    pub(super) overflown: bool,
}

/// One thing that an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lanes) enum Piece {
    /// vCPUs were halted or let go.
    Power(PowerState),
    /// The VM changed, or may have, by this.
    Changed(Option<Cause>),
    /// Something happened that its state need not show.
    Happened(Happening),
}

impl Ear {
    pub(in crate::lanes) fn tell(&self, piece: Piece) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if news.pieces.last() != Some(&piece) || matches!(piece, Piece::Power(_)) {
            if news.pieces.len() < PIECES {
                news.pieces.push(piece);
            } else {
                news.overflown = true;
            }
        }
        drop(news);
        self.some.notify_one();
    }

    pub(super) async fn news(&self) -> News {
        self.some.notified().await;
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a call of ours does that events tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// It halts the vCPUs, or lets them go.
    Power(PowerState),
    /// It restarts the guest.
    Restart,
}

/// Which events need no look, because a suspend or resume of our own is why they came, and which restarts are ours. A
/// suspend or resume explains one event: what comes beyond that is somebody else's doing.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// Calls under way whose event has come.
    heard: BTreeSet<CommandId>,
    /// What the last call did, when its event has not come yet.
    power: Option<PowerState>,
    /// When the last restart was done.
    restart: Option<Instant>,
}

impl Explained {
    /// A call was done, which did this.
    pub(super) fn done(&mut self, command: CommandId, deed: Option<Deed>, now: Instant) {
        let heard = self.heard.remove(&command);
        match deed {
            Some(Deed::Power(power)) => self.power = (!heard).then_some(power),
            Some(Deed::Restart) => self.restart = Some(now),
            None => {}
        }
    }

    /// Whether something that was heard is a call's doing: of one that has ended, or of one of these, which are under
    /// way.
    pub(super) fn takes(&mut self, deed: Deed, mut under_way: impl Iterator<Item = CommandId>, now: Instant) -> bool {
        match deed {
            Deed::Power(power) => {
                let mut unheard = || under_way.find(|command| !self.heard.contains(command));
                self.power.take_if(|awaited| *awaited == power).is_some()
                    || unheard().is_some_and(|found| self.heard.insert(found))
            }
            Deed::Restart => {
                under_way.next().is_some() || self.restart.is_some_and(|ended| now.duration_since(ended) < LATE)
            }
        }
    }

    /// Nothing of the power state is taken for ours any more.
    pub(super) fn forget_power(&mut self) {
        self.power = None;
    }
}

/// Lets each happening through once in a while.
#[derive(Debug, Default)]
pub(super) struct Damper(BTreeMap<Happening, Instant>);

impl Damper {
    pub(super) fn lets_through(&mut self, happening: &Happening, now: Instant) -> bool {
        self.0.retain(|_, told| now.duration_since(*told) < ONCE_IN);
        if self.0.contains_key(happening) || self.0.len() >= PIECES {
            return false;
        }
        self.0.insert(happening.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn command(number: u128) -> CommandId {
        CommandId(Uuid::from_u128(number))
    }

    #[test]
    fn a_suspend_explains_one_event_whether_it_comes_before_or_after_the_answer() {
        let (now, deed) = (Instant::now(), Deed::Power(PowerState::Paused));
        let none = std::iter::empty;
        let mut explained = Explained::default();
        assert!(!explained.takes(deed, none(), now));
        // Before the answer.
        assert!(explained.takes(deed, [command(1)].into_iter(), now));
        assert!(!explained.takes(deed, [command(1)].into_iter(), now), "once");
        explained.done(command(1), Some(deed), now);
        assert!(!explained.takes(deed, none(), now));
        // After it.
        explained.done(command(2), Some(deed), now);
        assert!(explained.takes(deed, none(), now));
        assert!(!explained.takes(deed, none(), now), "once");
    }

    #[test]
    fn restarts_are_ours_while_our_call_runs_and_for_a_moment_after() {
        let (now, mut explained) = (Instant::now(), Explained::default());
        let deed = Deed::Restart;
        assert!(!explained.takes(deed, std::iter::empty(), now));
        assert!(explained.takes(deed, [command(1)].into_iter(), now));
        explained.done(command(1), Some(deed), now);
        assert!(explained.takes(deed, std::iter::empty(), now + LATE / 2));
        assert!(!explained.takes(deed, std::iter::empty(), now + LATE));
    }

    #[test]
    fn a_guest_that_restarts_in_a_loop_is_told_of_once_a_second() {
        let (begin, mut damper) = (Instant::now(), Damper::default());
        let told = (0..100_u64).filter(|n| {
            let now = begin + Duration::from_millis(n * 30);
            damper.lets_through(&Cause::Rebooted.into(), now)
        });
        assert_eq!(told.count(), 3);
        let of = |subject: &str| Happening { cause: Cause::DeviceRemoved, subject: Some(subject.to_owned()) };
        assert!(damper.lets_through(&of("a"), begin) && damper.lets_through(&of("b"), begin));
    }

    #[tokio::test]
    async fn a_burst_is_kept_short() {
        let ear = Ear::default();
        for _ in 0..500 {
            ear.tell(Piece::Changed(None));
        }
        assert_eq!(ear.news().await.pieces, [Piece::Changed(None)]);
        for power in [PowerState::Paused, PowerState::Paused, PowerState::Running] {
            ear.tell(Piece::Power(power));
        }
        let news = ear.news().await;
        assert_eq!((news.pieces.len(), news.overflown), (3, false), "every one needs a call that explains it");
        for _ in 0..500 {
            ear.tell(Piece::Power(PowerState::Paused));
        }
        assert!(ear.news().await.overflown);
    }
}
