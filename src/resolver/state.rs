//! A lane's state: what its facts add up to. Everything here is changed by [`State::apply`](super::apply) alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::budget::Asking;
use super::channel::Channel;
use super::fact::{Admission, Answer, Feasible, Heard, Origin, Party, Verdict};
use super::hold::Hold;
use super::restraint::Glass;
use crate::delegation::{Authority, Drain};
use crate::model::operation::Register;
use crate::model::{
    ChannelId, Command, CommandId, ConflictId, DeviceName, Footprint, HoldKey, Issued, Mono, Now, Outcome, ProviderId,
    Resource, StartId, VmId, VmState,
};
use crate::sovereignty::{Freeze, HostState};

/// How many ended commands a lane remembers; older ones are read from the journal.
pub(super) const RETAINED: usize = 256;
/// How many forgotten commands are still known by their id, so that an `after` may name them.
pub(super) const REMEMBERED_IDS: usize = 4096;

/// Whether a VM is co-managed, and if not, why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Standing {
    /// Nobody enrolled it, or it was released.
    #[default]
    Free,
    /// It is co-managed.
    Enrolled,
    /// It is co-managed, but does not exist at the hypervisor.
    Vanished,
}

/// One lane's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) vm: VmId,
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) authority: Option<Authority>,
    pub(crate) believed: Option<VmState>,
    /// Who brought its power state about; none when it was one of ours, or the first that was seen.
    pub(crate) brought_about: Option<Origin>,
    pub(crate) commands: BTreeMap<CommandId, Tracked>,
    /// Commands that have not ended.
    pub(crate) live: BTreeSet<CommandId>,
    /// Ended commands, oldest first.
    pub(crate) ended: VecDeque<CommandId>,
    /// Ids of ended commands of which nothing else is remembered.
    pub(crate) forgotten: BTreeSet<CommandId>,
    pub(crate) sequences: BTreeMap<ProviderId, Sequence>,
    pub(crate) conflicts: BTreeMap<ConflictId, Conflict>,
    /// Conflicts that are not settled.
    pub(crate) open: BTreeSet<ConflictId>,
    /// First goes before second, by verdict; both live.
    pub(crate) verdicts: BTreeSet<(CommandId, CommandId)>,
    /// The last delegation epoch of earlier enrollments; epochs never come again.
    pub(crate) epochs: u64,
    pub(crate) conflict_count: u64,
    pub(crate) ask_epoch: u64,
    /// A hand-over that waits for what is in flight.
    pub(crate) drain: Option<Drain>,
    /// Who last wrote each register, for late commands.
    #[serde(with = "super::pairs")]
    pub(crate) written: BTreeMap<Register, Written>,
    pub(crate) retained: usize,
    /// What is open, by what it is.
    #[serde(default)]
    pub(crate) holds: BTreeMap<HoldKey, Hold>,
    /// Channels that are open at doors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) channels: BTreeMap<ChannelId, Channel>,
    /// Checkpoints of backups that were given up: a later backup must not begin there.
    #[serde(default)]
    pub(crate) broken: BTreeSet<String>,
    /// The start of a guest that slept when it should have been thawed.
    #[serde(default)]
    pub(crate) unthawed: Option<StartId>,
    /// How many commands the agent itself has sent.
    #[serde(default)]
    pub(crate) errands: u64,
    /// Where the VM went, once it has left for another host.
    #[serde(default)]
    pub(crate) moved_to: Option<String>,
    /// Devices that the guest was told to let go of and kept, and by whom it was told last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unobeyed: BTreeMap<DeviceName, CommandId>,
    /// Devices that it let go of after all and that are not there again, by whom it was told, and when it was seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) obeyed: BTreeMap<DeviceName, (CommandId, Mono)>,
    /// What the operator has frozen here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) freezes: Vec<Freeze>,
    /// Set while the operator has every action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) glass: Option<Glass>,
    /// What happened to the host as a whole; none in the state of a VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<Box<HostState>>,
}

/// One provider's sequence numbers on this VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sequence {
    /// The highest one taken in.
    pub highest: u64,
    /// The highest one that ended.
    pub ended: Option<u64>,
}

