//! Ways into a VM that are open at doors: who may open one, how many there are, and until when.
//!
//! The lane decides and remembers; the door carries the bytes. What a channel rests on (a delegation, a backup, a VM
//! that is off) is looked at anew after every fact, and once it is gone the channel is closed in the same step.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fact::Fact;
use super::lane::Lane;
use super::restraint;
use super::state::{Standing, State, Tracked};
use crate::delegation::Grant;
use crate::model::{
    Action, ChannelId, ChannelKind, Code, Footprint, HoldKey, Mono, Now, Peer, PowerState, ProviderId, Refusal,
};
use crate::sovereignty::Restraint;

/// How many channels of one provider may be open on one VM.
const CHANNELS_MAX: usize = 8;
/// The longest a disk is read in one go, during which the VM does not start.
const DISK_LEASE: Duration = Duration::from_secs(6 * 3600);
/// The longest reason that is kept. *Units*: bytes.
const REASON_MAX: usize = 1024;

/// Whether a console that is open gives way to its own provider, or to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Force {
    /// It stays.
    #[default]
    No,
    /// It is closed.
    Yes,
}

/// A channel that somebody wants to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRequest {
    /// Its id; the door chose it.
    pub id: ChannelId,
    /// Who.
    pub by: ProviderId,
    /// What it leads to.
    pub kind: ChannelKind,
    /// Who is at the other end.
    pub from: Peer,
    /// Whether an open console gives way.
    pub force: Force,
}

/// A channel that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub(crate) id: ChannelId,
    pub(crate) owner: ProviderId,
    pub(crate) kind: ChannelKind,
    pub(crate) grant: Grant,
    pub(crate) from: Peer,
    pub(crate) since: Now,
    pub(crate) lease: Option<Mono>,
}

impl Channel {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> ChannelId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub const fn owner(&self) -> &ProviderId {
        &self.owner
    }

    /// What it leads to.
    #[must_use]
    pub const fn kind(&self) -> &ChannelKind {
        &self.kind
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn from(&self) -> &Peer {
        &self.from
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

    fn footprint(&self) -> Footprint {
        self.kind.footprint()
    }
}

/// Why a channel is not open any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum ChannelEnd {
    /// It carried all there was.
    Complete {},
    /// Its peer closed it, or is gone.
    PeerLeft {},
    /// Whatever it led to closed it: the VM stopped, or QEMU did.
    VmLeft {},
    /// Its peer does not take what it is sent, or does not answer.
    Stalled {},
    /// Its peer sent what no such channel carries.
    Misused {},
    /// Its peer may not speak for its owner any more.
    PeerRefused {},
    /// The action was revoked, ran out, or was given to somebody else alone.
    DelegationEnded {},
    /// The host's owner froze it, broke the glass, or lowered the ceiling.
    Stopped {},
    /// Co-management of the VM ended.
    Released {},
    /// The VM does not exist any more.
    VmGone {},
    /// The VM was started.
    VmStarted {},
    /// The backup that it served is over.
    BackupOver {},
    /// Its lease ran out.
    LeaseExpired {},
    /// Another console took its place.
    Replaced { by: ChannelId },
    /// Somebody who may asked for it.
    Requested { by: ProviderId, reason: String },
    /// It could not be opened at the hypervisor, or broke there.
    Failed { reason: String },
    /// The agent stopped.
    AgentStopped {},
}

impl ChannelEnd {
    /// The word for programs; it fits into the reason of a WebSocket's close frame.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Complete {} => "complete",
            Self::PeerLeft {} => "peer-left",
            Self::VmLeft {} => "vm-left",
            Self::Stalled {} => "stalled",
            Self::Misused {} => "misused",
            Self::PeerRefused {} => "peer-refused",
            Self::DelegationEnded {} => "delegation-ended",
            Self::Stopped {} => "stopped-by-owner",
            Self::Released {} => "released",
            Self::VmGone {} => "vm-gone",
            Self::VmStarted {} => "vm-started",
            Self::BackupOver {} => "backup-over",
            Self::LeaseExpired {} => "lease-expired",
            Self::Replaced { .. } => "replaced",
            Self::Requested { .. } => "closed-by-request",
            Self::Failed { .. } => "failed",
            Self::AgentStopped {} => "agent-stopped",
        }
    }
}

