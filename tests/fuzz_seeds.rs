//! What the fuzzers of `fuzz/` begin with, judged as they judge it: whole, and cut off in a few places. `make fuzz` goes on
//! from there.

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub, reason = "the same files are a library for the fuzzers")]
mod fuzz;

use fuzz::{calls, conversation, framing, replies};

/// In how many places a seed is cut off.
const CUTS: usize = 5;

fn play(seeds: &[Vec<u8>], judge: fn(&[u8])) {
    assert!(seeds.len() > 50);
    for seed in seeds {
        for part in 1..=CUTS {
            judge(&seed[..seed.len() * part / CUTS]);
        }
    }
}

#[test]
fn bytes_however_they_are_cut_come_out_as_they_went_in() {
    play(&framing::seeds(), framing::judge);
}

#[test]
fn calls_are_what_the_table_says() {
    play(&calls::seeds(), calls::judge);
}

#[test]
fn what_is_hidden_is_in_nothing_that_is_shown() {
    play(&replies::seeds(), replies::judge);
}

#[test]
fn a_conversation_forgets_nobody_and_keeps_nothing_for_ever() {
    play(&conversation::seeds(), conversation::judge);
}
