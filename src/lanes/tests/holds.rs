//! What is open, seen and ended by whole lanes.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::world::{World, vm};
use crate::hypervisor::{Event, How, Hypervisor, Mode};
use crate::journal::Tail;
use crate::model::{Ending, HoldKey};

/// A world in which something is open on VM 1.
async fn world_with(hold: HoldKey) -> World {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    world.fake.change(vm(1), |state| {
        state.jobs.insert(hold);
    });
    world.until("it is known to be open", async || open(&world).await == 1).await;
    world
}

async fn open(world: &World) -> usize {
    world.lanes().read(vm(1), |lane, _| lane.state().holds().count()).await.unwrap()
}

/// Whoever else takes the events leaves the lanes without any.
fn silence(world: &World) -> mpsc::Receiver<Event> {
    world.fake.events()
}

#[tokio::test]
async fn after_a_call_that_ends_something_the_vm_is_looked_at_though_no_event_came() {
    let world = world_with(HoldKey::Backup).await;
    world.fake.set_mode(Mode::Stepped);
    let _unheard = silence(&world);
    let end = world.submit(1, "operator", "backup.end", 1).await.unwrap();
    world.fake.until_waiting(end.id).await;
    let (look, ended) = (world.hypervisor.hold_next_look(), Instant::now());
    world.fake.finish(end.id, How::Normally).unwrap();
    look.until_held().await;
    assert!(ended.elapsed() < Duration::from_secs(4), "not only when what is open is looked at again");
    assert_eq!(look.held_vm(), vm(1));
    look.release();
}

#[tokio::test]
async fn what_ends_without_an_event_is_seen_to_be_over_and_nothing_open_is_no_reason_to_look() {
    for restarted in [false, true] {
        let mut world = world_with(HoldKey::Migration).await;
        if restarted {
            world.crash(Tail::Lost).await;
            assert_eq!(open(&world).await, 1);
        }
        let _unheard = silence(&world);
        let looks = world.hypervisor.looks();
        tokio::time::pause();
        let begun = Instant::now();
        world.hypervisor.until_looks(looks + 3).await;
        assert!((10..=15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!(open(&world).await, 1, "it is still open");
        world.fake.change(vm(1), |state| state.jobs.clear());
        world.until("its end is seen", async || open(&world).await == 0).await;
        assert!(begun.elapsed() < Duration::from_secs(21), "{:?}", begun.elapsed());
        let looks = world.hypervisor.looks();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(world.hypervisor.looks(), looks);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_look_that_takes_long_is_not_overtaken_by_the_next() {
    let world = world_with(HoldKey::Block("vda".to_owned())).await;
    let _unheard = silence(&world);
    tokio::time::pause();
    let slow = world.hypervisor.hold_next_look();
    slow.until_held().await;
    let next = world.hypervisor.hold_next_look();
    sleep(Duration::from_secs(600)).await;
    assert!(!next.is_held());
    slow.release();
    let ended = Instant::now();
    next.until_held().await;
    assert!((4..=6).contains(&ended.elapsed().as_secs()), "{:?}", ended.elapsed());
}

#[tokio::test]
async fn what_only_the_guest_knows_of_is_not_looked_for() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    let freeze = world.submit(1, "north", "guest.freeze", 1).await.unwrap();
    assert_eq!((world.end(freeze).await.ending, open(&world).await), (Ending::Done, 1));
    let looks = world.hypervisor.looks();
    tokio::time::pause();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(world.hypervisor.looks(), looks);
}
