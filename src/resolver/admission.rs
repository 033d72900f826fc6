//! Taking a command in: duplicates, replays, authority, order, deadline, issue time, room.

use super::client;
use super::drain;
use super::fact::{Admission, StampNote};
use super::message::Sender;
use super::policy::Policy;
use super::restraint;
use super::state::{Standing, State};
use crate::delegation::Authority;
use crate::model::action::Way;
use crate::model::operation::is_of;
use crate::model::{
    ClockEstimate, Code, Command, CommandId, Interval, Mono, Now, Operation, ProviderId, Refusal, Wall,
};
use crate::sovereignty::Restraint;

/// What to do with a submitted command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is new.
    New(Box<Admission>),
    /// It came before, word for word.
    Again(CommandId),
}

fn has_part(authority: &Authority, provider: &ProviderId, now: Now) -> bool {
    provider.is_operator() || provider.is_agent() || authority.providers(now.mono).contains(&provider)
}

/// Decides whether a command is taken in.
///
/// *Errors*: a refusal; nothing of the command is kept then.
pub(crate) fn admit(
    state: &State,
    policy: &Policy,
    told: Option<&Restraint>,
    command: Command,
    sender: Sender,
    now: Now,
) -> Result<Taken, Refusal> {
    let unknown_vm = || Refusal::new(Code::UnknownVm, "there is no VM of this id that you co-manage");
    let authority = state.authority.as_ref().filter(|_| state.standing != Standing::Free).ok_or_else(unknown_vm)?;
    let digest = command.digest();
    if let Some(known) = state.commands.get(&command.id) {
        if known.admission.digest == digest {
            return Ok(Taken::Again(command.id));
        }
        // Who has no part in the VM does not learn which ids others have used.
        if known.command().provider != command.provider && !has_part(authority, &command.provider, now) {
            return Err(unknown_vm());
        }
        let message = format!("the id {} was used before with other content", command.id);
        return Err(Refusal::new(Code::IdReused, message).blocked_by(command.id));
    }
    if state.forgotten.contains(&command.id) && has_part(authority, &command.provider, now) {
        let message = format!("command {} ended long ago; only the journal remembers how", command.id);
        return Err(Refusal::new(Code::SeqReplayed, message).blocked_by(command.id));
    }
    let grant = authority.authorise(&command.provider, command.operation.action(), now)?;
    may_break_glass(&command)?;
    if let Some(refusal) = restraint::refuses(state, told, &command) {
        return Err(refusal);
    }
    if let Some(refusal) = drain::refuses(state, &command) {
        return Err(refusal);
    }
    if let Some(epoch) = command.epoch.filter(|epoch| *epoch != authority.epoch) {
        let message = format!("the delegation epoch is {}, not {epoch}; read the delegations again", authority.epoch);
        return Err(Refusal::new(Code::StaleEpoch, message));
    }
    let back = client::is_coming_back(state) || client::brings_back(state, &command);
    if state.standing == Standing::Vanished && !back {
        let message = match &state.moved_to {
            Some(host) => format!("the VM has moved to {host}"),
            None => "the VM does not exist at the hypervisor any more".to_owned(),
        };
        return Err(Refusal::new(Code::VmGone, message));
    }
    may_come_this_way(&command)?;
    names_its_own(&command, authority, now)?;
    let command = restraint::with_glass(state, with_sequence(state, command)?);
    if let Some(cycle) = state.cycle_closed_by(&command) {
        let along = cycle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" after ");
        return Err(Refusal::new(Code::AfterCycle, format!("`after` closes a cycle: {along}")));
    }
    let waiting = state.live().filter(|other| other.command().provider == command.provider).count();
    if waiting >= policy.queue_limit {
        let message = format!("{} has {waiting} commands waiting on this VM, the most it may", command.provider);
        return Err(Refusal::new(Code::QueueFull, message));
    }
    let Sender { clock, peer, over } = sender;
    if let Some(refusal) = over {
        return Err(*refusal);
    }
    let (issued, stamp) = issue_time(&command, clock, policy, now);
    let deadline = command.not_after.map(|wall| deadline_of(wall, clock, now));
    if deadline.is_some_and(|deadline| deadline <= now.mono) {
        return Err(Refusal::new(Code::DeadlinePassed, "not_after had passed when the command arrived"));
    }
    let must_start_by = command.must_start_by.map(|wall| deadline_of(wall, clock, now));
    if must_start_by.is_some_and(|by| by <= now.mono) {
        return Err(Refusal::new(Code::DeadlinePassed, "must_start_by had passed when the command arrived"));
    }
    Ok(Taken::New(Box::new(Admission { command, digest, grant, issued, stamp, deadline, must_start_by, peer })))
}

