//! The configuration file. Its shape ([`File`]) and what is made of it ([`Config`]) are two types: what the agent
//! works with has been checked as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::doors::identity::{Directory, Enrolling, Peers, Role};
use crate::doors::rpc::Upstream;
use crate::doors::{Hook, Limits};
use crate::model::ProviderId;
use crate::resolver::{Consent, GatherFor, HookUse, Policy, Said, pair};

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ReadConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has keys or values that do not belong there.
    #[error("{path}: {message}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What, with line and column.
        message: String,
    },
    /// It makes no sense as a whole.
    #[error("{path}: {what}")]
    Senseless {
        /// Which.
        path: PathBuf,
        /// What does not fit, and what would.
        what: String,
    },
}

/// What the agent works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The API's socket.
    pub socket: PathBuf,
    /// The socket's mode.
    pub socket_mode: u32,
    /// Where the journal is.
    pub state_dir: PathBuf,
    /// libvirt's URI.
    pub connect: String,
    /// Where bindings for artifacts are.
    pub bindings: PathBuf,
    /// How lanes behave.
    pub policy: Policy,
    /// How long a client is waited for.
    pub limits: Limits,
    /// Who may call.
    pub directory: Directory,
    /// Answers of providers without a session.
    pub standing: BTreeMap<ProviderId, Said>,
    /// The operator's executable.
    pub hook: Option<Hook>,
    /// The libvirt-compatible doors, if there is any.
    pub doors: Option<Doors>,
}

/// The libvirt-compatible doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// Each has a folder of its provider's name in it.
    pub dir: PathBuf,
    /// Where libvirt itself is.
    pub upstream: Upstream,
    /// The providers with a door, and what each may do there.
    pub roles: BTreeMap<ProviderId, BTreeSet<Role>>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    agent: AgentTable,
    lane: LaneTable,
    limits: LimitsTable,
    operator: PeersTable,
    provider: Vec<ProviderTable>,
    hook: Option<HookTable>,
    doors: DoorsTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AgentTable {
    socket: PathBuf,
    socket_mode: String,
    state_dir: PathBuf,
    connect: String,
    bindings: PathBuf,
}

