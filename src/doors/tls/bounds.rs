//! How many connections at once, of all, of an address and of a provider; how many requests of a provider in a second.
//! What one of them takes is taken from nobody but those it is counted with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::refused::Refused;
use crate::model::ProviderId;

/// The bounds of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsLimits {
    /// For a handshake.
    pub handshake: Duration,
    /// Connections of all.
    pub connections: u32,
    /// Connections of one address; of IPv6, of one /64.
    pub connections_per_address: u32,
    /// Connections of one provider.
    pub connections_per_provider: u32,
    /// Requests of one provider in a second; as many may come at once.
    pub requests_per_second: u32,
}

impl Default for TlsLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connections: 1024,
            connections_per_address: 128,
            connections_per_provider: 256,
            requests_per_second: 100,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    addresses: BTreeMap<IpAddr, u32>,
    providers: BTreeMap<ProviderId, u32>,
}

/// The connections of one port.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    limits: TlsLimits,
    counts: Arc<Mutex<Counts>>,
}

/// A place among the connections, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    bounds: Bounds,
    address: IpAddr,
    provider: Option<ProviderId>,
}

/// What is counted together: an IPv4 address, or an IPv6 network as one customer has it.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

impl Bounds {
    pub(super) fn new(limits: TlsLimits) -> Self {
        Self { limits, counts: Arc::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from there.
    ///
    /// *Errors*: which bound is reached.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, Refused> {
        let address = neighbourhood(address);
        let mut counts = self.counts();
        if counts.all >= self.limits.connections {
            return Err(Refused::Full);
        }
        let of_address = counts.addresses.get(&address).copied().unwrap_or(0);
        if of_address >= self.limits.connections_per_address {
            return Err(Refused::AddressFull);
        }
        counts.all += 1;
        counts.addresses.insert(address, of_address + 1);
        Ok(Place { bounds: self.clone(), address, provider: None })
    }
}

impl Place {
    /// Counts it with this provider's from now on.
    ///
    /// *Errors*: the provider has as many as it may; it is not counted with them then.
    pub(super) fn belongs_to(&mut self, provider: &ProviderId) -> Result<(), Refused> {
        let mut counts = self.bounds.counts();
        let of_provider = counts.providers.get(provider).copied().unwrap_or(0);
        if of_provider >= self.bounds.limits.connections_per_provider {
            return Err(Refused::ProviderFull);
        }
        counts.providers.insert(provider.clone(), of_provider + 1);
        drop(counts);
        self.provider = Some(provider.clone());
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.bounds.counts();
        counts.all = counts.all.saturating_sub(1);
        give_back(&mut counts.addresses, &self.address);
        if let Some(provider) = &self.provider {
            give_back(&mut counts.providers, provider);
        }
    }
}

fn give_back<K: Ord>(counts: &mut BTreeMap<K, u32>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(of);
        }
    }
}

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
    pub(crate) fn new(limits: &TlsLimits) -> Self {
        Self { per_second: limits.requests_per_second.max(1), buckets: Arc::default() }
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
pub(super) struct Quiet(Mutex<(Bucket, u64)>);

/// Lines in a second, and at once.
const LINES: u32 = 20;

impl Quiet {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new((Bucket { left: f64::from(LINES), at: now }, 0)))
    }

    /// How many lines were left out before this one; none when this one is left out, too.
    pub(super) fn left_out(&self, now: Instant) -> Option<u64> {
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

    fn bounds() -> Bounds {
        Bounds::new(TlsLimits {
            connections: 3,
            connections_per_address: 2,
            connections_per_provider: 1,
            ..TlsLimits::default()
        })
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_leaves_room_for_another() {
        let bounds = bounds();
        let first = bounds.take(at("192.0.2.1")).unwrap();
        let _second = bounds.take(at("::ffff:192.0.2.1")).unwrap();
        assert_eq!(bounds.take(at("192.0.2.1")).unwrap_err(), Refused::AddressFull);
        let _third = bounds.take(at("192.0.2.2")).unwrap();
        assert_eq!(bounds.take(at("192.0.2.3")).unwrap_err(), Refused::Full);
        drop(first);
        assert!(bounds.take(at("192.0.2.1")).is_ok_and(|place| place.provider.is_none()));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let bounds = bounds();
        let _places = [bounds.take(at("2001:db8::1")).unwrap(), bounds.take(at("2001:db8::ffff:1")).unwrap()];
        assert_eq!(bounds.take(at("2001:db8::2")).unwrap_err(), Refused::AddressFull);
        drop(bounds.take(at("2001:db8:0:1::1")).unwrap());
    }

    #[test]
    fn a_provider_has_its_own_bound_and_gives_back_what_it_took() {
        let bounds = bounds();
        let (north, south): (ProviderId, ProviderId) = ("north".parse().unwrap(), "south".parse().unwrap());
        let mut first = bounds.take(at("192.0.2.1")).unwrap();
        let mut second = bounds.take(at("192.0.2.2")).unwrap();
        first.belongs_to(&north).unwrap();
        assert_eq!(second.belongs_to(&north).unwrap_err(), Refused::ProviderFull);
        second.belongs_to(&south).unwrap();
        drop((first, second));
        let counts = bounds.counts();
        assert!(counts.all == 0 && counts.addresses.is_empty() && counts.providers.is_empty(), "{counts:?}");
    }

    #[test]
    fn requests_come_at_once_up_to_the_rate_and_then_with_it() {
        let rates = Rates::new(&TlsLimits { requests_per_second: 2, ..TlsLimits::default() });
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
