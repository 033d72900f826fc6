//! Jobs and holds: what a finished command leaves open, who waits for it, and how it is ended.
//!
//! ```text
//!  command done ──▶ HoldOpened ──▶ open ──▶ HoldClosed (its owner's command, libvirt's word, the process's end)
//!                                   │
//!                    lease, session, class, callback, operator
//!                                   ▼
//!                              HoldGivenUp ──▶ an errand of the agent's own ends it ──▶ HoldClosed
//! ```
//!
//! An errand is a command of the built-in provider `covirt`: journalled, recovered and observed like everybody's. Nothing
//! is closed without proof: by the command that ended it, by what libvirt shows, or, when whoever could tell does not
//! answer, by saying so.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fact::{Admission, Closed, Fact, GivenUp, StampNote};
use super::rules;
use super::state::{Phase, Standing, State, Tracked};
use crate::delegation::Grant;
use crate::model::operation::{BackupBeginArgs, BlockAbortArgs, CheckpointArgs, NoArgs};
use crate::model::{
    Action, Class, Code, Command, CommandId, ConflictId, Effect, Ending, Footprint, Guard, HoldKey, Mono, Now,
    Operation, Order, Outcome, PowerState, ProviderId, Refusal, StartId, VmState,
};

/// How long after an errand that failed the next one is sent.
const PAUSE: Duration = Duration::from_secs(5);
/// After how many errands in vain nothing waits any longer for what only the guest could confirm.
const ERRANDS_MAX: u32 = 3;

/// Something that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub(crate) key: HoldKey,
    /// The command that left it; none when it was opened past this agent.
    pub(crate) opener: Option<CommandId>,
    pub(crate) owner: Option<ProviderId>,
    /// What must wait.
    pub(crate) footprint: Footprint,
    pub(crate) since: Now,
    pub(crate) lease: Option<Mono>,
    /// The start of the VM in which it lives.
    pub(crate) start: StartId,
    pub(crate) given_up: Option<(Now, GivenUp)>,
    /// Errands that failed.
    pub(crate) failed: u32,
    pub(crate) retry_at: Option<Mono>,
}

impl Hold {
    /// What it is.
    #[must_use]
    pub const fn key(&self) -> &HoldKey {
        &self.key
    }

    /// Whose it is; none when it was opened past this agent.
    #[must_use]
    pub const fn owner(&self) -> Option<&ProviderId> {
        self.owner.as_ref()
    }

    /// The command that left it open.
    #[must_use]
    pub const fn opener(&self) -> Option<CommandId> {
        self.opener
    }

    /// Since when it is open.
    #[must_use]
    pub const fn since(&self) -> Now {
        self.since
    }

    /// When its lease runs out, if it has one.
    #[must_use]
    pub const fn lease(&self) -> Option<Mono> {
        self.lease
    }

    /// Why it is being ended, if it is.
    #[must_use]
    pub fn given_up(&self) -> Option<&GivenUp> {
        self.given_up.as_ref().map(|(_, why)| why)
    }

    /// What waits for it.
    #[must_use]
    pub fn holds_back(&self, tracked: &Tracked) -> bool {
        tracked.is_queued() && self.footprint.clashes_with(&tracked.footprint) && !self.lets_pass(tracked)
    }

    /// Whether a command that clashes with it goes all the same.
    fn lets_pass(&self, tracked: &Tracked) -> bool {
        let command = tracked.command();
        let action = command.operation.action();
        let owns = self.owner.as_ref() == Some(&command.provider) || command.provider.is_operator();
        let ends_it = owns && command.operation.ends_open().as_ref() == Some(&self.key);
        // An emergency ends the process and all that lives in it; only what is on its way to another host is let go.
        let pulls_the_plug = command.class == Class::Emergency
            && matches!(action, Action::PowerStop | Action::PowerReset)
            && self.key != HoldKey::Migration;
        // A guest that stands still cannot thaw.
        let wakes = self.key == HoldKey::Freeze && action == Action::PowerResume;
        command.provider.is_agent() || ends_it || pulls_the_plug || wakes || (owns && self.key == HoldKey::Lock)
    }

