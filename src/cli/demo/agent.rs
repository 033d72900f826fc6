//! The agent of the demonstration: a folder, a configuration, and `covirtd` as a child process.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::PlayDemoError;
use crate::cli::client::Client;

/// The agent's socket in the folder.
pub(super) const SOCKET: &str = "covirt.sock";
/// What the agent says, in the folder.
const LOG: &str = "covirtd.log";
/// How long the agent has to get ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether it is ready.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// A Unix socket's path may have 107 bytes; a longer temporary folder is of no use.
const LONGEST_FOLDER: usize = 80;

/// Makes a folder for this process alone.
///
/// *Errors*: [`PlayDemoError::Folder`].
pub(super) fn make_folder() -> Result<PathBuf, PlayDemoError> {
    let wanted = std::env::temp_dir();
    let parent = if wanted.as_os_str().len() <= LONGEST_FOLDER { wanted } else { PathBuf::from("/tmp") };
    let path = parent.join(format!("covirt-demo-{}", std::process::id()));
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(PlayDemoError::Folder { path, source }),
    }
}

/// A program that was built beside this one.
///
/// *Errors*: [`PlayDemoError::Spawn`] when this process does not know where it is.
pub(super) fn beside_us(name: &str) -> Result<PathBuf, PlayDemoError> {
    let ours =
        std::env::current_exe().map_err(|source| PlayDemoError::Spawn { program: PathBuf::from(name), source })?;
    Ok(ours.with_file_name(name))
}

/// Two providers and the operator, all of them whoever runs this.
fn configuration(folder: &Path, connect: &str) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let path = |name: &str| quoted(&folder.join(name).to_string_lossy());
    let uid = getuid();
    format!(
        "[agent]\n\
         socket = {socket}\n\
         state_dir = {state}\n\
         connect = {connect}\n\
         \n\
         # Every write waits this long at most for a rival, so that both commands are heard on a slow machine, too.\n\
         [lane]\n\
         gather_ms = 1500\n\
         gather_for = \"writes\"\n\
         ask_timeout_ms = 2000\n\
         hook_timeout_ms = 2000\n\
         callback_budget_ms = 5000\n\
         \n\
         [[provider]]\n\
         id = \"north\"\n\
         may_enroll = true\n\
         uids = [{uid}]\n\
         \n\
         [[provider]]\n\
         id = \"south\"\n\
         uids = [{uid}]\n\
         \n\
         [operator]\n\
         uids = [{uid}]\n",
        socket = path(SOCKET),
        state = path("state"),
        connect = quoted(connect),
    )
}

/// A running agent; killed when dropped.
pub(super) struct AgentProcess {
    child: Child,
    log: PathBuf,
}

impl AgentProcess {
    /// Starts an agent and waits until it is ready.
    ///
    /// *Errors*: [`PlayDemoError`].
    pub(super) async fn start(folder: &Path, connect: &str) -> Result<Self, PlayDemoError> {
        let cannot = |path: &Path| {
            let path = path.to_owned();
            move |source| PlayDemoError::Folder { path, source }
        };
        let configured = folder.join("covirtd.toml");
        std::fs::write(&configured, configuration(folder, connect)).map_err(cannot(&configured))?;
        let state = folder.join("state");
        DirBuilder::new().mode(0o700).create(&state).map_err(cannot(&state))?;
        let log = folder.join(LOG);
        let said = File::create(&log).map_err(cannot(&log))?;
        let errors = said.try_clone().map_err(cannot(&log))?;
        let program = beside_us("covirtd")?;
        let child = Command::new(&program)
            .arg("--config")
            .arg(&configured)
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| PlayDemoError::Spawn { program, source })?;
        let mut agent = Self { child, log };
        agent.await_ready(&Client::new(folder.join(SOCKET), None)).await?;
        Ok(agent)
    }

    /// Asks until it answers, at short intervals and not for ever: no child of ours announces that it is ready, and what
    /// the demonstration needs is an answer at the socket, which only asking shows.
    async fn await_ready(&mut self, client: &Client) -> Result<(), PlayDemoError> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if client.health().await.is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(PlayDemoError::AgentNotReady { status: Some(status), log: self.log_tail() });
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(PlayDemoError::AgentNotReady { status: None, log: self.log_tail() })
    }

    /// Asks the agent to stop, and waits until it has.
    ///
    /// *Errors*: [`PlayDemoError::AgentNotStopped`].
    pub(super) async fn stop(mut self) -> Result<(), PlayDemoError> {
        terminate(&self.child);
        let why = match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it still ran after {} s", PATIENCE.as_secs()),
        };
        Err(PlayDemoError::AgentNotStopped { why, log: self.log_tail() })
    }

    /// The last of what the agent said: why it did not do what it should is most likely there.
    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Asks a child to end. One that has ended already is not there to be asked.
pub(super) fn terminate(child: &Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_whatever_the_folder_is_called() {
        let text = configuration(Path::new("/tmp/a \"b\"\\c"), "qemu+unix:///system?socket=/run/a");
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["agent"]["socket"].as_str(), Some("/tmp/a \"b\"\\c/covirt.sock"));
        assert_eq!(table["provider"].as_array().map(Vec::len), Some(2));
    }
}
