//! What is known of other clocks, and what a step of our own does to that.
//!
//! Offsets are between wall clocks. What is noted here keeps both our times of the moment, so that later a step of our
//! wall clock shows as what it is: doubt about every offset measured before it.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::{ClockEstimate, Mono, Now};

/// How fast two clocks may drift apart. *Units*: microseconds a second; quartz stays well below.
pub const DRIFT_PPM: u64 = 100;
/// How many samples of one clock are kept.
const KEPT: usize = 8;
/// How long after a step of our clock a stamp may still have been made before it.
const STEP_DOUBT: Duration = Duration::from_secs(10);
/// Less than this is no step. *Units*: microseconds.
const STEP_MIN_US: u64 = 10_000;

/// The last samples of one clock; the one that is the most certain now stands.
///
/// The shortest round trip gives the most certain sample; with time each becomes less certain by the clocks' drift. A
/// sample that contradicts older ones shows that the clock was set: they are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockFilter {
    samples: VecDeque<(ClockEstimate, Now)>,
}

impl ClockFilter {
    /// Notes a sample that was taken now; gives what is known from now on.
    pub fn note(&mut self, sample: ClockEstimate, now: Now) -> ClockEstimate {
        self.samples.retain(|known| {
            let known = aged(known, now);
            let apart = known.offset_us.abs_diff(sample.offset_us);
            apart <= known.uncertainty_us.saturating_add(sample.uncertainty_us)
        });
        if self.samples.len() >= KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back((sample, now));
        self.estimate(now).unwrap_or(sample)
    }

    /// What is known of the clock now; none before the first sample.
    #[must_use]
    pub fn estimate(&self, now: Now) -> Option<ClockEstimate> {
        self.samples.iter().map(|known| aged(known, now)).min_by_key(|known| known.uncertainty_us)
    }
}

impl ClockEstimate {
    /// What was measured at `at`, as certain as it is now.
    #[must_use]
    pub fn aged(self, at: Now, now: Now) -> Self {
        aged(&(self, at), now)
    }
}

fn aged((sample, at): &(ClockEstimate, Now), now: Now) -> ClockEstimate {
    let age = u64::try_from(now.mono.since(at.mono).as_micros()).unwrap_or(u64::MAX);
    let drift = age.saturating_mul(DRIFT_PPM) / 1_000_000;
    let doubt = drift.saturating_add(stepped(*at, now).unsigned_abs());
    ClockEstimate { uncertainty_us: sample.uncertainty_us.saturating_add(doubt), ..*sample }
}

/// How far our wall clock was moved between two moments. *Units*: microseconds.
fn stepped(earlier: Now, later: Now) -> i64 {
    let passed = i64::try_from(later.mono.since(earlier.mono).as_micros()).unwrap_or(i64::MAX);
    later.wall.micros_since(earlier.wall).saturating_sub(passed)
}

/// Notices steps of our own wall clock, for peers that read the very same one: a stamp they made before it and that
/// arrives after it is off by the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepWatch {
    last: Option<Now>,
    step: Option<(u64, Mono)>,
}