impl Default for AgentTable {
    fn default() -> Self {
        Self {
            socket: "/run/covirt/covirt.sock".into(),
            socket_mode: "0660".to_owned(),
            state_dir: "/var/lib/covirt".into(),
            connect: "qemu:///system".to_owned(),
            bindings: "/etc/covirt/bindings".into(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LaneTable {
    gather_ms: Option<u64>,
    gather_for: Option<GatherFor>,
    gap_window_ms: Option<u64>,
    after_wait_ms: Option<u64>,
    ask_timeout_ms: Option<u64>,
    hook_timeout_ms: Option<u64>,
    callback_budget_ms: Option<u64>,
    clock_limit_ms: Option<u64>,
    max_deferrals: Option<u32>,
    turn_margin_ms: Option<u64>,
    escalate: Vec<[ProviderId; 2]>,
    escalate_wait_ms: Option<u64>,
    drain_wait_ms: Option<u64>,
    queue_limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    head_timeout_ms: Option<u64>,
    body_timeout_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PeersTable {
    uids: Option<BTreeSet<u32>>,
    gids: BTreeSet<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderTable {
    id: ProviderId,
    #[serde(default)]
    uids: BTreeSet<u32>,
    #[serde(default)]
    gids: BTreeSet<u32>,
    #[serde(default)]
    may_enroll: bool,
    standing: Option<Said>,
    #[serde(default)]
    on_silence: Said,
    #[serde(default)]
    door: bool,
    #[serde(default)]
    roles: BTreeSet<Role>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DoorsTable {
    dir: PathBuf,
    upstream: Option<PathBuf>,
}

impl Default for DoorsTable {
    fn default() -> Self {
        Self { dir: "/run/covirt/providers".into(), upstream: None }
    }
}

impl DoorsTable {
    /// The doors of these providers.
    fn checked(self, connect: &str, roles: BTreeMap<ProviderId, BTreeSet<Role>>) -> Result<Option<Doors>, String> {
        let dir = absolute("doors.dir", self.dir)?;
        let upstream = self.upstream.map(|path| absolute("doors.upstream", path).map(Upstream::at)).transpose()?;
        let Some(first) = roles.keys().next() else { return Ok(None) };
        let upstream = upstream.map_or_else(|| Upstream::of_uri(connect), Ok).map_err(|error| {
            format!(
                "provider {first} has a door, but agent.connect leads to none: {error}; doors.upstream names a socket"
            )
        })?;
        Ok(Some(Doors { dir, upstream, roles }))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookTable {
    command: Vec<String>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// *Errors*: [`ReadConfigError`], with the file and, for malformed text, the line.
    pub fn read(path: &Path) -> Result<Self, ReadConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReadConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ReadConfigError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ReadConfigError::Malformed { path: path.to_owned(), message: error.to_string() })?;
        file.checked().map_err(|what| ReadConfigError::Senseless { path: path.to_owned(), what })
    }
}

impl File {
    fn checked(self) -> Result<Config, String> {
        let socket_mode = u32::from_str_radix(&self.agent.socket_mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .ok_or("agent.socket_mode is an octal mode such as \"0660\"")?;
        let hook = self.hook.map(hook_of).transpose()?;
        let mut policy = self.lane.policy();
        policy.hook = if hook.is_some() { HookUse::Ask } else { HookUse::None };
        if policy.queue_limit == 0 {
            return Err("lane.queue_limit is at least 1".to_owned());
        }
        if policy.max_deferrals == 0 {
            return Err("lane.max_deferrals is at least 1".to_owned());
        }
        // The host's root is its owner unless the file says otherwise.
        let uids = self.operator.uids.unwrap_or_else(|| BTreeSet::from([0]));
        let operator = Peers { uids, gids: self.operator.gids };
        let mut directory = Directory { providers: BTreeMap::new(), operator };
        let mut standing = BTreeMap::new();
        let mut roles = BTreeMap::new();
        for provider in self.provider {
            if provider.id.is_operator() {
                return Err("a provider cannot be called operator: that is the host's owner".to_owned());
            }
            if provider.id.is_agent() {
                return Err("a provider cannot be called covirt: that is the agent itself".to_owned());
            }
            let enrolling = if provider.may_enroll { Enrolling::Yes } else { Enrolling::No };
            let peers = Peers { uids: provider.uids, gids: provider.gids };
            if directory.providers.insert(provider.id.clone(), (peers, enrolling)).is_some() {
                return Err(format!("there are two providers called {}", provider.id));
            }
            if provider.door {
                roles.insert(provider.id.clone(), provider.roles);
            } else if !provider.roles.is_empty() {
                return Err(format!("provider {} has roles, which are for a door, but no door = true", provider.id));
            }
            standing.extend(provider.standing.map(|said| (provider.id.clone(), said)));
            let consent = Consent { standing: provider.standing, on_silence: provider.on_silence };
            policy.consent.insert(provider.id, consent);
        }
        let known = |id: &ProviderId| directory.providers.contains_key(id);
        if let Some((one, other)) =
            policy.escalate.iter().find(|(one, other)| one == other || !known(one) || !known(other))
        {
            return Err(format!("lane.escalate names two providers that are configured, not {one} and {other}"));
        }
        let doors = self.doors.checked(&self.agent.connect, roles)?;
        Ok(Config {
            socket: absolute("agent.socket", self.agent.socket)?,
            socket_mode,
            state_dir: absolute("agent.state_dir", self.agent.state_dir)?,
            connect: self.agent.connect,
            bindings: absolute("agent.bindings", self.agent.bindings)?,
            policy,
            limits: self.limits.limits(),
            directory,
            standing,
            hook,
            doors,
        })
    }
}

fn span(millis: Option<u64>, default: Duration) -> Duration {
    millis.map_or(default, Duration::from_millis)
}

impl LimitsTable {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits { head: span(self.head_timeout_ms, default.head), body: span(self.body_timeout_ms, default.body) }
    }
}

impl LaneTable {
    fn policy(&self) -> Policy {
        let default = Policy::default();
        Policy {
            gather: span(self.gather_ms, default.gather),
            gather_for: self.gather_for.unwrap_or(default.gather_for),
            gap_window: span(self.gap_window_ms, default.gap_window),
            after_wait: span(self.after_wait_ms, default.after_wait),
            hook: default.hook,
            hook_timeout: span(self.hook_timeout_ms, default.hook_timeout),
            ask_timeout: span(self.ask_timeout_ms, default.ask_timeout),
            callback_budget: span(self.callback_budget_ms, default.callback_budget),
            clock_limit: span(self.clock_limit_ms, default.clock_limit),
            max_deferrals: self.max_deferrals.unwrap_or(default.max_deferrals),
            turn_margin: span(self.turn_margin_ms, default.turn_margin),
            escalate: self.escalate.iter().cloned().map(|[one, other]| pair(one, other)).collect(),
            escalate_wait: span(self.escalate_wait_ms, default.escalate_wait),
            drain_wait: span(self.drain_wait_ms, default.drain_wait),
            queue_limit: self.queue_limit.unwrap_or(default.queue_limit),
            consent: BTreeMap::new(),
        }
    }
}

fn hook_of(table: HookTable) -> Result<Hook, String> {
    let mut command = table.command.into_iter();
    let program = command.next().map(PathBuf::from).ok_or("hook.command names an executable")?;
    Ok(Hook { program: absolute("hook.command", program)?, args: command.collect() })
}

fn absolute(key: &str, path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() { Ok(path) } else { Err(format!("{key} is an absolute path, not {}", path.display())) }
}

#[cfg(test)]
mod tests;