    /// Until when its end is waited for where nobody can bring it about.
    fn patience(&self) -> Option<Mono> {
        self.given_up.as_ref().map(|(at, _)| at.mono.after(PAUSE.saturating_mul(ERRANDS_MAX)))
    }

    /// What it is and whose, as the beginning of a sentence.
    #[must_use]
    pub fn named(&self) -> String {
        match &self.owner {
            Some(owner) => format!("the {} of {owner}", self.key),
            None => format!("a {} that was begun past covirt", self.key),
        }
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseExpired {} => f.write_str("its lease ran out"),
            Self::SessionLost {} => f.write_str("the session of its owner ended"),
            Self::Yielded { to } => write!(f, "it yields to command {to}"),
            Self::Requested { by, reason } => write!(f, "{by} asked for it: {reason}"),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByCommand { command } => write!(f, "command {command} ended it"),
            Self::Seen {} => f.write_str("libvirt shows that it is over"),
            Self::Stopped {} => f.write_str("the process it lived in is gone"),
            Self::Gone {} => f.write_str("the VM is gone from this host"),
            Self::GivenBack {} => f.write_str("it was given back"),
            Self::Unverified { reason } => {
                write!(f, "nothing waits for it any longer, though nobody confirms its end: {reason}")
            }
        }
    }
}

/// What keeps a queued command back.
pub(crate) fn blocking<'a>(state: &'a State, tracked: &Tracked) -> Option<&'a Hold> {
    state.holds.values().find(|hold| hold.holds_back(tracked))
}

/// Whether an errand of the agent's own goes before `tracked`.
pub(crate) fn errand_first(state: &State, tracked: &Tracked) -> bool {
    let errand = |other: &Tracked| other.command().provider.is_agent() && other.clashes_with(tracked);
    !tracked.command().provider.is_agent() && state.live().any(errand)
}

/// What follows from a command's end for what is open.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other effect ends anything that is open")]
pub(crate) fn at_end(state: &State, tracked: &Tracked, outcome: &Outcome, now: Now) -> Vec<Fact> {
    if outcome.ending != Ending::Done {
        return Vec::new();
    }
    let command = tracked.command();
    let closed =
        |hold: &Hold| Fact::HoldClosed { hold: hold.key.clone(), how: Closed::ByCommand { command: command.id } };
    let effect = command.operation.effect();
    let mut facts: Vec<Fact> = match &effect {
        Effect::Closed(key) => state.holds.get(key).map(closed).into_iter().collect(),
        Effect::Power(PowerState::ShutOff) | Effect::Saved | Effect::Reverted(_) => {
            state.holds.values().filter(|hold| hold.key != HoldKey::Lock).map(closed).collect()
        }
        Effect::Restart => state.holds.get(&HoldKey::Freeze).map(closed).into_iter().collect(),
        _ => Vec::new(),
    };
    if let Some((hold, footprint)) = command.operation.leaves_open() {
        // An answer that was lost comes late: what libvirt shows then is all that is known.
        let over = hold.is_observable()
            && tracked.phase == Phase::Unknown
            && state.believed.as_ref().is_some_and(|vm| !vm.jobs.contains(&hold));
        if !over {
            facts.push(Fact::HoldOpened {
                hold,
                command: Some(command.id),
                owner: Some(command.provider.clone()),
                footprint,
                lease: command.operation.lease().map(|lease| now.mono.after(lease)),
            });
        }
    }
    facts
}

