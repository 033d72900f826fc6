//! What happened, as it is journalled. Applying facts in order is the only way a lane's state changes, so replaying
//! a journal *is* the live code (I6).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::channel::ChannelEnd;
use super::restraint::Glass;
use crate::delegation::{Change, Drain, Grant};
use crate::model::{
    Actor, Cause, ChannelId, ChannelKind, Command, CommandId, ConflictId, Footprint, HoldKey, Interval, Mono, Outcome,
    Peer, ProviderId, Resource, StartId, VmState,
};
use crate::sovereignty::{Freeze, HostFact, Scope};

/// One thing that happened on one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A provider began to have its VM co-managed.
    Enrolled { name: String, primary: ProviderId, state: VmState },
    /// Co-management ended.
    Released { by: ProviderId },
    /// Who may do what changed.
    Delegation { by: ProviderId, change: Change },
    /// A hand-over began: what is in flight finishes, nothing new is taken in under what is handed over.
    DrainBegan { by: ProviderId, drain: Drain },
    /// A hand-over is over; why it did not come about, if it did not.
    DrainEnded {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// A command was taken in.
    Admitted(Box<Admission>),
    /// The window for a missing sequence number passed.
    GapFlagged { command: CommandId, expected: u64 },
    /// Two commands cannot both run now.
    ConflictOpened { conflict: ConflictId, between: [CommandId; 2], contested: BTreeSet<Resource>, feasible: Feasible },
    /// Somebody is asked which goes first.
    Asked { conflict: ConflictId, epoch: u64, who: Vec<Party>, deadline: Mono },
    /// Somebody answered, or did not.
    Answered { conflict: ConflictId, epoch: u64, by: Party, answer: Answer, how: Heard },
    /// Both providers want to be first, and the operator declared that it decides about this pair.
    Escalated { conflict: ConflictId, deadline: Mono },
    /// The operator says which goes first.
    Decided { conflict: ConflictId, by: ProviderId, first: CommandId },
    /// It is decided which goes first.
    Settled { conflict: ConflictId, verdict: Verdict },
    /// A command leaves for the hypervisor.
    Started { command: CommandId, start: StartId },
    /// Nobody knows whether a started command took effect.
    BecameUnknown { command: CommandId },
    /// Observation shows that a command never took effect; it may be started again.
    FoundUndone { command: CommandId },
    /// A command ended.
    Ended { command: CommandId, outcome: Outcome },
    /// Something is left open: by a command, or by whoever is past this agent.
    HoldOpened {
        hold: HoldKey,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<CommandId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<ProviderId>,
        footprint: Footprint,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<Mono>,
    },
    /// What is open is to be ended before its owner ends it.
    HoldGivenUp { hold: HoldKey, why: GivenUp },
    /// What was open is not any more.
    HoldClosed { hold: HoldKey, how: Closed },
    /// A provider opened a channel at a door.
    ChannelOpened {
        channel: ChannelId,
        owner: ProviderId,
        kind: ChannelKind,
        /// What allowed it.
        grant: Grant,
        /// Who was at the other end.
        from: Peer,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<Mono>,
    },
    /// A channel is not open any more.
    ChannelClosed {
        channel: ChannelId,
        how: ChannelEnd,
        /// What came from the peer, where it is known. *Units*: bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        received: Option<u64>,
        /// What the peer was sent, where it is known. *Units*: bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent: Option<u64>,
    },
    /// The VM is not as it was believed to be.
    Observed { state: VmState, origin: Origin },
    /// Something happened past this agent that the VM's state does not show.
    Happened {
        origin: Origin,
        /// Which part of the VM it is about, as libvirt names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// The operator has stopped new work here.
    Frozen { freeze: Box<Freeze> },
    /// New work may begin again.
    Thawed { scope: Scope },
    /// The operator has taken every action for a while.
    GlassBroken { by: ProviderId, glass: Glass },
    /// It gives them back; by the agent when the time was up.
    GlassMended { by: ProviderId },
    /// Something happened to the host as a whole; only under [`VmId::HOST`](crate::model::VmId::HOST).
    Host(Box<HostFact>),
    /// The VM is not there any more.
    Vanished {
        /// None in journals of versions that did not know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
}

macro_rules! kinds {
    ($($name:ident = $word:literal,)*) => {
        impl Fact {
            /// The word of every kind, in the order of the declaration.
            pub const KINDS: &'static [&'static str] = &[$($word,)*];

            /// Its kind, by the word that it is journalled with.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $word,)*
                }
            }
        }
    };
}

