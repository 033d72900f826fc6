//! Time as values. Nothing here reads a clock; the lane runner is the only place that does.
//!
//! Two times are kept apart: [`Wall`] says when something happened and is compared only as an interval;
//! [`Mono`] orders deadlines and leases, never runs backwards and continues across restarts of the agent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point of civil time. *Units*: microseconds since the Unix epoch; RFC 3339 in UTC as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time: RFC 3339 with an offset is expected, such as 2026-11-22T20:00:00.123456Z")]
pub struct ParseWallError {
    text: String,
}

impl Wall {
    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This time moved by `micros`, later when positive.
    #[must_use]
    pub const fn shifted(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// How far this is after `other`; negative when before. *Units*: microseconds.
    #[must_use]
    pub const fn micros_since(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl FromStr for Wall {
    type Err = ParseWallError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_microsecond()))
            .map_err(|_| ParseWallError { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            // Outside the years that RFC 3339 can write; shown raw rather than wrong.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Wall {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A point of the agent's own time. *Units*: microseconds; only differences mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

impl Mono {
    /// This point, `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this point; zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Both times of one moment, as the runner read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For deadlines, leases and windows.
    pub mono: Mono,
    /// For people, and for comparing issue times.
    pub wall: Wall,
}

/// When something happened, known only to lie between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Not before this.
    pub earliest: Wall,
    /// Not after this.
    pub latest: Wall,
}

impl Interval {
    /// An interval of no width: the time is known.
    #[must_use]
    pub const fn exactly(time: Wall) -> Self {
        Self { earliest: time, latest: time }
    }

    /// This interval on our monotonic time, for something that was received then.
    #[must_use]
    pub fn seen_at(&self, received: Now) -> Issued {
        let mono = i64::try_from(received.mono.0).unwrap_or(i64::MAX);
        let ago = |wall: Wall| mono.saturating_sub(received.wall.micros_since(wall));
        Issued { earliest: ago(self.earliest), latest: ago(self.latest) }
    }
}

/// When something was issued, on our monotonic time. *Units*: microseconds; negative before that time began.
///
/// Two issue times are compared so: wall times received before and after a step of our clock have no common measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Not before this.
    pub earliest: i64,
    /// Not after this.
    pub latest: i64,
}

impl Issued {
    /// Whether every point of this interval lies before every point of `other`.
    #[must_use]
    pub const fn certainly_before(&self, other: &Self) -> bool {
        self.latest < other.earliest
    }
}

/// What we know of a provider's clock against ours. *Units*: microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEstimate {
    /// How far the provider's clock is ahead of ours.
    pub offset_us: i64,
    /// The offset may be wrong by at most this.
    pub uncertainty_us: u64,
}

/// Why four timestamps are not those of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// An answer came before its question, or was sent before that was received.
    #[error("time went backwards: t3 is not before t0, and t2 not before t1")]
    Backwards,
    /// The answer took us longer than the whole exchange.
    #[error("the whole exchange, t0 to t3, is no shorter than what it took to answer, t1 to t2")]
    TooShort,
}

impl ClockEstimate {
    /// A peer that reads the very clock we read.
    pub const SHARED: Self = Self { offset_us: 0, uncertainty_us: 0 };

    /// From one exchange of four timestamps, as NTP does: the provider sent at `t0` (its clock), we received at
    /// `t1` and answered at `t2` (our clock), the provider received at `t3` (its clock).
    ///
    /// *Errors*: [`ExchangeError`] when a clock was set meanwhile, or somebody made the times up.
    pub fn from_exchange(t0: Wall, t1: Wall, t2: Wall, t3: Wall) -> Result<Self, ExchangeError> {
        if t2 < t1 || t3 < t0 {
            return Err(ExchangeError::Backwards);
        }
        let round_trip = t3.micros_since(t0).saturating_sub(t2.micros_since(t1));
        let round_trip = u64::try_from(round_trip).map_err(|_| ExchangeError::TooShort)?;
        let (outward, back) = (t1.micros_since(t0), t2.micros_since(t3));
        let offset_us = outward.midpoint(back).saturating_neg();
        Ok(Self { offset_us, uncertainty_us: round_trip.div_ceil(2) })
    }

