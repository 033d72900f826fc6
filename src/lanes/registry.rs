//! Which VM has a lane, and how requests find it; `events` are carried there as well.

mod channels;
mod events;
mod sovereign;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use self::channels::Carried;
use tokio::sync::{Mutex, broadcast, mpsc, oneshot, watch};

pub use self::sovereign::Running;
use super::asker::Asker;
use super::carrier::Carrier;
use super::clock::Clock;
use super::host::Host;
use super::load::Coming;
use super::runner::{self, Begin, Ear, Mail, Request, Runner, Surroundings};
use super::sight::Sight;
use crate::delegation::{Change, ChangeRequest};
use crate::discovery::{Recognised, recognise};
use crate::hypervisor::{AskHypervisorError, Hypervisor, Whole};
use crate::journal::{Journal, ReplayError};
use crate::model::{
    ClockEstimate, Code, Command, CommandId, ConflictId, HoldKey, Now, Outcome, Peer, ProviderId, Refusal, VmId,
    VmState,
};
use crate::resolver::{Accepted, Heard, Input, Lane, Party, Policy, Said, Sender, Standing, State, Token};
use crate::sovereignty::Leaves;

/// How much mail a lane holds before whoever sends more waits.
const MAILBOX: usize = 256;
/// How often a look at a lane is tried while the journal fails, and how long is waited between.
const READ_TRIES: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(50);

/// How many happenings wait for a listener that is slow.
const HAPPENED: usize = 256;

/// How long the agent waits at its start for one list of all VMs.
const LIST_TIME: Duration = Duration::from_secs(2);

/// Every lane of the agent. Clones are the same.
#[derive(Clone)]
pub struct Lanes(Arc<Inner>);

struct Inner {
    around: Surroundings,
    host: Host,
    lanes: RwLock<BTreeMap<VmId, Address>>,
    /// Held while a VM gets or loses its lane, so that none ever has two.
    coming_and_going: Mutex<()>,
    connected: AtomicBool,
    happened: broadcast::Sender<Option<VmId>>,
}

/// How to reach a lane.
#[derive(Clone)]
struct Address {
    mail: mpsc::Sender<Mail>,
    ear: Arc<Ear>,
}

/// A command that was taken in.
#[derive(Debug)]
pub struct Submission {
    /// Its id.
    pub id: CommandId,
    /// Its outcome, when it ends; closed without one when the agent had to forget the command.
    pub ended: oneshot::Receiver<Outcome>,
}

impl Lanes {
    /// Starts a lane for every VM that was co-managed when the agent stopped.
    ///
    /// `history` is what the journal came to when it was opened.
    pub async fn start(
        hypervisor: Arc<dyn Hypervisor>,
        journal: Journal,
        asker: Arc<dyn Asker>,
        policy: Policy,
        history: History,
    ) -> Self {
        let History { mut states, last } = history;
        let clock = Clock::continuing(last);
        let of_host = states.remove(&VmId::HOST).and_then(|state| state.host().cloned()).unwrap_or_default();
        let host = Host::new(journal.clone(), clock.clone(), of_host);
        let around = Surroundings {
            host: host.clone(),
            hypervisor,
            journal,
            asker,
            clock,
            policy: Arc::new(policy),
            sight: Arc::default(),
            load: Arc::default(),
        };
        // From here on no event is missed; those about a VM that is looked at below are only looked at again.
        let events = around.hypervisor.events();
        let lanes = Self(Arc::new(Inner {
            around,
            host,
            lanes: RwLock::default(),
            coming_and_going: Mutex::default(),
            connected: AtomicBool::new(true),
            happened: broadcast::Sender::new(HAPPENED),
        }));
        let known: Vec<State> = states.into_values().filter(|state| state.standing() != Standing::Free).collect();
        // One list instead of a look per lane; whoever is not wholly on it looks by itself. One VM that hangs can hold
        // the list up, and must not hold up the others.
        let list = tokio::time::timeout(LIST_TIME, lanes.0.around.hypervisor.list()).await;
        lanes.0.connected.store(!matches!(list, Ok(Err(_))), Ordering::Relaxed);
        let list = list.ok().and_then(Result::ok).unwrap_or_default().into_iter();
        let list = list.filter(|listing| listing.whole == Whole::Yes);
        let mut listed: BTreeMap<VmId, VmState> = list.map(|listing| (listing.vm, listing.state)).collect();
        lanes.mend_forgotten(|vm| known.iter().any(|state| state.vm() == vm && state.glass().is_some()));
        for state in known {
            let begin = Begin::Recovered(listed.remove(&state.vm()));
            lanes.spawn(state, begin);
        }
        tokio::spawn(events::dispatch(Arc::downgrade(&lanes.0), events));
        lanes
    }

