//! What the lanes are under, and what the host's owner has them do: freeze, thaw, break the glass; and what is still running then.
//!
//! A fact about the host is durable before any lane goes by it, and every lane looks before each step: once [`Lanes::freeze`]
//! has returned, nothing of its scope begins any more, wherever it was on its way.

use std::sync::Arc;

use std::time::Duration;

use futures_util::future::join_all;

use super::Lanes;
use crate::model::{Action, CommandId, HoldKey, ProviderId, Refusal, VmId, Wall};
use crate::resolver::{Input, Lane, Policy, State};
use crate::sovereignty::{By, Freeze, HostFact, Scope};

/// What has begun on a VM and is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Commands at the hypervisor, or of which nobody knows yet what became.
    pub commands: Vec<(CommandId, ProviderId, Action)>,
    /// What is open, and whose it is.
    pub holds: Vec<(HoldKey, Option<ProviderId>)>,
}

impl Running {
    /// What runs on a lane; of one provider, or of everybody.
    #[must_use]
    pub fn on(state: &State, of: Option<&ProviderId>) -> Self {
        let mine = |provider: &ProviderId| of.is_none_or(|of| of == provider);
        let commands = state.commands().filter(|tracked| tracked.is_active()).map(|tracked| tracked.command());
        let commands = commands.filter(|command| mine(&command.provider));
        let holds = state.holds().filter(|hold| of.is_none() || hold.owner().is_some_and(mine));
        Self {
            vm: state.vm(),
            name: state.name().to_owned(),
            commands: commands
                .map(|command| (command.id, command.provider.clone(), command.operation.action()))
                .collect(),
            holds: holds.map(|hold| (hold.key().clone(), hold.owner().cloned())).collect(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.commands.is_empty() && self.holds.is_empty()
    }
}

impl Lanes {
    /// Stops new work of a scope. Returns what goes on, once every lane goes by it.
    ///
    /// *Errors*: [`Code::JournalUnwritable`](crate::model::Code::JournalUnwritable); nothing is frozen then.
    pub async fn freeze(&self, by: By, freeze: Freeze) -> Result<Vec<Running>, Refusal> {
        let scope = freeze.scope.clone();
        self.host().record(HostFact::Frozen { by, freeze }).await?;
        Ok(self.running(&scope).await)
    }

    /// Lets new work of a scope begin again.
    ///
    /// *Errors*: [`Code::NotFrozen`](crate::model::Code::NotFrozen),
    /// [`Code::JournalUnwritable`](crate::model::Code::JournalUnwritable).
    pub async fn thaw(&self, by: By, scope: Scope, reason: Option<String>) -> Result<(), Refusal> {
        let of = scope.clone();
        self.host().decide(move |host| host.thaw(by, scope, reason)).await?;
        self.running(&of).await;
        Ok(())
    }

    /// What is running of a scope. Every lane that answers has gone by what held on the host when it was asked.
    pub async fn running(&self, scope: &Scope) -> Vec<Running> {
        let (of, vms) = match scope {
            Scope::Host {} => (None, self.vms()),
            Scope::Provider { provider } => (Some(provider.clone()), self.vms()),
            Scope::Vm { vm } => (None, vec![*vm]),
        };
        let looks = vms.into_iter().map(|vm| {
            let of = of.clone();
            self.read(vm, move |lane: &Lane, _| Running::on(lane.state(), of.as_ref()))
        });
        // A lane that is gone, or whose journal fails, begins nothing.
        let running = join_all(looks).await.into_iter().filter_map(Result::ok);
        running.filter(|running| !running.is_nothing()).collect()
    }

    /// The operator takes every action of a VM for a while; returns until when.
    ///
    /// *Errors*: [`Code::UnknownVm`](crate::model::Code::UnknownVm), [`Code::Forbidden`](crate::model::Code::Forbidden),
    /// [`Code::Malformed`](crate::model::Code::Malformed).
    pub async fn break_glass(&self, vm: VmId, by: By, reason: String, span: Duration) -> Result<Wall, Refusal> {
        let address = self.address(vm)?;
        let (who, why) = (by.provider.clone(), reason.clone());
        let make = move |token| Input::BreakGlass { token, by: who, reason: why, span };
        self.request(&address, make).await?;
        let until = self.read(vm, |lane, _| lane.state().glass().map(|glass| glass.until_at)).await?;
        let until = until.unwrap_or_else(|| self.now().wall);
        // The lane's own record is the truth; this is the host's, with who it was.
        self.host().record(HostFact::GlassBroken { by, vm, reason, until }).await?;
        Ok(until)
    }

    /// The operator is done before the time is up. That it is over, the lane's own fact has recorded for the host.
    ///
    /// *Errors*: as [`break_glass`](Self::break_glass).
    pub async fn mend_glass(&self, vm: VmId, by: ProviderId) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        self.request(&address, move |token| Input::MendGlass { token, by }).await.map(drop)
    }

    /// Records for the host that the glass is whole where no lane knows of it any more.
    pub(super) fn mend_forgotten(&self, states: impl Fn(VmId) -> bool) {
        for vm in self.host().current().glass().keys().copied().filter(|vm| !states(*vm)) {
            self.host().glass_mended(vm, ProviderId::agent());
        }
    }

    /// How the lanes are configured.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.0.around.policy.borrow().clone()
    }
}
