use super::samples::{START, at, id, invitation, issued, key, provider};
use super::*;

fn code<T: std::fmt::Debug>(said: Result<T, Refusal>) -> Code {
    said.unwrap_err().code
}

/// One token for south, to be used `uses` times; its secret is `one`.
fn invited(uses: u32) -> Book {
    let mut book = Book::default();
    book.invite(&invitation("south", uses), id(1), Sum::of(b"one"), START).unwrap();
    book
}

fn ask(book: &Book, number: u8, now: Wall) -> Result<Admission, Refusal> {
    book.admits(id(1), Sum::of(b"one"), &provider("south"), key(number), now)
}

#[test]
fn a_token_lets_in_as_often_as_it_may() {
    let mut book = invited(2);
    for number in 1..=2 {
        assert_eq!(ask(&book, number, at(1)), Ok(Admission::New));
        book.joined(id(1), &provider("south"), issued(number), at(1));
    }
    assert_eq!(code(ask(&book, 3, at(2))), Code::TokenSpent);
}

#[test]
fn whoever_does_not_know_a_token_learns_nothing_of_it() {
    let mut book = invited(1);
    let ask =
        |book: &Book, id, secret: &[u8], who: &str, now| book.admits(id, Sum::of(secret), &provider(who), key(1), now);
    let refusals = |book: &Book, now| {
        let one = ask(book, id(1), b"two", "south", now).unwrap_err();
        assert_eq!(one.code, Code::TokenRefused);
        assert_eq!(ask(book, id(9), b"one", "south", now).unwrap_err(), one);
        assert_eq!(ask(book, id(9), b"", "south", now).unwrap_err(), one);
        assert_eq!(ask(book, id(1), b"one", "north", now).unwrap_err(), one);
    };
    refusals(&book, at(1));
    refusals(&book, at(9999));
    book.joined(id(1), &provider("south"), issued(1), at(1));
    refusals(&book, at(2));
}

#[test]
fn a_token_ends_with_its_time_its_provider_and_its_kind() {
    let mut book = invited(1);
    assert_eq!(code(ask(&book, 1, at(3600))), Code::TokenExpired);
    assert_eq!(book.open_until(at(3599)), Some(at(3600)));
    assert_eq!(book.open_until(at(3600)), None);
    book.remove(&provider("south"), at(1));
    assert_eq!(code(ask(&book, 1, at(2))), Code::TokenRefused);
    let other = Invitation { kind: "kubevirt".parse().unwrap(), ..invitation("south", 1) };
    book.invite(&other, id(2), Sum::of(b"two"), at(3)).unwrap();
    assert_eq!(code(ask(&book, 1, at(4))), Code::TokenRefused);
    assert_eq!(code(book.invite(&invitation("south", 1), id(3), Sum::of(b"three"), at(5))), Code::ProviderExists);
}

#[test]
fn an_answer_that_was_lost_is_given_again_to_the_same_key_for_a_while() {
    let mut book = invited(1);
    book.joined(id(1), &provider("south"), issued(1), at(1));
    assert_eq!(ask(&book, 1, at(60)), Ok(Admission::Again("certificate 1".to_owned())));
    assert_eq!(book.open_until(at(60)), Some(at(61)));
    assert_eq!(code(ask(&book, 1, at(61))), Code::TokenSpent);
    assert_eq!(code(ask(&book, 2, at(2))), Code::TokenSpent);
    assert_eq!(book.open_until(at(61)), None);
    book.revoke(&provider("south"), key(1), at(2)).unwrap();
    assert_eq!(code(ask(&book, 1, at(3))), Code::TokenSpent);
}

#[test]
fn a_replaced_key_is_good_for_a_while_and_makes_no_others() {
    let mut book = invited(1);
    let south = provider("south");
    book.joined(id(1), &south, issued(1), at(1));
    assert_eq!(book.may_replace(&south, key(1), key(2), at(10)), Ok(Admission::New));
    book.replaced(&south, key(1), issued(2), Duration::from_secs(100), at(10));
    assert_eq!(book.may_replace(&south, key(1), key(2), at(11)), Ok(Admission::Again("certificate 2".to_owned())));
    assert_eq!(code(book.may_replace(&south, key(1), key(3), at(11))), Code::Forbidden);
    assert!(book.providers[&south].keys[&key(1)].is_good(at(109)));
    assert!(!book.providers[&south].keys[&key(1)].is_good(at(110)));
    assert_eq!(book.next_end(), Some(at(110)));
    assert_eq!(book.run_out(at(110)), [(south.clone(), key(1))]);
    assert_eq!(book.next_list().1.len(), 1);
    assert_eq!(code(book.may_replace(&south, key(1), key(3), at(111))), Code::UnknownKey);
    assert_eq!(book.may_replace(&south, key(2), key(3), at(111)), Ok(Admission::New));
}

#[test]
fn a_key_is_one_providers_and_only_once() {
    let mut book = invited(3);
    book.joined(id(1), &provider("south"), issued(1), at(1));
    book.invite(&invitation("north", 1), id(2), Sum::of(b"two"), START).unwrap();
    assert_eq!(code(book.admits(id(2), Sum::of(b"two"), &provider("north"), key(1), at(2))), Code::CsrRefused);
    assert_eq!(code(book.may_replace(&provider("south"), key(1), key(1), at(2))), Code::CsrRefused);
    assert_eq!(code(book.revoke(&provider("north"), key(1), at(3))), Code::UnknownKey);
    book.revoke(&provider("south"), key(1), at(3)).unwrap();
    assert_eq!(code(book.revoke(&provider("south"), key(1), at(4))), Code::UnknownKey);
    assert_eq!(code(ask(&book, 1, at(70))), Code::CsrRefused, "a revoked key does not come back");
}

#[test]
fn a_provider_has_a_bounded_number_of_keys() {
    let mut book = invited(100);
    for number in 0..16 {
        book.joined(id(1), &provider("south"), issued(number), at(1));
    }
    assert_eq!(code(ask(&book, 99, at(2))), Code::Forbidden);
}

#[test]
fn whoever_is_removed_is_revoked_and_listed_until_the_certificates_end() {
    let mut book = invited(3);
    let south = provider("south");
    for number in 1..=2 {
        book.joined(id(1), &south, issued(number), at(1));
    }
    book.revoke(&south, key(1), at(2)).unwrap();
    assert_eq!(book.remove(&south, at(3)), [key(2)]);
    assert_eq!(book.next_list().1.len(), 2);
    assert_eq!(book.next_list().0, 2);
    assert_eq!(book.run_out(at(1_000_000)), []);
    assert!(book.next_list().1.is_empty());
    assert_eq!(book.remove(&south, at(4)), []);
}
