//! What takes time: each errand is a task that ends by telling its connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::{News, Release, unmade};
use crate::doors::reach::Reaches;
use crate::doors::rpc::conversation::{Found, Heard, Submit, Ticket};
use crate::doors::rpc::door::Client;
use crate::doors::rpc::mapping::{KnownAs, Pace, Subject};
use crate::hypervisor::{AskHypervisorError, DiskOf, Later};
use crate::lanes::{Carrier, Lanes, Part};
use crate::model::operation::{NoArgs, RelayedArgs};
use crate::model::{
    Action, Class, ClientCall, Code, Command, CommandId, DeviceName, Guard, HoldKey, Operation, Order, ProviderId,
    Refusal, Resource, VmId,
};
use crate::resolver::{Call, CallResult, Lane, Phase};

/// How long it may take to find out what a call is about.
const RESOLVE: Duration = Duration::from_secs(5);
/// How long the answer to a client that made a VM is kept for that VM's enrollment.
const ENROLL: Duration = Duration::from_secs(5);
/// How often it is looked whether a migration is under way.
const LOOK: Duration = Duration::from_millis(200);

/// What became of handing a call to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is being handed over.
    Open,
    /// The lane has it.
    Taken(CommandId),
    /// It does not.
    Refused,
}

/// A call on its way to its lane.
pub(super) struct Sent {
    pub(super) ticket: Ticket,
    pub(super) id: CommandId,
    pub(super) submit: Submit,
    pub(super) call: ClientCall,
    /// The call that it stays behind.
    pub(super) after: Option<watch::Receiver<Fate>>,
    pub(super) fate: watch::Sender<Fate>,
}

/// Who runs errands for one connection.
#[derive(Clone)]
pub(super) struct Errands {
    pub(super) lanes: Lanes,
    pub(super) client: Arc<Client>,
    pub(super) inbox: mpsc::Sender<News>,
    pub(super) reaches: Reaches,
    /// The provider's places for questions to the hypervisor.
    pub(super) looks: Arc<Semaphore>,
}

/// Nothing is begun any more once the agent has stopped.
fn begin(errand: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(errand);
    }
}

impl Errands {
    async fn tell(&self, heard: Heard) {
        // Nobody hears it once the connection is over.
        let _ = self.inbox.send(News::Heard(Box::new(heard))).await;
    }

