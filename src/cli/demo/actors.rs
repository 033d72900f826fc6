//! Who acts in the demonstration: `covirt` processes that speak for a provider, and the stage that shows them.

use std::path::{Path, PathBuf};
use std::process::{Output as Printed, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::PlayDemoError;
use super::agent::{SOCKET, beside_us, terminate};
use crate::cli::output::{Format, Output};
use crate::model::ProviderId;

/// How long one step may take: a guest's reboot, and more.
const STEP_LIMIT: Duration = Duration::from_secs(180);
/// How long a session may take to open, and to end.
const SESSION_LIMIT: Duration = Duration::from_secs(10);

/// For whom a process speaks.
pub(super) struct Actor {
    pub(super) provider: ProviderId,
}

impl Actor {
    /// One of the demonstration's own names.
    pub(super) fn named(name: &str) -> Self {
        // The names are written in this module's parent and are good ones; the operator's always is.
        Self { provider: name.parse().unwrap_or_else(|_| ProviderId::operator()) }
    }
}

/// Runs steps and shows each: a heading, the command line, and what it printed.
pub(super) struct Stage<'a> {
    program: PathBuf,
    folder: &'a Path,
    output: &'a mut Output,
    steps: u32,
}

impl<'a> Stage<'a> {
    /// A stage whose processes find the agent in `folder`.
    ///
    /// *Errors*: [`PlayDemoError::Spawn`].
    pub(super) fn new(folder: &'a Path, output: &'a mut Output) -> Result<Self, PlayDemoError> {
        Ok(Self { program: beside_us("covirt")?, folder, output, steps: 0 })
    }

    /// One process, from its start to its end.
    ///
    /// *Errors*: [`PlayDemoError`].
    pub(super) async fn shown(&mut self, title: &str, actor: &Actor, words: &[&str]) -> Result<(), PlayDemoError> {
        self.heading(title)?;
        let printed = self.run(actor, words).await?;
        self.tell(title, actor, words, &printed)
    }

    /// Two processes at the same time.
    ///
    /// *Errors*: [`PlayDemoError`].
    pub(super) async fn shown_together(
        &mut self,
        title: &str,
        [(one, does), (other, did)]: [(&Actor, &[&str]); 2],
    ) -> Result<(), PlayDemoError> {
        self.heading(title)?;
        let (first, second) = tokio::join!(self.run(one, does), self.run(other, did));
        let (first, second) = (first?, second?);
        self.tell(title, one, does, &first)?;
        if self.output.format() == Format::Table {
            self.output.gap()?;
        }
        self.tell(title, other, did, &second)
    }

