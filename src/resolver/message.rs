//! What a lane is told and what it wants done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::call::Call;
use super::channel::{ChannelEnd, ChannelRequest};
use super::fact::{CallResult, Evidence, Fact, Heard, Party};
use super::policy::Said;
use crate::delegation::{Change, ChangeRequest};
use crate::model::{
    Cause, ChannelId, ClockEstimate, Command, CommandId, ConflictId, Happening, HoldKey, Mono, Now, Outcome, Peer,
    ProviderId, Refusal, Resource, VmState,
};
use crate::sovereignty::Restraint;

/// What is known of where a command comes from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sender {
    /// Its provider's clock; ours without one.
    pub clock: Option<ClockEstimate>,
    /// Who was at the other end.
    pub peer: Option<Peer>,
    /// Why it is more than its provider may have under way on the whole host, if it is and is new.
    pub over: Option<Box<Refusal>>,
}

/// Names a request to the lane, so that its answer finds the way back.
pub type Token = u64;

/// What a lane is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody wants the VM co-managed, with `primary` as its primary.
    Enroll { token: Token, name: String, primary: ProviderId, state: VmState },
    /// Somebody wants co-management to end.
    Release { token: Token, by: ProviderId },
    /// A provider sends a command; what is known of its clock. A lane remembers its last ended commands only: an id
    /// that the journal knows and the lane does not is answered from the journal, not submitted again.
    Submitted { token: Token, command: Box<Command>, sender: Sender },
    /// Somebody takes a command back.
    Cancel { token: Token, by: ProviderId, command: CommandId },
    /// Somebody wants to change who may do what.
    Change { token: Token, request: ChangeRequest },
    /// Somebody wants to change who may do what once what is in flight has ended.
    Drain { token: Token, request: ChangeRequest },
    /// The operator says which command of a conflict goes first.
    Decide { token: Token, by: ProviderId, conflict: ConflictId, first: CommandId },
    /// A provider answered an ask.
    Answered { token: Option<Token>, conflict: ConflictId, epoch: u64, by: ProviderId, said: Said, how: Heard },
    /// The operator's hook answered: this command first, or no opinion.
    HookAnswered { conflict: ConflictId, epoch: u64, first: Option<CommandId> },
    /// An ask cannot be answered any more: no session, or it was lost.
    AnswerLost { conflict: ConflictId, epoch: u64, by: Party },
    /// The hypervisor showed the VM in this state.
    Observed { state: VmState, why: Observation },
    /// The VM does not exist at the hypervisor.
    Vanished { why: Observation },
    /// Something happened that the VM's state need not show. A restart that a call of ours made is not told.
    Happened(Happening),
    /// A provider's session ended.
    SessionLost { provider: ProviderId },
    /// Somebody wants what is open ended; why, as a sentence.
    ReleaseHold { token: Token, by: ProviderId, hold: HoldKey, reason: String },
    /// A provider wants a channel opened.
    OpenChannel { token: Token, request: ChannelRequest },
    /// Somebody wants a channel closed; why, as a sentence.
    CloseChannel { token: Token, by: ProviderId, channel: ChannelId, reason: String },
    /// A channel ended by itself, having carried so many bytes from and to its peer.
    ChannelOver { channel: ChannelId, how: ChannelEnd, received: u64, sent: u64 },
    /// What holds on the whole host from now on.
    Restrained(Arc<Restraint>),
    /// The operator takes every action of the VM for a while.
    BreakGlass { token: Token, by: ProviderId, reason: String, span: Duration },
    /// The operator gives them back.
    MendGlass { token: Token, by: ProviderId },
    /// Something changed at the VM, and what it is now is being looked at: `Observed` or `Vanished` follows. Until then
    /// no command ends because of what the VM was believed to be.
    Doubted,
    /// A call ended. What it made of the VM was told by `Observed` before: a start is known by its id only so.
    Finished { command: CommandId, result: CallResult },
    /// A call whose answer was lost was looked into.
    Probed { command: CommandId, evidence: Evidence },
    /// Every `Append` up to this step is durable.
    Persisted { step: u64 },
    /// The connection of the client whose call a command is ended; nobody can make that call any more.
    ClientGone { command: CommandId },
    /// The agent was started again; what was running is not, and every client's connection is gone.
    Recovered,
    /// The lane was built anew while the agent goes on; these commands' clients still wait, and their calls were not
    /// made.
    Rebuilt { carried: BTreeSet<CommandId> },
    /// Time has passed.
    Tick,
    /// The agent is about to stop.
    Closing,
}

/// Why the state was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// An event said that something changed.
    Event,
    /// An event said what happened.
    Told(Cause),
    /// The agent looked by itself.
    Look,
}

/// What a lane wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Make these facts durable, then say `Persisted` with this step.
    Append { step: u64, at: Now, facts: Vec<Fact> },
    /// Call the hypervisor.
    Execute(Call),
    /// Look whether this call took effect.
    Probe(Call),
    /// Ask somebody which of two commands goes first.
    Ask(Box<Ask>),
    /// A request was taken.
    Accepted { token: Token, what: Accepted },
    /// A request was not taken.
    Refused { token: Token, refusal: Box<Refusal> },
    /// A command ended.
    Ended { command: CommandId, outcome: Outcome },
    /// Cut this channel off, if it is still open.
    CloseChannel { channel: ChannelId, how: ChannelEnd },
    /// Send a `Tick` at this moment.
    WakeAt(Mono),
}

/// What was taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// The VM is co-managed now, or is not any more.
    Standing,
    /// A command, new or known word for word.
    Command(CommandId),
    /// The delegations changed so.
    Change(Change),
    /// A change of the delegations; it takes effect once what is in flight has ended.
    Drain,
    /// A channel was opened, or is to be closed.
    Channel(ChannelId),
    /// An answer.
    Answer,
    /// The operator's decision.
    Decision,
}

/// A question: which of these two goes first?
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The conflict.
    pub conflict: ConflictId,
    /// Which round of asking; an answer names it.
    pub epoch: u64,
    /// Who is asked.
    pub who: Party,
    /// For a provider, its own command; for the hook, either.
    pub mine: Command,
    /// The other.
    pub theirs: Command,
    /// What "theirs" waits for and "mine" has left open; or the other way round for the hook.
    pub hold: Option<HoldKey>,
    /// Which of the two has left it open.
    pub opener: Option<CommandId>,
    /// What both touch.
    pub contested: Vec<Resource>,
    /// Why "mine first" would not let both succeed; none when it would.
    pub mine_first_fails: Option<String>,
    /// Why "theirs first" would not.
    pub theirs_first_fails: Option<String>,
    /// How long an answer is waited for.
    pub within: Duration,
}