impl StepWatch {
    /// What is known now of a clock that is ours.
    pub fn shared(&mut self, now: Now) -> ClockEstimate {
        let moved = self.last.map_or(0, |last| stepped(last, now).unsigned_abs());
        self.last = Some(now);
        if moved >= STEP_MIN_US {
            self.step = Some((moved, now.mono));
        }
        let fresh = self.step.filter(|(_, at)| now.mono.since(*at) < STEP_DOUBT);
        ClockEstimate { uncertainty_us: fresh.map_or(0, |(moved, _)| moved), ..ClockEstimate::SHARED }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::time::Wall;
    use super::*;

    fn at(mono_s: u64, wall_s: i64) -> Now {
        Now { mono: Mono(mono_s * 1_000_000), wall: Wall::from_micros(wall_s * 1_000_000) }
    }

    fn estimate(offset_us: i64, uncertainty_us: u64) -> ClockEstimate {
        ClockEstimate { offset_us, uncertainty_us }
    }

    /// One exchange with a clock that is `offset` ahead, over paths of these delays.
    fn exchange(now: i64, offset: i64, out: i64, back: i64) -> ClockEstimate {
        let theirs = |ours: i64| Wall::from_micros(ours + offset);
        let (t1, t2) = (Wall::from_micros(now + out), Wall::from_micros(now + out + 7));
        ClockEstimate::from_exchange(theirs(now), t1, t2, theirs(now + out + 7 + back)).unwrap()
    }

    #[test]
    fn the_most_certain_sample_stands_until_the_clock_is_set() {
        let mut filter = ClockFilter::default();
        let now = at(1, 1);
        filter.note(estimate(100, 50), now);
        assert_eq!(filter.note(estimate(120, 90), now), estimate(100, 50));
        assert_eq!(filter.note(estimate(110, 20), now), estimate(110, 20));
        assert_eq!(filter.note(estimate(9_000, 90), now), estimate(9_000, 90));
    }

    #[test]
    fn an_old_sample_gives_way_to_a_wider_one_that_is_new() {
        let mut filter = ClockFilter::default();
        filter.note(estimate(100, 10), at(0, 0));
        // After an hour, 100 ppm are 360 ms.
        assert_eq!(filter.estimate(at(3600, 3600)), Some(estimate(100, 360_010)));
        assert_eq!(filter.note(estimate(150, 5_000), at(3600, 3600)), estimate(150, 5_000));
    }

    #[test]
    fn a_step_of_our_own_clock_is_doubt_until_the_next_sample() {
        for hours in [-2, 2] {
            let mut filter = ClockFilter::default();
            filter.note(estimate(100, 10), at(100, 100));
            let stepped = at(101, 101 + hours * 3600);
            let known = filter.estimate(stepped).unwrap();
            assert_eq!(known.uncertainty_us, 10 + 100 + 7_200_000_000, "{hours}");
            // The peer's clock stayed where it was, so it is off by the step now.
            let sample = estimate(100 - hours * 3_600_000_000, 10);
            assert_eq!(filter.note(sample, stepped), sample);
        }
    }

    #[test]
    fn a_shared_clock_is_doubted_for_a_while_after_a_step() {
        let mut watch = StepWatch::default();
        assert_eq!(watch.shared(at(10, 10)), ClockEstimate::SHARED);
        assert_eq!(watch.shared(at(11, 11)), ClockEstimate::SHARED);
        assert_eq!(watch.shared(at(12, 3612)).uncertainty_us, 3_600_000_000);
        assert_eq!(watch.shared(at(21, 3621)).uncertainty_us, 3_600_000_000);
        assert_eq!(watch.shared(at(22, 3622)), ClockEstimate::SHARED);
    }

    proptest! {
        /// However unequal the two ways are: the truth lies within what is called uncertain, and so it does later on.
        #[test]
        fn the_truth_is_never_outside_the_uncertainty(
            offset in -400_000_000i64..400_000_000,
            delays in proptest::collection::vec((0i64..2_000_000, 0i64..2_000_000), 1..20),
            drift_ppm in -90i64..90,
            gap_s in 0i64..600,
        ) {
            let mut filter = ClockFilter::default();
            for (n, (out, back)) in delays.iter().enumerate() {
                let now = i64::try_from(n).unwrap() * gap_s * 1_000_000;
                // Slow enough that no round trip sees it move.
                let truth = offset + now / 1_000_000 * drift_ppm;
                let moment = Now { mono: Mono(now.unsigned_abs()), wall: Wall::from_micros(now) };
                let known = filter.note(exchange(now, truth, *out, *back), moment);
                prop_assert!(known.offset_us.abs_diff(truth) <= known.uncertainty_us + 1, "{known:?} {truth}");
                let shortest = exchange(now, truth, *out, *back).uncertainty_us;
                prop_assert!(known.uncertainty_us <= shortest, "never worse than the newest sample");
            }
        }
    }
}
