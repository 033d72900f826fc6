//! How many requests of a provider may come in a second, and how many lines a second may be logged about those who were
//! refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::ProviderId;

/// So many at once, and as many again in every second.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// Takes one.
    ///
    /// *Errors*: after how long there is one.
    fn take(&mut self, rate: u32, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(rate);
        self.left = (self.left + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(rate);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / rate))
    }
}

/// Each provider's requests. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    per_second: u32,
    buckets: Arc<Mutex<BTreeMap<ProviderId, Bucket>>>,
}

impl Rates {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), buckets: Arc::default() }
    }

    /// A request of this provider comes now.
    ///
    /// *Errors*: after how long it may.
    pub(crate) fn take(&self, provider: &ProviderId, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { left: f64::from(self.per_second), at: now };
        buckets.entry(provider.clone()).or_insert(full).take(self.per_second, now)
    }
}

/// Lines about who was refused: a flood of strangers must not become a flood of lines.
#[derive(Debug)]
pub(crate) struct Quiet(Mutex<(Bucket, u64)>);

/// Lines in a second, and at once.
const LINES: u32 = 20;

impl Quiet {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new((Bucket { left: f64::from(LINES), at: now }, 0)))
    }

    /// How many lines were left out before this one; none when this one is left out, too.
    pub(crate) fn left_out(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.take(LINES, now).is_ok() {
            return Some(std::mem::take(&mut state.1));
        }
        state.1 = state.1.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_at_once_up_to_the_rate_and_then_with_it() {
        let rates = Rates::new(2);
        let (north, south): (ProviderId, ProviderId) = ("north".parse().unwrap(), "south".parse().unwrap());
        let start = Instant::now();
        rates.take(&north, start).unwrap();
        rates.take(&north, start).unwrap();
        assert_eq!(rates.take(&north, start), Err(Duration::from_millis(500)));
        rates.take(&south, start).unwrap();
        rates.take(&north, start + Duration::from_millis(500)).unwrap();
        assert_eq!(rates.take(&north, start + Duration::from_millis(500)), Err(Duration::from_millis(500)));
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_not_written() {
        let start = Instant::now();
        let quiet = Quiet::new(start);
        assert!((0..LINES).all(|_| quiet.left_out(start) == Some(0)));
        assert!((0..7).all(|_| quiet.left_out(start).is_none()));
        assert_eq!(quiet.left_out(start + Duration::from_secs(1)), Some(7));
    }
}
