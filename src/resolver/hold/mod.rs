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
//! An errand is a command of the built-in provider `covirt`: journalled, recovered and observed like everybody's.
//! Nothing is closed without proof: by the command that ended it, by what libvirt shows, or, when whoever could tell
//! does not answer, by saying so.
//!
//! Here is what a hold is and whom it keeps back; `decide` opens, contests and closes, `errand` ends, `apply` takes in.

mod apply;
mod decide;
mod errand;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fact::{Closed, GivenUp};
use super::state::{State, Tracked};
use crate::model::{Action, Class, CommandId, Footprint, HoldKey, Mono, Now, PowerState, ProviderId, StartId};

pub(crate) use self::decide::{at_end, contest, given_up_by, gone, request_end, seen, session_lost};
pub(crate) use self::errand::{due, ending, errand_first, next_due};

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
        // A guest that writes its memory faster than it is sent is halted by whoever sends it. libvirt lets no other change in,
        // not even the way back.
        let lets_it_converge = owns && self.key == HoldKey::Migration && action == Action::PowerSuspend;
        // A guest that stands still cannot thaw.
        let wakes = self.key == HoldKey::Freeze && action == Action::PowerResume;
        command.provider.is_agent()
            || ends_it
            || pulls_the_plug
            || lets_it_converge
            || wakes
            || (owns && self.key == HoldKey::Lock)
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
            Self::HandedOver { by } => write!(f, "{by} hands over what it was begun under"),
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

/// Why a command waits for what is open, as a sentence.
pub(crate) fn reason(hold: &Hold, now: Now) -> String {
    let age = now.mono.since(hold.since.mono).as_secs();
    let lease = hold.lease.map(|lease| format!(", for {} s more at most", lease.since(now.mono).as_secs()));
    let ending = if hold.given_up.is_some() { "; it is being ended" } else { "" };
    format!("{} is open for {age} s{}{ending}", hold.named(), lease.unwrap_or_default())
}

/// Whether a guest stands still as a whole, so that nobody in it can thaw.
fn asleep(state: &State, hold: &Hold) -> bool {
    hold.key == HoldKey::Freeze && state.believed.as_ref().is_some_and(|vm| vm.power == PowerState::Paused)
}
