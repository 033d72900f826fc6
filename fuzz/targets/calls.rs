#![no_main]

use covirt_fuzz::{calls, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(calls::seeds()), |data: &[u8]| calls::judge(data));
