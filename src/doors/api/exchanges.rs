//! The exchanges by which a session measures its provider's clock.
//!
//! Two of the four times of an exchange are ours. The provider sends all four back, and only those that this session
//! gave it count, once: nobody tells us what our own clock showed.

use std::collections::VecDeque;

use crate::model::{ClockEstimate, Code, Now, Refusal, Wall};

/// How many exchanges of one session may be under way; of more, the oldest are forgotten.
const KEPT: usize = 8;

/// The exchanges of one session that are under way.
#[derive(Debug, Default)]
pub(super) struct Exchanges(VecDeque<(Wall, Now)>);

impl Exchanges {
    /// The provider's question of `t0` is answered now.
    pub(super) fn begun(&mut self, t0: Wall, now: Now) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back((t0, now));
    }

    /// What an exchange says of the provider's clock, as certain as that is by now.
    ///
    /// *Errors*: [`Code::BadClockSample`].
    pub(super) fn ended(&mut self, [t0, t1, t2, t3]: [Wall; 4], now: Now) -> Result<ClockEstimate, Refusal> {
        let is_this = |(asked, at): &(Wall, Now)| (*asked, at.wall, at.wall) == (t0, t1, t2);
        let place = self.0.iter().position(is_this);
        let Some((_, at)) = place.and_then(|place| self.0.remove(place)) else {
            let message = "this session answered no `clock` with these t0, t1 and t2, or has heard of it already";
            return Err(Refusal::new(Code::BadClockSample, message));
        };
        let sample = ClockEstimate::from_exchange(t0, t1, t2, t3);
        let sample = sample.map_err(|error| Refusal::new(Code::BadClockSample, error.to_string()))?;
        Ok(sample.aged(at, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mono;

    fn wall(us: i64) -> Wall {
        Wall::from_micros(us)
    }

    /// Our time, with a wall clock that shows `wall_us` then.
    fn at(mono_us: u64, wall_us: i64) -> Now {
        Now { mono: Mono(mono_us), wall: wall(wall_us) }
    }

    fn code(ended: Result<ClockEstimate, Refusal>) -> Code {
        ended.unwrap_err().code
    }

    #[test]
    fn an_exchange_counts_once_and_with_our_own_times_alone() {
        let mut exchanges = Exchanges::default();
        exchanges.begun(wall(5_000), at(10, 1_000));
        let now = at(2_010, 3_000);
        for times in [[5_000, 999, 1_000, 7_000], [5_000, 1_000, 1_001, 7_000], [5_001, 1_000, 1_000, 7_000]] {
            assert_eq!(code(exchanges.ended(times.map(wall), now)), Code::BadClockSample, "{times:?}");
        }
        let times = [5_000, 1_000, 1_000, 7_000].map(wall);
        let sample = exchanges.ended(times, now).unwrap();
        assert_eq!(sample, ClockEstimate { offset_us: 5_000, uncertainty_us: 1_000 });
        assert_eq!(code(exchanges.ended(times, now)), Code::BadClockSample, "it was used");
    }

    #[test]
    fn a_sample_is_as_uncertain_as_it_is_old_and_as_our_clock_was_moved_since() {
        for (wall_now, uncertainty) in [(60_001_000, 6_000 + 1_000), (3_660_001_000, 3_600_000_000 + 6_000 + 1_000)] {
            let mut exchanges = Exchanges::default();
            exchanges.begun(wall(5_000), at(10, 1_000));
            // A minute later, which is 6 ms at 100 ppm; the second time our clock was set an hour ahead meanwhile.
            let sample = exchanges.ended([5_000, 1_000, 1_000, 7_000].map(wall), at(60_000_010, wall_now)).unwrap();
            assert_eq!(sample, ClockEstimate { offset_us: 5_000, uncertainty_us: uncertainty });
        }
    }

    #[test]
    fn a_time_before_its_question_is_refused_and_the_exchange_is_over() {
        let mut exchanges = Exchanges::default();
        exchanges.begun(wall(5_000), at(10, 1_000));
        assert_eq!(code(exchanges.ended([5_000, 1_000, 1_000, 4_999].map(wall), at(20, 1_010))), Code::BadClockSample);
        assert_eq!(code(exchanges.ended([5_000, 1_000, 1_000, 5_001].map(wall), at(20, 1_010))), Code::BadClockSample);
    }

    #[test]
    fn a_provider_that_only_asks_costs_little() {
        let mut exchanges = Exchanges::default();
        for n in 0..1_000_u32 {
            exchanges.begun(wall(n.into()), at(n.into(), n.into()));
        }
        assert_eq!(exchanges.0.len(), KEPT);
    }
}
