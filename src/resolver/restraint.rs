//! What the host's owner has put on this VM: freezes, the ceiling, and the glass that it broke.
//!
//! The agent tells a lane what holds on the whole host; the lane journals what of that touches its VM, and goes by what
//! it journalled. So a replay knows what was frozen when, and so does whoever reads the VM's history.
//!
//! The ceiling is the agent's configuration, as a policy is: it is not journalled, and what it makes end or takes back is.
//!
//! New work ends or is refused at once, whatever it waits for: a command that has not begun ends `cancelled`, and nothing
//! old begins by itself when the scope is thawed. What is at the hypervisor goes on to its end, and what ends something
//! that its own provider has open may still come: it lets go.

use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use super::drain;
use super::fact::Fact;
use super::hold::Hold;
use super::state::{Standing, State, Tracked};
use crate::delegation::{Change, ChangeRequest};
use crate::model::{Action, Class, Code, Command, Ending, Mono, Now, Outcome, ProviderId, Refusal, Wall};
use crate::sovereignty::{self, Ceiling, Freeze, HostState, Restraint, Scope, frozen};

/// The operator has taken every action of the VM for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glass {
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Mono,
    /// The same moment, for people.
    pub until_at: Wall,
}

impl State {
    /// What the operator has frozen here.
    #[must_use]
    pub fn freezes(&self) -> &[Freeze] {
        &self.freezes
    }

    /// Why and until when the operator has every action, while it has.
    #[must_use]
    pub const fn glass(&self) -> Option<&Glass> {
        self.glass.as_ref()
    }

    /// What happened to the host as a whole, if this is the state of that.
    #[must_use]
    pub fn host(&self) -> Option<&HostState> {
        self.host.as_deref()
    }

    /// Whether a start needs it: the VM is co-managed, or it is the host's own.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.standing != Standing::Free || self.host.is_some()
    }

    /// What each provider has under way: commands that have not begun, and what is open.
    #[must_use]
    pub fn load(&self) -> BTreeMap<ProviderId, (u32, u32)> {
        let mut load: BTreeMap<ProviderId, (u32, u32)> = BTreeMap::new();
        for tracked in self.queued() {
            let count = &mut load.entry(tracked.command().provider.clone()).or_default().0;
            *count = count.saturating_add(1);
        }
        for owner in self.holds().filter_map(Hold::owner) {
            let count = &mut load.entry(owner.clone()).or_default().1;
            *count = count.saturating_add(1);
        }
        load
    }
}

/// How long the glass may stay broken.
const GLASS_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What is due: what was told of the host is taken over, and the glass mends by itself.
pub(crate) fn due(state: &State, told: Option<&Restraint>, now: Now) -> Option<Vec<Fact>> {
    if state.standing == Standing::Free {
        return None;
    }
    if state.glass.as_ref().is_some_and(|glass| glass.until <= now.mono) {
        return Some(vec![Fact::GlassMended { by: ProviderId::agent() }]);
    }
    let told = told?;
    let here: Vec<&Freeze> = told.freezes.iter().filter(|freeze| touches(state, freeze)).collect();
    let thawed = |known: &&Freeze| !here.iter().any(|freeze| freeze.scope == known.scope);
    let thawed = state.freezes.iter().filter(thawed).map(|known| Fact::Thawed { scope: known.scope.clone() });
    let new = here.iter().filter(|freeze| !state.freezes.contains(freeze));
    let mut facts: Vec<Fact> =
        thawed.chain(new.map(|freeze| Fact::Frozen { freeze: Box::new((**freeze).clone()) })).collect();
    if facts.is_empty() {
        facts.extend(narrowed(state, &told.ceiling));
    }
    (!facts.is_empty()).then_some(facts)
}

/// What was delegated beyond the ceiling is taken back, one holder at a time.
fn narrowed(state: &State, ceiling: &Ceiling) -> Option<Fact> {
    let authority = state.authority.as_ref().filter(|_| !ceiling.tables.is_empty())?;
    let above = |action: Action, holder: &ProviderId| {
        ceiling.allows(holder, state.vm, &state.name, action, Class::Routine).is_err()
    };
    let mut held = authority.delegated.iter().flat_map(|(action, holders)| holders.keys().map(move |by| (*action, by)));
    let (_, from) = held.find(|(action, holder)| above(*action, holder))?;
    let actions =
        authority.delegated.iter().filter(|(action, holders)| holders.contains_key(from) && above(**action, from));
    let by = ProviderId::operator();
    let change = Change::Revoked {
        by: by.clone(),
        from: from.clone(),
        actions: actions.map(|(action, _)| *action).collect(),
        epoch: authority.epoch.saturating_add(1),
    };
    Some(Fact::Delegation { by, change })
}

/// Why a command is above the ceiling; none when it is not, or nobody told yet what the ceiling is.
fn above(state: &State, told: Option<&Restraint>, command: &Command) -> Option<Refusal> {
    let (action, class) = (command.operation.action(), command.class);
    told?.ceiling.allows(&command.provider, state.vm, &state.name, action, class).err()
}

/// Whether a freeze bears on this VM: a provider's does where the provider has a part.
fn touches(state: &State, freeze: &Freeze) -> bool {
    match &freeze.scope {
        Scope::Host {} => true,
        Scope::Vm { vm } => *vm == state.vm,
        Scope::Provider { provider } => state.authority.as_ref().is_some_and(|authority| {
            authority.primary == *provider
                || authority.delegated.values().any(|holders| holders.contains_key(provider))
                || state.live().any(|tracked| tracked.command().provider == *provider)
        }),
    }
}