impl fmt::Display for ChannelEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete {} => f.write_str("it carried all there was"),
            Self::PeerLeft {} => f.write_str("its peer left"),
            Self::VmLeft {} => f.write_str("the VM closed it"),
            Self::Stalled {} => f.write_str("its peer does not read or answer"),
            Self::Misused {} => f.write_str("its peer sent what it does not carry"),
            Self::PeerRefused {} => f.write_str("its peer may not speak for its owner any more"),
            Self::DelegationEnded {} => f.write_str("the delegation ended"),
            Self::Stopped {} => f.write_str("the host's owner stopped its owner"),
            Self::Released {} => f.write_str("co-management of the VM ended"),
            Self::VmGone {} => f.write_str("the VM does not exist any more"),
            Self::VmStarted {} => f.write_str("the VM was started"),
            Self::BackupOver {} => f.write_str("the backup is over"),
            Self::LeaseExpired {} => f.write_str("its lease ran out"),
            Self::Replaced { by } => write!(f, "channel {by} took its place"),
            Self::Requested { by, reason } => write!(f, "{by} asked for it: {reason}"),
            Self::Failed { reason } => write!(f, "it failed: {reason}"),
            Self::AgentStopped {} => f.write_str("the agent stopped"),
        }
    }
}

/// Decides whether a channel is opened, and which one it takes the place of.
///
/// *Errors*: a refusal; nothing of the request is kept then.
pub(crate) fn open(
    state: &State,
    told: Option<&Restraint>,
    request: ChannelRequest,
    now: Now,
) -> Result<Vec<Fact>, Refusal> {
    let ChannelRequest { id, by, kind, from, force } = request;
    let unknown_vm = || Refusal::new(Code::UnknownVm, "there is no VM of this id that you co-manage");
    let authority = state.authority.as_ref().filter(|_| state.standing != Standing::Free).ok_or_else(unknown_vm)?;
    let action = kind.action();
    let grant = authority.authorise(&by, action, now)?;
    if let Some(refusal) = restraint::bars(state, told, &by, action) {
        return Err(refusal);
    }
    if state.standing == Standing::Vanished {
        return Err(Refusal::new(Code::VmGone, "the VM does not exist at the hypervisor any more"));
    }
    if let Some(drain) = state.drain.as_ref().filter(|drain| drain.closes(&by, action)) {
        return Err(drain.refusal(action));
    }
    is_possible(state, &by, &kind)?;
    let replaced = makes_room(state, &by, &kind, force)?;
    let others = state.channels.values().filter(|open| open.owner == by && Some(open.id) != replaced);
    if others.count() >= CHANNELS_MAX {
        let message = format!("{by} has {CHANNELS_MAX} channels open on this VM, the most it may");
        return Err(Refusal::new(Code::TooManyChannels, message));
    }
    let closed = |channel| closed(channel, ChannelEnd::Replaced { by: id });
    let lease = matches!(kind, ChannelKind::Disk(_)).then(|| now.mono.after(DISK_LEASE));
    let opened = Fact::ChannelOpened { channel: id, owner: by, kind, grant, from, lease };
    Ok(replaced.map(closed).into_iter().chain([opened]).collect())
}