/// Where a command stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waiting.
    Queued,
    /// At the hypervisor.
    Running,
    /// Was at the hypervisor; nobody knows whether it took effect.
    Unknown,
    /// Over.
    Ended(Outcome),
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    pub(crate) admission: Admission,
    /// What it touches; follows from the admission, kept because it is asked for so often.
    pub(crate) footprint: Footprint,
    pub(crate) received: Now,
    pub(crate) phase: Phase,
    /// How often a verdict put another command before it.
    pub(crate) deferrals: u32,
    /// How long asks have held it.
    pub(crate) asking: Asking,
    /// The sequence number that was missing when it went on.
    pub(crate) gap: Option<u64>,
    /// The command that is executed for it, too.
    pub(crate) coalesced_with: Option<CommandId>,
    pub(crate) conflicts: Vec<ConflictId>,
    pub(crate) started: Option<Now>,
    /// Whether it was ever started: then its place before its provider's other commands is fixed.
    pub(crate) began: bool,
    /// The start of the VM on which it was started.
    pub(crate) on_start: StartId,
    pub(crate) finished: Option<Now>,
}

impl Tracked {
    /// The command.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.admission.command
    }

    /// How it was taken in.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// When it was received, given to the hypervisor, and over.
    #[must_use]
    pub const fn times(&self) -> (Now, Option<Now>, Option<Now>) {
        (self.received, self.started, self.finished)
    }

    /// The conflicts it had a part in.
    #[must_use]
    pub fn conflicts(&self) -> &[ConflictId] {
        &self.conflicts
    }

    /// The sequence number that was missing when it went on.
    #[must_use]
    pub const fn gap(&self) -> Option<u64> {
        self.gap
    }

    /// Its sequence number; admission sets it.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.admission.command.order.seq.unwrap_or_default()
    }

    /// When it was issued, on our monotonic time: a step of our wall clock between two receipts tells nothing.
    #[must_use]
    pub fn issued(&self) -> Option<Issued> {
        self.admission.issued.map(|issued| issued.seen_at(self.received))
    }

    /// How often a verdict put another command before it.
    #[must_use]
    pub const fn deferrals(&self) -> u32 {
        self.deferrals
    }

    /// Whether the two touch the same thing, one of them writing.
    pub(crate) fn clashes_with(&self, other: &Self) -> bool {
        self.footprint.clashes_with(&other.footprint)
    }

    /// Whether it is at the hypervisor, or may be.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Unknown)
    }

    /// Whether it waits.
    #[must_use]
    pub const fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Queued)
    }
}

/// Two commands that could not both run, and how that was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub(crate) id: ConflictId,
    pub(crate) between: [CommandId; 2],
    pub(crate) contested: BTreeSet<Resource>,
    /// As it was when the conflict was found.
    pub(crate) feasible: Feasible,
    pub(crate) opened: Now,
    #[serde(with = "super::pairs")]
    pub(crate) asked: BTreeMap<Party, Asked>,
    /// Whether somebody is being asked, which holds both.
    pub(crate) being_asked: bool,
    pub(crate) escalated: Option<Escalation>,
    /// The operator's word.
    pub(crate) decided: Option<CommandId>,
    pub(crate) settled: Option<(Now, Verdict)>,
    /// What one of the two has left open, when the conflict is about that.
    #[serde(default)]
    pub(crate) hold: Option<HoldKey>,
    /// One of the two ended before it was settled.
    pub(crate) moot: Option<CommandId>,
}

impl Conflict {
    /// The other of the two.
    #[must_use]
    pub fn other_than(&self, command: CommandId) -> CommandId {
        let [a, b] = self.between;
        if command == a { b } else { a }
    }

    /// Whether the operator's word is waited for, and since when.
    #[must_use]
    pub const fn escalated(&self) -> Option<Escalation> {
        self.escalated
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> ConflictId {
        self.id
    }

    /// When it was found.
    #[must_use]
    pub const fn opened(&self) -> Now {
        self.opened
    }

    /// The two commands.
    #[must_use]
    pub const fn between(&self) -> [CommandId; 2] {
        self.between
    }

    /// How it was decided, if it was.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.settled.as_ref().map(|(_, verdict)| verdict)
    }

