//! From what a lane knows to what travels.

mod deed;

pub(crate) use self::deed::deed;
use super::wire::{
    CallView, CommandState, CommandView, DelegatedAction, Delegations, Draining, Event, Explanation, HeldBack,
    HoldView, OpenHold, RunningCommand, RunningVm, VmDetail,
};
use crate::journal::{Entry, Position};
use crate::lanes::Running;
use crate::model::{Mono, Now, ProviderId, Wall};
use crate::resolver::{
    Answer, ConflictRecord, Fact, Heard, Hold, Lane, Party, Phase, State, Tracked, deciding_rule, story, waiting,
};

/// A command as its lane knows it.
pub(crate) fn command(lane: &Lane, tracked: &Tracked, now: Now, reader: &ProviderId) -> CommandView {
    command_of(lane.state(), tracked, waiting(lane, tracked, now).map(|w| (w.reason, w.on)), reader)
}

/// A command of a state without a lane: history does not wait.
pub(crate) fn past_command(state: &State, tracked: &Tracked, reader: &ProviderId) -> CommandView {
    command_of(state, tracked, None, reader)
}

fn command_of(
    state: &State,
    tracked: &Tracked,
    waits: Option<(String, Vec<crate::model::CommandId>)>,
    reader: &ProviderId,
) -> CommandView {
    let command = tracked.command();
    let (received, started, finished) = tracked.times();
    let (mut code, mut cause, mut result) = (None, None, serde_json::Value::Null);
    let (mut reason, mut waiting_on) = waits.map_or((None, Vec::new()), |(reason, on)| (Some(reason), on));
    let stands = match tracked.phase() {
        Phase::Queued => CommandState::Queued,
        Phase::Running => CommandState::Running,
        Phase::Unknown => {
            reason = Some("its answer was lost; it is being observed".to_owned());
            CommandState::Unknown
        }
        Phase::Ended(outcome) => {
            code = Some(outcome.code);
            reason = Some(outcome.reason.clone());
            cause = outcome.cause;
            result = outcome.result.clone();
            waiting_on.clear();
            CommandState::from(outcome.ending)
        }
    };
    CommandView {
        id: command.id,
        vm: command.vm,
        provider: command.provider.clone(),
        action: command.operation.action(),
        args: command.operation.args(),
        order: command.order.clone(),
        class: command.class,
        issued_at: command.issued_at,
        must_start_by: command.must_start_by,
        break_glass: command.break_glass.clone(),
        call: command.call.as_ref().map(|call| CallView {
            procedure: call.procedure.clone(),
            peer: (Peers::of(&command.provider, reader) == Peers::Told).then(|| call.peer.clone()),
        }),
        deferrals: tracked.deferrals(),
        stamp: tracked.admission().stamp,
        seq_gap: tracked.gap(),
        state: stands,
        code,
        reason,
        waiting_on,
        rule: deciding_rule(state, tracked),
        conflicts: tracked.conflicts().to_vec(),
        cause,
        result,
        received_at: received.wall,
        started_at: started.map(|at| at.wall),
        finished_at: finished.map(|at| at.wall),
    }
}

/// A command's story, with the conflicts it had a part in.
pub(crate) fn explanation(state: &State, tracked: &Tracked, view: CommandView) -> Explanation {
    let conflicts = tracked.conflicts().iter().filter_map(|id| state.conflict(*id));
    Explanation {
        command: view,
        story: story(state, tracked),
        conflicts: conflicts.map(ConflictRecord::from).collect(),
    }
}

/// Who may do what; none when the VM is not co-managed.
pub(crate) fn delegations(state: &State, now: Mono) -> Option<Delegations> {
    let authority = state.authority()?;
    let delegations = (authority.delegated.iter())
        .flat_map(|(action, holders)| holders.iter().map(move |(provider, hold)| (action, provider, hold)))
        .filter(|(_, _, hold)| hold.expires.is_none_or(|end| now < end))
        .map(|(action, provider, hold)| DelegatedAction {
            action: *action,
            provider: provider.clone(),
            mode: hold.mode,
            epoch: hold.epoch,
            expires_at: hold.expires_at,
        });
    Some(Delegations {
        running: Vec::new(),
        primary: authority.primary.clone(),
        epoch: authority.epoch,
        delegations: delegations.collect(),
        draining: state.drain().map(|drain| Draining {
            by: drain.request.by().clone(),
            closing: drain.closing.clone(),
            until: drain.until,
            waits_for: state.drain_waits_for(),
        }),
    })
}

/// A co-managed VM; none when it is not co-managed.
pub(crate) fn vm(lane: &Lane, caller: &ProviderId, now: Now) -> Option<VmDetail> {
    let state = lane.state();
    let believed = state.believed()?;
    Some(VmDetail {
        vm: state.vm(),
        name: state.name().to_owned(),
        state: believed.power,
        generation: believed.generation(),
        vcpus: believed.vcpus,
        memory_kib: believed.memory_kib,
        snapshots: believed.snapshots.clone(),
        delegations: delegations(state, now.mono)?,
        next_seq: state.highest_seq(caller).saturating_add(1),
        live_commands: state.live_count(),
    })
}

