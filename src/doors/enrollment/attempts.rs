//! How often an address may come with a token that is refused.
//!
//! No token can be guessed; this bounds what guessing costs us and what it writes into the log. Whoever comes from
//! elsewhere is not held up by it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::Wall;

/// So many failures of one address …
const FAILURES_MAX: usize = 5;
/// … within this time, and it is not listened to until the first of them is this old.
const WITHIN: Duration = Duration::from_secs(60);
/// How many addresses are remembered; of more, the one that failed longest ago is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Who failed, and when.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<IpAddr, Vec<Wall>>);

/// Whom an address stands for: of IPv6, a whole /64 is one party's.
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => {
            let network = six.to_bits() & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
    }
}

fn is_recent(failure: Wall, now: Wall) -> bool {
    // A clock that was set back forgives.
    u64::try_from(now.micros_since(failure)).is_ok_and(|micros| Duration::from_micros(micros) < WITHIN)
}

impl Attempts {
    /// Whether an address is listened to now.
    pub(crate) fn allows(&self, address: IpAddr, now: Wall) -> bool {
        let failures = self.0.get(&party(address));
        failures.is_none_or(|failures| failures.iter().filter(|at| is_recent(**at, now)).count() < FAILURES_MAX)
    }

    /// Notes a failure.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Wall) {
        self.0.retain(|_, failures| {
            failures.retain(|at| is_recent(*at, now));
            !failures.is_empty()
        });
        let party = party(address);
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&party) {
            let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last().copied()).map(|(party, _)| *party);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        self.0.entry(party).or_default().push(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Wall {
        Wall::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn an_address_that_fails_often_is_not_listened_to_for_a_while() {
        let mut attempts = Attempts::default();
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for second in 0..5 {
            assert!(attempts.allows(one, at(second)));
            attempts.failed(one, at(second));
        }
        assert!(!attempts.allows(one, at(5)) && attempts.allows(two, at(5)));
        assert!(!attempts.allows("::ffff:192.0.2.1".parse().unwrap(), at(5)));
        assert!(attempts.allows(one, at(60)));
    }

    #[test]
    fn a_network_of_one_party_is_one_address() {
        let mut attempts = Attempts::default();
        for last in 0..5_u16 {
            attempts.failed(format!("2001:db8::{last:x}").parse().unwrap(), at(0));
        }
        assert!(!attempts.allows("2001:db8::ffff".parse().unwrap(), at(1)));
        assert!(attempts.allows("2001:db8:0:1::1".parse().unwrap(), at(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut attempts = Attempts::default();
        for number in 0..5000_u32 {
            attempts.failed(IpAddr::V4((0x0a00_0000 + number).into()), at(1));
        }
        assert_eq!(attempts.0.len(), ADDRESSES_MAX);
    }
}