kinds! {
    Enrolled = "enrolled",
    Released = "released",
    Delegation = "delegation",
    DrainBegan = "drain-began",
    DrainEnded = "drain-ended",
    Admitted = "admitted",
    GapFlagged = "gap-flagged",
    ConflictOpened = "conflict-opened",
    Asked = "asked",
    Answered = "answered",
    Escalated = "escalated",
    Decided = "decided",
    Settled = "settled",
    Started = "started",
    BecameUnknown = "became-unknown",
    FoundUndone = "found-undone",
    Ended = "ended",
    HoldOpened = "hold-opened",
    HoldGivenUp = "hold-given-up",
    HoldClosed = "hold-closed",
    ChannelOpened = "channel-opened",
    ChannelClosed = "channel-closed",
    Observed = "observed",
    Happened = "happened",
    Frozen = "frozen",
    Thawed = "thawed",
    GlassBroken = "glass-broken",
    GlassMended = "glass-mended",
    Host = "host",
    Vanished = "vanished",
}

/// Why what is open is ended before its owner ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum GivenUp {
    /// Its lease ran out.
    LeaseExpired {},
    /// The session of its owner ended.
    SessionLost {},
    /// It yields to this command: by class, by a callback, or because the operator broke the glass.
    Yielded { to: CommandId },
    /// Somebody who may asked for it.
    Requested { by: ProviderId, reason: String },
    /// What it was begun under is handed over, and the time for that is up.
    HandedOver { by: ProviderId },
}

/// How what was open came to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Closed {
    /// A command ended it, or ended what it lived in.
    ByCommand { command: CommandId },
    /// libvirt says that it is over.
    Seen {},
    /// The process it lived in is gone.
    Stopped {},
    /// The VM is gone from this host.
    Gone {},
    /// It was the lane's own and was given back.
    GivenBack {},
    /// Whoever could end it does not answer; nothing waits for it any longer.
    Unverified { reason: String },
}

/// A command as it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The command; its sequence number is set.
    pub command: Command,
    /// A digest of what its provider sent.
    pub digest: String,
    /// The hold that allows it.
    pub grant: Grant,
    /// When it was issued, on our clock; none when its stamp decides nothing.
    pub issued: Option<Interval>,
    /// What is wrong with its stamp.
    pub stamp: StampNote,
    /// When it must have begun.
    pub deadline: Option<Mono>,
    /// When it wishes to have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_start_by: Option<Mono>,
    /// Who was at the other end; not known in older journals, nor of the agent's own errands. A client's own call says it
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

/// What was noticed about a command's issue time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StampNote {
    /// It came with a usable stamp.
    Good,
    /// It came without one; the moment of receipt stands in for it.
    Missing,
    /// The stamp lies in our future; it was clamped to receipt.
    ClampedFuture,
    /// The provider's clock is beyond the limit; its time decides nothing.
    ClockBeyondLimit,
}

/// Which orders of two commands let both succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feasible {
    /// Why the first of the pair cannot be followed by the second; none when it can.
    pub first_then_second: Option<String>,
    /// Why the second cannot be followed by the first; none when it can.
    pub second_then_first: Option<String>,
}

/// Somebody who may be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// The operator's executable.
    Hook,
    /// A provider, by its session or standing answer.
    Provider(ProviderId),
}

