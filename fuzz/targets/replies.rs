#![no_main]

use covirt_fuzz::{replies, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(replies::seeds()), |data: &[u8]| replies::judge(data));
