//! What a lane remembers of what is over, and when it forgets it.

use super::*;

/// The state after so many commands of which each writes something of its own.
fn lived(commands: u32) -> State {
    let mut world = World::alone(Policy::default());
    world.submit("north", "m: metadata.set uri=urn:it key=a");
    world.finish("m");
    let id = world.id("m");
    let texts: Vec<String> = world.facts().skip(1).map(|fact| serde_json::to_string(fact).unwrap()).collect();
    let mut state = world.lane.state().clone();
    for n in 1..commands {
        let of_this = |text: &String| {
            let text = text.replace(&id.to_string(), &nth(n).to_string()).replace("urn:it", &format!("urn:{n}"));
            serde_json::from_str(&text).unwrap()
        };
        let at = Now { mono: Mono(u64::from(n)), wall: world.now().wall };
        let facts: Vec<Fact> = texts.iter().map(of_this).collect();
        state = state.replay(facts.iter().map(|fact| (at, fact)));
    }
    state
}

/// The `n`-th command of such a life but the first.
fn nth(n: u32) -> CommandId {
    CommandId(uuid::Uuid::from_u128(0x0193_0001_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

#[test]
fn of_a_thousand_values_it_is_known_who_wrote_them_and_the_oldest_is_forgotten_first() {
    let wrote = |state: &State, n| state.written.values().any(|written| written.command == nth(n));
    let full = lived(1024);
    assert_eq!(full.written.len(), 1024);
    let more = lived(1026);
    assert_eq!(more.written.len(), 1024);
    assert!(!wrote(&more, 1) && wrote(&more, 2) && wrote(&more, 1025));
}

#[test]
fn of_some_thousand_forgotten_commands_the_ids_are_known_and_the_oldest_is_forgotten_first() {
    let full = lived(4096 + 256);
    assert_eq!(full.forgotten.len(), 4096);
    let more = lived(4096 + 256 + 2);
    assert_eq!(more.forgotten.len(), 4096);
    assert!(!more.has_seen(nth(1)) && more.has_seen(nth(2)));
}

#[test]
fn a_state_is_read_back_as_it_was_written() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4");
    world.submit("south", "b: cpu.set vcpus=6");
    world.answer("north", Said::NoOpinion);
    world.submit("south", "f: guest.freeze lease_s=600 class=emergency");
    world.finish("f");
    world.submit("north", "m: metadata.set uri=urn:a key=a class=emergency");
    world.finish("m");
    let state = world.lane.state();
    assert!(
        !state.written.is_empty() && state.holds().count() == 1 && state.conflicts().any(|it| !it.asked.is_empty())
    );
    let read: State = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
    assert_eq!(read, *state);
}

#[test]
fn a_conflict_is_known_as_long_as_one_of_the_two_is() {
    let mut world = World::shared(Policy { gather_for: GatherFor::Writes, ..Policy::default() });
    world.submit("north", "a: cpu.set vcpus=4 class=critical");
    world.submit("south", "b: cpu.set vcpus=6");
    world.pass(std::time::Duration::from_secs(3));
    for name in ["a", "b"] {
        world.finish(name);
    }
    for name in ["c", "d"] {
        world.submit("north", &format!("{name}: metadata.set uri=urn:a key=a"));
        world.pass(std::time::Duration::from_secs(3));
        world.finish(name);
    }
    let known = |retained: usize| {
        let young = State { retained, ..State::new(world::vm()) };
        let state = young.replay(world.journal.iter().map(|(_, at, fact)| (*at, fact)));
        (state.commands().count(), state.conflicts().count())
    };
    assert_eq!([4, 3, 2].map(known), [(4, 1), (3, 1), (2, 0)]);
}

#[test]
fn a_lane_that_only_reads_history_forgets_nothing() {
    let mut world = World::alone(Policy::default());
    let mut state = State::remembering_all(world::vm());
    // One more than a lane that lives remembers.
    let commands: Vec<String> = (0..=super::super::state::RETAINED).map(|n| format!("m{n}")).collect();
    for name in &commands {
        world.submit("north", &format!("{name}: metadata.set uri=urn:it key=a"));
        world.finish(name);
    }
    state = state.replay(world.journal.iter().map(|(_, at, fact)| (*at, fact)));
    assert_eq!(state.commands().count(), commands.len());
    assert_eq!(world.lane.state().commands().count(), commands.len() - 1);
}

#[test]
fn what_the_hypervisor_answers_is_kept_with_the_command() {
    let mut world = World::alone(Policy::default());
    world.submit("north", "a: power.suspend");
    let id = world.id("a");
    world.calls.remove(&id);
    let said = serde_json::json!({ "said": "by libvirt" });
    world.feed(Input::Finished { command: id, result: CallResult::Done(said.clone()) });
    assert_eq!(world.outcome("a").unwrap().result, said);
}
