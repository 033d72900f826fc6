//! The configuration: its files, and what is made of them ([`Config`]), which has been checked as a whole.
//!
//! | file | idea |
//! |---|---|
//! | `place`, `mistake` | where something is written, and what is wrong with it |
//! | `layers` | `covirt.toml` and `conf.d/*.toml`, one over the other |
//! | `section` | one table read into its type, key by key |
//! | `agent`, `lane`, `limits`, `quota`, `audit`, `provider`, `doors`, `hook`, `tls`, `enrollment`, `log`, `metrics` | the tables |
//!
//! A new table is a struct of its own whose every field has a default (`section::Table`), a line in `File`, and
//! its line in `docs/configuration.md`.

mod agent;
mod audit;
mod doors;
mod enrollment;
mod hook;
mod lane;
mod layers;
mod limits;
mod log;
mod metrics;
mod mistake;
mod place;
mod provider;
mod quota;
mod section;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ceiling::Usual;
use crate::doors::enrollment::authority::AUTHORITY_FOLDER;
use crate::doors::identity::Directory;
use crate::doors::reach::Reach;
use crate::doors::rpc::{JoinedClients, Upstream, Welcome};
use crate::doors::{Hook, Limits, SocketOwner};
use crate::model::ProviderId;
use crate::resolver::{HookUse, Policy, Said};
use crate::sovereignty::Quota;
use agent::AgentTable;
use audit::AuditTable;
use doors::DoorsTable;
use enrollment::EnrollmentTable;
use hook::HookTable;
use lane::LaneTable;
use layers::{Files, Layers};
use limits::LimitsTable;
use log::LogTable;
use metrics::MetricsTable;
use provider::{OperatorTable, ProviderTable, Providers};
use quota::QuotaTable;
use section::{Read, Table};
use tls::TlsTable;

pub use enrollment::EnrollmentConfig;
pub use log::{LogConfig, LogFormat};
pub use mistake::{Mistake, Mistakes};
pub use place::Place;
pub use section::Shown;
pub use tls::TlsConfig;

/// Where the configuration is unless something else is said.
pub const DEFAULT_PATH: &str = "/etc/covirt/covirt.toml";

/// Where the ceiling is unless something else is said; it need not be there.
const DEFAULT_CEILING: &str = "/etc/covirt/ceiling.toml";

/// What the agent works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it was read from.
    pub origin: PathBuf,
    /// The API's socket.
    pub socket: PathBuf,
    /// Whose the socket is.
    pub socket_owner: SocketOwner,
    /// The socket's mode.
    pub socket_mode: u32,
    /// Where the journal is.
    pub state_dir: PathBuf,
    /// libvirt's URI.
    pub connect: String,
    /// Where bindings for artifacts are.
    pub bindings: PathBuf,
    /// Where the ceiling is, and whether it need not be there.
    pub ceiling: (PathBuf, Usual),
    /// The socket of systemd's journal, to which the journal is mirrored where it is there.
    pub journald: PathBuf,
    /// How much every provider may have under way.
    pub quota: Quota,
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
    /// How far each provider reaches into the host.
    pub reaches: BTreeMap<ProviderId, Reach>,
    /// TLS, if it is served.
    pub tls: Option<TlsConfig>,
    /// How it logs.
    pub log: LogConfig,
    /// Where else its metrics are served.
    pub metrics_listen: Option<SocketAddr>,
    /// How providers on other hosts join, if they do.
    pub enrollment: Option<EnrollmentConfig>,
}

/// The libvirt-compatible doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// Each has a folder of its provider's name in it.
    pub dir: PathBuf,
    /// Where libvirt itself is.
    pub upstream: Upstream,
    /// Who has one, and what each may do there.
    pub welcome: Welcome,
}

/// A configuration as it was found, with or without mistakes.
#[derive(Debug)]
pub struct Inspection {
    /// The files, in the order in which they count.
    pub files: Vec<PathBuf>,
    /// Every key as it counts, in the order of the documentation; what is mistaken counts as not written.
    pub shown: Vec<Shown>,
    /// What the agent works with, unless there is a mistake.
    pub outcome: Result<Config, Mistakes>,
}

/// The tables as they were read.
struct File {
    agent: Read<AgentTable>,
    lane: Read<LaneTable>,
    limits: Read<LimitsTable>,
    quota: Read<QuotaTable>,
    audit: Read<AuditTable>,
    operator: Read<OperatorTable>,
    providers: Vec<Read<ProviderTable>>,
    hook: Read<HookTable>,
    doors: Read<DoorsTable>,
    enrollment: Read<EnrollmentTable>,
    tls: Read<TlsTable>,
    log: Read<LogTable>,
    metrics: Read<MetricsTable>,
}

impl Config {
    /// Reads a configuration file, and what is in `conf.d` beside it.
    ///
    /// *Errors*: every mistake in it, each with its place.
    pub fn read(path: &Path) -> Result<Self, Mistakes> {
        Self::inspect(path).outcome
    }

    /// The same, and where each value comes from.
    #[must_use]
    pub fn inspect(path: &Path) -> Inspection {
        let mut mistakes = Mistakes::default();
        let files = Files::read(path, &mut mistakes);
        Self::of(path, &files, mistakes)
    }

