//! What is open, seen and ended by whole lanes.

use super::world::{World, vm};
use crate::hypervisor::{How, Mode};
use crate::model::HoldKey;

#[tokio::test]
async fn after_a_call_that_ends_something_the_vm_is_looked_at_though_no_event_came() {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    world.fake.change(vm(1), |state| {
        state.jobs.insert(HoldKey::Backup);
    });
    let open = async || world.lanes().read(vm(1), |lane, _| lane.state().holds().count()).await == Ok(1);
    world.until("a backup begun past the agent is known", open).await;
    // Whoever else takes the events leaves the lanes without any.
    let _events = crate::hypervisor::Hypervisor::events(&world.fake);
    let end = world.submit(1, "operator", "backup.end", 1).await.unwrap();
    world.fake.until_waiting(end.id).await;
    let look = world.hypervisor.hold_next_look();
    world.fake.finish(end.id, How::Normally).unwrap();
    look.until_held().await;
    assert_eq!(look.held_vm(), vm(1));
    look.release();
}
