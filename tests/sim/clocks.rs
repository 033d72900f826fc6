//! The providers' clocks: how far off they are, how they drift, and what was measured of them, however long ago.

use std::collections::BTreeMap;

use covirt::model::{ClockEstimate, ClockFilter, Mono, Now, ProviderId, Wall};

use super::roll::Roll;

struct Clock {
    ahead: i64,
    /// Below what is counted on.
    drift_ppm: i64,
    known: ClockFilter,
}

impl Clock {
    /// What it shows at a moment of ours.
    fn shows(&self, at: i64) -> Wall {
        Wall::from_micros(at + self.ahead + at * self.drift_ppm / 1_000_000)
    }

    /// Whether what is known of it is true: it was measured, or it is ours.
    fn is_known(&self, now: Now) -> bool {
        self.known.estimate(now).is_some() || (self.ahead == 0 && self.drift_ppm == 0)
    }
}

#[derive(Default)]
pub(super) struct Clocks(BTreeMap<ProviderId, Clock>);

impl Clocks {
    /// Clocks so far ahead; exchanges with some of them were made while ours ran up to `base`.
    pub(super) fn new(providers: &[(ProviderId, i64)], base: u64, more: Option<&mut Roll>) -> Self {
        let Some(more) = more else { return Self::default() };
        let clock = |(provider, ahead): &(ProviderId, i64)| {
            let measured = more.percent(if *ahead == 0 { 50 } else { 85 });
            let drift_ppm = if measured { i64::try_from(more.below(181)).unwrap() - 90 } else { 0 };
            let mut clock = Clock { ahead: *ahead, drift_ppm, known: ClockFilter::default() };
            let mut times: Vec<u64> = (0..1 + more.below(10)).map(|_| more.below(base)).collect();
            times.sort_unstable();
            for at in times.into_iter().filter(|_| measured) {
                let longest = if more.percent(30) { 400_000 } else { 900 };
                let mut way = || i64::try_from(more.below(longest)).unwrap();
                let (at, out, back) = (i64::try_from(at).unwrap(), way(), way());
                let ours = Wall::from_micros(at + out);
                let sample = ClockEstimate::from_exchange(clock.shows(at), ours, ours, clock.shows(at + out + back));
                let sample = sample.expect("time goes on, and the answer comes after the question");
                let end = at + out + back;
                let now = Now { mono: Mono(end.unsigned_abs()), wall: Wall::from_micros(end) };
                clock.known.note(sample, now);
            }
            (provider.clone(), clock)
        };
        Self(providers.iter().map(clock).collect())
    }

    /// What is known of a provider's clock now.
    pub(super) fn estimate(&self, provider: &ProviderId, now: Now) -> Option<ClockEstimate> {
        self.0.get(provider).and_then(|clock| clock.known.estimate(now))
    }

    /// What a provider stamps on what it issues at a moment of ours, and whether that can be told from the stamp.
    pub(super) fn stamp(&self, provider: &ProviderId, at: i64, now: Now) -> Option<(Wall, bool)> {
        self.0.get(provider).map(|clock| (clock.shows(at), clock.is_known(now)))
    }
}