/// What is open on a VM and who waits for it; how far it is, only the hypervisor can tell.
pub(crate) fn holds(state: &State, now: Now) -> Vec<HoldView> {
    state.holds().map(|hold| hold_of(state, hold, now)).collect()
}

fn hold_of(state: &State, hold: &Hold, now: Now) -> HoldView {
    let mut waiting: Vec<&Tracked> = state.commands().filter(|tracked| hold.holds_back(tracked)).collect();
    waiting.sort_by_key(|tracked| (tracked.times().0.mono, tracked.command().id));
    let held_back = |tracked: &Tracked| {
        let command = tracked.command();
        HeldBack { command: command.id, provider: command.provider.clone(), action: command.operation.action() }
    };
    let since = hold.since();
    let until = |lease: Mono| {
        let whole = lease.since(since.mono);
        since.wall.shifted(i64::try_from(whole.as_micros()).unwrap_or(i64::MAX))
    };
    let opener = hold.opener().and_then(|opener| state.command(opener));
    HoldView {
        vm: state.vm(),
        name: state.name().to_owned(),
        hold: hold.key().clone(),
        owner: hold.owner().cloned(),
        command: hold.opener(),
        action: opener.map(|opener| opener.command().operation.action()),
        since: since.wall,
        age_s: now.mono.since(since.mono).as_secs(),
        lease_until: hold.lease().map(until),
        lease_left_s: hold.lease().map(|lease| lease.since(now.mono).as_secs()),
        given_up: hold.given_up().cloned(),
        ending: hold.given_up().map(ToString::to_string),
        waiting: waiting.into_iter().map(held_back).collect(),
        progress: None,
    }
}

impl From<Running> for RunningVm {
    fn from(Running { vm, name, commands, holds }: Running) -> Self {
        let command = |(id, provider, action)| RunningCommand { id, provider, action };
        let commands = commands.into_iter().map(command).collect();
        Self { vm, name, commands, holds: holds.into_iter().map(|(hold, owner)| OpenHold { hold, owner }).collect() }
    }
}

/// What a provider has begun on a VM and is not over.
pub(crate) fn running(state: &State, of: &ProviderId) -> RunningVm {
    Running::on(state, Some(of)).into()
}

/// Whether a reader is told who was at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peers {
    /// It is the operator, or was at that end itself.
    Told,
    /// It is somebody else.
    Hidden,
}

impl Peers {
    fn for_whom(reader: &ProviderId, fact: &Fact) -> Self {
        let whose = if let Fact::Admitted(admission) = fact {
            Some(&admission.command.provider)
        } else if let Fact::ChannelOpened { owner, .. } = fact {
            Some(owner)
        } else {
            None
        };
        whose.map_or(Self::Told, |whose| Self::of(whose, reader))
    }

    fn of(whose: &ProviderId, reader: &ProviderId) -> Self {
        if reader.is_operator() || whose == reader { Self::Told } else { Self::Hidden }
    }
}

/// What happened in one step of a lane, as events. Who was at the other end is for the operator and for itself.
pub(crate) fn events(position: Position, entry: &Entry, reader: &ProviderId) -> Vec<Event> {
    let told = |fact: &Fact| {
        let mut value = serde_json::to_value(fact).unwrap_or_default();
        let peers = Peers::for_whom(reader, fact);
        if peers == Peers::Hidden {
            hide_peers(&mut value);
        }
        let kind = value.get("fact").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
        let at: Wall = entry.at.wall;
        Event { cursor: position, at, vm: entry.vm, kind, text: sentence(fact, peers), fact: value }
    };
    entry.facts.iter().map(told).collect()
}

/// Takes out who was at the other end when a command was sent or a channel was opened.
fn hide_peers(fact: &mut serde_json::Value) {
    let Some(fields) = fact.as_object_mut() else { return };
    fields.remove("peer");
    fields.remove("from");
    if let Some(call) = fact.pointer_mut("/command/call").and_then(serde_json::Value::as_object_mut) {
        call.retain(|field, _| field == "procedure");
    }
}

