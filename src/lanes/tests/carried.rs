//! Calls that are clients' own: made once, by their door, when the lane releases them, and by nobody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::world::{World, vm};
use crate::delegation::{ChangeRequest, Mode as Hold};
use crate::hypervisor::{Fake, How, Later, Mode};
use crate::journal::{Fault, Tail};
use crate::lanes::{Carrier, Part, Submission};
use crate::model::{
    Action, ClientCall, Code, Command, CommandId, Ending, Operation, Outcome, Peer, PowerState, Refusal,
};
use crate::resolver::{Call, CallResult, Fact, Phase, Whose};

/// What a door does with the call when it is released.
type Deed = Box<dyn FnOnce(Call) -> Later<CallResult> + Send>;

/// A door's side of one call.
struct Hand {
    deed: Deed,
    made: Arc<AtomicUsize>,
    released: watch::Sender<bool>,
    _alive: Arc<()>,
}

impl Carrier for Hand {
    fn carry(self: Box<Self>, call: Call) -> Later<CallResult> {
        assert_eq!(call.whose(), Whose::Clients);
        self.made.fetch_add(1, Ordering::Relaxed);
        self.released.send_replace(true);
        (self.deed)(call)
    }
}

/// A test's side of one call.
struct Held {
    made: Arc<AtomicUsize>,
    released: watch::Receiver<bool>,
    alive: Weak<()>,
}

impl Held {
    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    async fn until_released(&mut self) {
        let released = tokio::time::timeout(Duration::from_secs(20), self.released.wait_for(|released| *released));
        released.await.expect("the call is released").unwrap();
    }

    /// Whether nobody can make the call any more.
    fn is_dropped(&self) -> bool {
        self.alive.strong_count() == 0
    }
}

fn hand(deed: impl FnOnce(Call) -> Later<CallResult> + Send + 'static) -> (Box<Hand>, Held) {
    let (released, seen) = watch::channel(false);
    let (made, alive) = (Arc::default(), Arc::new(()));
    let held = Held { made: Arc::clone(&made), released: seen, alive: Arc::downgrade(&alive) };
    (Box::new(Hand { deed: Box::new(deed), made, released, _alive: alive }), held)
}

/// libvirt does at once what is forwarded.
fn at_once(fake: &Fake) -> impl FnOnce(Call) -> Later<CallResult> + Send + use<> {
    let fake = fake.clone();
    move |call| {
        let done = fake.act(call.vm(), call.operation());
        Box::pin(std::future::ready(done.map_or_else(CallResult::Failed, CallResult::Done)))
    }
}

/// The test says what libvirt answers; when it goes away, the answer is lost.
fn answered_by(answer: oneshot::Receiver<CallResult>) -> impl FnOnce(Call) -> Later<CallResult> + Send {
    move |_| Box::pin(async move { answer.await.unwrap_or_else(|_| CallResult::Lost("the door is gone".to_owned())) })
}

fn carried(who: &str, action: &str, id: u128) -> Command {
    let call =
        ClientCall { procedure: "domain_something".to_owned(), peer: Peer::Local { uid: 0, gid: None, pid: Some(7) } };
    Command { call: Some(call), ..World::command(1, who, action, id) }
}

async fn submit(world: &World, command: Command, hand: Box<Hand>) -> Result<Submission, Refusal> {
    world.lanes().submit_carried(command, hand).await
}

async fn world() -> World {
    let world = World::new(Mode::Stepped).await;
    world.enroll(1).await;
    world.delegate(1, "south").await;
    world
}

