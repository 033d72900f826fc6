//! Clients' own calls that look alike to a lane.

use super::*;

/// Every write listens for a rival, so that two commands meet before either runs.
fn listening() -> Policy {
    Policy { gather_for: GatherFor::Writes, ..Policy::default() }
}

/// What they set is in their payloads, which no lane sees.
#[test]
fn two_clients_calls_that_look_alike_are_two_wishes() {
    let mut world = World::shared(listening());
    world.submit("north", "a: tuning.set relays=domain_set_scheduler_parameters_flags");
    world.submit("south", "b: tuning.set relays=domain_set_scheduler_parameters_flags");
    super::rules::no_opinions(&mut world);
    world.pass_ms(30);
    let leader = executed(&world).remove(0);
    world.finish(&leader);
    world.pass_ms(30);
    assert_eq!(executed(&world).len(), 2);
}
