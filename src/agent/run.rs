//! The agent's life: open the journal, connect, start lanes and doors; stop them in the reverse order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::config::Config;
use crate::doors::{self, Api, Bindings, Callbacks, Listener, Sessions};
use crate::hypervisor::{ConnectError, Libvirt, Options};
use crate::journal::{Journal, OpenJournalError, Restored, SqliteStore, Store, TAIL_FLOOR};
use crate::lanes::{History, Lanes};

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
    /// The hypervisor.
    #[error("libvirt cannot be used")]
    Hypervisor(#[from] ConnectError),
    /// The socket.
    #[error("the API cannot be served")]
    Socket(#[from] doors::BindSocketError),
    /// A thread or a signal handler.
    #[error("the system gave no thread or signal handler")]
    System(#[source] std::io::Error),
}

/// Runs the agent until it is told to stop (SIGTERM or SIGINT).
///
/// *Errors*: why it could not start; once it runs it only ends by being told.
pub async fn run(config: Config) -> Result<(), RunAgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunAgentError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunAgentError::System)?;
    let (journal, history) = open_journal(&config)?;
    let hypervisor = Arc::new(Libvirt::connect(&config.connect, Options::default())?);
    let sessions = Sessions::default();
    let callbacks = Callbacks::new(sessions.clone(), config.standing, config.hook);
    let lanes = Lanes::start(hypervisor, journal.clone(), Arc::new(callbacks), config.policy, history).await;
    let listener = Listener::bind(&config.socket, config.socket_mode).await?;
    tracing::info!(socket = %config.socket.display(), hypervisor = config.connect, lanes = lanes.vms().len(), "covirtd is ready");
    let (stop, stopped) = watch::channel(false);
    let api = Api::new(lanes.clone(), config.directory, sessions, config.limits, Bindings::new(config.bindings));
    let serving = tokio::spawn(doors::serve(listener, api, stopped));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("covirtd is stopping: new commands are refused, what is at the hypervisor is awaited");
    lanes.close(DRAIN).await;
    let _ = stop.send(true);
    let _ = serving.await;
    journal.close().await;
    Ok(())
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
