//! The only place that reads clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::model::{Mono, Now, Wall};

/// The agent's clock. Its monotonic side goes on from where the journal's last record left it.
#[derive(Debug, Clone)]
pub struct Clock {
    base: Mono,
    started: Instant,
}

impl Clock {
    /// A clock that continues after `last`, the moment of the journal's last record.
    ///
    /// The time that passed while the agent was down counts as far as the wall clock shows it; a wall clock that was
    /// set back adds nothing, so that no deadline ever moves away.
    #[must_use]
    pub fn continuing(last: Option<Now>) -> Self {
        let base = last.map_or(Mono(1), |last| {
            let down = u64::try_from(wall_now().micros_since(last.wall)).unwrap_or(0);
            last.mono.after(Duration::from_micros(down.max(1)))
        });
        Self { base, started: Instant::now() }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: self.base.after(self.started.elapsed()), wall: wall_now() }
    }

    /// When `moment` will be, for timers.
    #[must_use]
    pub fn instant_of(&self, moment: Mono) -> Instant {
        self.started + moment.since(self.base)
    }
}

fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_never_turns_the_clock_back() {
        let ahead = Now { mono: Mono(5_000_000), wall: wall_now().shifted(3_600_000_000) };
        let behind = Now { mono: Mono(5_000_000), wall: wall_now().shifted(-60_000_000) };
        assert!(Clock::continuing(Some(ahead)).now().mono > ahead.mono);
        assert!(Clock::continuing(Some(behind)).now().mono >= behind.mono.after(Duration::from_secs(59)));
    }
}
