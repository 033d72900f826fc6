//! Any bytes for any procedure: no panic, nothing that is larger than what it was made of, and never another kind of
//! treatment than the table has.

use proptest::prelude::*;

use super::usual::rows;
use super::*;
use crate::doors::rpc::procedures::{Handling, Place, find};

/// A byte that is no UTF-8 becomes three, a control character six in JSON, and a text is kept twice at most.
const GROWTH_MAX: usize = 16;
const ALWAYS: usize = 1024;

fn check(program: u32, number: u32, payload: &[u8]) {
    let found = treatment(program, number, payload);
    let Some(procedure) = find(program, number) else {
        assert_eq!(found, Ok(Treatment::Refuse(Why::Unknown)));
        return;
    };
    let Ok(found) = found else { return };
    let size = format!("{found:?}").len();
    assert!(size <= GROWTH_MAX * payload.len() + ALWAYS, "{}: {size} of {}", procedure.name, payload.len());
    let fits = match (&procedure.handling, &found) {
        (Handling::Pass, Treatment::Pass) | (Handling::Refuse, Treatment::Refuse(_)) => true,
        (Handling::Read, Treatment::Look { .. }) => true,
        (Handling::HostRead, Treatment::Host(access, _)) => *access == HostAccess::Read,
        (Handling::HostWrite, Treatment::Host(access, _)) => *access == HostAccess::Write,
        (Handling::HostEither, Treatment::Host(..)) => true,
        (Handling::Act(actions), Treatment::Change { operation, .. }) => actions.contains(&operation.action()),
        // The definition of a VM that goes to another host without being run.
        (Handling::Act(_), Treatment::Look { secret: Secrecy::Secret, .. }) => procedure.name.contains("migrate"),
        (Handling::Act(_), Treatment::Refuse(Why::Ambiguous)) => procedure.place == Place::Elsewhere,
        _ => false,
    };
    assert!(fits, "{}: {found:?}", procedure.name);
    if let Treatment::Change { operation, .. } = &found {
        let text = serde_json::to_string(operation).unwrap();
        assert!(text.len() <= GROWTH_MAX * payload.len() + ALWAYS, "{}", procedure.name);
        if !text.contains("(hidden)") {
            assert_eq!(&serde_json::from_str::<Operation>(&text).unwrap(), operation, "{}", procedure.name);
        }
        let footprint = operation.footprint();
        assert!(!footprint.writes.is_empty(), "{}", procedure.name);
    }
}

fn any_procedure() -> impl Strategy<Value = (u32, u32)> {
    let all: Vec<(u32, u32)> = procedures::all().map(|procedure| (procedure.program, procedure.number)).collect();
    prop_oneof![9 => proptest::sample::select(all), 1 => (any::<u32>(), any::<u32>())]
}

/// A usual call's payload, cut off somewhere and with some of its bytes changed.
fn nearly_usual() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let usual: Vec<(&str, Vec<u8>)> = rows().into_iter().map(|(name, payload, _)| (name, payload.bytes())).collect();
    let change = (any::<proptest::sample::Index>(), any::<u8>());
    (
        proptest::sample::select(usual),
        proptest::collection::vec(change, 0..4),
        any::<proptest::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|((name, mut payload), changes, end, cut)| {
            for (at, byte) in changes {
                if !payload.is_empty() {
                    let at = at.index(payload.len());
                    payload[at] = byte;
                }
            }
            if cut {
                payload.truncate(end.index(payload.len() + 1));
            }
            (name, payload)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_for_any_procedure((program, number) in any_procedure(), payload in proptest::collection::vec(any::<u8>(), 0..512)) {
        check(program, number, &payload);
    }

    #[test]
    fn a_vm_and_any_words((program, number) in any_procedure(), words in proptest::collection::vec(0_u32..9, 0..32)) {
        let mut payload = p().vm();
        for word in words {
            payload = payload.u(word);
        }
        check(program, number, &payload.bytes());
    }

    #[test]
    fn a_usual_call_with_faults((name, payload) in nearly_usual()) {
        let procedure = procedure(name);
        check(procedure.program, procedure.number, &payload);
    }

    #[test]
    fn any_text_as_xml(text in "[<>/='\" a-z:&;!-]{0,200}") {
        for name in ["domain_define_xml", "domain_create_xml"] {
            let procedure = procedure(name);
            check(procedure.program, procedure.number, &p().s(&text).u(0).bytes());
        }
        for name in ["domain_attach_device", "domain_snapshot_create_xml", "domain_checkpoint_create_xml", "domain_backup_begin"] {
            let procedure = procedure(name);
            check(procedure.program, procedure.number, &p().vm().s(&text).u(0).u(0).bytes());
        }
    }
}

#[test]
fn every_procedure_takes_nothing_and_everything() {
    for procedure in procedures::all() {
        for payload in [vec![], vec![0; 4096], vec![0xff; 4096], [0, 0, 0, 1].repeat(1024)] {
            check(procedure.program, procedure.number, &payload);
        }
    }
}

/// As the recording beside it is written.
const USUAL: &str = "fixtures/rpc/usual-calls.txt";

#[test]
fn the_usual_calls_are_written_down_for_the_fuzzer() {
    let mut text = String::from(
        "# Every usual call of src/doors/rpc/mapping/tests/usual.rs; written by its neighbour fuzz.rs with COVIRT_BLESS=1.\n\
         # A line: call, program (hexadecimal), procedure, the call's payload, nothing; \"-\" is empty.\n",
    );
    for (name, payload, _) in rows() {
        let Procedure { program, number, .. } = procedure(name);
        let hex: String = payload.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "call {program:x} {number} {} -", if hex.is_empty() { "-" } else { &hex }).unwrap();
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(USUAL);
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == text, "{USUAL} is old: COVIRT_BLESS=1");
}

#[test]
fn every_usual_payload_cut_off_anywhere_is_refused_or_read() {
    for (name, payload, _) in rows() {
        let (procedure, payload) = (procedure(name), payload.bytes());
        for end in 0..payload.len() {
            check(procedure.program, procedure.number, &payload[..end]);
        }
    }
}
