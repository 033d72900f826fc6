//! A hypervisor in memory that a test steps: each call waits until the test says how it ends.
//!
//! ```text
//! execute ──► parked ──finish(command, How)──► answer
//!     │          └──disconnect(Fate)─────────► lost
//!     └──(Mode::Auto)────────────────────────► answer at once
//! ```
//!
//! It refuses what libvirt would refuse, counts how often each command was executed, and lets a test change VMs past
//! the agent, lose answers and lose the connection. No timers and no chance: what happens is what the test says.

mod definition;
mod told;
mod vm;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use self::told::Told;
use self::vm::{Done, Vm};
use super::evidence::when_gone;
use super::{
    AskHypervisorError, Description, DiskOf, Event, Hypervisor, JobProgress, Later, Listing, PoolFolder, ReadInventory,
    Whole,
};
use crate::discovery::Inventory;
use crate::model::{Cause, Code, CommandId, Ending, Operation, Outcome, StartId, VmId, VmState};
use crate::resolver::{Call, CallResult, Evidence};

const URI: &str = "fake:///memory";
/// A test reads its events; the bound is only there to find one that does not.
const EVENTS_MAX: usize = 4096;

/// Whether calls wait for the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each waits for [`Fake::finish`].
    Stepped,
    /// Each ends at once, with its declared effect.
    Auto,
}

/// How a parked call ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// With its effect, or refused if the VM does not allow it.
    Normally,
    /// Without effect and with this outcome.
    Failing(Outcome),
    /// Its answer is lost.
    Lost(Fate),
}

/// What became of a call whose answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It took effect, if the VM allowed it.
    TookEffect,
    /// It did not.
    NoEffect,
}

/// Why a call cannot be finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command {0} has no call that waits")]
pub struct FinishError(pub CommandId);

/// The hypervisor; clones share it.
#[derive(Clone)]
pub struct Fake {
    world: Arc<Mutex<World>>,
    parked: Arc<watch::Sender<()>>,
    questions: Arc<watch::Sender<Questions>>,
}

/// The questions for descriptions that have no answer yet.
#[derive(Debug, Default)]
struct Questions {
    are_held: bool,
    open: usize,
    most: usize,
}

struct World {
    mode: Mode,
    link: Link,
    vms: BTreeMap<VmId, Vm>,
    next_start: u32,
    parked: BTreeMap<CommandId, Parked>,
    executed: Vec<(CommandId, Operation)>,
    events: Option<mpsc::Sender<Event>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

struct Parked {
    call: Call,
    answer: oneshot::Sender<CallResult>,
}

impl Fake {
    /// A hypervisor without VMs.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        let (vms, parked, executed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let world = World { mode, link: Link::Up, vms, next_start: 1000, parked, executed, events: None };
        let (parked, questions) = (watch::Sender::new(()), watch::Sender::new(Questions::default()));
        Self { world: Arc::new(Mutex::new(world)), parked: Arc::new(parked), questions: Arc::new(questions) }
    }

    /// From now on whoever asks for a description waits for [`Self::answer_questions`].
    pub fn hold_questions(&self) {
        self.questions.send_modify(|questions| questions.are_held = true);
    }

    /// Answers them; the most that waited at once since the beginning.
    #[must_use]
    pub fn answer_questions(&self) -> usize {
        self.questions.send_modify(|questions| questions.are_held = false);
        self.questions.borrow().most
    }

    /// From now on calls wait, or do not; those that wait go on waiting.
    pub fn set_mode(&self, mode: Mode) {
        self.world().mode = mode;
    }

    /// Adds a VM, or replaces it.
    pub fn define(&self, vm: VmId, name: &str, state: VmState) {
        let mut world = self.world();
        let cause = if world.vms.contains_key(&vm) { Cause::Redefined } else { Cause::Defined };
        world.vms.insert(vm, Vm::new(name, state));
        world.tell(Event::Happened(vm, cause.into()));
    }

    /// Changes a VM past the agent, and does not say by what.
    pub fn change(&self, vm: VmId, how: impl FnOnce(&mut VmState)) {
        self.alter(vm, None, how);
    }

    /// Changes a VM past the agent, as virsh, a guest or a failing QEMU would, and says by what.
    pub fn change_by(&self, cause: Cause, vm: VmId, how: impl FnOnce(&mut VmState)) {
        self.alter(vm, Some(cause), how);
    }

    fn alter(&self, vm: VmId, cause: Option<Cause>, how: impl FnOnce(&mut VmState)) {
        let mut world = self.world();
        if let Some(found) = world.vms.get_mut(&vm) {
            how(&mut found.state);
            found.was_changed();
            if found.exists() {
                world.tell(Event::Changed(vm, cause));
            } else {
                world.vms.remove(&vm);
                world.tell(Event::Gone(vm, cause));
            }
        }
    }