/// What a look at the VM says of what is open.
pub(crate) fn seen(state: &State, vm: &VmState) -> Vec<Fact> {
    let in_hand = |key: &HoldKey| {
        state.active().any(|running| {
            let operation = &running.command().operation;
            operation.leaves_open().is_some_and(|(hold, _)| hold == *key) || operation.ends_open().as_ref() == Some(key)
        })
    };
    let mut facts: Vec<Fact> = (state.holds.values())
        .filter_map(|hold| {
            let how = if hold.key != HoldKey::Lock && vm.start != hold.start {
                Closed::Stopped {}
            } else if hold.key.is_observable() && !vm.jobs.contains(&hold.key) && !in_hand(&hold.key) {
                Closed::Seen {}
            } else {
                return None;
            };
            Some(Fact::HoldClosed { hold: hold.key.clone(), how })
        })
        .collect();
    let foreign = vm.jobs.iter().filter(|key| !state.holds.contains_key(key) && !in_hand(key));
    facts.extend(foreign.map(|key| Fact::HoldOpened {
        hold: key.clone(),
        command: None,
        owner: None,
        footprint: key.footprint(),
        lease: None,
    }));
    facts
}

/// The VM is not here any more, and nothing that was open in it.
pub(crate) fn gone(state: &State) -> Vec<Fact> {
    let close = |hold: &Hold| Fact::HoldClosed { hold: hold.key.clone(), how: Closed::Gone {} };
    state.holds.values().map(close).collect()
}

/// What a provider's lost session ends: what stands still for it and nobody else.
pub(crate) fn session_lost(state: &State, provider: &ProviderId) -> Vec<Fact> {
    (state.holds.get(&HoldKey::Freeze).into_iter())
        .filter(|hold| hold.owner.as_ref() == Some(provider) && hold.given_up.is_none())
        .map(|hold| Fact::HoldGivenUp { hold: hold.key.clone(), why: GivenUp::SessionLost {} })
        .collect()
}