    /// Says something after a while.
    pub(super) fn later(&self, after: Duration, heard: Heard) {
        let errands = self.clone();
        begin(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => errands.tell(heard).await,
                () = errands.inbox.closed() => {}
            }
        });
    }

    /// Hands a call to its lane and waits for its end.
    pub(super) fn submit(&self, sent: Sent) {
        let errands = self.clone();
        begin(async move {
            if let Some(heard) = errands.hand_over(sent).await {
                errands.tell(heard).await;
            }
        });
    }

    async fn hand_over(&self, sent: Sent) -> Option<Heard> {
        let Sent { ticket, id, submit, call, after, fate } = sent;
        let Submit { vm, mut operation, pace, asked, received, procedure, after: _ } = submit;
        let after = match after {
            Some(mut after) => match after.wait_for(|fate| *fate != Fate::Open).await.map(|fate| *fate) {
                Ok(Fate::Taken(id)) => Some(id),
                Ok(Fate::Open | Fate::Refused) | Err(_) => None,
            },
            None => None,
        };
        let provider = self.client.provider.clone();
        if let Err(refusal) = self.reaches.judge(&self.lanes, &provider, vm, operation.action(), &asked).await {
            let _ = fate.send(Fate::Refused);
            return Some(Heard::Refused(ticket, refusal));
        }
        if pace != Pace::Held {
            let (by, asked) = (provider.clone(), operation.clone());
            let way = self.lanes.read(vm, move |lane, _| way_of(lane, &by, pace, &asked)).await;
            match way {
                Ok(Way::Wave) => {
                    tracing::debug!(%provider, %vm, procedure, "a call is part of what its provider has under way");
                    let _ = fate.send(Fate::Refused);
                    return Some(Heard::Waved(ticket));
                }
                Ok(Way::As(instead)) => operation = instead,
                Ok(Way::Submit) => {}
                Err(refusal) => {
                    let _ = fate.send(Fate::Refused);
                    return Some(Heard::Refused(ticket, refusal));
                }
            }
        }
        let action = operation.action();
        let command = Command {
            id,
            vm,
            provider: provider.clone(),
            operation,
            order: Order { seq: None, after: after.into_iter().collect() },
            issued_at: Some(received),
            not_after: None,
            must_start_by: None,
            break_glass: None,
            guard: Guard::default(),
            class: Class::Routine,
            epoch: None,
            call: Some(call),
        };
        let carrier = DoorCarrier { ticket, inbox: self.inbox.clone() };
        let submission = match self.lanes.submit_carried(command, Box::new(carrier)).await {
            Ok(submission) => submission,
            Err(refusal) => {
                let _ = fate.send(Fate::Refused);
                return Some(Heard::Refused(ticket, refusal));
            }
        };
        let peer = &self.client.peer;
        tracing::debug!(%provider, %peer, %vm, procedure, %action, command = %id, "a client's call is held");
        let _ = fate.send(Fate::Taken(id));
        match submission.ended.await {
            Ok(outcome) => Some(Heard::Ended(ticket, id, outcome)),
            Err(_) => {
                let text = "the agent could not keep the call in its journal; it was not made";
                Some(Heard::Refused(ticket, Refusal::new(Code::JournalUnwritable, text)))
            }
        }
    }

    /// Takes a call back whose client has gone.
    pub(super) fn cancel(&self, vm: VmId, id: CommandId, mut fate: watch::Receiver<Fate>) {
        let errands = self.clone();
        begin(async move {
            if let Ok(Fate::Taken(_)) = fate.wait_for(|fate| *fate != Fate::Open).await.map(|fate| *fate) {
                let provider = &errands.client.provider;
                tracing::debug!(%provider, %vm, command = %id, "the client of a held call has gone");
                // One that was let go meanwhile learns from its carrier that nobody is there to make it.
                errands.lanes.client_gone(vm, id).await;
            }
        });
    }

    /// Finds out which VM a call is about.
    pub(super) fn resolve(&self, ticket: Ticket, subject: Subject) {
        let errands = self.clone();
        begin(async move {
            let found = tokio::time::timeout(RESOLVE, async {
                let _place = errands.looks.acquire().await;
                errands.find(subject).await
            });
            let found = found.await;
            let found = found.unwrap_or_else(|_| Found::Unknown("libvirt did not answer in time".to_owned()));
            errands.tell(Heard::Resolved(ticket, found)).await;
        });
    }

    async fn find(&self, subject: Subject) -> Found {
        let hypervisor = self.lanes.hypervisor();
        let known = subject.known_as();
        let found = match subject {
            Subject::SavedImage { path, xml: _ } => match hypervisor.saved_in(path).await {
                // The words that take the image's place are libvirt's to compare with it.
                Ok(vm) => self.there_or_not(KnownAs { vm: Some(vm), name: None }).await,
                // Libvirt cannot read it either, and says so better.
                Err(AskHypervisorError::Failed(_)) => self.there_or_not(known).await,
                Err(error) => Err(error),
            },
            Subject::DomainXml(_) | Subject::Arriving { .. } => self.there_or_not(known).await,
            Subject::Volume { pool, name, key: _ } => {
                hypervisor.disks_on(pool, name).await.map(|disks| self.most_telling(disks))
            }
            // A VM that libvirt did not know.
            Subject::Process(_) => Ok(Found::New(None)),
            Subject::Vm(vm) => Ok(Found::Vm(vm)),
            Subject::None | Subject::VmName(_) | Subject::VmNumber(_) | Subject::Many(_) => Ok(Found::Nothing),
        };
        found.unwrap_or_else(|error| Found::Unknown(error.to_string()))
    }

    /// Whether there is such a VM. A name without an id is another's, if there is one, and libvirt says so.
    async fn there_or_not(&self, known: KnownAs) -> Result<Found, AskHypervisorError> {
        let Some(vm) = known.vm else {
            let by_name = known.name.and_then(|name| self.lanes.sight().by_name(&name));
            return Ok(by_name.map_or(Found::New(None), Found::Vm));
        };
        let there = self.lanes.hypervisor().describe(Some(vm)).await?;
        Ok(if there.is_empty() { Found::New(Some(vm)) } else { Found::Vm(vm) })
    }

    /// Of several VMs on one volume the one that forbids most.
    fn most_telling(&self, disks: Vec<DiskOf>) -> Found {
        let (sight, now) = (self.lanes.sight(), self.lanes.now());
        let rank = |disk: &DiskOf| match sight.part(&self.client.provider, disk.vm, now) {
            Part::None if sight.is_enrolled(disk.vm) => 0,
            Part::Secondary | Part::Primary => 1,
            Part::None => 2,
        };
        let first = disks.into_iter().min_by_key(rank);
        first.map_or(Found::Nothing, |disk| Found::Disk(disk.vm, disk.target))
    }

    /// Makes the provider the primary of what its client made.
    pub(super) fn enroll(&self, ticket: Ticket, vm: VmId) {
        let errands = self.clone();
        begin(async move {
            let provider = errands.client.provider.clone();
            let enrolling = async {
                errands.lanes.host().holds().ceiling.allows_enrolling(&provider)?;
                errands.lanes.enroll(vm, provider.clone()).await
            };
            match tokio::time::timeout(ENROLL, enrolling).await {
                Ok(Ok(_)) => tracing::info!(%vm, %provider, "a provider is the primary of the VM that its client made"),
                Ok(Err(refusal)) if refusal.code == Code::AlreadyEnrolled => {}
                Ok(Err(refusal)) => {
                    tracing::warn!(%vm, %provider, %refusal, "the VM that a client made is not co-managed");
                }
                Err(_) => tracing::warn!(%vm, %provider, "the VM that a client made could not be enrolled in time"),
            }
            errands.tell(Heard::Enrolled(ticket)).await;
        });
    }

    /// Says when a migration is under way.
    pub(super) fn watch_for_migration(&self, ticket: Ticket, vm: VmId) -> AbortHandle {
        let errands = self.clone();
        let watching = tokio::spawn(async move {
            loop {
                // libvirt has no event for it.
                tokio::time::sleep(LOOK).await;
                let progress = errands.lanes.hypervisor().progress(vm).await.unwrap_or_default();
                if progress.iter().any(|job| job.hold == HoldKey::Migration && job.total > 0) {
                    return errands.tell(Heard::Begun(ticket)).await;
                }
                if errands.inbox.is_closed() {
                    return;
                }
            }
        });
        watching.abort_handle()
    }
}