/// When something here may be due.
pub(crate) fn next_due(state: &State) -> Option<Mono> {
    state.glass.as_ref().map(|glass| glass.until)
}

/// Why a provider's new work is refused; none when it is not.
fn stops(state: &State, provider: &ProviderId) -> Option<Refusal> {
    if let Some(freeze) = frozen(&state.freezes, provider, state.vm) {
        return Some(freeze.refusal());
    }
    let glass = state.glass.as_ref().filter(|_| !provider.is_operator() && !provider.is_agent())?;
    let message = format!(
        "the operator has broken the glass and has every action of this VM until {}: {}",
        glass.until_at, glass.reason
    );
    Some(Refusal::new(Code::GlassBroken, message).held_by(ProviderId::operator(), Some(glass.until_at)))
}

/// Why a command is not taken in.
pub(crate) fn refuses(state: &State, told: Option<&Restraint>, command: &Command) -> Option<Refusal> {
    stops(state, &command.provider)
        .or_else(|| above(state, told, command))
        .filter(|_| !drain::ends_its_own(state, command))
}

/// Why a provider may not reach into the VM now: a channel, or a look at what is not libvirt's to tell.
pub(crate) fn bars(state: &State, told: Option<&Restraint>, provider: &ProviderId, action: Action) -> Option<Refusal> {
    let above = || told?.ceiling.allows(provider, state.vm, &state.name, action, Class::Routine).err();
    stops(state, provider).or_else(above)
}

/// How a command that waits ends, if its provider was stopped meanwhile.
pub(crate) fn ends(state: &State, told: Option<&Restraint>, waiting: &Tracked) -> Option<Outcome> {
    let refusal = refuses(state, told, waiting.command())?;
    let reason = format!("{}; it had not begun", refusal.message);
    let ending = if refusal.code == Code::AboveCeiling { Ending::Denied } else { Ending::Cancelled };
    Some(Outcome::new(ending, refusal.code, reason))
}

/// Why a change of who may do what is not made: nobody gives, and nobody is given, what is frozen. Taking back goes on.
pub(crate) fn refuses_change(state: &State, told: Option<&Restraint>, request: &ChangeRequest) -> Option<Refusal> {
    match request {
        ChangeRequest::Delegate { by, to, actions, .. } => {
            let stopped = told.and_then(|told| frozen(&told.freezes, to, state.vm)).map(Freeze::refusal);
            let allows = |told: &Restraint| {
                let refused = |action: &Action| told.ceiling.allows(to, state.vm, &state.name, *action, Class::Routine);
                actions.iter().find_map(|action| refused(action).err())
            };
            stops(state, by).or_else(|| stops(state, to)).or(stopped).or_else(|| told.and_then(allows))
        }
        ChangeRequest::Revoke { .. } => None,
    }
}

/// Why a VM is not enrolled.
pub(crate) fn refuses_enrollment(
    state: &State,
    told: Option<&Restraint>,
    primary: &ProviderId,
    name: &str,
) -> Option<Refusal> {
    let told = told?;
    let stopped = frozen(&told.freezes, primary, state.vm).map(Freeze::refusal);
    stopped.or_else(|| told.ceiling.allows_primary(primary, state.vm, name).err())
}

/// A command of the operator's, while the glass is broken: it passes every queue.
pub(crate) fn with_glass(state: &State, mut command: Command) -> Command {
    if let Some(glass) = state.glass.as_ref().filter(|_| command.provider.is_operator()) {
        command.break_glass.get_or_insert_with(|| glass.reason.clone());
    }
    command
}

/// The operator breaks the glass.
///
/// *Errors*: [`Code::UnknownVm`]; [`Code::Forbidden`] for anybody else; [`Code::Malformed`] without a reason, or for a
/// time that is not bounded.
pub(crate) fn break_glass(
    state: &State,
    by: &ProviderId,
    reason: &str,
    span: std::time::Duration,
    now: Now,
) -> Result<Fact, Refusal> {
    may_touch_glass(state, by)?;
    let reason = sovereignty::reason(reason)?;
    if span.is_zero() || span > GLASS_MAX {
        let message = format!("the glass is broken for 1 to {} seconds", GLASS_MAX.as_secs());
        return Err(Refusal::new(Code::Malformed, message));
    }
    let wall = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let glass = Glass { reason, until: now.mono.after(span), until_at: now.wall.shifted(wall) };
    Ok(Fact::GlassBroken { by: by.clone(), glass })
}

/// The operator is done.
///
/// *Errors*: as [`break_glass`]; [`Code::NotFrozen`] when the glass is whole.
pub(crate) fn mend_glass(state: &State, by: &ProviderId) -> Result<Fact, Refusal> {
    may_touch_glass(state, by)?;
    match state.glass {
        Some(_) => Ok(Fact::GlassMended { by: by.clone() }),
        None => Err(Refusal::new(Code::NotFrozen, "the glass over this VM is whole")),
    }
}

fn may_touch_glass(state: &State, by: &ProviderId) -> Result<(), Refusal> {
    if !by.is_operator() {
        return Err(Refusal::new(Code::Forbidden, "only the operator breaks the glass"));
    }
    if state.standing == Standing::Free {
        return Err(Refusal::new(Code::UnknownVm, "the VM is not co-managed"));
    }
    Ok(())
}
