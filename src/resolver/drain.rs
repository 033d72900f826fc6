//! Hand-overs on a lane: begun, waited for, done or given up. What it means is in [`Drain`].
//!
//! What a provider has left open is in flight, too: the hand-over waits for its end, which its owner may bring about.
//! What is still open at the limit is given up and ended with proof, and then the hand-over takes effect.

use std::time::Duration;

use super::fact::{Fact, GivenUp};
use super::hold::{self, Hold};
use super::policy::Policy;
use super::restraint;
use super::state::{State, Tracked};
use crate::delegation::{ChangeRequest, Drain, Flight, InFlight, decide};
use crate::model::{Code, Command, Mono, Now, Refusal};
use crate::sovereignty::Restraint;

/// How long what is open at the limit is given to end.
const UNLOCK_LIMIT: Duration = Duration::from_secs(60);

/// What has not ended, as hand-overs look at it.
pub(crate) fn in_flight(state: &State) -> InFlight {
    let open = state.holds.values().flat_map(|hold| of_hold(state, hold));
    state.live().map(Tracked::command).map(flight).chain(open).collect()
}

/// What is open is in flight under the action that opened it, and under the one that ends it: nobody loses that
/// meanwhile.
fn of_hold(state: &State, hold: &Hold) -> Vec<Flight> {
    let opener = hold.opener.and_then(|opener| state.commands.get(&opener)).map(Tracked::command);
    let both = |opener: &Command| [opener.operation.action(), hold::ending(&hold.key).action()];
    let flights = |opener: &Command| both(opener).map(|action| (opener.provider.clone(), action, opener.id)).to_vec();
    opener.map(flights).unwrap_or_default()
}

fn flight(command: &Command) -> Flight {
    (command.provider.clone(), command.operation.action(), command.id)
}

/// Begins a hand-over; [`due`] ends it, in the same step when nothing is in flight.
///
/// *Errors*: those of the change itself; [`Code::Draining`] while another hand-over is under way.
pub(crate) fn begin(
    state: &State,
    policy: &Policy,
    told: Option<&Restraint>,
    request: ChangeRequest,
    now: Now,
) -> Result<Fact, Refusal> {
    let unknown_vm = || Refusal::new(Code::UnknownVm, "the VM is not co-managed");
    let authority = state.authority.as_ref().ok_or_else(unknown_vm)?;
    let by = request.by().clone();
    let wait = i64::try_from(policy.drain_wait.as_micros()).unwrap_or(i64::MAX);
    let end = (now.mono.after(policy.drain_wait), now.wall.shifted(wait));
    if let Some(refusal) = restraint::refuses_change(state, told, &request) {
        return Err(refusal);
    }
    let drain = Drain::prepare(authority, request, now, end)?;
    if let Some(other) = &state.drain {
        let message = format!("{} has begun another hand-over on this VM; it ends first", other.request.by());
        return Err(Refusal::new(Code::Draining, message).held_by(other.request.by().clone(), Some(other.until)));
    }
    Ok(Fact::DrainBegan { by, drain })
}

/// Why a command is nothing new that may begin now; none when it may. One that ends what its own provider has open is
/// what is waited for, until somebody else ends that.
pub(crate) fn refuses(state: &State, command: &Command) -> Option<Refusal> {
    let action = command.operation.action();
    let drain = state.drain.as_ref().filter(|drain| drain.closes(&command.provider, action))?;
    (!ends_its_own(state, command)).then(|| drain.refusal(action))
}

/// Whether a command ends what its own provider has open, and nobody else ends that already.
pub(crate) fn ends_its_own(state: &State, command: &Command) -> bool {
    let ends = command.operation.ends_open().and_then(|key| state.holds.get(&key));
    ends.is_some_and(|hold| hold.owner.as_ref() == Some(&command.provider) && hold.given_up.is_none())
}

/// The end of a hand-over, once nothing it waits for is left or it has waited too long.
pub(crate) fn due(state: &State, told: Option<&Restraint>, now: Now) -> Option<Vec<Fact>> {
    let (drain, authority) = (state.drain.as_ref()?, state.authority.as_ref()?);
    if !drain.waits_for(&in_flight(state)).is_empty() {
        return (drain.deadline <= now.mono).then(|| at_the_limit(state, drain, now)).flatten();
    }
    if let Some(refusal) = restraint::refuses_change(state, told, &drain.request) {
        return Some(vec![Fact::DrainEnded { failed: Some(refusal.message) }]);
    }
    // Other changes may have been made meanwhile, so it is decided now.
    Some(match decide(authority, &drain.request, &InFlight::new(), now) {
        Ok(change) => {
            vec![Fact::DrainEnded { failed: None }, Fact::Delegation { by: drain.request.by().clone(), change }]
        }
        Err(refusal) => vec![Fact::DrainEnded { failed: Some(refusal.message) }],
    })
}

/// What is done about what has not ended in time: a command is never broken off, and what is open is ended.
fn at_the_limit(state: &State, drain: &Drain, now: Now) -> Option<Vec<Fact>> {
    let failed = |reason: String| Some(vec![Fact::DrainEnded { failed: Some(reason) }]);
    let late = unlock_limit(drain) <= now.mono;
    // A command that ends what is open has as long as that has.
    let waited_for = |command: &&Command| drain.closes(&command.provider, command.operation.action());
    let mut commands = state.live().map(Tracked::command).filter(waited_for);
    if let Some(command) = commands.find(|command| late || command.operation.ends_open().is_none()) {
        return failed(format!("command {} had not ended in time; everything stays as it was", command.id));
    }
    let waited_for = |hold: &&Hold| !drain.waits_for(&of_hold(state, hold).into_iter().collect()).is_empty();
    let open: Vec<&Hold> = state.holds.values().filter(waited_for).collect();
    let why = || GivenUp::HandedOver { by: drain.request.by().clone() };
    let give_up = |hold: &&Hold| Fact::HoldGivenUp { hold: hold.key.clone(), why: why() };
    let facts: Vec<Fact> = open.iter().filter(|hold| hold.given_up.is_none()).map(give_up).collect();
    if !facts.is_empty() {
        return Some(facts);
    }
    let still_open =
        |hold: &&Hold| format!("{} could not be ended in time; who may do what stays as it was", hold.named());
    open.first().filter(|_| late).map(still_open).and_then(failed)
}

fn unlock_limit(drain: &Drain) -> Mono {
    drain.deadline.after(UNLOCK_LIMIT)
}

/// When something about a hand-over may be due.
pub(crate) fn next_due(state: &State) -> impl Iterator<Item = Mono> {
    state.drain.iter().flat_map(|drain| [drain.deadline, unlock_limit(drain)])
}
