//! Whatever the bytes are: no panic, nothing much larger than they are, and what libvirt could have sent is the only
//! thing that is passed on.

use proptest::prelude::*;

use super::*;

fn size(shown: &Shown) -> usize {
    match shown {
        Shown::Changed(payload) => payload.len(),
        Shown::Same | Shown::Hidden | Shown::Recount(_) => 0,
    }
}

/// Everything that can be asked about a message.
fn ask_all(payload: &[u8], eyes: &Provider) {
    let most = payload.len() + 512;
    for (program, last) in [(REMOTE, 450), (QEMU, 8), (LXC, 2), (0x1234, 1)] {
        for procedure in 0..=last {
            for shown in [reply, event].map(|ask| ask(program, procedure, payload, eyes)).into_iter().flatten() {
                assert!(size(&shown) <= most);
            }
            if let Ok(Asked::Recount(recount)) = call(program, procedure, payload, eyes) {
                let question = recount.question(payload).map_or(0, |question| question.payload.len());
                let answer = recount.answer(payload, payload, eyes).map_or(0, |answer| answer.len());
                // A UUID takes more as text.
                assert!(question <= most && answer <= 4 * most);
            }
            assert!(absent(program, procedure, payload).len() <= 3 * most);
        }
    }
    if let Ok(shown) = error(payload, eyes, &eyes.host) {
        assert!(size(&shown) <= most);
    }
}

/// Payloads that begin as libvirt's do.
fn lifelike() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(0_u32.to_be_bytes().to_vec()),
        (0_u32..9).prop_map(|count| count.to_be_bytes().to_vec()),
        any::<u32>().prop_map(|count| count.to_be_bytes().to_vec()),
        prop_oneof![Just("mine"), Just("theirs"), Just("vnet2"), Just("net_vnet2_fe_54_00_00_00_02"), Just("")]
            .prop_map(|text| bytes(|w| w.string(text))),
        prop_oneof![Just(MINE), Just(THEIRS), Just(LOOSE)].prop_map(|vm| bytes(|w| w.vm(vm))),
        prop_oneof![Just("<network><dns>"), Just("<domain><uuid/></domain>"), Just("<a>&#0;</a>")]
            .prop_map(|text| bytes(|w| w.string(text))),
        any::<[u8; 4]>().prop_map(|word| word.to_vec()),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        for eyes in [secondary(), hoster(), unsure(), operator()] {
            ask_all(&payload, &eyes);
        }
    }

    #[test]
    fn no_words_are_too_strange(payload in lifelike()) {
        for eyes in [secondary(), hoster(), unsure()] {
            ask_all(&payload, &eyes);
        }
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,200}") {
        let mut host = host();
        host.observe(id(9), &text, &[&text]);
        let _ = host.whose(Thing::Mac(&text), &|_| false);
        let _ = host.whose(Thing::Volume { pool: &text, name: &text, key: Some(&text) }, &|_| false);
        let failure = bytes(|w| {
            w.i32(9).i32(10).optional_string(Some(&text)).i32(2).bool(false);
            w.optional_string(None).optional_string(None).optional_string(None).i32(0).i32(0).bool(false)
        });
        error(&failure, &secondary(), &host).unwrap();
    }
}

#[test]
fn a_count_of_more_than_there_can_be_keeps_nothing() {
    let absurd = bytes(|w| w.u32(u32::MAX).u32(0));
    assert_eq!(reply(REMOTE, 273, &absurd, &secondary()), Err(ReadXdrError::TooLong(u32::MAX)));
    let many = bytes(|w| w.u32(16384).u32(0));
    assert_eq!(reply(REMOTE, 273, &many, &secondary()), Err(ReadXdrError::Short));
    let stats = bytes(|w| w.count(1).vm(MINE).u32(262_145).u32(0));
    assert_eq!(reply(REMOTE, 344, &stats, &secondary()), Err(ReadXdrError::TooLong(262_145)));
}