/// Somebody asks for something open to be ended.
///
/// *Errors*: [`Code::UnknownHold`]; [`Code::Forbidden`] for who neither owns it nor is the host's owner.
pub(crate) fn request_end(state: &State, key: &HoldKey, by: ProviderId, reason: String) -> Result<Fact, Refusal> {
    let unknown = || Refusal::new(Code::UnknownHold, format!("no {key} is open on this VM"));
    let hold = state.holds.get(key).ok_or_else(unknown)?;
    if !by.is_operator() && hold.owner.as_ref() != Some(&by) {
        let refusal = Refusal::new(Code::Forbidden, format!("{} is ended by its owner or the operator", hold.named()));
        return Err(hold.owner.iter().fold(refusal, |refusal, owner| refusal.held_by(owner.clone(), None)));
    }
    Ok(Fact::HoldGivenUp { hold: key.clone(), why: GivenUp::Requested { by, reason } })
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

fn asleep(state: &State, hold: &Hold) -> bool {
    hold.key == HoldKey::Freeze && state.believed.as_ref().is_some_and(|vm| vm.power == PowerState::Paused)
}

/// Whether such an errand is on its way.
fn sent(state: &State, such: impl Fn(&Operation) -> bool) -> bool {
    state.live().map(Tracked::command).any(|command| command.provider.is_agent() && such(&command.operation))
}

/// What ends it.
fn ending(key: &HoldKey) -> Operation {
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

/// A command that waits for what another provider has open is a conflict, once; one that waits for what its own provider
/// has open ends that if it is the more urgent.
pub(crate) fn contest(state: &State, heads: &[&Tracked]) -> Option<Vec<Fact>> {
    heads.iter().copied().find_map(|tracked| {
        let hold = state.holds.values().find(|hold| hold.given_up.is_none() && hold.holds_back(tracked))?;
        let opener = state.commands.get(&hold.opener?)?;
        let (command, other) = (tracked.command(), opener.command());
        if command.provider == other.provider {
            let why = GivenUp::Yielded { to: command.id };
            return (command.class > other.class).then(|| vec![Fact::HoldGivenUp { hold: hold.key.clone(), why }]);
        }
        if tracked.conflicts.iter().any(|id| opener.conflicts.contains(id)) {
            return None;
        }
        let contested = hold.footprint.contested_with(&tracked.footprint);
        let conflict = ConflictId::nth(state.vm, state.conflict_count);
        let (first, second) = if command.id < other.id { (tracked, opener) } else { (opener, tracked) };
        let between = [first.command().id, second.command().id];
        Some(vec![Fact::ConflictOpened { conflict, between, contested, feasible: rules::either() }])
    })
}

/// The hold that a verdict gives up: its opener was put second.
pub(crate) fn given_up_by(state: &State, first: CommandId, second: CommandId) -> Option<Fact> {
    let hold = state.holds.values().find(|hold| hold.opener == Some(second))?;
    Some(Fact::HoldGivenUp { hold: hold.key.clone(), why: GivenUp::Yielded { to: first } })
}

/// Why a command waits for what is open, as a sentence.
pub(crate) fn reason(hold: &Hold, now: Now) -> String {
    let age = now.mono.since(hold.since.mono).as_secs();
    let lease = hold.lease.map(|lease| format!(", for {} s more at most", lease.since(now.mono).as_secs()));
    let ending = if hold.given_up.is_some() { "; it is being ended" } else { "" };
    format!("{} is open for {age} s{}{ending}", hold.named(), lease.unwrap_or_default())
}

impl State {
    pub(super) fn hold_opened(&mut self, at: Now, fact: &Fact) {
        let Fact::HoldOpened { hold, command, owner, footprint, lease } = fact else { return };
        let opened = Hold {
            key: hold.clone(),
            opener: *command,
            owner: owner.clone(),
            footprint: footprint.clone(),
            since: at,
            lease: *lease,
            start: self.believed.as_ref().map(|vm| vm.start).unwrap_or_default(),
            given_up: None,
            failed: 0,
            retry_at: None,
        };
        self.holds.insert(hold.clone(), opened);
    }

    pub(super) fn hold_given_up(&mut self, at: Now, key: &HoldKey, why: &GivenUp) {
        if let Some(hold) = self.holds.get_mut(key) {
            hold.given_up = Some((at, why.clone()));
        }
    }

    pub(super) fn hold_closed(&mut self, at: Now, key: &HoldKey) {
        let Some(hold) = self.holds.remove(key) else { return };
        if asleep(self, &hold) {
            self.unthawed = Some(hold.start);
        }
        let Some(opener) = hold.opener else { return };
        for conflict in self.open.clone() {
            let moot = self.conflicts.get_mut(&conflict).filter(|open| open.between.contains(&opener));
            if let Some(open) = moot {
                open.moot = Some(opener);
                self.open.remove(&conflict);
                self.asking_ends(conflict, at);
            }
        }
        if hold.given_up.is_some()
            && let Some(Operation::BackupBegin(BackupBeginArgs { checkpoint: Some(name), .. })) =
                self.commands.get(&opener).map(|tracked| &tracked.command().operation)
        {
            self.broken.insert(name.clone());
        }
    }

    /// An errand ended: when it was in vain, another is sent later.
    pub(super) fn errand_ended(&mut self, at: Now, operation: &Operation, outcome: &Outcome) {
        if let Operation::CheckpointDelete(args) = operation {
            self.broken.remove(&args.name);
        }
        let key = operation.ends_open().filter(|_| outcome.ending != Ending::Done);
        if let Some(hold) = key.and_then(|key| self.holds.get_mut(&key)) {
            hold.failed = hold.failed.saturating_add(1);
            hold.retry_at = Some(at.mono.after(PAUSE));
        }
    }

    /// Where a migration that is open leads, as far as this agent knows.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else opens a migration")]
    pub(super) fn destination(&self) -> Option<String> {
        // A fast one is over before its own command is.
        let begins = |running: &&Tracked| running.command().operation.action() == Action::MigrateBegin;
        let opener = match self.holds.get(&HoldKey::Migration) {
            Some(hold) => hold.opener?,
            None => self.active().find(begins)?.command().id,
        };
        match &self.commands.get(&opener)?.command().operation {
            Operation::MigrateBegin(args) => Some(args.to.clone()),
            _ => None,
        }
    }
}