    fn spawn(&self, state: State, begin: Begin) -> Address {
        let vm = state.vm();
        self.0.around.sight.show(&state);
        self.0.around.load.follow(&state);
        let (mail, mailbox) = mpsc::channel(MAILBOX);
        let address = Address { mail, ear: Arc::default() };
        let runner = Runner::new(vm, state, self.0.around.clone(), mailbox, address.ear.clone());
        tokio::spawn(runner.run(begin));
        let mut lanes = self.0.lanes.write().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(vm, address.clone());
        address
    }

    fn address(&self, vm: VmId) -> Result<Address, Refusal> {
        let lanes = self.0.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Refusal::new(Code::UnknownVm, "there is no VM of this id that you co-manage");
        lanes.get(&vm).cloned().ok_or_else(unknown)
    }

    /// Who has a part in which VM; no lane is asked.
    #[must_use]
    pub fn sight(&self) -> &Sight {
        &self.0.around.sight
    }

    /// What happened to the host as a whole.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// The VMs that have a lane.
    #[must_use]
    pub fn vms(&self) -> Vec<VmId> {
        self.0.lanes.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// The agent's time now.
    #[must_use]
    pub fn now(&self) -> Now {
        self.0.around.clock.now()
    }

    /// How the lanes are configured.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.around.policy
    }

    /// The hypervisor behind the lanes.
    #[must_use]
    pub fn hypervisor(&self) -> &Arc<dyn Hypervisor> {
        &self.0.around.hypervisor
    }

