#![no_main]

use covirt_fuzz::{conversation, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(conversation::seeds()), |data: &[u8]| conversation::judge(data));
