//! Step 8, outer half: carries a lane's questions to the operator's hook, to sessions, or to standing answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::session::{PendingAsk, Sent, Sessions};
use super::wire::{FromAgent, HookAnswer, HookAsk};
use crate::hypervisor::Later;
use crate::lanes::{Asker, Delivery};
use crate::model::{CommandId, ProviderId, VmId};
use crate::resolver::{Ask, Party, Said};

/// How much a hook may write.
const HOOK_OUTPUT_MAX: u64 = 64 * 1024;
/// How many hooks run at once; more wait within their own time.
const HOOKS_AT_ONCE: usize = 8;

/// The operator's executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Why a hook gave no answer. All of them count as silence.
#[derive(Debug, thiserror::Error)]
enum RunHookError {
    #[error("it cannot be run")]
    Start(#[source] std::io::Error),
    #[error("it did not take its question or give its answer")]
    Talk(#[source] std::io::Error),
    #[error("it did not end within {0:?} and was killed with its children")]
    Late(Duration),
    #[error("it ended with {0}")]
    Unsuccessful(std::process::ExitStatus),
    #[error("it wrote no valid answer")]
    Garbled(#[source] serde_json::Error),
}

/// What the configuration says about answers.
struct Declared {
    standing: BTreeMap<ProviderId, Said>,
    hook: Option<Arc<Hook>>,
}

/// Carries questions.
#[derive(Clone)]
pub struct Callbacks {
    sessions: Sessions,
    declared: Arc<RwLock<Declared>>,
    hooks: Arc<Semaphore>,
}

impl Callbacks {
    /// With these sessions, standing answers and hook.
    #[must_use]
    pub fn new(sessions: Sessions, standing: BTreeMap<ProviderId, Said>, hook: Option<Hook>) -> Self {
        let hooks = Arc::new(Semaphore::new(HOOKS_AT_ONCE));
        let declared = Arc::new(RwLock::new(Declared { standing, hook: hook.map(Arc::new) }));
        Self { sessions, declared, hooks }
    }

    /// Asks with these standing answers and this hook from now on.
    pub fn reconfigure(&self, standing: BTreeMap<ProviderId, Said>, hook: Option<Hook>) {
        let hook = hook.map(Arc::new);
        *self.declared.write().unwrap_or_else(PoisonError::into_inner) = Declared { standing, hook };
    }

    fn hook(&self) -> Option<Arc<Hook>> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner).hook.clone()
    }

    fn standing_of(&self, provider: &ProviderId) -> Option<Said> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner).standing.get(provider).copied()
    }

    fn to_provider(&self, vm: VmId, provider: &ProviderId, ask: &Ask) -> Delivery {
        let pending = PendingAsk { vm, conflict: ask.conflict, epoch: ask.epoch };
        match self.sessions.send_ask(provider, pending, ask_message(vm, ask)) {
            Sent::OnItsWay => Delivery::Sent,
            Sent::Lost => Delivery::Lost,
            Sent::NoSession => self.standing_of(provider).map_or(Delivery::Lost, Delivery::Standing),
        }
    }
}

impl Asker for Callbacks {
    fn ask(&self, vm: VmId, ask: Ask) -> Later<Delivery> {
        match (&ask.who, self.hook()) {
            (Party::Provider(provider), _) => {
                let delivery = self.to_provider(vm, &provider.clone(), &ask);
                Box::pin(std::future::ready(delivery))
            }
            (Party::Hook, None) => Box::pin(std::future::ready(Delivery::Lost)),
            (Party::Hook, Some(hook)) => {
                let hooks = self.hooks.clone();
                Box::pin(async move {
                    let question = hook_ask(vm, &ask);
                    let answered = tokio::time::timeout(ask.within, async {
                        let _permit = hooks.acquire().await;
                        run(&hook, &question, ask.within).await
                    });
                    match answered.await.unwrap_or(Err(RunHookError::Late(ask.within))) {
                        Ok(first) => Delivery::Hook(first),
                        Err(error) => {
                            let chain = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                            tracing::warn!(hook = %hook.program.display(), %error, chain, "the operator's hook did not answer");
                            Delivery::Lost
                        }
                    }
                })
            }
        }
    }
}

fn ask_message(vm: VmId, ask: &Ask) -> FromAgent {
    let possible = |fails: &Option<String>, said| fails.is_none().then_some(said);
    let mut feasible: Vec<Said> =
        [possible(&ask.mine_first_fails, Said::MineFirst), possible(&ask.theirs_first_fails, Said::TheirsFirst)]
            .into_iter()
            .flatten()
            .collect();
    if feasible.is_empty() {
        // No order lets both succeed: then either is as good.
        feasible = vec![Said::MineFirst, Said::TheirsFirst];
    }
    FromAgent::Ask {
        ask: ask.conflict,
        epoch: ask.epoch,
        vm,
        mine: serde_json::to_value(&ask.mine).unwrap_or_default(),
        theirs: serde_json::to_value(&ask.theirs).unwrap_or_default(),
        hold: ask.hold.clone(),
        contested: ask.contested.iter().map(ToString::to_string).collect(),
        feasible,
        answer_within_ms: millis(ask.within),
    }
}

fn hook_ask(vm: VmId, ask: &Ask) -> HookAsk {
    HookAsk {
        conflict: ask.conflict,
        epoch: ask.epoch,
        vm,
        commands: [&ask.mine, &ask.theirs].map(|command| serde_json::to_value(command).unwrap_or_default()),
        hold: ask.hold.clone(),
        opener: ask.opener,
        contested: ask.contested.iter().map(ToString::to_string).collect(),
        first_then_second_fails: ask.mine_first_fails.clone(),
        second_then_first_fails: ask.theirs_first_fails.clone(),
        answer_within_ms: millis(ask.within),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Kills a process group when dropped: a hook that is late goes with all its children.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(leader), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

async fn run(hook: &Hook, question: &HookAsk, within: Duration) -> Result<Option<CommandId>, RunHookError> {
    let mut child = Command::new(&hook.program)
        .args(&hook.args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(RunHookError::Start)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
    let question = serde_json::to_vec(question).unwrap_or_default();
    let talk = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A hook that does not read its question may still answer.
            let _ = stdin.write_all(&question).await;
        }
        let mut answer = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(HOOK_OUTPUT_MAX).read_to_end(&mut answer).await.map_err(RunHookError::Talk)?;
        }
        let status = child.wait().await.map_err(RunHookError::Talk)?;
        if status.success() { Ok(answer) } else { Err(RunHookError::Unsuccessful(status)) }
    };
    let answer = tokio::time::timeout(within, talk).await.map_err(|_| RunHookError::Late(within))??;
    // The leader is reaped: its number may belong to somebody else from here on.
    group.0 = None;
    let answer: HookAnswer = serde_json::from_slice(&answer).map_err(RunHookError::Garbled)?;
    Ok(answer.first)
}

#[cfg(test)]
mod tests;