/// How a call goes on that has to do with what is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// At once, without a command.
    Wave,
    /// As this operation.
    As(Operation),
    /// As it is.
    Submit,
}

/// Whether what runs or is open on a VM is the provider's own.
fn way_of(lane: &Lane, provider: &ProviderId, pace: Pace, operation: &Operation) -> Way {
    let state = lane.state();
    let runs = |actions: &[Action]| {
        let own = state.commands().filter(|tracked| tracked.command().provider == *provider);
        own.filter(|tracked| *tracked.phase() == Phase::Running)
            .any(|tracked| actions.contains(&tracked.command().operation.action()))
    };
    let open = |key: &HoldKey| state.holds().find(|hold| hold.key() == key);
    let is_own = |key: &HoldKey| open(key).is_some_and(|hold| hold.owner() == Some(provider));
    match pace {
        Pace::Held | Pace::Never => Way::Submit,
        Pace::Steers if is_own(&HoldKey::Migration) || runs(&[Action::MigrateBegin]) => Way::Wave,
        Pace::Steers => way_to_a_block_job(lane, provider, operation),
        Pace::Aborts if runs(ENDED_BY_ABORT) => Way::Wave,
        Pace::Aborts if open(&HoldKey::Backup).is_some() => Way::As(Operation::BackupEnd(NoArgs {})),
        Pace::Aborts if open(&HoldKey::Migration).is_some() => Way::As(Operation::MigrateAbort(NoArgs {})),
        Pace::Aborts => Way::Submit,
    }
}

/// How a call goes on that steers or ends a block job, on a disk that it may name by its source.
fn way_to_a_block_job(lane: &Lane, provider: &ProviderId, operation: &Operation) -> Way {
    let Operation::Relayed(args) = operation else { return Way::Submit };
    let named = args.touches.iter().find_map(|touched| match touched {
        Resource::Tuning(DeviceName::Disk(target)) => Some(target.clone()),
        _ => None,
    });
    let of_blocks = lane.state().holds().filter_map(|hold| match hold.key() {
        HoldKey::Block(disk) if named.as_ref().is_none_or(|named| named == disk) => Some((disk, hold.owner())),
        _ => None,
    });
    let meant: Vec<_> = of_blocks.collect();
    // Of several disks nobody here knows which is meant: only where all are its own, none of another's is.
    if meant.is_empty() || meant.iter().any(|(_, owner)| *owner != Some(provider)) {
        return Way::Submit;
    }
    match (args.action, meant.as_slice()) {
        (Action::BlockAbort, [(disk, _)]) => {
            let touches = [Resource::Disk((*disk).clone()), Resource::Device(DeviceName::Disk((*disk).clone()))].into();
            Way::As(Operation::Relayed(RelayedArgs { touches, ..args.clone() }))
        }
        (Action::BlockAbort | Action::TuningSet, _) => Way::Wave,
        _ => Way::Submit,
    }
}

/// Calls that run as a job of libvirt's until they answer.
const ENDED_BY_ABORT: &[Action] =
    &[Action::MigrateBegin, Action::PowerSave, Action::MemoryDump, Action::SnapshotCreate, Action::PowerRestore];

/// Has a client's own call made by its connection.
struct DoorCarrier {
    ticket: Ticket,
    inbox: mpsc::Sender<News>,
}

impl Carrier for DoorCarrier {
    fn carry(self: Box<Self>, _call: Call) -> Later<CallResult> {
        Box::pin(async move {
            let (answer, settled) = oneshot::channel();
            if self.inbox.send(News::Released(self.ticket, Release::new(answer))).await.is_err() {
                return unmade();
            }
            settled.await.unwrap_or_else(|_| CallResult::Lost("the connection ended".to_owned()))
        })
    }
}