    /// Whether the clock may be further off than that.
    #[must_use]
    pub fn is_beyond(&self, limit: Duration) -> bool {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.offset_us.unsigned_abs().saturating_add(self.uncertainty_us) > limit
    }

    /// A provider's stamp as an interval of our clock.
    #[must_use]
    pub fn interval_of(&self, stamp: Wall) -> Interval {
        let middle = stamp.shifted(self.offset_us.saturating_neg());
        let half = i64::try_from(self.uncertainty_us).unwrap_or(i64::MAX);
        Interval { earliest: middle.shifted(half.saturating_neg()), latest: middle.shifted(half) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> Wall {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_printed_as_it_was_read() {
        assert_eq!(wall("2026-11-22T20:00:00.123456Z").to_string(), "2026-11-22T20:00:00.123456Z");
        assert_eq!(wall("2026-11-22T21:00:00+01:00").to_string(), "2026-11-22T20:00:00.000000Z");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        for text in ["2026-11-22T20:00:00", "yesterday", "", "1700000000"] {
            assert!(text.parse::<Wall>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlapping_intervals_have_no_order() {
        let a = Interval { earliest: Wall::from_micros(0), latest: Wall::from_micros(10) };
        let b = Interval { earliest: Wall::from_micros(10), latest: Wall::from_micros(20) };
        let now = Now { mono: Mono(500), wall: Wall::from_micros(20) };
        let [a, b] = [a, b].map(|interval| interval.seen_at(now));
        assert!(!a.certainly_before(&b) && !b.certainly_before(&a));
        assert!(Interval::exactly(Wall::from_micros(9)).seen_at(now).certainly_before(&b));
    }

    #[test]
    fn a_step_of_our_wall_clock_between_two_receipts_reorders_nothing() {
        let now = |mono, wall| Now { mono: Mono(mono), wall: Wall::from_micros(wall) };
        for step in [-7_200_000_000, 7_200_000_000] {
            let first = Interval::exactly(Wall::from_micros(1_000)).seen_at(now(9_000, 1_500));
            let second = Interval::exactly(Wall::from_micros(3_000 + step)).seen_at(now(11_500, 4_000 + step));
            assert!(first.certainly_before(&second) && !second.certainly_before(&first), "{step}");
        }
    }

    #[test]
    fn a_symmetric_exchange_finds_the_offset() {
        // The provider is 4 s ahead; each way takes 3 ms; we answer after 1 ms.
        let t = |us| Wall::from_micros(us);
        let clock = ClockEstimate::from_exchange(t(4_000_000), t(3_000), t(4_000), t(4_007_000));
        let clock = clock.unwrap();
        assert_eq!(clock, ClockEstimate { offset_us: 4_000_000, uncertainty_us: 3_000 });
        let interval = clock.interval_of(t(5_000_000));
        assert_eq!(interval, Interval { earliest: t(997_000), latest: t(1_003_000) });
    }

    #[test]
    fn what_cannot_be_an_exchange_gives_no_offset() {
        let exchange = |[t0, t1, t2, t3]: [i64; 4]| {
            let [t0, t1, t2, t3] = [t0, t1, t2, t3].map(Wall::from_micros);
            ClockEstimate::from_exchange(t0, t1, t2, t3)
        };
        assert_eq!(exchange([0, 2_000, 1_999, 4_000]), Err(ExchangeError::Backwards), "t2 before t1");
        assert_eq!(exchange([4_000, 0, 0, 3_999]), Err(ExchangeError::Backwards), "t3 before t0");
        assert_eq!(exchange([0, 0, 4_001, 4_000]), Err(ExchangeError::TooShort), "a negative round trip");
        assert_eq!(exchange([0, 0, 4_000, 4_000]), Ok(ClockEstimate::SHARED));
        // The ends of all time: no overflow, and as uncertain as that is.
        let widest = exchange([i64::MIN, 0, 0, i64::MAX]).unwrap();
        assert!(widest.uncertainty_us >= i64::MAX.unsigned_abs() / 2, "{widest:?}");
        assert_eq!(exchange([i64::MIN, i64::MAX, i64::MIN, i64::MAX]), Err(ExchangeError::Backwards));
    }
}
