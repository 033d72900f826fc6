//! How many connections at once, of one place and of one provider: what one of them takes is taken from nobody but those
//! it is counted with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::ProviderId;

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Of all.
    pub(super) all: u32,
    /// Of one origin.
    pub(super) per_origin: u32,
    /// Of one provider.
    pub(super) per_provider: u32,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowded {
    /// That of all.
    All,
    /// That of where it comes from.
    Origin,
    /// Its provider's.
    Provider,
}

/// Where connections come from that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// An IPv4 address, or an IPv6 network as one customer has it.
    Network(IpAddr),
    /// A user of this host.
    User(u32),
}

impl Origin {
    pub(super) fn of_address(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        })
    }
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    origins: BTreeMap<Origin, u32>,
    providers: BTreeMap<ProviderId, u32>,
}

/// The connections of one port or socket. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds(Arc<Mutex<Counts>>);

/// A place among the connections, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    bounds: Bounds,
    origin: Origin,
    room: Room,
    provider: Option<ProviderId>,
}

impl Bounds {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from there, if there is room.
    ///
    /// *Errors*: which bound is reached.
    pub(super) fn take(&self, origin: Origin, room: Room) -> Result<Place, Crowded> {
        let mut counts = self.counts();
        if counts.all >= room.all {
            return Err(Crowded::All);
        }
        let of_origin = counts.origins.get(&origin).copied().unwrap_or(0);
        if of_origin >= room.per_origin {
            return Err(Crowded::Origin);
        }
        counts.all += 1;
        counts.origins.insert(origin, of_origin + 1);
        Ok(Place { bounds: self.clone(), origin, room, provider: None })
    }
}

impl Place {
    /// Counts it with this provider's from now on.
    ///
    /// *Errors*: the provider has as many as it may; it is not counted with them then.
    pub(super) fn belongs_to(&mut self, provider: &ProviderId) -> Result<(), Crowded> {
        let mut counts = self.bounds.counts();
        let of_provider = counts.providers.get(provider).copied().unwrap_or(0);
        if of_provider >= self.room.per_provider {
            return Err(Crowded::Provider);
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
        give_back(&mut counts.origins, &self.origin);
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { all: 3, per_origin: 2, per_provider: 1 };

    fn at(text: &str) -> Origin {
        Origin::of_address(text.parse().unwrap())
    }

    #[test]
    fn one_address_leaves_room_for_another() {
        let bounds = Bounds::default();
        let first = bounds.take(at("192.0.2.1"), ROOM).unwrap();
        let _second = bounds.take(at("::ffff:192.0.2.1"), ROOM).unwrap();
        assert_eq!(bounds.take(at("192.0.2.1"), ROOM).unwrap_err(), Crowded::Origin);
        let _third = bounds.take(at("192.0.2.2"), ROOM).unwrap();
        assert_eq!(bounds.take(at("192.0.2.3"), ROOM).unwrap_err(), Crowded::All);
        drop(first);
        assert!(bounds.take(at("192.0.2.1"), ROOM).is_ok_and(|place| place.provider.is_none()));
    }

    #[test]
    fn one_user_leaves_room_for_another() {
        let bounds = Bounds::default();
        let _places = [bounds.take(Origin::User(7), ROOM).unwrap(), bounds.take(Origin::User(7), ROOM).unwrap()];
        assert_eq!(bounds.take(Origin::User(7), ROOM).unwrap_err(), Crowded::Origin);
        drop(bounds.take(Origin::User(8), ROOM).unwrap());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let bounds = Bounds::default();
        let _places =
            [bounds.take(at("2001:db8::1"), ROOM).unwrap(), bounds.take(at("2001:db8::ffff:1"), ROOM).unwrap()];
        assert_eq!(bounds.take(at("2001:db8::2"), ROOM).unwrap_err(), Crowded::Origin);
        drop(bounds.take(at("2001:db8:0:1::1"), ROOM).unwrap());
    }

    #[test]
    fn a_provider_has_its_own_bound_and_gives_back_what_it_took() {
        let bounds = Bounds::default();
        let (north, south): (ProviderId, ProviderId) = ("north".parse().unwrap(), "south".parse().unwrap());
        let mut first = bounds.take(at("192.0.2.1"), ROOM).unwrap();
        let mut second = bounds.take(at("192.0.2.2"), ROOM).unwrap();
        first.belongs_to(&north).unwrap();
        assert_eq!(second.belongs_to(&north).unwrap_err(), Crowded::Provider);
        second.belongs_to(&south).unwrap();
        drop((first, second));
        let counts = bounds.counts();
        assert!(counts.all == 0 && counts.origins.is_empty() && counts.providers.is_empty(), "{counts:?}");
    }
}