    fn of(path: &Path, files: &Files, mut mistakes: Mistakes) -> Inspection {
        let layers = Layers::merge_all(files, &mut mistakes);
        let readable = layers.readable;
        let file = File::read(layers, &mut mistakes);
        let shown = file.shown();
        // What a file that cannot be read would have said is unknown, and so is whether the rest fits to it.
        let mut checked = Mistakes::default();
        let config = file.checked(path.to_owned(), &mut checked);
        if readable {
            mistakes.extend(checked);
        }
        let outcome = if mistakes.all().is_empty() { Ok(config) } else { Err(mistakes.sorted()) };
        Inspection { files: files.paths(), shown, outcome }
    }
}

impl File {
    fn read(mut layers: Layers<'_>, mistakes: &mut Mistakes) -> Self {
        let providers = std::mem::take(&mut layers.providers);
        let mut known = vec![ProviderTable::NAME];
        let file = Self {
            agent: table(&mut layers, &mut known, mistakes),
            lane: table(&mut layers, &mut known, mistakes),
            limits: table(&mut layers, &mut known, mistakes),
            quota: table(&mut layers, &mut known, mistakes),
            audit: table(&mut layers, &mut known, mistakes),
            operator: table(&mut layers, &mut known, mistakes),
            hook: table(&mut layers, &mut known, mistakes),
            doors: table(&mut layers, &mut known, mistakes),
            enrollment: table(&mut layers, &mut known, mistakes),
            tls: table(&mut layers, &mut known, mistakes),
            log: table(&mut layers, &mut known, mistakes),
            metrics: table(&mut layers, &mut known, mistakes),
            providers: providers.into_iter().map(|section| Read::of_provider(section, mistakes)).collect(),
        };
        for (name, section) in layers.tables {
            let hint = mistake::did_you_mean(&name, known.iter().copied());
            let hint = hint.unwrap_or_else(|| format!("the tables are {}", known.join(", ")));
            mistakes.add(section.at, &name, "there is no such table", Some(hint));
        }
        file
    }

    fn shown(&self) -> Vec<Shown> {
        let mut shown = self.agent.shown();
        shown.extend(self.lane.shown());
        shown.extend(self.limits.shown());
        shown.extend(self.quota.shown());
        shown.extend(self.audit.shown());
        shown.extend(self.operator.shown());
        shown.extend(self.providers.iter().flat_map(Read::shown));
        shown.extend(self.hook.shown());
        shown.extend(self.doors.shown());
        shown.extend(self.enrollment.shown());
        shown.extend(self.tls.shown());
        shown.extend(self.log.shown());
        shown.extend(self.metrics.shown());
        shown
    }

    fn checked(self, origin: PathBuf, mistakes: &mut Mistakes) -> Config {
        let (socket_owner, socket_mode) = self.agent.checked(mistakes);
        let hook = self.hook.checked(mistakes);
        let Providers { directory, standing, consent, roles, reaches } =
            Providers::checked(&self.operator, &self.providers, &self.tls.value, mistakes);
        let uses = if hook.is_some() { HookUse::Ask } else { HookUse::None };
        let known = directory.providers.keys().cloned().collect();
        let policy = Policy { consent, ..self.lane.checked(uses, &known, mistakes) };
        let enrollment = self.enrollment.checked(mistakes);
        let joined = match &enrollment {
            Some(EnrollmentConfig { door: true, .. }) => {
                JoinedClients::Admitted { but: directory.providers.keys().cloned().collect() }
            }
            Some(_) | None => JoinedClients::Refused,
        };
        let doors = self.doors.checked(&self.agent, Welcome { roles, joined }, mistakes);
        let own = enrollment.as_ref().map(|_| self.agent.value.state_dir.join(AUTHORITY_FOLDER));
        let tls = self.tls.checked(doors.as_ref(), own.as_deref(), mistakes);
        self.enrollment.reaches_a_port(tls.as_ref(), mistakes);
        let log = self.log.checked(mistakes);
        let agent = self.agent.value;
        Config {
            origin,
            socket: agent.socket,
            socket_owner,
            socket_mode,
            enrollment,
            state_dir: agent.state_dir,
            connect: agent.connect,
            bindings: agent.bindings,
            ceiling: match agent.ceiling {
                Some(path) => (path, Usual::No),
                None => (PathBuf::from(DEFAULT_CEILING), Usual::Place),
            },
            quota: self.quota.checked(mistakes),
            journald: self.audit.checked(mistakes),
            policy,
            limits: self.limits.limits(mistakes),
            directory,
            standing,
            hook,
            doors,
            reaches,
            tls,
            log,
            metrics_listen: self.metrics.value.listen,
        }
    }
}

/// Every key that a file may have, as `table.key`.
#[must_use]
pub fn keys() -> Vec<String> {
    let nothing = File::read(Layers::default(), &mut Mistakes::default());
    let provider = Read::<ProviderTable>::of(None, ProviderTable::NAME.to_owned(), &mut Mistakes::default());
    let shown = nothing.shown().into_iter().chain(provider.shown());
    shown.map(|shown| shown.key).collect()
}

/// Takes one table out of the layers.
fn table<T: Table>(layers: &mut Layers<'_>, known: &mut Vec<&'static str>, mistakes: &mut Mistakes) -> Read<T> {
    known.push(T::NAME);
    Read::of(layers.tables.remove(T::NAME), T::NAME.to_owned(), mistakes)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

const fn of_millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A path must not depend on where the agent was started.
fn absolute<T: Table>(read: &Read<T>, key: &str, path: &Path, mistakes: &mut Mistakes) {
    if !path.is_absolute() {
        let what = format!("{} is no absolute path", path.display());
        read.wrong(key, what, Some("a path that begins with / is expected"), mistakes);
    }
}

#[cfg(test)]
mod tests;
