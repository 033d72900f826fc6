//! Lanes with everything around them in a test's hands.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::delegation::{ChangeRequest, Mode as Hold};
use crate::discovery::Inventory;
use crate::hypervisor::{
    AskHypervisorError, Description, DiskOf, Event, Fake, Fate, Hypervisor, JobProgress, Later, Listing, Mode,
    PoolFolder, ReadInventory,
};
use crate::journal::{
    AppendError, Basis, Chain, Disk, Headers, Journal, MemoryStore, Position, Record, ReplayError, Restored, Snapshot,
    Store, Stored, Tail,
};
use crate::lanes::{Asker, Delivery, History, Lanes, Submission};
use crate::model::{
    Action, Class, Command, CommandId, Guard, Kib, Operation, Order, Outcome, PowerState, Refusal, StartId, VmId,
    VmState,
};
use crate::resolver::{Ask, Call, CallResult, Evidence, Fact, GatherFor, Policy};

const LONG: Duration = Duration::from_secs(20);

pub(super) fn vm(number: u128) -> VmId {
    VmId(Uuid::from_u128(number))
}

pub(super) fn command_id(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(0x1000 + number))
}

fn running() -> VmState {
    VmState {
        power: PowerState::Running,
        start: StartId(Some(3)),
        vcpus: 1,
        vcpus_max: 4,
        memory_kib: Kib(1024),
        memory_max_kib: Kib(2048),
        snapshots: BTreeSet::new(),
        checkpoints: BTreeSet::new(),
        devices: BTreeSet::new(),
        jobs: BTreeSet::new(),
        saved: false,
        definition: None,
    }
}

pub(super) struct World {
    pub(super) fake: Fake,
    pub(super) hypervisor: Watched,
    pub(super) disk: Disk,
    pub(super) asker: Asked,
    gate: Gate,
    lanes: Option<Lanes>,
}

impl World {
    pub(super) async fn new(mode: Mode) -> Self {
        let fake = Fake::new(mode);
        let hypervisor = Watched { fake: fake.clone(), looks: Arc::default() };
        let (disk, gate, asker) = (Disk::new(), Gate::default(), Asked::default());
        let mut world = Self { fake, hypervisor, disk, asker, gate, lanes: None };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        let (store, Restored { states, last, coverage, .. }) = self.disk.restore().unwrap();
        let store = Box::new(Gated { store, gate: self.gate.clone() });
        // Snapshots whenever there may be one, so that every crash here is a start from snapshots.
        let journal = Journal::start_keeping(store, coverage, 0).unwrap();
        let history = History::new(states, last);
        let policy = Policy {
            gather: Duration::from_millis(500),
            gather_for: GatherFor::Writes,
            ask_timeout: LONG,
            callback_budget: LONG,
            ..Policy::default()
        };
        let (hypervisor, asker) = (Arc::new(self.hypervisor.clone()), Arc::new(self.asker.clone()));
        self.lanes = Some(Lanes::start(hypervisor, journal, asker, policy, history).await);
    }

    pub(super) fn lanes(&self) -> &Lanes {
        self.lanes.as_ref().unwrap()
    }

    /// The agent dies, and starts again on the same disk and hypervisor.
    pub(super) async fn crash(&mut self, tail: Tail) {
        self.disk.crash(tail);
        self.lanes = None;
        self.start().await;
    }

    /// The agent dies while calls are under way, which meet this fate.
    pub(super) async fn disconnect_and_crash(&mut self, fate: Fate) {
        self.disk.crash(Tail::Lost);
        self.lanes = None;
        self.fake.disconnect(fate);
        self.fake.reconnect();
        self.start().await;
    }

    pub(super) fn define(&self, number: u128) {
        self.fake.define(vm(number), &format!("vm{number}"), running());
    }

    pub(super) async fn enroll(&self, number: u128) {
        self.define(number);
        self.lanes().enroll(vm(number), "north".parse().unwrap()).await.unwrap();
    }

    /// Shares power with another provider.
    pub(super) async fn delegate(&self, number: u128, to: &str) {
        let request = ChangeRequest::Delegate {
            by: "north".parse().unwrap(),
            to: to.parse().unwrap(),
            actions: [Action::PowerReset, Action::PowerSuspend].into(),
            mode: Hold::Shared,
            lease: None,
        };
        self.lanes().change(vm(number), request).await.unwrap();
    }

    pub(super) fn command(number: u128, who: &str, action: &str, id: u128) -> Command {
        Command {
            id: command_id(id),
            vm: vm(number),
            provider: who.parse().unwrap(),
            operation: Operation::parse(action.parse().unwrap(), Value::Null).unwrap(),
            order: Order::default(),
            issued_at: None,
            not_after: None,
            must_start_by: None,
            break_glass: None,
            guard: Guard::default(),
            class: Class::Routine,
            epoch: None,
            call: None,
        }
    }

