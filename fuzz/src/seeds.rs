//! Where the fuzzer begins: what a real libvirt spoke, and the usual calls, both as they lie in fixtures/rpc.

use covirt::doors::rpc::procedures;

/// What was recorded, and calls as clients usually make them.
const SPOKEN: [&str; 2] =
    [include_str!("../../fixtures/rpc/libvirt-9.0.0.txt"), include_str!("../../fixtures/rpc/usual-calls.txt")];

/// A call and what came back, or an event.
pub struct Spoken {
    /// `reply`, `event`, `error`; `call` where nothing came back.
    pub kind: &'static str,
    pub program: u32,
    pub procedure: u32,
    pub call: Vec<u8>,
    pub answer: Vec<u8>,
}

/// All of it.
pub fn spoken() -> impl Iterator<Item = Spoken> {
    SPOKEN.into_iter().flat_map(str::lines).filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&'static str> = line.split(' ').collect();
        Spoken {
            kind: fields[0],
            program: u32::from_str_radix(fields[1], 16).expect("a program"),
            procedure: fields[2].parse().expect("a procedure"),
            call: unhex(fields[3]),
            answer: unhex(fields[4]),
        }
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim_matches('-').as_bytes();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).expect("digits"), 16).expect("digits");
    digits.chunks(2).map(byte).collect()
}

/// Two bytes for a procedure of the table, as [`procedure`] reads them.
#[must_use]
pub fn place(program: u32, number: u32) -> [u8; 2] {
    let at = procedures::all().position(|one| (one.program, one.number) == (program, number));
    u16::try_from(at.unwrap_or(0)).unwrap_or(u16::MAX).to_be_bytes()
}

/// A procedure from two bytes: one of the table, or one that it lacks.
#[must_use]
pub fn procedure(place: u16) -> (u32, u32) {
    let known = procedures::all().nth(usize::from(place)).map(|one| (one.program, one.number));
    known.unwrap_or((covirt::doors::rpc::frame::REMOTE + u32::from(place % 5), u32::from(place)))
}

/// Writes seeds into the directory that `COVIRT_FUZZ_SEEDS` names, if it names one.
pub fn write(seeds: Vec<Vec<u8>>) {
    let Some(directory) = std::env::var_os("COVIRT_FUZZ_SEEDS") else { return };
    for (number, seed) in seeds.into_iter().enumerate() {
        let path = std::path::Path::new(&directory).join(format!("seed-{number:04}"));
        std::fs::write(path, seed).expect("the seeds can be written");
    }
}