/// Whether there is something that the channel can lead to now.
fn is_possible(state: &State, by: &ProviderId, kind: &ChannelKind) -> Result<(), Refusal> {
    let power = state.believed.as_ref().map_or(PowerState::Unknown, |vm| vm.power);
    if let ChannelKind::Nbd = kind {
        let nothing = || Refusal::new(Code::UnknownHold, "no backup is open on this VM");
        let hold = state.holds.get(&HoldKey::Backup).ok_or_else(nothing)?;
        if let Some(running) = ending(state) {
            let refusal = Refusal::new(Code::ActionInFlight, "the backup is being ended");
            return Err(refusal.blocked_by(running.command().id));
        }
        return match &hold.owner {
            Some(owner) if owner == by || by.is_operator() => Ok(()),
            Some(owner) => {
                let message = format!("the backup is {owner}'s: only its owner reads it");
                Err(Refusal::new(Code::HeldByOther, message).held_by(owner.clone(), None))
            }
            None if by.is_operator() => Ok(()),
            None => Err(Refusal::new(Code::HeldByOther, "the backup was begun past covirt")),
        };
    }
    let states = kind.action().spec().states;
    if !states.contains(&power) {
        let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let message = format!("the VM is {power}; the {kind} is opened while it is {}", words.join(" or "));
        return Err(Refusal::new(Code::StateForbids, message));
    }
    let footprint = kind.footprint();
    if let Some(running) = state.active().find(|running| running.footprint.clashes_with(&footprint)) {
        let command = running.command();
        let message = format!("{}'s {} is under way", command.provider, command.operation.action());
        return Err(Refusal::new(Code::ActionInFlight, message)
            .held_by(command.provider.clone(), None)
            .blocked_by(command.id));
    }
    let is_own_lock = |key: &HoldKey, owner: Option<&ProviderId>| *key == HoldKey::Lock && owner == Some(by);
    let in_the_way =
        |hold: &&super::Hold| hold.footprint.clashes_with(&footprint) && !is_own_lock(&hold.key, hold.owner.as_ref());
    match state.holds.values().find(in_the_way) {
        Some(hold) => Err(Refusal::new(Code::HoldOpen, format!("{} is open", hold.named()))),
        None => Ok(()),
    }
}

/// The command that is ending the backup.
fn ending(state: &State) -> Option<&Tracked> {
    state.active().find(|running| running.command().operation.action() == Action::BackupEnd)
}

/// The console that gives way; none when there is nothing in the way.
fn makes_room(state: &State, by: &ProviderId, kind: &ChannelKind, force: Force) -> Result<Option<ChannelId>, Refusal> {
    let ChannelKind::Console = kind else { return Ok(None) };
    let Some(open) = state.channels.values().find(|open| open.kind == ChannelKind::Console) else { return Ok(None) };
    if force == Force::Yes && (open.owner == *by || by.is_operator()) {
        return Ok(Some(open.id));
    }
    // Who is at the other end is for the operator and for its owner.
    let from = if open.owner == *by || by.is_operator() { format!(" ({})", open.from) } else { String::new() };
    let message = format!("{} has the console open since {}{from}", open.owner, open.since.wall);
    Err(Refusal::new(Code::HeldByOther, message).held_by(open.owner.clone(), None))
}

/// Decides whether somebody may have a channel closed.
///
/// *Errors*: [`Code::UnknownChannel`], [`Code::Malformed`].
pub(crate) fn close(state: &State, by: ProviderId, id: ChannelId, reason: String) -> Result<Fact, Refusal> {
    if reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        let message = format!("reason is one line of at most {REASON_MAX} bytes");
        return Err(Refusal::new(Code::Malformed, message));
    }
    match state.channels.get(&id).filter(|open| open.owner == by || by.is_operator()) {
        Some(_) => Ok(closed(id, ChannelEnd::Requested { by, reason })),
        None => Err(Refusal::new(Code::UnknownChannel, "you have no channel of this id open")),
    }
}

const fn closed(channel: ChannelId, how: ChannelEnd) -> Fact {
    Fact::ChannelClosed { channel, how, received: None, sent: None }
}

fn all_closed(state: &State, how: &ChannelEnd) -> Vec<Fact> {
    state.channels.keys().map(|id| closed(*id, how.clone())).collect()
}

/// What ends with co-management.
pub(crate) fn released(state: &State) -> Vec<Fact> {
    all_closed(state, &ChannelEnd::Released {})
}

/// What ended with an earlier life of the agent.
pub(crate) fn cut_off(state: &State) -> Vec<Fact> {
    all_closed(state, &ChannelEnd::AgentStopped {})
}

/// A channel that has lost what it rests on.
pub(crate) fn over(state: &State, told: Option<&Restraint>, now: Now) -> Option<Vec<Fact>> {
    state.channels.values().find_map(|open| Some(vec![closed(open.id, end_of(state, told, open, now)?)]))
}