#[tokio::test]
async fn a_clients_call_is_made_once_by_its_door_and_never_by_the_agent() {
    let world = world().await;
    let first = world.submit(1, "north", "power.reset", 1).await.unwrap();
    world.fake.until_waiting(first.id).await;
    let (hand, mut held) = hand(at_once(&world.fake));
    let second = submit(&world, carried("south", "power.suspend", 2), hand).await.unwrap();
    assert_eq!((held.made(), held.is_dropped()), (0, false), "it waits its turn");
    world.fake.finish(first.id, How::Normally).unwrap();
    held.until_released().await;
    let (id, outcome) = (second.id, world.end(second).await);
    assert_eq!((outcome.ending, outcome.code), (Ending::Done, Code::Executed), "{outcome:?}");
    assert_eq!((held.made(), world.fake.executions(id)), (1, 0));
    assert!(held.is_dropped());
    world.until_power(1, PowerState::Paused).await;
    let call = world.lanes().read(vm(1), move |lane, _| lane.state().command(id).unwrap().command().call.clone());
    assert_eq!(call.await.unwrap().unwrap().to_string(), "domain_something of user 0, process 7");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_waiting_call_along_and_no_other() {
    let world = world().await;
    let (sender, answer) = oneshot::channel();
    let (first_hand, mut first) = hand(answered_by(answer));
    let running = submit(&world, carried("south", "power.reset", 1), first_hand).await.unwrap();
    first.until_released().await;
    let (second_hand, second) = hand(at_once(&world.fake));
    let waiting = submit(&world, carried("south", "power.suspend", 2), second_hand).await.unwrap();
    world.lanes().client_gone(vm(1), waiting.id).await;
    world.lanes().client_gone(vm(1), running.id).await;
    let outcome = world.end(waiting).await;
    assert_eq!((outcome.ending, outcome.code), (Ending::Cancelled, Code::ClientGone));
    assert_eq!((second.made(), second.is_dropped()), (0, true));
    sender.send(CallResult::Done(Value::Null)).unwrap();
    assert_eq!(world.end(running).await.ending, Ending::Done);
}

#[tokio::test]
async fn a_lost_answer_is_observed_and_the_call_not_made_again() {
    for took_effect in [true, false] {
        let world = world().await;
        let (sender, answer) = oneshot::channel();
        let (hand, mut held) = hand(answered_by(answer));
        let submission = submit(&world, carried("south", "power.suspend", 1), hand).await.unwrap();
        held.until_released().await;
        if took_effect {
            let suspend = Operation::parse(Action::PowerSuspend, Value::Null).unwrap();
            world.fake.act(vm(1), &suspend).unwrap();
        }
        drop(sender);
        let outcome = world.end(submission).await;
        let expected = match took_effect {
            true => (Ending::Done, Code::ObservedDone),
            false => (Ending::Cancelled, Code::ClientGone),
        };
        assert_eq!((outcome.ending, outcome.code), expected, "{outcome:?}");
        assert_eq!(held.made(), 1);
    }
}

#[tokio::test]
async fn a_door_that_fails_leaves_the_lane_at_work() {
    let world = world().await;
    let (hand, held) = hand(|_| panic!("a defect of the door"));
    let submission = submit(&world, carried("south", "power.suspend", 1), hand).await.unwrap();
    let outcome = world.end(submission).await;
    assert_eq!((outcome.ending, outcome.code), (Ending::Cancelled, Code::ClientGone), "{outcome:?}");
    assert_eq!(held.made(), 1);
    let after = world.submit(1, "north", "power.suspend", 2).await.unwrap();
    world.fake.until_waiting(after.id).await;
    world.fake.finish(after.id, How::Normally).unwrap();
    assert_eq!(world.end(after).await.ending, Ending::Done);
}

#[tokio::test]
async fn a_call_that_nobody_carries_is_not_made() {
    let world = world().await;
    let submission = world.lanes().submit(carried("south", "power.suspend", 1), None, None).await.unwrap();
    let (id, outcome) = (submission.id, world.end(submission).await);
    assert_eq!((outcome.ending, outcome.code), (Ending::Cancelled, Code::ClientGone));
    assert_eq!(world.fake.executions(id), 0);
    let (hand, held) = hand(at_once(&world.fake));
    let refused = submit(&world, World::command(1, "south", "power.suspend", 2), hand).await.unwrap_err();
    assert_eq!((refused.code, held.is_dropped()), (Code::Internal, true));
}

#[tokio::test]
async fn what_is_coalesced_is_not_forwarded() {
    let world = world().await;
    let first = world.submit(1, "north", "power.suspend", 1).await.unwrap();
    world.fake.until_waiting(first.id).await;
    let (hand, held) = hand(at_once(&world.fake));
    let second = submit(&world, carried("south", "power.suspend", 2), hand).await.unwrap();
    world.fake.finish(first.id, How::Normally).unwrap();
    let outcome = world.end(second).await;
    assert_eq!((outcome.ending, outcome.cause), (Ending::Coalesced, Some(first.id)), "{outcome:?}");
    assert_eq!((held.made(), held.is_dropped()), (0, true));
}

#[tokio::test]
async fn the_same_id_twice_is_one_call() {
    let world = world().await;
    let first = world.submit(1, "north", "power.reset", 1).await.unwrap();
    world.fake.until_waiting(first.id).await;
    let ((one, held), (two, spare)) = (hand(at_once(&world.fake)), hand(at_once(&world.fake)));
    let second = submit(&world, carried("south", "power.suspend", 2), one).await.unwrap();
    let again = submit(&world, carried("south", "power.suspend", 2), two).await.unwrap();
    // Other content under the same id is refused, and takes nothing away.
    let (three, other) = hand(at_once(&world.fake));
    let refused = submit(&world, carried("south", "power.reset", 2), three).await.unwrap_err();
    assert_eq!(refused.code, Code::IdReused);
    world.fake.finish(first.id, How::Normally).unwrap();
    for submission in [second, again] {
        assert_eq!(world.end(submission).await.ending, Ending::Done);
    }
    assert_eq!((held.made(), spare.made(), other.made()), (1, 0, 0));
    assert!(spare.is_dropped() && other.is_dropped());
}

#[tokio::test]
async fn with_the_agent_waiting_calls_end_and_forwarded_ones_are_observed() {
    let mut world = world().await;
    let (_sender, answer) = oneshot::channel();
    let (first_hand, mut first) = hand(answered_by(answer));
    let running = submit(&world, carried("south", "power.suspend", 1), first_hand).await.unwrap();
    first.until_released().await;
    let (second_hand, second) = hand(at_once(&world.fake));
    let waiting = submit(&world, carried("south", "power.reset", 2), second_hand).await.unwrap();
    let suspend = Operation::parse(Action::PowerSuspend, Value::Null).unwrap();
    world.fake.act(vm(1), &suspend).unwrap();
    let (running, waiting) = (running.id, waiting.id);
    world.crash(Tail::Lost).await;
    world.until("all has ended", async || world.idle(1).await).await;
    let outcome = |id: CommandId| {
        world.lanes().read(vm(1), move |lane, _| match lane.state().command(id).unwrap().phase() {
            Phase::Ended(outcome) => outcome.clone(),
            other => panic!("{other:?}"),
        })
    };
    let of = |outcome: Outcome| (outcome.ending, outcome.code);
    assert_eq!(of(outcome(running).await.unwrap()), (Ending::Done, Code::ObservedDone));
    assert_eq!(of(outcome(waiting).await.unwrap()), (Ending::Cancelled, Code::ClientGone));
    assert_eq!((first.made(), second.made()), (1, 0));
    assert!(world.fake.executed().is_empty());
}

/// Whichever append the journal refuses: a call that was taken in is made once, one that was refused never.
#[tokio::test]
async fn a_journal_that_fails_anywhere_neither_loses_nor_doubles_a_call() {
    for nth in 3..=6 {
        for fault in [Fault::Unwritten, Fault::Unsynced] {
            let world = world().await;
            world.disk.fail_append(nth, fault);
            let first = world.submit_when_possible(1, "north", "power.reset", 1).await;
            world.until("it is under way", async || !world.fake.waiting().is_empty()).await;
            let mut id = 1;
            let (submission, mut held) = loop {
                id += 1;
                let (hand, held) = hand(at_once(&world.fake));
                match submit(&world, carried("south", "power.suspend", id), hand).await {
                    Ok(submission) => break (submission, held),
                    Err(refusal) => assert_eq!(refusal.code, Code::JournalUnwritable, "{nth} {fault:?}"),
                }
                assert!(held.is_dropped(), "{nth} {fault:?}: whoever is refused makes no call");
                assert!(id < 1000, "{nth} {fault:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            world.fake.finish(first.id, How::Normally).unwrap();
            assert_eq!(world.end(first).await.ending, Ending::Done, "{nth} {fault:?}");
            held.until_released().await;
            let outcome = world.end(submission).await;
            assert_eq!((outcome.ending, held.made()), (Ending::Done, 1), "{nth} {fault:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn who_has_a_part_is_seen_without_asking_a_lane() {
    let mut world = world().await;
    let provider = |name: &str| name.parse().unwrap();
    let part = |world: &World, who: &str| world.lanes().sight().part(&provider(who), vm(1), world.lanes().now());
    let parts = |world: &World| ["north", "south", "west", "operator"].map(|who| part(world, who));
    assert_eq!(parts(&world), [Part::Primary, Part::Secondary, Part::None, Part::Primary]);
    assert_eq!(world.lanes().sight().by_name("vm1"), Some(vm(1)));
    assert!(world.lanes().sight().is_enrolled(vm(1)) && !world.lanes().sight().is_enrolled(vm(2)));
    // As long as a lease, and not longer.
    let lend = ChangeRequest::Delegate {
        by: provider("north"),
        to: provider("west"),
        actions: [Action::CpuSet].into(),
        mode: Hold::Shared,
        lease: Some(Duration::from_millis(50)),
    };
    world.lanes().change(vm(1), lend).await.unwrap();
    assert_eq!(part(&world, "west"), Part::Secondary);
    world.until("the lease is over", async || part(&world, "west") == Part::None).await;
    world.crash(Tail::Lost).await;
    assert_eq!(parts(&world), [Part::Primary, Part::Secondary, Part::None, Part::Primary]);
    let revoke = ChangeRequest::Revoke { by: provider("north"), from: provider("south"), actions: [].into() };
    world.lanes().change(vm(1), revoke).await.unwrap();
    assert_eq!(part(&world, "south"), Part::None);
    // A VM that does not exist is still somebody's.
    world.fake.undefine(vm(1));
    world.until("the VM is gone", async || matches!(world.facts(1).await.last(), Some(Fact::Vanished { .. }))).await;
    assert!(world.lanes().sight().is_enrolled(vm(1)));
    world.lanes().release(vm(1), provider("north")).await.unwrap();
    assert_eq!((part(&world, "north"), world.lanes().sight().enrolled().len()), (Part::None, 0));
}

#[tokio::test]
async fn a_vm_that_its_manager_removes_and_defines_again_stays_co_managed() {
    let world = world().await;
    world.fake.undefine(vm(1));
    world.until("the VM is gone", async || matches!(world.facts(1).await.last(), Some(Fact::Vanished { .. }))).await;
    let xml = format!("<domain type='qemu'><name>web</name><uuid>{}</uuid></domain>", vm(1));
    let operation = Operation::parse(Action::DefinitionDefine, serde_json::json!({ "xml": xml })).unwrap();
    let define = |who: &str, id: u128| Command { operation: operation.clone(), ..carried(who, "power.suspend", id) };
    let (hand_of_south, south) = hand(|_| unreachable!("it is refused"));
    let refused = submit(&world, define("south", 1), hand_of_south).await.unwrap_err();
    assert_eq!((refused.code, south.made()), (Code::NotDelegated, 0));
    let fake = world.fake.clone();
    let state = {
        world.define(2);
        fake.state(vm(2)).unwrap()
    };
    let defined = Arc::new(Mutex::new(Some(state)));
    let (hand_of_north, _north) = hand(move |call| {
        fake.define(call.vm(), "web", defined.lock().unwrap().take().unwrap());
        Box::pin(std::future::ready(CallResult::Done(Value::Null)))
    });
    let submission = submit(&world, define("north", 2), hand_of_north).await.unwrap();
    assert_eq!(world.end(submission).await.ending, Ending::Done);
    assert_eq!(world.lanes().sight().by_name("web"), Some(vm(1)));
    // South's part goes on.
    let after = world.submit(1, "south", "power.suspend", 3).await.unwrap();
    world.fake.until_waiting(after.id).await;
    world.fake.finish(after.id, How::Normally).unwrap();
    assert_eq!(world.end(after).await.ending, Ending::Done);
}