/// What a client's own call is made for, no request asks for; and the other way round for what opens a channel: at a
/// door, the client's call opens it.
fn may_come_this_way(command: &Command) -> Result<(), Refusal> {
    let action = command.operation.action();
    let relayed = matches!(command.operation, Operation::Relayed(_));
    if command.call.is_some() {
        return Ok(());
    }
    if relayed || action.spec().way == Way::Relay {
        let message = format!("{action} is asked for by a libvirt client's own call, through its provider's door");
        return Err(Refusal::new(Code::OnlyRelayed, message));
    }
    if action.spec().way == Way::Channel {
        let message = format!("{action} is no command: the channel is opened at its door, by whoever holds the action");
        return Err(Refusal::new(Code::OpensChannel, message));
    }
    Ok(())
}

/// What the arguments name is the provider's own. A client that knows nothing of covirt cannot give its checkpoints
/// its provider's name: there it is enough that they do not bear another's.
fn names_its_own(command: &Command, authority: &Authority, now: Now) -> Result<(), Refusal> {
    let (operation, provider) = (&command.operation, &command.provider);
    let refuse = |reason: String| Refusal::new(Code::NameNotYours, reason);
    if command.call.is_none() {
        return operation.check_for(provider, command.vm).map_err(refuse);
    }
    if let Operation::DefinitionDefine(_) = operation {
        return operation.check_for(provider, command.vm).map_err(refuse);
    }
    let Some(name) = operation.checkpoint().filter(|_| !provider.is_operator()) else { return Ok(()) };
    let others = authority.providers(now.mono).into_iter().filter(|other| *other != provider);
    match others.into_iter().find(|other| is_of(other, name)) {
        Some(other) => Err(refuse(format!("the checkpoint {name:?} is {other}'s"))),
        None => Ok(()),
    }
}

/// The longest reason that is kept. *Units*: bytes.
const REASON_MAX: usize = 1024;

/// Only the operator passes every queue, and it says why.
fn may_break_glass(command: &Command) -> Result<(), Refusal> {
    let Some(reason) = &command.break_glass else { return Ok(()) };
    if !command.provider.is_operator() {
        return Err(Refusal::new(Code::Forbidden, "only the operator breaks the glass"));
    }
    if reason.trim().is_empty() || reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        let message = format!("break_glass is a reason of one line, at most {REASON_MAX} bytes");
        return Err(Refusal::new(Code::Malformed, message));
    }
    Ok(())
}

fn with_sequence(state: &State, mut command: Command) -> Result<Command, Refusal> {
    let sequence = state.sequences.get(&command.provider).copied().unwrap_or_default();
    let Some(seq) = command.order.seq else {
        command.order.seq = Some(sequence.highest.saturating_add(1));
        return Ok(command);
    };
    if let Some(ended) = sequence.ended.filter(|ended| seq <= *ended) {
        let message = format!("sequence number {seq} is not above {ended}, the last that ended: this is a replay");
        return Err(Refusal::new(Code::SeqReplayed, message));
    }
    let twin = state.live().find(|other| other.command().provider == command.provider && other.seq() == seq);
    if let Some(twin) = twin {
        let id = twin.command().id;
        let message = format!("sequence number {seq} belongs to command {id} already");
        return Err(Refusal::new(Code::SeqTaken, message).blocked_by(id));
    }
    Ok(command)
}

fn issue_time(
    command: &Command,
    clock: Option<ClockEstimate>,
    policy: &Policy,
    now: Now,
) -> (Option<Interval>, StampNote) {
    let Some(stamp) = command.issued_at else {
        return (Some(Interval::exactly(now.wall)), StampNote::Missing);
    };
    let clock = clock.unwrap_or(ClockEstimate::SHARED);
    if clock.is_beyond(policy.clock_limit) {
        return (None, StampNote::ClockBeyondLimit);
    }
    let issued = clock.interval_of(stamp);
    if issued.earliest > now.wall {
        return (Some(Interval::exactly(now.wall)), StampNote::ClampedFuture);
    }
    (Some(Interval { latest: issued.latest.min(now.wall), ..issued }), StampNote::Good)
}

/// A deadline by the provider's clock, on ours; the latest it can mean, so that no command dies of doubt.
fn deadline_of(by: Wall, clock: Option<ClockEstimate>, now: Now) -> Mono {
    let ours = clock.unwrap_or(ClockEstimate::SHARED).interval_of(by).latest;
    let left = u64::try_from(ours.micros_since(now.wall)).unwrap_or(0);
    now.mono.after(std::time::Duration::from_micros(left))
}