/// A fact as one sentence.
fn sentence(fact: &Fact, peers: Peers) -> String {
    match fact {
        Fact::Enrolled { name, primary, .. } => format!("{primary} enrolled {name}"),
        Fact::Released { by } => format!("{by} ended co-management"),
        Fact::Delegation { change, .. } => change_sentence(change),
        Fact::DrainBegan { by, drain } => {
            let whose: Vec<String> = drain.closing.keys().map(ToString::to_string).collect();
            format!("{by} is handing over; what {} has in flight ends first", whose.join(" and "))
        }
        Fact::DrainEnded { failed: None } => "what was in flight has ended; the hand-over takes effect".to_owned(),
        Fact::DrainEnded { failed: Some(reason) } => format!("the hand-over did not come about: {reason}"),
        Fact::Admitted(admission) => {
            let command = &admission.command;
            let seq = command.order.seq.unwrap_or_default();
            let glass = command.break_glass.as_ref().map(|why| format!(", breaking the glass ({why})"));
            let call = command.call.as_ref().map(|call| match peers {
                Peers::Told => format!(", by its own call ({call})"),
                Peers::Hidden => format!(", by its own call ({})", call.procedure),
            });
            let (action, glass, call) =
                (command.operation.action(), glass.unwrap_or_default(), call.unwrap_or_default());
            format!("{} sent {action} as number {seq}{glass}{call}: {}", command.provider, command.id)
        }
        Fact::GapFlagged { command, expected } => format!("{command} goes on without sequence number {expected}"),
        Fact::ConflictOpened { conflict, between: [a, b], contested, .. } => {
            let contested: Vec<String> = contested.iter().map(ToString::to_string).collect();
            format!("{a} and {b} conflict over {}: {conflict}", contested.join(", "))
        }
        Fact::Asked { conflict, who, .. } => {
            format!("{} asked about {conflict}", who.iter().map(party).collect::<Vec<_>>().join(" and "))
        }
        Fact::Answered { conflict, by, answer, how, .. } => {
            let said = match answer {
                Answer::First(command) => format!("{command} first"),
                Answer::Withdraw(command) => format!("{command} is taken back"),
                Answer::NoOpinion => "no opinion".to_owned(),
            };
            let heard = match how {
                Heard::Said => "said",
                Heard::Standing => "by its standing answer",
                Heard::Silence => "by its silence",
            };
            format!("{} about {conflict}: {said} ({heard})", party(by))
        }
        Fact::Escalated { conflict, .. } => format!("both want to be first; the operator is to decide {conflict}"),
        Fact::Decided { conflict, by, first } => format!("{by} says of {conflict}: {first} first"),
        Fact::Settled { verdict, .. } => {
            format!("{} goes before {}, by {}", verdict.first, verdict.second, verdict.rule.as_str())
        }
        Fact::Started { command, .. } => format!("{command} was given to the hypervisor"),
        Fact::BecameUnknown { command } => format!("the answer to {command} was lost; it is observed"),
        Fact::FoundUndone { command } => format!("{command} is seen not to have taken effect; it waits again"),
        Fact::Ended { command, outcome } => format!("{command} ended {}: {}", outcome.ending, outcome.reason),
        Fact::HoldOpened { hold, owner: Some(owner), .. } => format!("{owner} has a {hold} open"),
        Fact::HoldOpened { hold, owner: None, .. } => format!("a {hold} is open that was begun past covirt"),
        Fact::HoldGivenUp { hold, why } => format!("the {hold} is to be ended: {why}"),
        Fact::HoldClosed { hold, how } => format!("the {hold} is over: {how}"),
        Fact::ChannelOpened { owner, kind, from, channel, .. } => match peers {
            Peers::Told => format!("{owner} opened the {kind} ({from}): {channel}"),
            Peers::Hidden => format!("{owner} opened the {kind}: {channel}"),
        },
        Fact::ChannelClosed { channel, how, .. } => format!("channel {channel} is closed: {how}"),
        Fact::Observed { state, origin } => {
            format!("the VM is {}, {} vCPUs, {} ({origin})", state.power, state.vcpus, state.memory_kib)
        }
        Fact::Happened { origin, subject } => {
            let about = subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
            format!("it happened {origin}{about}")
        }
        Fact::Frozen { freeze } => format!("{freeze}; nothing new begins"),
        Fact::Thawed { scope } => format!("the operator has thawed {scope}"),
        Fact::GlassBroken { by, glass } => {
            format!("{by} broke the glass and has every action until {}: {}", glass.until_at, glass.reason)
        }
        Fact::GlassMended { by } => format!("the glass is whole again ({by})"),
        Fact::Host(fact) => fact.to_string(),
        Fact::Vanished { origin: Some(origin) } => format!("the VM does not exist any more ({origin})"),
        Fact::Vanished { origin: None } => "the VM does not exist any more".to_owned(),
    }
}

fn party(party: &Party) -> String {
    match party {
        Party::Hook => "the operator's hook".to_owned(),
        Party::Provider(provider) => provider.to_string(),
    }
}

fn change_sentence(change: &crate::delegation::Change) -> String {
    use crate::delegation::{Change, Mode};
    let names = |actions: &std::collections::BTreeSet<crate::model::Action>| {
        actions.iter().map(|action| action.name()).collect::<Vec<_>>().join(", ")
    };
    match change {
        Change::Delegated { by, to, actions, mode, .. } => {
            let how = match mode {
                Mode::Exclusive => "alone",
                Mode::Shared => "shared",
            };
            format!("{by} delegated {} to {to}, {how}", names(actions))
        }
        Change::Revoked { by, from, actions, .. } => format!("{by} took {} back from {from}", names(actions)),
    }
}

#[cfg(test)]
mod tests;
