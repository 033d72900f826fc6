//! The command envelope: what a provider sends, and how a command ends.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::code::Code;
use super::footprint::{Footprint, Resource};
use super::ids::{CommandId, ProviderId, VmId};
use super::operation::Operation;
use super::peer::Peer;
use super::state::{PowerState, VmState};
use super::time::Wall;
use super::units::Kib;

/// How urgent a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Everyday work.
    #[default]
    Routine,
    /// Work that must not wait behind everyday work, such as emptying a host.
    Critical,
    /// Harm is being done now.
    Emergency,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Routine => "routine",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        })
    }
}

/// Where a command stands among others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Strictly rising per provider and VM; none takes the next one on arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Commands, of any provider, that must have ended first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<CommandId>,
}

/// What the provider expects of the VM when its command runs; what is not named is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The power state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PowerState>,
    /// The VM's `generation` as the provider last read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The number of vCPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// The guest's memory. *Units*: KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_kib: Option<Kib>,
}

impl Guard {
    /// What must not change between the look at the guard and the command's end.
    fn looks_at(&self) -> impl Iterator<Item = Resource> {
        let any = self.generation.is_some();
        [
            (any || self.state.is_some(), Resource::Power),
            (any || self.vcpus.is_some(), Resource::Cpu),
            (any || self.memory_kib.is_some(), Resource::Memory),
            (any, Resource::Snapshots),
        ]
        .into_iter()
        .filter_map(|(looked_at, resource)| looked_at.then_some(resource))
    }

    /// What the VM does not meet, as a sentence's end; none when it meets all.
    #[must_use]
    pub fn unmet_by(&self, vm: &VmState) -> Option<String> {
        let mut unmet = Vec::new();
        if let Some(state) = self.state.filter(|state| *state != vm.power) {
            unmet.push(format!("state {state} was expected, it is {}", vm.power));
        }
        if let Some(vcpus) = self.vcpus.filter(|vcpus| *vcpus != vm.vcpus) {
            unmet.push(format!("{vcpus} vCPUs were expected, there are {}", vm.vcpus));
        }
        if let Some(memory) = self.memory_kib.filter(|memory| *memory != vm.memory_kib) {
            unmet.push(format!("{memory} of memory were expected, there are {}", vm.memory_kib));
        }
        let generation = vm.generation();
        if let Some(expected) = self.generation.as_ref().filter(|expected| **expected != generation) {
            unmet.push(format!("generation {expected:?} was expected, it is {generation:?}"));
        }
        if unmet.is_empty() { None } else { Some(unmet.join("; ")) }
    }
}

/// A command as its provider sent it, checked for form only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The idempotency key.
    pub id: CommandId,
    /// The VM.
    pub vm: VmId,
    /// Who sent it.
    pub provider: ProviderId,
    /// What to do.
    #[serde(flatten)]
    pub operation: Operation,
    /// Where it stands among others.
    #[serde(default)]
    pub order: Order,
    /// When the provider issued it, by the provider's clock.
    pub issued_at: Option<Wall>,
    /// Not to be begun after this, by the provider's clock.
    pub not_after: Option<Wall>,
    /// Wished to have begun by this, by the provider's clock: near then it goes before its equals. No deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_start_by: Option<Wall>,
    /// Why it passes every queue; the operator alone may say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
    /// What the provider expects of the VM.
    #[serde(default)]
    pub guard: Guard,
    /// How urgent it is.
    #[serde(default)]
    pub class: Class,
    /// The delegation epoch under which the provider believes to act.
    pub epoch: Option<u64>,
    /// The provider's own libvirt call, if a door forwards that when the command is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<ClientCall>,
}

/// The provider's own libvirt call that a door forwards when the command is released, instead of a call of the agent's
/// own. Once the client's connection is gone nobody can make it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCall {
    /// libvirt's name of it: `domain_suspend`.
    pub procedure: String,
    /// The client, as it was when it connected.
    #[serde(flatten)]
    pub peer: Peer,
}

impl fmt::Display for ClientCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.procedure, self.peer)
    }
}

impl Command {
    /// What it reads and writes: its operation's footprint, and what its guard looks at.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut footprint = self.operation.footprint();
        if !self.operation.action().is_read() {
            footprint.reads.extend(self.guard.looks_at());
        }
        footprint
    }

    /// A digest of all that the provider said: a second command of the same id must say the same.
    #[must_use]
    pub fn digest(&self) -> String {
        // Ordered maps and a fixed order of fields make the text, and so the digest, a function of the content.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The ways a command ends. Exactly one of them, exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Executed.
    Done,
    /// Another command with the same wish was executed for it.
    Coalesced,
    /// Executed without success.
    Failed,
    /// Another command has made it moot.
    Superseded,
    /// The VM's state does not allow it.
    Impossible,
    /// Too late.
    Expired,
    /// Not allowed any more.
    Denied,
    /// Taken back.
    Cancelled,
}

impl Ending {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Coalesced => "coalesced",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Impossible => "impossible",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a command ended, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which way.
    pub ending: Ending,
    /// Why, for programs.
    pub code: Code,
    /// Why, as one sentence.
    pub reason: String,
    /// The command that caused it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CommandId>,
    /// What the hypervisor gave back.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

impl Outcome {
    /// An outcome without a result and without another command behind it.
    #[must_use]
    pub fn new(ending: Ending, code: Code, reason: impl Into<String>) -> Self {
        Self { ending, code, reason: reason.into(), cause: None, result: Value::Null }
    }

    /// The same, naming the command that caused it.
    #[must_use]
    pub fn because_of(mut self, cause: Option<CommandId>) -> Self {
        self.cause = cause;
        self
    }
}

/// Why the agent did not take a request: a value, not a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Why, for programs.
    pub code: Code,
    /// Why, as one sentence.
    pub message: String,
    /// Who holds what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<ProviderId>,
    /// Until when they hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Wall>,
    /// The command in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandId>,
    /// When it may be tried again. *Units*: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    /// A refusal that names nobody.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), holder: None, until: None, command: None, retry_after_s: None }
    }

    /// The same, naming who holds what was asked for.
    #[must_use]
    pub fn held_by(mut self, holder: ProviderId, until: Option<Wall>) -> Self {
        self.holder = Some(holder);
        self.until = until;
        self
    }

    /// The same, with when to try again. *Units*: seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The same, naming the command in the way.
    #[must_use]
    pub fn blocked_by(mut self, command: CommandId) -> Self {
        self.command = Some(command);
        self
    }
}
