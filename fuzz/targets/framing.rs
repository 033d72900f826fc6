#![no_main]

use covirt_fuzz::{framing, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(framing::seeds()), |data: &[u8]| framing::judge(data));