/// What somebody wishes, told as which command goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "command", rename_all = "kebab-case")]
pub enum Answer {
    /// This command first.
    First(CommandId),
    /// This command is taken back; only its own provider can say so.
    Withdraw(CommandId),
    /// Either.
    NoOpinion,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// It was said.
    Said,
    /// The provider has no session; its configuration answers.
    Standing,
    /// Nobody answered in time, or the session was lost: the declared answer to silence.
    Silence,
}

/// Which command goes first, by which rule, and what the rules before it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Executed first.
    pub first: CommandId,
    /// Looked at again when the first has ended.
    pub second: CommandId,
    /// The rule that decided.
    pub rule: Rule,
    /// What each rule found, in order, the deciding one last.
    pub trail: Vec<Finding>,
}

/// The rules, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// One of the two is running already.
    AlreadyRunning,
    /// `after`, a provider's own sequence or earlier verdicts give the order.
    DeclaredOrder,
    /// Both wish the same.
    SameWish,
    /// The operator broke the glass.
    BreakGlass,
    /// Only one order lets both succeed.
    Feasibility,
    /// The operator said which, or declared that it wants to.
    Escalation,
    /// One was put back too often, or must begin now.
    Turn,
    /// The operator's hook or the providers said.
    Callback,
    /// The more urgent one.
    Class,
    /// The one whose provider alone holds what is contested.
    Ownership,
    /// The one issued certainly earlier.
    IssueTime,
    /// The one that was put back more often.
    Age,
    /// A stable hash of both ids.
    StableHash,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What it found, as one sentence.
    pub found: String,
}

/// Who brought a change of the VM about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "kebab-case")]
pub enum Origin {
    /// A command of ours that was running.
    Command { command: CommandId },
    /// Somebody past this agent: virsh, another manager. Without a cause it may have been anybody and anything.
    OutOfBand {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// The guest's own system.
    Guest { cause: Cause },
    /// QEMU, libvirt or the storage below them.
    Hypervisor { cause: Cause },
    /// The agent looked by itself: at enrollment, after a restart or a lost connection.
    Look,
}

impl Origin {
    /// What is known of who acted past this agent.
    #[must_use]
    pub fn past_us(cause: Option<Cause>) -> Self {
        match cause.map(|cause| (cause, cause.actor())) {
            Some((cause, Actor::Guest)) => Self::Guest { cause },
            Some((cause, Actor::Hypervisor)) => Self::Hypervisor { cause },
            Some((cause, Actor::OutOfBand)) => Self::OutOfBand { cause: Some(cause) },
            None => Self::OutOfBand { cause: None },
        }
    }

    /// What happened, if it is known and was not a command of ours.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        match self {
            Self::OutOfBand { cause } => *cause,
            Self::Guest { cause } | Self::Hypervisor { cause } => Some(*cause),
            Self::Command { .. } | Self::Look => None,
        }
    }

    /// Who it was, if it was somebody past this agent.
    #[must_use]
    pub const fn actor(&self) -> Option<Actor> {
        match self {
            Self::OutOfBand { .. } => Some(Actor::OutOfBand),
            Self::Guest { .. } => Some(Actor::Guest),
            Self::Hypervisor { .. } => Some(Actor::Hypervisor),
            Self::Command { .. } | Self::Look => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command { command } => write!(f, "by {command}"),
            Self::OutOfBand { cause: Some(cause) } => write!(f, "out of band: {cause}"),
            Self::OutOfBand { cause: None } => f.write_str("out of band"),
            Self::Guest { cause } => write!(f, "by the guest: {cause}"),
            Self::Hypervisor { cause } => write!(f, "by the hypervisor: {cause}"),
            Self::Look => f.write_str("as the agent looked"),
        }
    }
}

/// What the hypervisor said to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallResult {
    /// It was done; what libvirt gave back.
    Done(serde_json::Value),
    /// It was not done, and libvirt said why.
    Failed(Outcome),
    /// The answer was lost; it may or may not have been done.
    Lost(String),
}

/// What an observation says of a call whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// It took effect.
    Done,
    /// It did not, and cannot any more.
    Undone,
    /// Nothing that can be observed tells.
    None,
}
