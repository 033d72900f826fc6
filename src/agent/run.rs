//! The agent's life: open the journal, connect, start lanes and doors; stop them in the reverse order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::activation::{Given, TakeSocketError};
use super::ceiling::{CeilingSource, ReadCeilingError, Usual};
use super::config::{Config, Doors, TlsConfig};
use super::enrolling::{self, OpenEnrollmentError, Ports};
use super::live::Live;
use super::log::Log;
use super::metrics::{Metrics, Watching};
use super::mirror::Mirror;
use super::notify;
use super::reload::{Identities, Reload};
use crate::doors::reach::Reaches;
use crate::doors::rpc::{CONNECTIONS_MAX, Census, Couriers, Door, Entry, OpenDoorError, RemoteDoor, Welcome};
use crate::doors::tls::{BindPortError, ReadTlsFileError, Tls, TlsLimits, TlsListener};
use crate::doors::{self, Api, Bindings, Callbacks, Listener, Roster, Sessions};
use crate::hypervisor::{ConnectError, Libvirt, Options};
use crate::journal::{Journal, OpenJournalError, Restored, SqliteStore, Store, TAIL_FLOOR};
use crate::lanes::{History, Host, Lanes};
use crate::sovereignty::By;

/// How long calls at the hypervisor may go on once the agent is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunAgentError {
    /// The folder for its state.
    #[error("the state folder {path} cannot be made")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The journal.
    #[error("the journal cannot be opened")]
    Journal(#[from] OpenJournalError),
    /// What no provider may exceed.
    #[error("the ceiling cannot be used")]
    Ceiling(#[from] ReadCeilingError),
    /// The hypervisor.
    #[error("libvirt cannot be used")]
    Hypervisor(#[from] ConnectError),
    /// The socket.
    #[error("the API cannot be served")]
    Socket(#[from] doors::BindSocketError),
    /// A file that `[tls]` names.
    #[error("TLS cannot be served")]
    Tls(#[from] ReadTlsFileError),
    /// A port that `[tls]` names.
    #[error("TLS cannot be served")]
    Port(#[from] BindPortError),
    /// A socket that was passed.
    #[error(transparent)]
    Given(#[from] TakeSocketError),
    /// The port for metrics.
    #[error("the port for metrics, {address}, cannot be bound")]
    Metrics {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A provider's door.
    #[error("the doors cannot be opened")]
    Door(#[from] OpenDoorError),
    /// Who joined.
    #[error("it cannot be known who joined")]
    Enrollment(#[from] OpenEnrollmentError),
    /// A thread or a signal handler.
    #[error("the system gave no thread or signal handler")]
    System(#[source] std::io::Error),
}

/// Runs the agent until it is told to stop (SIGTERM or SIGINT); SIGHUP has it read its configuration again.
///
/// *Errors*: why it could not start; once it runs it only ends by being told.
pub async fn run(config: Config, log: Log) -> Result<(), RunAgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunAgentError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunAgentError::System)?;
    let (ceiling_file, is_usual) = &config.ceiling;
    let ceiling = CeilingSource::read(ceiling_file, *is_usual, config.quota)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunAgentError::System)?;
    raise_open_files(config.doors.as_ref().map_or(0, |doors| doors.welcome.roles.len()));
    let given = Given::take()?;
    let (journal, history) = open_journal(&config)?;
    let hypervisor = Arc::new(Libvirt::connect(&config.connect, Options::default())?);
    let sessions = Sessions::default();
    let callbacks = Callbacks::new(sessions.clone(), config.standing.clone(), config.hook.clone());
    let watching = Arc::new(Watching::default());
    let asker = Arc::new(callbacks.clone());
    let policy = config.policy.clone();
    let lanes = Lanes::start_before(watching.clone(), hypervisor, journal.clone(), asker, policy, history).await;
    if let Err(refusal) = ceiling.hold_over(lanes.host(), By::agent()).await {
        tracing::error!(%refusal, "the ceiling holds, but the journal does not say so");
    }
    let reload = Reload::default();
    let follow = follow_ceiling(ceiling, config.ceiling.clone(), lanes.host().clone(), reload.watch());
    let listener = match given.api {
        Some(listener) => listener,
        None => Listener::bind_as(&config.socket, config.socket_owner, config.socket_mode).await?,
    };
    let roster = Roster::new(config.directory.clone());
    let ports = Ports::of(config.tls.as_ref());
    let enrollment = enrolling::open(&config.state_dir, config.enrollment.as_ref(), ports, &roster, &lanes)?;
    let doors = open_doors(config.doors.clone(), &roster).await?;
    let tls =
        config.tls.clone().map(|config| Ok::<_, RunAgentError>((Tls::load(&config.files, roster.clone())?, config)));
    let tls = tls.transpose()?;
    let port = open_port(tls.as_ref(), given.tls).await?;
    let remote = open_remote_door(tls.as_ref(), given.libvirt_tls, config.doors.clone()).await?;
    let observers = open_observers(&config).await?;
    let live_tls = tls.as_ref().map(|(tls, _)| tls.clone());
    let identities = Identities { roster: roster.clone(), tls };
    let socket = listener.path().to_owned();
    let (stop, stopped) = watch::channel(false);
    let names = config.directory.providers.keys().cloned().collect();
    let metrics = Metrics::new(watching.clone(), lanes.clone(), sessions.clone(), names);
    let (bindings, reaches) = (Bindings::new(config.bindings.clone()), Reaches::new(config.reaches.clone()));
    let api = Api::new(lanes.clone(), roster, sessions, config.limits, bindings, reaches.clone(), enrollment);
    let welcome = config.doors.as_ref().map(|doors| doors.welcome.clone());
    let api = api.exposing(Arc::new(metrics)).over(live_tls, welcome);
    let limits = api.limits();
    let mut serving = JoinSet::new();
    enrolling::serve(&api.enrollment, config.enrollment.as_ref(), &lanes, reload.clone(), &stopped, &mut serving);
    let following = tokio::spawn(follow);
    let mirror = Mirror::begin(&config.journald, &config.state_dir, journal.clone());
    let mirroring = mirror.map(|mirror| tokio::spawn(mirror.run()));
    if !doors.is_empty() {
        let couriers = Arc::new(Couriers::new(lanes.clone(), Census::begin(&lanes).await, reaches));
        for door in doors {
            serving.spawn(door.serve(couriers.clone(), stopped.clone()));
        }
        if let Some(remote) = remote {
            serving.spawn(remote.serve(couriers, stopped.clone()));
        }
    }
    if let Some(port) = port {
        serving.spawn(doors::serve_tls(port, api.clone(), stopped.clone()));
    }
    if let Some(port) = observers {
        serving.spawn(doors::serve_observers(port, api.clone(), stopped.clone()));
    }
    serving.spawn(doors::serve(listener, api, stopped));
    tracing::info!(socket = %socket.display(), hypervisor = config.connect, lanes = lanes.vms().len(), "covirtd is ready");
    notify::ready();
    let telling = tokio::spawn(notify::keep_telling(lanes.clone()));
    let mut live = Live { config, lanes: lanes.clone(), callbacks, identities, limits, log };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                notify::reloading();
                live.read_again();
                reload.now();
                watching.reloaded();
                notify::ready();
            }
        }
    }
    tracing::info!("covirtd is stopping: new commands are refused, what is at the hypervisor is awaited");
    notify::stopping("Stopping: what is at libvirt is awaited");
    lanes.close(DRAIN).await;
    following.abort();
    let _ = stop.send(true);
    serving.join_all().await;
    if let Some(mirroring) = mirroring {
        mirroring.abort();
    }
    telling.abort();
    journal.close().await;
    Ok(())
}

/// Reads the ceiling again whenever the agent is told to read its files (SIGHUP).
async fn follow_ceiling(
    mut held: CeilingSource,
    (path, is_usual): (PathBuf, Usual),
    host: Host,
    mut told: watch::Receiver<u64>,
) {
    while told.changed().await.is_ok() {
        match held.again(&path, is_usual) {
            Ok(read) => {
                if let Err(refusal) = read.hold_over(&host, By::agent()).await {
                    tracing::error!(%refusal, "the ceiling holds, but the journal does not say so");
                }
                tracing::info!(path = %path.display(), "the ceiling was read again");
                held = read;
            }
            Err(error) => tracing::error!(%error, "the ceiling stays as it was"),
        }
    }
}

/// On the port that was passed, or on one of its own.
async fn open_tls(
    listen: std::net::SocketAddr,
    given: Option<std::net::TcpListener>,
    tls: &Tls,
    limits: TlsLimits,
) -> Result<TlsListener, RunAgentError> {
    match given {
        Some(port) => {
            let port = TcpListener::from_std(port).map_err(RunAgentError::System)?;
            Ok(TlsListener::over(port, tls.clone(), limits))
        }
        None => Ok(TlsListener::bind(listen, tls.clone(), limits).await?),
    }
}

/// Says of a port that was passed that the configuration has nothing to serve there.
fn unserved<T>(given: Option<&std::net::TcpListener>, name: &str) -> Option<T> {
    if given.is_some() {
        tracing::warn!(name, "a port was passed, but [tls] does not say that it is served; it is closed");
    }
    None
}

/// The API's port for TLS.
async fn open_port(
    tls: Option<&(Tls, TlsConfig)>,
    given: Option<std::net::TcpListener>,
) -> Result<Option<TlsListener>, RunAgentError> {
    let Some((tls, TlsConfig { listen: Some(listen), limits, .. })) = tls else {
        return Ok(unserved(given.as_ref(), "tls"));
    };
    let port = open_tls(*listen, given, tls, *limits).await?;
    let address = port.address().map_err(RunAgentError::System)?;
    tracing::info!(%address, "the API is served over TLS");
    Ok(Some(port))
}

/// The port of providers' libvirt clients on other machines.
async fn open_remote_door(
    tls: Option<&(Tls, TlsConfig)>,
    given: Option<std::net::TcpListener>,
    doors: Option<Doors>,
) -> Result<Option<RemoteDoor>, RunAgentError> {
    let Some((tls, TlsConfig { libvirt_listen: Some(listen), limits, .. })) = tls else {
        return Ok(unserved(given.as_ref(), "libvirt-tls"));
    };
    let Some(Doors { dir: _, upstream, welcome }) = doors else { return Ok(unserved(given.as_ref(), "libvirt-tls")) };
    let port = open_tls(*listen, given, tls, *limits).await?;
    let address = port.address().map_err(RunAgentError::System)?;
    tracing::info!(%address, "libvirt's clients are served over TLS");
    Ok(Some(RemoteDoor::new(port, upstream, welcome)))
}

/// The port for metrics, if there is to be one.
async fn open_observers(config: &Config) -> Result<Option<TcpListener>, RunAgentError> {
    let Some(address) = config.metrics_listen else { return Ok(None) };
    let bound = TcpListener::bind(address).await.map_err(|source| RunAgentError::Metrics { address, source })?;
    let address = bound.local_addr().unwrap_or(address);
    tracing::info!(%address, "metrics are served");
    Ok(Some(bound))
}

async fn open_doors(doors: Option<Doors>, roster: &Roster) -> Result<Vec<Door>, OpenDoorError> {
    let Some(Doors { dir, upstream, welcome: Welcome { roles, joined: _ } }) = doors else { return Ok(Vec::new()) };
    let mut open = Vec::new();
    for (provider, roles) in roles {
        let entry = Entry { provider, roles, roster: roster.clone() };
        open.push(Door::open(&dir, entry, upstream.clone()).await?);
    }
    Ok(open)
}

/// Lets this process open as many files as it may: a client is one, a door's client two, and the usual limit is for
/// programs that have no clients.
fn raise_open_files(doors: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, most, most) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    if most < doors as u64 * u64::from(CONNECTIONS_MAX) * 2 {
        tracing::warn!(most, doors, "fewer files may be open than the doors' clients can need");
    }
}

fn open_journal(config: &Config) -> Result<(Journal, History), RunAgentError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.state_dir)
        .map_err(|source| RunAgentError::StateDir { path: config.state_dir.clone(), source })?;
    let (store, restored) = SqliteStore::restore(&config.state_dir.join("journal.sqlite"))?;
    let Restored { states, last, replayed, snapshots, coverage } = restored;
    tracing::info!(records = store.last(), snapshots, replayed, "the journal is open");
    let journal = Journal::start_keeping(Box::new(store), coverage, TAIL_FLOOR).map_err(RunAgentError::System)?;
    Ok((journal, History::new(states, last)))
}