    /// Says how far what is open on a VM is, until it stops.
    pub fn set_progress(&self, vm: VmId, progress: Vec<JobProgress>) {
        if let Some(found) = self.world().vms.get_mut(&vm) {
            found.set_progress(progress);
        }
    }

    /// Performs an operation on a VM past the agent.
    pub fn act(&self, vm: VmId, operation: &Operation) -> Result<serde_json::Value, Outcome> {
        self.world().perform(vm, operation)
    }

    /// Takes a VM away.
    pub fn undefine(&self, vm: VmId) {
        let mut world = self.world();
        if world.vms.remove(&vm).is_some() {
            world.tell(Event::Gone(vm, Some(Cause::Undefined)));
        }
    }

    /// A VM's state, without asking as the agent does.
    #[must_use]
    pub fn state(&self, vm: VmId) -> Option<VmState> {
        self.world().vms.get(&vm).map(|vm| vm.state.clone())
    }

    /// The commands whose calls wait.
    #[must_use]
    pub fn waiting(&self) -> Vec<CommandId> {
        self.world().parked.keys().copied().collect()
    }

    /// Ends when this command's call waits.
    pub async fn until_waiting(&self, command: CommandId) {
        let mut parked = self.parked.subscribe();
        while !self.world().parked.contains_key(&command) {
            // The sender lives as long as this fake.
            let _ = parked.changed().await;
        }
    }

    /// Ends a call that waits.
    pub fn finish(&self, command: CommandId, how: How) -> Result<(), FinishError> {
        let mut world = self.world();
        let Parked { call, answer } = world.parked.remove(&command).ok_or(FinishError(command))?;
        let result = match how {
            How::Normally => {
                world.perform(call.vm(), call.operation()).map_or_else(CallResult::Failed, CallResult::Done)
            }
            How::Failing(outcome) => CallResult::Failed(outcome),
            How::Lost(fate) => world.lose(&call, fate),
        };
        drop(world);
        let _ = answer.send(result);
        Ok(())
    }

    /// Every execution so far, in order: a command that is here twice was executed twice.
    #[must_use]
    pub fn executed(&self) -> Vec<(CommandId, Operation)> {
        self.world().executed.clone()
    }

    /// How often a command was executed.
    #[must_use]
    pub fn executions(&self, command: CommandId) -> usize {
        self.world().executed.iter().filter(|(executed, _)| *executed == command).count()
    }

    /// Says something happened, whether or not it did.
    pub fn emit(&self, event: Event) {
        self.world().tell(event);
    }

    /// The connection is lost; so are the answers to the calls that wait, which met this fate.
    pub fn disconnect(&self, fate: Fate) {
        let mut world = self.world();
        world.link = Link::Down;
        for parked in std::mem::take(&mut world.parked).into_values() {
            let result = world.lose(&parked.call, fate);
            let _ = parked.answer.send(result);
        }
        world.tell(Event::Disconnected);
    }

    /// The connection is back.
    pub fn reconnect(&self) {
        let mut world = self.world();
        world.link = Link::Up;
        world.tell(Event::Reconnected);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn later<T: Send + 'static>(&self, answer: impl FnOnce(&mut World) -> T + Send + 'static) -> Later<T> {
        let fake = self.clone();
        Box::pin(async move { answer(&mut fake.world()) })
    }
}

impl World {
    fn begin(&mut self, call: Call) -> Result<oneshot::Receiver<CallResult>, CallResult> {
        let refuse = |code, reason: &str| CallResult::Failed(Outcome::new(Ending::Failed, code, reason));
        if self.link == Link::Down {
            return Err(refuse(Code::HypervisorUnreachable, "the fake is disconnected"));
        }
        let Some(vm) = self.vms.get(&call.vm()) else {
            return Err(CallResult::Failed(gone(call.vm())));
        };
        vm.check_start(call.operation(), call.expected_start()).map_err(CallResult::Failed)?;
        self.executed.push((call.command(), call.operation().clone()));
        if self.mode == Mode::Auto {
            let done = self.perform(call.vm(), call.operation());
            return Err(done.map_or_else(CallResult::Failed, CallResult::Done));
        }
        let (answer, later) = oneshot::channel();
        self.parked.insert(call.command(), Parked { call, answer });
        Ok(later)
    }

    fn perform(&mut self, vm: VmId, operation: &Operation) -> Result<serde_json::Value, Outcome> {
        let Some(found) = self.vms.get_mut(&vm) else { return Err(gone(vm)) };
        let Done { value, told } = found.perform(operation, &mut self.next_start)?;
        let is_gone = !found.exists();
        if is_gone {
            self.vms.remove(&vm);
        }
        for told in told {
            self.tell(match told {
                told if is_gone => Event::Gone(vm, told.cause()),
                Told::Power(power) => Event::Power(vm, power),
                Told::Changed(cause) => Event::Changed(vm, cause),
                Told::Happened(happening) => Event::Happened(vm, happening),
            });
        }
        Ok(value)
    }