fn end_of(state: &State, told: Option<&Restraint>, open: &Channel, now: Now) -> Option<ChannelEnd> {
    // A lowered ceiling takes the delegation back, too: that the host's owner did it says more.
    if restraint::bars(state, told, &open.owner, open.kind.action()).is_some() {
        return Some(ChannelEnd::Stopped {});
    }
    let stands = (state.authority.as_ref())
        .is_some_and(|authority| authority.still_stands(&open.owner, open.kind.action(), open.grant, now));
    if !stands {
        return Some(ChannelEnd::DelegationEnded {});
    }
    if state.standing == Standing::Vanished {
        return Some(ChannelEnd::VmGone {});
    }
    if open.lease.is_some_and(|lease| lease <= now.mono) {
        return Some(ChannelEnd::LeaseExpired {});
    }
    match &open.kind {
        ChannelKind::Nbd => {
            let is_over = !state.holds.contains_key(&HoldKey::Backup) || ending(state).is_some();
            is_over.then_some(ChannelEnd::BackupOver {})
        }
        ChannelKind::Disk(_) => {
            let states = open.kind.action().spec().states;
            let is_off = state.believed.as_ref().is_some_and(|vm| states.contains(&vm.power));
            (!is_off).then_some(ChannelEnd::VmStarted {})
        }
        // Whatever they lead to closes them itself.
        ChannelKind::Console | ChannelKind::Screen => None,
    }
}

/// The earliest moment at which a lease runs out.
pub(crate) fn next_due(state: &State) -> Option<Mono> {
    state.channels.values().filter_map(|open| open.lease).min()
}

/// What keeps a queued command back.
pub(crate) fn blocking<'a>(state: &'a State, tracked: &Tracked) -> Option<&'a Channel> {
    let waits = |open: &&Channel| tracked.is_queued() && open.footprint().clashes_with(&tracked.footprint);
    state.channels.values().find(waits)
}

/// Why a command waits for a channel, as a sentence.
pub(crate) fn reason(open: &Channel, now: Now) -> String {
    let age = now.mono.since(open.since.mono).as_secs();
    let lease = open.lease.map(|lease| format!(", for {} s more at most", lease.since(now.mono).as_secs()));
    format!("{} reads {} for {age} s{}", open.owner, open.kind, lease.unwrap_or_default())
}

/// Whether a provider may do this to a VM now, as far as its delegation goes.
///
/// *Errors*: those of the delegation.
pub fn may_do(lane: &Lane, provider: &ProviderId, action: Action, now: Now) -> Result<(), Refusal> {
    let unknown_vm = || Refusal::new(Code::UnknownVm, "there is no VM of this id that you co-manage");
    let authority = lane.state().authority.as_ref().ok_or_else(unknown_vm)?;
    authority.authorise(provider, action, now).map(|_| ())
}

/// Whether a provider may do this to a VM now, once and without a command.
///
/// *Errors*: those of the delegation and of the host's owner; [`Code::StateForbids`].
pub fn may_look(lane: &Lane, provider: &ProviderId, action: Action, now: Now) -> Result<(), Refusal> {
    let state = lane.state();
    may_do(lane, provider, action, now)?;
    let footing = lane.footing();
    let told = footing.restraint.as_deref().filter(|_| !action.is_read());
    if let Some(refusal) = restraint::bars(state, told, provider, action).filter(|_| !action.is_read()) {
        return Err(refusal);
    }
    let power = state.believed.as_ref().map_or(PowerState::Unknown, |vm| vm.power);
    if action.spec().states.contains(&power) {
        return Ok(());
    }
    Err(Refusal::new(Code::StateForbids, format!("the VM is {power}, which {action} does not allow")))
}

impl State {
    /// The channels that are open.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    pub(in crate::resolver) fn channel_opened(&mut self, at: Now, fact: &Fact) {
        let Fact::ChannelOpened { channel, owner, kind, grant, from, lease } = fact else { return };
        let opened = Channel {
            id: *channel,
            owner: owner.clone(),
            kind: kind.clone(),
            grant: *grant,
            from: from.clone(),
            since: at,
            lease: *lease,
        };
        self.channels.insert(*channel, opened);
    }
}