    /// Whether the hypervisor is connected, as its events say.
    #[must_use]
    pub fn hypervisor_is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Relaxed)
    }

    /// The VMs, enrolled or not, at which something happens from now on; none when it may have been any of them.
    #[must_use]
    pub fn happened(&self) -> broadcast::Receiver<Option<VmId>> {
        self.0.happened.subscribe()
    }

    /// The journal behind the lanes.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.0.around.journal
    }

    async fn request(
        &self,
        address: &Address,
        make: impl FnOnce(Token) -> Input + Send + 'static,
    ) -> Result<Accepted, Refusal> {
        self.send(address, make, None, None).await
    }

    async fn send(
        &self,
        address: &Address,
        make: impl FnOnce(Token) -> Input + Send + 'static,
        ended: Option<oneshot::Sender<Outcome>>,
        carrier: Option<(CommandId, Box<dyn Carrier>)>,
    ) -> Result<Accepted, Refusal> {
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Request(Box::new(Request { make: Box::new(make), reply, ended, carrier, closing: None }));
        let gone = || Refusal::new(Code::Closing, "the agent is shutting down");
        address.mail.send(mail).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Begins to co-manage a VM; gives the other managers whose marks it bears.
    ///
    /// *Errors*: [`Code::AlreadyEnrolled`], [`Code::UnknownVm`], [`Code::HypervisorUnreachable`],
    /// [`Code::JournalUnwritable`].
    pub async fn enroll(&self, vm: VmId, primary: ProviderId) -> Result<Vec<Recognised>, Refusal> {
        let state = self.0.around.hypervisor.observe(vm).await.map_err(|error| refusal_of(&error))?;
        let inventory = self.0.around.hypervisor.inventory(vm).await.map_err(|error| refusal_of(&error))?;
        let _alone = self.0.coming_and_going.lock().await;
        let known = self.address(vm).ok();
        let address = match known.clone() {
            Some(address) => address,
            None => {
                let past = self.0.around.journal.restore_vm(vm).await.map_err(|error| {
                    tracing::error!(%vm, %error, "the VM's history cannot be read");
                    Refusal::new(Code::JournalUnwritable, "the VM's history cannot be read from the journal")
                })?;
                // An earlier lane of this VM may have gone with a refused entry; this one knows what is durable.
                self.0.around.journal.unfence(vm);
                self.spawn(past, Begin::Fresh)
            }
        };
        let managers = recognise(&inventory.domain);
        let name = inventory.domain.identity.name;
        let make = move |token| Input::Enroll { token, name, primary, state };
        let enrolled = self.request(&address, make).await;
        if enrolled.is_err() && known.is_none() {
            self.forget(vm);
        }
        enrolled?;
        for Recognised { manager, mark } in &managers {
            let (loops, tell, read) = (manager.loops(), manager.tell(), manager.documentation());
            tracing::warn!(%vm, %manager, mark, loops, tell, read, "another manager may act on this VM by itself");
        }
        Ok(managers)
    }

    fn forget(&self, vm: VmId) {
        self.0.around.sight.forget(vm);
        self.0.around.load.forget(vm);
        self.0.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(&vm);
    }

    /// Ends co-management of a VM; nothing at the VM changes.
    ///
    /// *Errors*: [`Code::CommandsInFlight`], [`Code::Forbidden`], [`Code::UnknownVm`].
    pub async fn release(&self, vm: VmId, by: ProviderId) -> Result<(), Refusal> {
        let _alone = self.0.coming_and_going.lock().await;
        let address = self.address(vm)?;
        self.request(&address, move |token| Input::Release { token, by }).await?;
        // Its history is in the journal; a new enrollment reads it back.
        self.forget(vm);
        Ok(())
    }

    /// Hands a command to its lane; returns once it is durable.
    ///
    /// *Errors*: why it was not taken in.
    pub async fn submit(
        &self,
        command: Command,
        clock: Option<ClockEstimate>,
        peer: Option<Peer>,
    ) -> Result<Submission, Refusal> {
        self.take_in(command, Sender { clock, peer, over: None }, None).await
    }

    /// As [`submit`](Self::submit), for a command that is a libvirt client's own call (`command.call`): when the lane
    /// releases it, `carrier` makes the call. The clock is ours: the client is on this host.
    ///
    /// *Errors*: why it was not taken in; the carrier is dropped then, as it is when the command ends without having
    /// been released.
    pub async fn submit_carried(&self, command: Command, carrier: Box<dyn Carrier>) -> Result<Submission, Refusal> {
        if command.call.is_none() {
            return Err(Refusal::new(Code::Internal, "a carried command names its client's call"));
        }
        let carrier = (command.id, carrier);
        self.take_in(command, Sender::default(), Some(carrier)).await
    }

    async fn take_in(
        &self,
        command: Command,
        mut sender: Sender,
        carrier: Option<(CommandId, Box<dyn Carrier>)>,
    ) -> Result<Submission, Refusal> {
        let address = self.address(command.vm)?;
        let (send, ended) = oneshot::channel();
        let (id, provider) = (command.id, command.provider.clone());
        let quota = self.host().holds().ceiling.quota(&provider);
        let leaves = if command.operation.leaves_open().is_some() { Leaves::Open } else { Leaves::Nothing };
        sender.over = self.0.around.load.arrives(&provider, quota, leaves, self.now().mono).map(Box::new);
        // Counted back however this ends, also when whoever waits goes away.
        let _coming = sender.over.is_none().then(|| Coming::new(self.0.around.load.clone(), provider));
        let make = move |token| Input::Submitted { token, command: Box::new(command), sender };
        self.send(&address, make, Some(send), carrier).await?;
        Ok(Submission { id, ended })
    }

    /// The connection of the client whose call a command is ended: a command that still waits ends with that, and one
    /// that was released goes on.
    pub async fn client_gone(&self, vm: VmId, command: CommandId) {
        let Ok(address) = self.address(vm) else { return };
        let _ = address.mail.send(Mail::Tell(Box::new(Input::ClientGone { command }))).await;
    }

    /// Takes a command back that has not been started.
    ///
    /// *Errors*: [`Code::UnknownCommand`], [`Code::Forbidden`], [`Code::CommandsInFlight`].
    pub async fn cancel(&self, vm: VmId, by: ProviderId, command: CommandId) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        self.request(&address, move |token| Input::Cancel { token, by, command }).await.map(drop)
    }

    /// Changes who may do what.
    ///
    /// *Errors*: as [`crate::delegation::decide`].
    pub async fn change(&self, vm: VmId, request: ChangeRequest) -> Result<Change, Refusal> {
        let address = self.address(vm)?;
        match self.request(&address, move |token| Input::Change { token, request }).await? {
            Accepted::Change(change) => Ok(change),
            Accepted::Standing
            | Accepted::Channel(_)
            | Accepted::Command(_)
            | Accepted::Answer
            | Accepted::Drain
            | Accepted::Decision => Err(Refusal::new(Code::Internal, "the lane answered something else")),
        }
    }

    /// Changes who may do what once what is in flight has ended.
    ///
    /// *Errors*: as [`crate::delegation::Drain::prepare`]; [`Code::Draining`].
    pub async fn drain(&self, vm: VmId, request: ChangeRequest) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        self.request(&address, move |token| Input::Drain { token, request }).await.map(drop)
    }

    /// The operator's word on a conflict.
    ///
    /// *Errors*: [`Code::Forbidden`], [`Code::UnknownConflict`], [`Code::UnknownCommand`], [`Code::ConflictSettled`].
    pub async fn decide(
        &self,
        vm: VmId,
        by: ProviderId,
        conflict: ConflictId,
        first: CommandId,
    ) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        let make = move |token| Input::Decide { token, by, conflict, first };
        self.request(&address, make).await.map(drop)
    }

    /// A provider's answer to an ask.
    ///
    /// *Errors*: [`Code::AnswerLate`], [`Code::UnknownAsk`].
    pub async fn answer(
        &self,
        vm: VmId,
        conflict: ConflictId,
        epoch: u64,
        by: ProviderId,
        said: Said,
    ) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        let how = Heard::Said;
        let make = move |token| Input::Answered { token: Some(token), conflict, epoch, by, said, how };
        self.request(&address, make).await.map(drop)
    }

    /// A provider that was asked cannot answer any more.
    pub async fn answer_lost(&self, vm: VmId, conflict: ConflictId, epoch: u64, by: ProviderId) {
        let Ok(address) = self.address(vm) else { return };
        let lost = Input::AnswerLost { conflict, epoch, by: Party::Provider(by) };
        let _ = address.mail.send(Mail::Tell(Box::new(lost))).await;
    }

    /// Tells every lane that a provider has no session any more: what stands still only for it is let go.
    pub fn session_lost(&self, provider: &ProviderId) {
        let addresses: Vec<Address> = {
            let lanes = self.0.lanes.read().unwrap_or_else(PoisonError::into_inner);
            lanes.values().cloned().collect()
        };
        for address in addresses {
            let lost = Mail::Tell(Box::new(Input::SessionLost { provider: provider.clone() }));
            if let Err(mpsc::error::TrySendError::Full(lost)) = address.mail.try_send(lost) {
                // A lane that is busy keeps no other one waiting.
                tokio::spawn(async move { address.mail.send(lost).await });
            }
        }
    }

    /// Has what is open ended: by its owner's or the operator's wish, for this reason. The end itself comes later.
    ///
    /// *Errors*: [`Code::UnknownHold`], [`Code::Forbidden`].
    pub async fn release_hold(&self, vm: VmId, by: ProviderId, hold: HoldKey, reason: String) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        let make = move |token| Input::ReleaseHold { token, by, hold, reason };
        self.request(&address, make).await.map(drop)
    }

    /// Looks at a lane; the answer comes once all it is made from is durable. What the journal then refuses was never
    /// there, and the lane is looked at again.
    ///
    /// *Errors*: [`Code::UnknownVm`]; [`Code::JournalUnwritable`] when the journal cannot even be read.
    pub async fn read<T: Send + 'static>(
        &self,
        vm: VmId,
        look: impl FnOnce(&Lane, Now) -> T + Clone + Send + 'static,
    ) -> Result<T, Refusal> {
        for _ in 0..READ_TRIES {
            let address = self.address(vm)?;
            let (send, answer) = oneshot::channel();
            let look = look.clone();
            let read = move |lane: &Lane, now: Now| -> runner::Deferred {
                let seen = look(lane, now);
                Box::new(move || {
                    let _ = send.send(seen);
                })
            };
            let gone = || Refusal::new(Code::Closing, "the agent is shutting down");
            address.mail.send(Mail::Read(Box::new(read))).await.map_err(|_| gone())?;
            if let Ok(seen) = answer.await {
                return Ok(seen);
            }
            // Nobody can tell when the disk will take writes again; trying is the only way to know.
            tokio::time::sleep(READ_PAUSE).await;
        }
        Err(Refusal::new(Code::JournalUnwritable, "the journal failed while this was read; try again"))
    }

    /// A VM's whole history, read with the code that made it: for what a lane has forgotten.
    ///
    /// *Errors*: the journal cannot be read.
    pub async fn history(&self, vm: VmId) -> Result<State, ReplayError> {
        runner::history(&self.0.around.journal, vm).await
    }

    /// Takes no new commands and waits until what is at the hypervisor has ended, at most this long.
    pub async fn close(&self, at_most: Duration) {
        let vms = self.vms();
        for address in vms.iter().filter_map(|vm| self.address(*vm).ok()) {
            let _ = address.mail.send(Mail::Tell(Box::new(Input::Closing))).await;
        }
        let drained = async {
            for vm in vms {
                // A look sees what is durable, and a command ends by a durable fact: after a look that saw one run, the
                // fact that ends it still moves the journal.
                let mut durable = self.0.around.journal.watch();
                while self.read(vm, |lane, _| lane.state().is_idle()).await == Ok(false) {
                    durable.changed().await?;
                }
            }
            Ok::<(), watch::error::RecvError>(())
        };
        if !matches!(tokio::time::timeout(at_most, drained).await, Ok(Ok(()))) {
            tracing::warn!(
                "calls were still running at the hypervisor; their outcome will be observed at the next start"
            );
        }
    }
}

/// What the journal came to when it was opened.
#[derive(Debug, Default)]
pub struct History {
    states: BTreeMap<VmId, State>,
    last: Option<Now>,
}

impl History {
    /// The VMs' states, and the moment at which the journal was last written.
    #[must_use]
    pub const fn new(states: BTreeMap<VmId, State>, last: Option<Now>) -> Self {
        Self { states, last }
    }
}

fn refusal_of(error: &AskHypervisorError) -> Refusal {
    match error {
        AskHypervisorError::NoSuchVm(_) => Refusal::new(Code::UnknownVm, error.to_string()),
        AskHypervisorError::Unreachable { .. } => Refusal::new(Code::HypervisorUnreachable, error.to_string()),
        AskHypervisorError::Failed(_) => Refusal::new(Code::HypervisorFailed, error.to_string()),
    }
}