    /// What a session printed, once it is closed.
    ///
    /// *Errors*: [`PlayDemoError`].
    pub(super) async fn session(&mut self, title: &str, session: SessionProcess) -> Result<(), PlayDemoError> {
        let (words, provider) = (session.words.clone(), session.provider.clone());
        let lines = session.close().await?;
        let title = format!("{title} of {provider}");
        self.heading(&title)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let actor = Actor { provider };
        match self.output.format() {
            Format::Table => {
                self.output.line(&command_line(&actor, &words))?;
                Ok(self.output.verbatim(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?)
            }
            Format::Json => {
                let messages: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
                Ok(self.output.item(&step(&title, &actor, &words, &json!(messages)), |_| String::new())?)
            }
        }
    }

    /// The last words, when all has been shown.
    ///
    /// *Errors*: [`PlayDemoError::Print`].
    pub(super) fn end(&mut self, text: &str) -> Result<(), PlayDemoError> {
        if self.output.format() == Format::Table {
            self.output.gap()?;
            self.output.heading(text)?;
        }
        Ok(())
    }

    fn command(&self, actor: &Actor, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("COVIRT_SOCKET", self.folder.join(SOCKET))
            .env_remove("COVIRT_AS")
            .args(["--as", actor.provider.as_str()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.output.format() == Format::Json {
            command.args(["--output", "json"]);
        }
        command
    }

    async fn run(&self, actor: &Actor, words: &[&str]) -> Result<Printed, PlayDemoError> {
        let finished = tokio::time::timeout(STEP_LIMIT, self.command(actor, words).output()).await;
        let slow = |_| PlayDemoError::StepTooSlow { command: command_line(actor, words), after: STEP_LIMIT };
        finished.map_err(slow)?.map_err(|source| PlayDemoError::Spawn { program: self.program.clone(), source })
    }

    fn heading(&mut self, title: &str) -> Result<(), PlayDemoError> {
        self.steps += 1;
        if self.output.format() == Format::Table {
            self.output.gap()?;
            self.output.heading(&format!("{}. {title}", self.steps))?;
        }
        Ok(())
    }

    fn tell(&mut self, title: &str, actor: &Actor, words: &[&str], printed: &Printed) -> Result<(), PlayDemoError> {
        let text = String::from_utf8_lossy(&printed.stdout);
        match self.output.format() {
            Format::Table => {
                self.output.line(&command_line(actor, words))?;
                self.output.verbatim(&text)?;
            }
            Format::Json => {
                let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
                self.output.item(&step(title, actor, words, &answer), |_| String::new())?;
            }
        }
        if printed.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&printed.stderr).trim().to_owned();
        Err(PlayDemoError::StepFailed { command: command_line(actor, words), status: printed.status, said })
    }
}

/// A step as a line of JSON.
fn step(title: &str, actor: &Actor, words: &[&str], answer: &Value) -> Value {
    json!({ "step": title, "as": actor.provider, "command": words, "answer": answer })
}

/// What one would type.
fn command_line(actor: &Actor, words: &[&str]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| if word.contains(['*', ' ']) { format!("'{word}'") } else { (*word).to_owned() })
        .collect();
    format!("$ covirt --as {} {}", actor.provider, words.join(" "))
}

/// A provider's open session; killed when dropped.
pub(super) struct SessionProcess {
    provider: ProviderId,
    words: Vec<String>,
    child: Child,
    lines: JoinHandle<Vec<String>>,
}

impl SessionProcess {
    /// Opens a session that gives one answer to every ask.
    ///
    /// *Errors*: [`PlayDemoError::Spawn`], [`PlayDemoError::SessionNotOpen`].
    pub(super) async fn open(stage: &Stage<'_>, actor: &Actor, answer: &str) -> Result<Self, PlayDemoError> {
        let words = ["provider", "session", "--answer", answer, "--no-events"];
        let cannot = |source| PlayDemoError::Spawn { program: stage.program.clone(), source };
        let mut child = stage.command(actor, &words).spawn().map_err(cannot)?;
        let unread = || cannot(std::io::Error::other("its output cannot be read"));
        let stdout = child.stdout.take().ok_or_else(unread)?;
        let (opened, is_open) = oneshot::channel();
        let lines = tokio::spawn(async move {
            let mut opened = Some(opened);
            let mut seen = Vec::new();
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // The first thing a session says is that it is open; whoever waits may have given up.
                if let Some(opened) = opened.take() {
                    let _ = opened.send(());
                }
                seen.push(line);
            }
            seen
        });
        if !matches!(tokio::time::timeout(SESSION_LIMIT, is_open).await, Ok(Ok(()))) {
            let _ = child.start_kill();
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_string(&mut said).await;
            }
            return Err(PlayDemoError::SessionNotOpen {
                provider: actor.provider.clone(),
                said: said.trim().to_owned(),
            });
        }
        let words = words.map(str::to_owned).to_vec();
        Ok(Self { provider: actor.provider.clone(), words, child, lines })
    }

    /// Ends the session; gives what it printed.
    async fn close(mut self) -> Result<Vec<String>, PlayDemoError> {
        terminate(&self.child);
        let command = format!("provider session of {}", self.provider);
        let ended = tokio::time::timeout(SESSION_LIMIT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(self.lines.await.unwrap_or_default()),
            Ok(Ok(status)) => Err(PlayDemoError::StepFailed { command, status, said: String::new() }),
            Ok(Err(_)) | Err(_) => Err(PlayDemoError::StepTooSlow { command, after: SESSION_LIMIT }),
        }
    }
}