    /// Whether nothing is to be decided any more: it is settled, or one of the two ended before.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.settled.is_some() || self.moot.is_some()
    }

    /// Who has been asked and not answered.
    pub fn pending(&self) -> impl Iterator<Item = (&Party, &Asked)> {
        self.asked.iter().filter(|(_, asked)| asked.answer.is_none())
    }
}

/// Both wait for the operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Since when.
    pub at: Now,
    /// Until when; then the remaining rules decide.
    pub deadline: Mono,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub(crate) epoch: u64,
    pub(crate) at: Now,
    pub(crate) deadline: Mono,
    pub(crate) answer: Option<(Answer, Heard)>,
}

/// The last executed write of a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub(crate) command: CommandId,
    pub(crate) provider: ProviderId,
    pub(crate) issued: Option<Issued>,
    pub(crate) at: Now,
}

impl State {
    /// A lane nothing has happened on.
    #[must_use]
    pub fn new(vm: VmId) -> Self {
        Self {
            vm,
            name: String::new(),
            standing: Standing::Free,
            authority: None,
            believed: None,
            brought_about: None,
            commands: BTreeMap::new(),
            live: BTreeSet::new(),
            ended: VecDeque::new(),
            forgotten: BTreeSet::new(),
            sequences: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            open: BTreeSet::new(),
            verdicts: BTreeSet::new(),
            epochs: 0,
            conflict_count: 0,
            ask_epoch: 0,
            drain: None,
            written: BTreeMap::new(),
            retained: RETAINED,
            holds: BTreeMap::new(),
            channels: BTreeMap::new(),
            broken: BTreeSet::new(),
            unthawed: None,
            errands: 0,
            moved_to: None,
            unobeyed: BTreeMap::new(),
            obeyed: BTreeMap::new(),
            freezes: Vec::new(),
            glass: None,
            host: None,
        }
    }

    /// A lane that forgets nothing: to read history with the same code that made it.
    #[must_use]
    pub fn remembering_all(vm: VmId) -> Self {
        Self { retained: usize::MAX, ..Self::new(vm) }
    }

    /// The VM.
    #[must_use]
    pub const fn vm(&self) -> VmId {
        self.vm
    }

    /// Its libvirt name at enrollment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is co-managed.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Who may do what; none while nobody enrolled it.
    #[must_use]
    pub const fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// What the VM is believed to be.
    #[must_use]
    pub const fn believed(&self) -> Option<&VmState> {
        self.believed.as_ref()
    }

    /// A hand-over that waits for what is in flight.
    #[must_use]
    pub const fn drain(&self) -> Option<&Drain> {
        self.drain.as_ref()
    }

    /// The commands that a hand-over waits for.
    #[must_use]
    pub fn drain_waits_for(&self) -> Vec<CommandId> {
        self.drain.as_ref().map(|drain| drain.waits_for(&super::drain::in_flight(self))).unwrap_or_default()
    }

    /// One command, if the lane remembers it.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&Tracked> {
        self.commands.get(&id)
    }

    /// Every command the lane remembers.
    pub fn commands(&self) -> impl Iterator<Item = &Tracked> {
        self.commands.values()
    }

    /// Every conflict the lane remembers.
    pub fn conflicts(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.values()
    }

    /// One conflict, if the lane remembers it.
    #[must_use]
    pub fn conflict(&self, id: ConflictId) -> Option<&Conflict> {
        self.conflicts.get(&id)
    }

    /// The highest sequence number that `provider` has used on this VM.
    #[must_use]
    pub fn highest_seq(&self, provider: &ProviderId) -> u64 {
        self.sequences.get(provider).map_or(0, |sequence| sequence.highest)
    }

    /// What is open.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    /// How many commands have not ended.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Whether nothing is at the hypervisor.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active().next().is_none()
    }

    /// Whether a command of this id ever came, as far back as ids are remembered.
    pub(crate) fn has_seen(&self, id: CommandId) -> bool {
        self.commands.contains_key(&id) || self.forgotten.contains(&id)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Tracked> {
        self.live.iter().filter_map(|id| self.commands.get(id))
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = &Tracked> {
        self.live().filter(|tracked| tracked.is_queued())
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Tracked> {
        self.live().filter(|tracked| tracked.is_active())
    }
}