    pub(super) async fn submit(&self, number: u128, who: &str, action: &str, id: u128) -> Result<Submission, Refusal> {
        let submitting = self.lanes().submit(Self::command(number, who, action, id), None, None);
        tokio::time::timeout(LONG, submitting).await.expect("a submission is answered")
    }

    pub(super) fn submitting(
        &self,
        number: u128,
        who: &str,
        action: &str,
        id: u128,
    ) -> JoinHandle<Result<Submission, Refusal>> {
        let (lanes, command) = (self.lanes().clone(), Self::command(number, who, action, id));
        tokio::spawn(async move { lanes.submit(command, None, None).await })
    }

    /// Submits the same again until the agent can take it; only trying tells.
    pub(super) async fn submit_when_possible(&self, number: u128, who: &str, action: &str, id: u128) -> Submission {
        let deadline = Instant::now() + LONG;
        loop {
            match self.submit(number, who, action, id).await {
                Ok(submission) => return submission,
                Err(refusal) => assert!(Instant::now() < deadline, "{refusal:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn end(&self, submission: Submission) -> Outcome {
        let ended = tokio::time::timeout(LONG, submission.ended).await.expect("the command ends");
        ended.expect("its end is told")
    }

    /// Looks again and again until it holds: what a test asks for may be of the lane, the fake or the journal, and no one
    /// of them tells of all.
    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds().await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn until_power(&self, number: u128, power: PowerState) {
        let believed = async || {
            let read = self.lanes().read(vm(number), |lane, _| lane.state().believed().map(|state| state.power));
            read.await.unwrap() == Some(power)
        };
        self.until(power.as_str(), believed).await;
    }

    pub(super) async fn idle(&self, number: u128) -> bool {
        self.lanes().read(vm(number), |lane, _| lane.state().live_count() == 0).await == Ok(true)
    }

    /// What is durable about a VM.
    pub(super) async fn facts(&self, number: u128) -> Vec<Fact> {
        let page = self.lanes().journal().page(0, 1000, Some(vm(number))).await.unwrap();
        page.into_iter().flat_map(|(_, entry)| entry.facts).collect()
    }

    /// Holds every append from now on.
    pub(super) fn block_journal(&self) -> Gate {
        self.gate.shut();
        self.gate.clone()
    }
}

/// A door in front of the disk.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<Door>, Condvar, Notify)>);

#[derive(Default)]
struct Door {
    shut: bool,
    waiting: bool,
}

impl Gate {
    fn shut(&self) {
        self.0.0.lock().unwrap().shut = true;
    }

    pub(super) fn open(&self) {
        self.0.0.lock().unwrap().shut = false;
        self.0.1.notify_all();
    }

    /// Ends when an append waits at the door.
    pub(super) async fn until_appending(&self) {
        loop {
            let notified = self.0.2.notified();
            if self.0.0.lock().unwrap().waiting {
                return;
            }
            notified.await;
        }
    }

    fn pass(&self) {
        let mut door = self.0.0.lock().unwrap();
        while door.shut {
            door.waiting = true;
            self.0.2.notify_waiters();
            self.0.2.notify_one();
            door = self.0.1.wait(door).unwrap();
        }
        door.waiting = false;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gate.open();
    }
}

struct Gated {
    store: MemoryStore,
    gate: Gate,
}

impl Store for Gated {
    fn append_records(&mut self, records: &[Record]) -> Result<Position, AppendError> {
        self.gate.pass();
        self.store.append_records(records)
    }

    fn slice(&mut self, after: Position, at_most: usize, of: Option<VmId>) -> Result<Vec<Stored>, ReplayError> {
        self.store.slice(after, at_most, of)
    }

    fn count(&mut self, vm: VmId, after: Position, through: Position) -> Result<u64, ReplayError> {
        self.store.count(vm, after, through)
    }

    fn basis(&mut self) -> Result<Option<Basis>, ReplayError> {
        self.store.basis()
    }

    fn headers(&mut self) -> Result<Headers, ReplayError> {
        self.store.headers()
    }

    fn snapshot(&mut self, vm: VmId) -> Result<Option<Snapshot>, ReplayError> {
        self.store.snapshot(vm)
    }

    fn keep(&mut self, snapshot: &Snapshot, basis: &Basis, alone: bool) -> Result<(), AppendError> {
        self.store.keep(snapshot, basis, alone)
    }

    fn chain(&self) -> Chain {
        self.store.chain()
    }
}

/// The fake, with looks that a test can hold back.
#[derive(Clone)]
pub(super) struct Watched {
    fake: Fake,
    looks: Arc<Looks>,
}

#[derive(Default)]
struct Looks {
    hold: Mutex<Option<Look>>,
    seen: watch::Sender<usize>,
    lists_hang: AtomicBool,
}

/// A look that waits, with what it saw.
#[derive(Clone)]
pub(super) struct Look {
    held: Arc<Semaphore>,
    free: Arc<Semaphore>,
    vm: Arc<Mutex<Option<VmId>>>,
}

impl Look {
    pub(super) async fn until_held(&self) {
        let held = tokio::time::timeout(LONG, self.held.acquire()).await.expect("a look begins");
        held.unwrap().forget();
    }

    pub(super) fn is_held(&self) -> bool {
        self.vm.lock().unwrap().is_some()
    }

    pub(super) fn held_vm(&self) -> VmId {
        self.vm.lock().unwrap().unwrap()
    }

    pub(super) fn release(&self) {
        self.free.add_permits(1);
    }
}

impl Watched {
    pub(super) fn hang_lists(&self) {
        self.looks.lists_hang.store(true, Ordering::Relaxed);
    }

    pub(super) fn hold_next_look(&self) -> Look {
        let look = Look { held: Arc::new(Semaphore::new(0)), free: Arc::new(Semaphore::new(0)), vm: Arc::default() };
        self.looks.seen.send_replace(0);
        *self.looks.hold.lock().unwrap() = Some(look.clone());
        look
    }

    /// How many looks came back since the last one was held.
    pub(super) fn looks(&self) -> usize {
        *self.looks.seen.borrow()
    }

    /// Ends when this many looks came back since the last one was held.
    pub(super) async fn until_looks(&self, count: usize) {
        let mut seen = self.looks.seen.subscribe();
        let enough = seen.wait_for(|seen| *seen >= count);
        tokio::time::timeout(LONG, enough).await.expect("enough looks").unwrap();
    }
}

impl crate::hypervisor::Reach for Watched {}

impl Hypervisor for Watched {
    fn uri(&self) -> &str {
        self.fake.uri()
    }

    fn list(&self) -> Later<Result<Vec<Listing>, AskHypervisorError>> {
        if self.looks.lists_hang.load(Ordering::Relaxed) { Box::pin(std::future::pending()) } else { self.fake.list() }
    }

    fn observe(&self, vm: VmId) -> Later<Result<VmState, AskHypervisorError>> {
        let (looking, looks) = (self.fake.observe(vm), self.looks.clone());
        let held = self.looks.hold.lock().unwrap().take();
        Box::pin(async move {
            let seen = looking.await;
            if let Some(look) = held {
                *look.vm.lock().unwrap() = Some(vm);
                look.held.add_permits(1);
                look.free.acquire().await.unwrap().forget();
            }
            looks.seen.send_modify(|seen| *seen += 1);
            seen
        })
    }

    fn inventory(&self, vm: VmId) -> Later<Result<Inventory, AskHypervisorError>> {
        self.fake.inventory(vm)
    }

    fn inventories(&self) -> Later<Result<Vec<ReadInventory>, AskHypervisorError>> {
        self.fake.inventories()
    }

    fn execute(&self, call: Call) -> Later<CallResult> {
        self.fake.execute(call)
    }

    fn probe(&self, call: Call) -> Later<Result<Evidence, AskHypervisorError>> {
        self.fake.probe(call)
    }

    fn progress(&self, vm: VmId) -> Later<Result<Vec<JobProgress>, AskHypervisorError>> {
        self.fake.progress(vm)
    }

    fn describe(&self, which: Option<VmId>) -> Later<Result<Vec<Description>, AskHypervisorError>> {
        self.fake.describe(which)
    }

    fn pool_folders(&self) -> Later<Result<Vec<PoolFolder>, AskHypervisorError>> {
        self.fake.pool_folders()
    }

    fn saved_in(&self, file: String) -> Later<Result<VmId, AskHypervisorError>> {
        self.fake.saved_in(file)
    }

    fn disks_on(&self, pool: String, volume: String) -> Later<Result<Vec<DiskOf>, AskHypervisorError>> {
        self.fake.disks_on(pool, volume)
    }

    fn events(&self) -> mpsc::Receiver<Event> {
        self.fake.events()
    }
}

/// Takes every question, and leaves the answer to the test.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<(Mutex<VecDeque<Ask>>, Notify)>);

impl Asked {
    pub(super) async fn next_ask(&self) -> Ask {
        let asked = async {
            loop {
                let notified = self.0.1.notified();
                let ask = self.0.0.lock().unwrap().pop_front();
                match ask {
                    Some(ask) => return ask,
                    None => notified.await,
                }
            }
        };
        tokio::time::timeout(LONG, asked).await.expect("somebody is asked")
    }
}

impl Asker for Asked {
    fn ask(&self, _: VmId, ask: Ask) -> Later<Delivery> {
        self.0.0.lock().unwrap().push_back(ask);
        self.0.1.notify_one();
        Box::pin(std::future::ready(Delivery::Sent))
    }
}
