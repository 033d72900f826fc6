//! Any bytes as the arguments of any call: what the mapping makes of them, and what the view says before they are passed on.

use covirt::doors::rpc::mapping::{self, HostAccess, Secrecy, Treatment, Why};
use covirt::doors::rpc::procedures::{Handling, Place, find};
use covirt::doors::rpc::view::{self, Asked};
use covirt::model::Operation;

use super::input::Input;
use super::memory::peak_of;
use super::seeds::{self, place, spoken};
use super::world::{MINE, World};

/// A byte that is no UTF-8 becomes three, a control character six in JSON, and a text is kept twice at most.
const GROWTH_MAX: usize = 16;
const ALWAYS: usize = 1024;
/// What reading may take: an XML of empty elements has a node for every four bytes, and its list is there twice when it grows.
const READING_MAX: usize = 256;

/// Bytes say who looks, which procedure, and are its payload.
pub fn judge(data: &[u8]) {
    let mut input = Input::new(data);
    let world = World::new(input.byte());
    let (program, number) = seeds::procedure(input.short());
    let payload = input.rest();
    let most = READING_MAX * payload.len() + 64 * ALWAYS;
    let (found, peak) = peak_of(|| mapping::treatment(program, number, payload));
    assert!(peak <= most, "{peak} for {}", payload.len());
    let Some(procedure) = find(program, number) else {
        assert_eq!(found, Ok(Treatment::Refuse(Why::Unknown)));
        return;
    };
    if let Ok(found) = &found {
        let size = format!("{found:?}").len();
        assert!(size <= GROWTH_MAX * payload.len() + ALWAYS, "{}: {size} of {}", procedure.name, payload.len());
        assert_eq!(mapping::treatment(program, number, payload).as_ref(), Ok(found), "the same twice");
        let fits = match (&procedure.handling, found) {
            (Handling::Pass, Treatment::Pass)
            | (Handling::Refuse, Treatment::Refuse(_))
            | (Handling::Read, Treatment::Look { .. })
            | (Handling::HostEither, Treatment::Host(..)) => true,
            (Handling::HostRead, Treatment::Host(access, _)) => *access == HostAccess::Read,
            (Handling::HostWrite, Treatment::Host(access, _)) => *access == HostAccess::Write,
            (Handling::Act(actions), Treatment::Change { operation, .. }) => actions.contains(&operation.action()),
            // The definition of a VM that goes to another host without being run.
            (Handling::Act(_), Treatment::Look { secret: Secrecy::Secret, .. }) => procedure.name.contains("migrate"),
            (Handling::Act(_), Treatment::Refuse(Why::Ambiguous)) => procedure.place == Place::Elsewhere,
            _ => false,
        };
        assert!(fits, "{}: {found:?}", procedure.name);
    }
    if let Ok(Treatment::Change { operation, .. }) = &found {
        let text = serde_json::to_string(operation).expect("every operation is written");
        assert!(text.len() <= GROWTH_MAX * payload.len() + ALWAYS, "{}", procedure.name);
        if !text.contains("(hidden)") {
            let read: Operation = serde_json::from_str(&text).expect("what is written is read");
            assert_eq!(&read, operation, "{}", procedure.name);
        }
        assert!(!operation.footprint().writes.is_empty(), "{}", procedure.name);
    }
    look(&world, (program, number), payload);
}

fn look(world: &World, (program, number): (u32, u32), payload: &[u8]) {
    let most = payload.len() + ALWAYS;
    let (asked, peak) = peak_of(|| view::call(program, number, payload, world));
    assert!(peak <= 4 * most, "{peak} for {}", payload.len());
    if let Ok(Asked::Recount(recount)) = asked {
        // Arguments that cannot be read are told to the client.
        let question = recount.question(payload).map_or(0, |question| question.payload.len());
        assert!(question <= most);
    }
    // What is not there is named as the call named it, three times at most, a UUID in 36 letters.
    let absent = view::absent(program, number, payload);
    assert!(absent.len() <= 3 * most);
    let shown = view::error(&absent, world, covirt::doors::rpc::conversation::Around::host(world));
    assert!(shown.is_ok(), "our own error is read: {shown:?}");
}

/// Every usual call, and every call of the recording, with each kind of provider.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let usual = (0..5).cycle().zip(spoken().filter(|spoken| spoken.kind != "event")).map(|(who, spoken)| {
        let place = place(spoken.program, spoken.procedure);
        [&[who], &place[..], &spoken.call].concat()
    });
    let with_a_vm = (0..450_u16).map(|at| [&[0], &at.to_be_bytes()[..], &MINE.domain(), &[0; 32]].concat());
    usual.chain(with_a_vm).collect()
}
