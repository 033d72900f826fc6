//! A book with something of everything in it, for tests.

use super::*;
use crate::doors::enrollment::authority::Serial;

pub(crate) const START: Wall = Wall::from_micros(1_790_000_000_000_000);

pub(crate) fn at(seconds: u64) -> Wall {
    later(START, Duration::from_secs(seconds))
}

pub(crate) fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

pub(crate) fn key(number: u8) -> KeyId {
    KeyId::of_spki(&[number])
}

pub(crate) fn issued(number: u8) -> Issued {
    let serial: Serial = serde_json::from_str(&format!("\"{number:032X}\"")).unwrap();
    Issued { pem: format!("certificate {number}"), key: key(number), serial, not_after: at(1_000_000) }
}

pub(crate) fn invitation(name: &str, uses: u32) -> Invitation {
    Invitation {
        provider: provider(name),
        kind: "openstack".parse().unwrap(),
        may_enroll: false,
        uses,
        lasts: Duration::from_secs(3600),
    }
}

pub(crate) fn id(number: u8) -> TokenId {
    format!("{number:016x}").parse().unwrap()
}

/// South has joined twice with one token and replaced a key; a token for north waits; west was removed.
pub(crate) fn fill<E>(book: &mut Book) -> Result<(), E> {
    book.invite(&invitation("south", 2), id(1), Sum::of(b"one"), START).unwrap();
    book.joined(id(1), &provider("south"), issued(1), at(1));
    book.joined(id(1), &provider("south"), issued(2), at(2));
    book.replaced(&provider("south"), key(1), issued(3), Duration::from_secs(100), at(3));
    book.invite(&invitation("north", 1), id(2), Sum::of(b"two"), START).unwrap();
    book.invite(&invitation("west", 1), id(3), Sum::of(b"three"), START).unwrap();
    book.joined(id(3), &provider("west"), issued(4), at(4));
    book.remove(&provider("west"), at(5));
    book.next_list();
    Ok(())
}
