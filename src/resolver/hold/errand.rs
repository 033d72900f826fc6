//! Ending what is open: when it is due, and the commands of the agent's own that do it.

use std::time::Duration;

use super::{Hold, asleep};
use crate::delegation::Grant;
use crate::model::operation::{BlockAbortArgs, CheckpointArgs, NoArgs};
use crate::model::{Class, Command, CommandId, Guard, HoldKey, Mono, Now, Operation, Order, PowerState, ProviderId};
use crate::resolver::fact::{Admission, Closed, Fact, GivenUp, StampNote};
use crate::resolver::state::{Standing, State, Tracked};

/// How long after an errand that failed the next one is sent.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// After how many errands in vain nothing waits any longer for what only the guest could confirm.
const ERRANDS_MAX: u32 = 3;

impl Hold {
    /// Until when its end is waited for where nobody can bring it about.
    fn patience(&self) -> Option<Mono> {
        self.given_up.as_ref().map(|(at, _)| at.mono.after(PAUSE.saturating_mul(ERRANDS_MAX)))
    }
}

/// Whether an errand of the agent's own goes before `tracked`.
pub(crate) fn errand_first(state: &State, tracked: &Tracked) -> bool {
    let errand = |other: &Tracked| other.command().provider.is_agent() && other.clashes_with(tracked);
    !tracked.command().provider.is_agent() && state.live().any(errand)
}

/// What is due about what is open: leases that ran out, errands to send, checkpoints of broken chains to drop.
pub(crate) fn due(state: &State, now: Now) -> Option<Vec<Fact>> {
    if state.standing != Standing::Enrolled {
        return None;
    }
    let of_hold = state.holds.values().find_map(|hold| {
        if hold.given_up.is_none() {
            let over = hold.lease.is_some_and(|lease| lease <= now.mono);
            let given_up = || Fact::HoldGivenUp { hold: hold.key.clone(), why: GivenUp::LeaseExpired {} };
            return over.then(|| vec![given_up()]);
        }
        end_it(state, hold, now)
    });
    of_hold.or_else(|| awakened(state)).or_else(|| {
        let known = &state.believed.as_ref()?.checkpoints;
        let dropped = |name: &String| CheckpointArgs { name: name.clone() };
        let name = state.broken.iter().find(|name| {
            known.contains(*name) && !sent(state, |operation| *operation == Operation::CheckpointDelete(dropped(name)))
        })?;
        Some(vec![errand(state, Operation::CheckpointDelete(dropped(name)))])
    })
}

fn end_it(state: &State, hold: &Hold, now: Now) -> Option<Vec<Fact>> {
    let key = &hold.key;
    let closed = |how: Closed| Some(vec![Fact::HoldClosed { hold: key.clone(), how }]);
    if *key == HoldKey::Lock {
        return closed(Closed::GivenBack {});
    }
    if !key.is_observable() && hold.failed >= ERRANDS_MAX {
        let reason = format!("{} errands failed: the guest's agent does not answer", hold.failed);
        return closed(Closed::Unverified { reason });
    }
    if asleep(state, hold) {
        // Nobody in a guest that stands still can thaw; what waits goes on, and the thaw follows when it wakes.
        let over = hold.patience().is_some_and(|patience| patience <= now.mono);
        let reason = || "the VM is paused, and nobody in it can thaw".to_owned();
        return over
            .then(|| vec![Fact::HoldClosed { hold: key.clone(), how: Closed::Unverified { reason: reason() } }]);
    }
    let waits = hold.retry_at.is_some_and(|retry| retry > now.mono);
    let under_way = sent(state, |operation| operation.ends_open().as_ref() == Some(key));
    (!waits && !under_way).then(|| vec![errand(state, ending(key))])
}

/// A guest that slept when it should have been thawed is thawed when it wakes.
fn awakened(state: &State) -> Option<Vec<Fact>> {
    let vm = state.believed.as_ref()?;
    let awake = vm.power == PowerState::Running && state.unthawed == Some(vm.start);
    awake.then(|| vec![errand(state, ending(&HoldKey::Freeze))])
}

/// Whether such an errand is on its way.
fn sent(state: &State, such: impl Fn(&Operation) -> bool) -> bool {
    state.live().map(Tracked::command).any(|command| command.provider.is_agent() && such(&command.operation))
}

/// What ends it.
pub(crate) fn ending(key: &HoldKey) -> Operation {
    match key {
        HoldKey::Backup => Operation::BackupEnd(NoArgs {}),
        HoldKey::Block(disk) => Operation::BlockAbort(BlockAbortArgs { disk: disk.clone(), pivot: false }),
        HoldKey::Migration => Operation::MigrateAbort(NoArgs {}),
        HoldKey::Freeze => Operation::GuestThaw(NoArgs {}),
        HoldKey::Lock => Operation::LockRelease(NoArgs {}),
    }
}

/// A command of the agent's own.
fn errand(state: &State, operation: Operation) -> Fact {
    let provider = ProviderId::agent();
    let seq = state.highest_seq(&provider).saturating_add(1);
    let command = Command {
        id: CommandId::errand(state.vm, state.errands),
        vm: state.vm,
        provider,
        operation,
        order: Order { seq: Some(seq), ..Order::default() },
        issued_at: None,
        not_after: None,
        must_start_by: None,
        break_glass: None,
        guard: Guard::default(),
        class: Class::Critical,
        epoch: None,
        call: None,
    };
    let digest = command.digest();
    Fact::Admitted(Box::new(Admission {
        command,
        digest,
        grant: Grant { mode: None, epoch: 0 },
        issued: None,
        stamp: StampNote::Missing,
        deadline: None,
        must_start_by: None,
        peer: None,
    }))
}

/// When something about what is open may be due.
pub(crate) fn next_due(state: &State) -> impl Iterator<Item = Mono> {
    (state.holds.values()).flat_map(|hold| {
        if hold.given_up.is_none() { [hold.lease, None] } else { [hold.retry_at, hold.patience()] }
            .into_iter()
            .flatten()
    })
}