    fn lose(&mut self, call: &Call, fate: Fate) -> CallResult {
        if fate == Fate::TookEffect {
            let _ = self.perform(call.vm(), call.operation());
        }
        CallResult::Lost("the fake lost the answer".to_owned())
    }

    fn tell(&mut self, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.try_send(event);
        }
    }

    fn reach<T>(&mut self, answer: impl FnOnce(&mut Self) -> Option<T>, vm: VmId) -> Result<T, AskHypervisorError> {
        self.up()?;
        answer(self).ok_or(AskHypervisorError::NoSuchVm(vm))
    }

    fn up(&self) -> Result<(), AskHypervisorError> {
        match self.link {
            Link::Up => Ok(()),
            Link::Down => {
                let (uri, reason) = (URI.to_owned(), "the fake is disconnected".to_owned());
                Err(AskHypervisorError::Unreachable { uri, reason })
            }
        }
    }
}

fn gone(vm: VmId) -> Outcome {
    Outcome::new(Ending::Impossible, Code::VmGone, format!("there is no VM {vm}"))
}

impl super::Reach for Fake {}

impl Hypervisor for Fake {
    fn uri(&self) -> &str {
        URI
    }

    fn list(&self) -> Later<Result<Vec<Listing>, AskHypervisorError>> {
        self.later(|world| {
            world.up()?;
            let listing = |(vm, found): (&VmId, &Vm)| {
                let (name, state) = (found.name.clone(), found.state.clone());
                Listing { vm: *vm, name, state, whole: Whole::Yes }
            };
            Ok(world.vms.iter().map(listing).collect())
        })
    }

    fn observe(&self, vm: VmId) -> Later<Result<VmState, AskHypervisorError>> {
        self.later(move |world| world.reach(|world| world.vms.get(&vm).map(|vm| vm.state.clone()), vm))
    }

    fn inventory(&self, vm: VmId) -> Later<Result<Inventory, AskHypervisorError>> {
        self.later(move |world| {
            let found = world.reach(|world| world.vms.get(&vm).cloned(), vm)?;
            found.inventory(vm).map_err(AskHypervisorError::Failed)
        })
    }

    fn inventories(&self) -> Later<Result<Vec<ReadInventory>, AskHypervisorError>> {
        self.later(|world| {
            world.up()?;
            Ok(world.vms.iter().map(|(vm, found)| (*vm, found.inventory(*vm))).collect())
        })
    }

    fn execute(&self, call: Call) -> Later<CallResult> {
        let fake = self.clone();
        Box::pin(async move {
            let begun = fake.world().begin(call);
            match begun {
                Err(result) => result,
                Ok(answer) => {
                    fake.parked.send_replace(());
                    answer.await.unwrap_or_else(|_| CallResult::Lost("the fake is gone".to_owned()))
                }
            }
        })
    }

    fn probe(&self, call: Call) -> Later<Result<Evidence, AskHypervisorError>> {
        self.later(move |world| {
            world.up()?;
            let start: StartId = call.expected_start();
            let found = world.vms.get(&call.vm());
            Ok(found.map_or_else(|| when_gone(call.operation()), |vm| vm.evidence(call.operation(), start)))
        })
    }

    fn progress(&self, vm: VmId) -> Later<Result<Vec<JobProgress>, AskHypervisorError>> {
        self.later(move |world| world.reach(|world| world.vms.get(&vm).map(|vm| vm.progress()), vm))
    }

    /// Their names only: there is no XML here.
    fn describe(&self, which: Option<VmId>) -> Later<Result<Vec<Description>, AskHypervisorError>> {
        let questions = self.questions.clone();
        let answer = self.later(move |world| {
            world.up()?;
            let vms = world.vms.iter().filter(|(vm, _)| which.is_none_or(|which| which == **vm));
            Ok(vms.map(|(vm, found)| Description { vm: *vm, name: found.name.clone(), xmls: Vec::new() }).collect())
        });
        Box::pin(async move {
            questions.send_modify(|questions| {
                questions.open += 1;
                questions.most = questions.most.max(questions.open);
            });
            // The sender lives as long as this.
            let _ = questions.subscribe().wait_for(|questions| !questions.are_held).await;
            questions.send_modify(|questions| questions.open -= 1);
            answer.await
        })
    }

    fn pool_folders(&self) -> Later<Result<Vec<PoolFolder>, AskHypervisorError>> {
        self.later(|world| world.up().map(|()| Vec::new()))
    }

    fn saved_in(&self, file: String) -> Later<Result<VmId, AskHypervisorError>> {
        self.later(move |world| {
            world.up()?;
            Err(AskHypervisorError::Failed(format!("there is no image {file}")))
        })
    }

    fn disks_on(&self, _pool: String, _volume: String) -> Later<Result<Vec<DiskOf>, AskHypervisorError>> {
        self.later(|world| world.up().map(|()| Vec::new()))
    }

    fn events(&self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        self.world().events = Some(sender);
        receiver
    }
}

#[cfg(test)]
mod tests;
