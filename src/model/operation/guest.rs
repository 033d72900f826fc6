//! Arguments of what the guest's agent does.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{check_text, check_timeout};
use crate::model::secret::Secret;

/// How long file systems stand still before they are let go.
pub const FREEZE_LEASE_DEFAULT_S: u32 = 30;
/// The longest lease: a guest that cannot write for longer begins to fail.
pub const FREEZE_LEASE_MAX_S: u32 = 600;
/// How long the agent is given to answer.
const AGENT_TIMEOUT_DEFAULT_S: u32 = 30;

/// What of the agent's commands has an action of its own, so that nobody gets around it.
///
/// *Source*: QEMU guest agent protocol reference.
const HAVE_ACTIONS: [(&str, &str); 8] = [
    ("guest-fsfreeze-freeze", "guest.freeze"),
    ("guest-fsfreeze-freeze-list", "guest.freeze"),
    ("guest-fsfreeze-thaw", "guest.thaw"),
    ("guest-fstrim", "guest.trim"),
    ("guest-set-time", "guest.set-time"),
    ("guest-set-user-password", "guest.set-password"),
    ("guest-shutdown", "power.shutdown or power.reboot"),
    ("guest-set-vcpus", "cpu.set"),
];

/// File systems to hold still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestFreezeArgs {
    /// Where they are mounted in the guest; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mountpoints: Vec<String>,
    /// After how long they are let go even if nobody says so. *Units*: seconds.
    #[serde(default = "freeze_lease_default")]
    pub lease_s: u32,
}

const fn freeze_lease_default() -> u32 {
    FREEZE_LEASE_DEFAULT_S
}

impl GuestFreezeArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=FREEZE_LEASE_MAX_S).contains(&self.lease_s) {
            return Err(format!("lease_s is 1 to {FREEZE_LEASE_MAX_S}, not {}", self.lease_s));
        }
        if self.mountpoints.len() > 256 {
            return Err("mountpoints are at most 256".to_owned());
        }
        self.mountpoints.iter().try_for_each(|point| check_text("a mountpoint", point, 4096))
    }
}

/// What to trim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestTrimArgs {
    /// Free ranges smaller than this are left. *Units*: bytes.
    #[serde(default)]
    pub minimum: u64,
}

/// A command for the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestCommandArgs {
    /// Its name: `guest-info`, `guest-exec`.
    pub execute: String,
    /// Its arguments. They are journalled: a secret has no place in them.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub arguments: Value,
    /// How long the agent is given to answer. *Units*: seconds.
    #[serde(default = "agent_timeout_default")]
    pub timeout_s: u32,
}

const fn agent_timeout_default() -> u32 {
    AGENT_TIMEOUT_DEFAULT_S
}

impl GuestCommandArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        let name = self.execute.as_str();
        if !name.starts_with("guest-")
            || !name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'0'..=b'9'))
        {
            return Err("execute is a command of the guest agent, such as guest-info".to_owned());
        }
        let own = HAVE_ACTIONS.iter().find(|(command, _)| *command == name).map(|(_, action)| *action);
        let own = own.or_else(|| name.starts_with("guest-suspend-").then_some("power.suspend or power.save"));
        if let Some(action) = own {
            return Err(format!("{name} is done by {action}, so that it is seen to clash with what it clashes with"));
        }
        if !(self.arguments.is_null() || self.arguments.is_object()) {
            return Err("arguments is an object".to_owned());
        }
        if self.arguments.to_string().len() > 64 * 1024 {
            return Err("arguments are at most 65536 bytes".to_owned());
        }
        check_timeout("timeout_s", self.timeout_s)
    }
}

/// The guest's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestSetTimeArgs {
    /// The time to set; none makes the guest take over the host's hardware clock. *Units*: seconds since 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i64>,
}

/// A password in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestSetPasswordArgs {
    /// Whose.
    pub user: String,
    /// The password, or its hash. It is kept in memory until the command has ended, and nowhere else: a command that
    /// still waits when the agent stops cannot be executed any more.
    pub password: Secret,
    /// Whether it is a hash as the guest stores it.
    #[serde(default)]
    pub encrypted: bool,
}

impl GuestSetPasswordArgs {
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("user", &self.user, 256)?;
        if self.user.is_empty() {
            return Err("user is needed".to_owned());
        }
        match self.password.reveal() {
            Some(password) if (1..=4096).contains(&password.len()) => Ok(()),
            Some(_) | None => Err("password is 1 to 4096 bytes".to_owned()),
        }
    }
}
