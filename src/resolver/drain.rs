//! Hand-overs on a lane: begun, waited for, done or given up. What it means is in [`Drain`].

use super::fact::Fact;
use super::policy::Policy;
use super::state::{State, Tracked};
use crate::delegation::{ChangeRequest, Drain, InFlight, decide};
use crate::model::{Action, Code, Now, ProviderId, Refusal};

/// What has not ended, as hand-overs look at it.
pub(crate) fn in_flight(state: &State) -> InFlight {
    (state.live())
        .map(Tracked::command)
        .map(|command| (command.provider.clone(), command.operation.action(), command.id))
        .collect()
}

/// Begins a hand-over; [`due`] ends it, in the same step when nothing is in flight.
///
/// *Errors*: those of the change itself; [`Code::Draining`] while another hand-over is under way.
pub(crate) fn begin(state: &State, policy: &Policy, request: ChangeRequest, now: Now) -> Result<Fact, Refusal> {
    let unknown_vm = || Refusal::new(Code::UnknownVm, "the VM is not co-managed");
    let authority = state.authority.as_ref().ok_or_else(unknown_vm)?;
    let by = request.by().clone();
    let wait = i64::try_from(policy.drain_wait.as_micros()).unwrap_or(i64::MAX);
    let end = (now.mono.after(policy.drain_wait), now.wall.shifted(wait));
    let drain = Drain::prepare(authority, request, now, end)?;
    if let Some(other) = &state.drain {
        let message = format!("{} has begun another hand-over on this VM; it ends first", other.request.by());
        return Err(Refusal::new(Code::Draining, message).held_by(other.request.by().clone(), Some(other.until)));
    }
    Ok(Fact::DrainBegan { by, drain })
}

/// Why `provider` may start nothing new of `action`; none when it may.
pub(crate) fn refuses(state: &State, provider: &ProviderId, action: Action) -> Option<Refusal> {
    state.drain.as_ref().filter(|drain| drain.closes(provider, action)).map(|drain| drain.refusal(action))
}

/// The end of a hand-over, once nothing it waits for is left or it has waited too long.
pub(crate) fn due(state: &State, now: Now) -> Option<Vec<Fact>> {
    let (drain, authority) = (state.drain.as_ref()?, state.authority.as_ref()?);
    let waits_for = drain.waits_for(&in_flight(state));
    if let Some(command) = waits_for.first() {
        let late = drain.deadline <= now.mono;
        let failed = || Some(format!("command {command} had not ended in time; everything stays as it was"));
        return late.then(|| vec![Fact::DrainEnded { failed: failed() }]);
    }
    // Other changes may have been made meanwhile, so it is decided now.
    Some(match decide(authority, &drain.request, &InFlight::new(), now) {
        Ok(change) => {
            vec![Fact::DrainEnded { failed: None }, Fact::Delegation { by: drain.request.by().clone(), change }]
        }
        Err(refusal) => vec![Fact::DrainEnded { failed: Some(refusal.message) }],
    })
}
