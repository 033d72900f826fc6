//! The agent's API as calls: each path is written here, once.

use std::time::Duration;

use super::client::{CallAgentError, Client};
use super::fault::CarryOutError;
use crate::discovery::Inventory;
use crate::doors::wire::{
    AddProviderRequest, AuditReport, BrokenGlass, ChannelList, CommandList, CommandRequest, CommandView, ConflictList,
    DecisionRequest, DeedList, DelegateRequest, Delegations, EnrollRequest, Enrollment, EventPage, Explanation,
    FreezeList, FreezeRequest, Frozen, GlassRequest, GuestReport, Health, HoldList, HoldRelease, HoldReleaseRequest,
    Identity, Invitation, ProviderList, ProviderRemoved, Reachable, RecordList, StatsList, VmDetail, VmList,
};
use crate::model::{ChannelId, CommandId, ConflictId, HoldKey, KeyId, ProviderId, VmId, Wall};
use crate::resolver::ConflictRecord;

/// How many events one page may hold.
const EVENTS_PER_PAGE: usize = 1000;

/// The answer at once.
const NOW: Duration = Duration::ZERO;

/// Which events are wanted.
#[derive(Debug, Clone, Copy)]
pub struct EventsAsked {
    /// Those that come after this cursor.
    pub after: u64,
    /// Those of this VM only.
    pub vm: Option<VmId>,
    /// How long the agent may wait for the first.
    pub wait: Duration,
}

/// How actions are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoking {
    /// At once.
    Usual,
    /// Once what is in flight has ended.
    Drain,
    /// At once, and what still runs is told.
    Now,
}

/// *Errors* of every call: [`CallAgentError`].
impl Client {
    /// How the agent is.
    pub async fn health(&self) -> Result<Health, CallAgentError> {
        self.get("/healthz", NOW).await
    }

    /// Who the agent takes us for.
    pub async fn identity(&self) -> Result<Identity, CallAgentError> {
        self.get("/v1/whoami", NOW).await
    }

    /// Invites a provider.
    pub async fn add_provider(&self, request: &AddProviderRequest) -> Result<Invitation, CallAgentError> {
        self.post("/v1/providers", request, NOW).await
    }

    /// How a provider reaches the agent.
    pub async fn reachable(&self, vm: VmId, provider: &ProviderId) -> Result<Reachable, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}/access?for={provider}"), NOW).await
    }

    /// Who the providers are.
    pub async fn providers(&self) -> Result<ProviderList, CallAgentError> {
        self.get("/v1/providers", NOW).await
    }

    /// Shows a provider out.
    pub async fn remove_provider(&self, provider: &ProviderId) -> Result<ProviderRemoved, CallAgentError> {
        self.delete(&format!("/v1/providers/{provider}")).await
    }

    /// Ends one key of a provider.
    pub async fn remove_key(&self, provider: &ProviderId, key: KeyId) -> Result<ProviderRemoved, CallAgentError> {
        self.delete(&format!("/v1/providers/{provider}/keys/{key}")).await
    }

    /// The VMs we may see.
    pub async fn vms(&self) -> Result<VmList, CallAgentError> {
        self.get("/v1/vms", NOW).await
    }

    /// The VM of this UUID or name.
    ///
    /// *Errors*: [`CarryOutError::NoSuchVm`], [`CallAgentError`].
    pub async fn find_vm(&self, name: &str) -> Result<VmId, CarryOutError> {
        if let Ok(vm) = name.parse() {
            return Ok(vm);
        }
        let list = self.vms().await?;
        let found = list.vms.iter().find(|summary| summary.name == name).map(|summary| summary.vm);
        found.ok_or_else(|| CarryOutError::NoSuchVm { name: name.chars().take(64).collect() })
    }

    /// One co-managed VM.
    pub async fn vm(&self, vm: VmId) -> Result<VmDetail, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}"), NOW).await
    }

    /// A VM's resources and network settings.
    pub async fn inventory(&self, vm: VmId) -> Result<Inventory, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}/inventory"), NOW).await
    }

    /// Begins to have a VM co-managed.
    pub async fn enroll(&self, vm: VmId, request: &EnrollRequest) -> Result<Enrollment, CallAgentError> {
        self.post(&format!("/v1/vms/{vm}/enrollment"), request, NOW).await
    }

    /// Ends it.
    pub async fn release(&self, vm: VmId) -> Result<(), CallAgentError> {
        self.delete_whole(&format!("/v1/vms/{vm}/enrollment")).await
    }

    /// Who may do what to a VM.
    pub async fn delegations(&self, vm: VmId) -> Result<Delegations, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}/delegations"), NOW).await
    }

    /// Gives actions to another provider.
    pub async fn delegate(&self, vm: VmId, request: &DelegateRequest) -> Result<Delegations, CallAgentError> {
        self.post(&format!("/v1/vms/{vm}/delegations"), request, NOW).await
    }

    /// Takes actions back; all of them when none is named.
    pub async fn revoke(
        &self,
        vm: VmId,
        from: &ProviderId,
        actions: &[String],
        how: Revoking,
    ) -> Result<Delegations, CallAgentError> {
        let actions = (!actions.is_empty()).then(|| format!("actions={}", escape(&actions.join(","))));
        let how = match how {
            Revoking::Usual => None,
            Revoking::Drain => Some("drain=true".to_owned()),
            Revoking::Now => Some("now=true".to_owned()),
        };
        let query: Vec<String> = actions.into_iter().chain(how).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        self.delete(&format!("/v1/vms/{vm}/delegations/{from}{query}")).await
    }

    /// Who did what to a VM: one page.
    pub async fn deeds(&self, after: u64, vm: VmId, since: Option<Wall>) -> Result<DeedList, CallAgentError> {
        let since = since.map(|since| format!("&since={}", escape(&since.to_string()))).unwrap_or_default();
        self.get(&format!("/v1/audit/deeds?after={after}&vm={vm}{since}"), NOW).await
    }

    /// Records with their chain: one page.
    pub async fn records(
        &self,
        after: u64,
        vm: Option<VmId>,
        since: Option<Wall>,
    ) -> Result<RecordList, CallAgentError> {
        let vm = vm.map(|vm| format!("&vm={vm}")).unwrap_or_default();
        let since = since.map(|since| format!("&since={}", escape(&since.to_string()))).unwrap_or_default();
        self.get(&format!("/v1/audit/records?after={after}{vm}{since}"), NOW).await
    }

    /// Stops new work.
    pub async fn freeze(&self, request: &FreezeRequest) -> Result<Frozen, CallAgentError> {
        self.post("/v1/freezes", request, NOW).await
    }

    /// What is frozen.
    pub async fn freezes(&self) -> Result<FreezeList, CallAgentError> {
        self.get("/v1/freezes", NOW).await
    }

    /// Lets new work begin again.
    pub async fn thaw(
        &self,
        provider: Option<&ProviderId>,
        vm: Option<VmId>,
        reason: Option<&str>,
    ) -> Result<FreezeList, CallAgentError> {
        let provider = provider.map(|provider| format!("provider={provider}"));
        let vm = vm.map(|vm| format!("vm={vm}"));
        let reason = reason.map(|reason| format!("reason={}", escape(reason)));
        let query: Vec<String> = [provider, vm, reason].into_iter().flatten().collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        self.delete(&format!("/v1/freezes{query}")).await
    }

    /// The operator takes every action of a VM.
    pub async fn break_glass(&self, vm: VmId, request: &GlassRequest) -> Result<BrokenGlass, CallAgentError> {
        self.post(&format!("/v1/vms/{vm}/break-glass"), request, NOW).await
    }

    /// The operator gives them back.
    pub async fn mend_glass(&self, vm: VmId) -> Result<(), CallAgentError> {
        self.delete_whole(&format!("/v1/vms/{vm}/break-glass")).await
    }

    /// Sends a command; the agent holds its answer back for as long as `wait`, or until the command ends.
    pub async fn submit(
        &self,
        vm: VmId,
        request: &CommandRequest,
        wait: Duration,
    ) -> Result<CommandView, CallAgentError> {
        self.post(&format!("/v1/vms/{vm}/commands"), request, wait).await
    }

    /// A VM's commands.
    pub async fn commands(&self, vm: VmId) -> Result<CommandList, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}/commands"), NOW).await
    }

    /// One command, wherever it is.
    pub async fn command(&self, id: CommandId) -> Result<CommandView, CallAgentError> {
        self.get(&format!("/v1/commands/{id}"), NOW).await
    }

    /// Takes a command back.
    pub async fn cancel(&self, vm: VmId, id: CommandId) -> Result<CommandView, CallAgentError> {
        self.delete(&format!("/v1/vms/{vm}/commands/{id}")).await
    }

    /// A VM's conflicts.
    pub async fn conflicts(&self, vm: VmId) -> Result<ConflictList, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}/conflicts"), NOW).await
    }

    /// Says which command of a conflict goes first.
    pub async fn decide(&self, id: ConflictId, first: CommandId) -> Result<ConflictRecord, CallAgentError> {
        self.post(&format!("/v1/conflicts/{id}/decision"), &DecisionRequest { first }, NOW).await
    }

    /// What is open on one VM, or on all we have a part in.
    pub async fn holds(&self, vm: Option<VmId>) -> Result<HoldList, CallAgentError> {
        match vm {
            Some(vm) => self.get(&format!("/v1/vms/{vm}/holds"), NOW).await,
            None => self.get("/v1/holds", NOW).await,
        }
    }

    /// Has something open ended; the agent holds its answer back for as long as `wait`, or until it is over.
    pub async fn release_hold(
        &self,
        vm: VmId,
        hold: &HoldKey,
        request: &HoldReleaseRequest,
        wait: Duration,
    ) -> Result<HoldRelease, CallAgentError> {
        self.post(&format!("/v1/vms/{vm}/holds/{hold}/release"), request, wait).await
    }

    /// The channels that are open.
    pub async fn channels(&self) -> Result<ChannelList, CallAgentError> {
        self.get("/v1/channels", NOW).await
    }

    /// Closes a channel.
    pub async fn close_channel(&self, channel: ChannelId, reason: &str) -> Result<(), CallAgentError> {
        self.delete_whole(&format!("/v1/channels/{channel}?reason={}", escape(reason))).await
    }

    /// What a guest tells of itself.
    pub async fn guest(&self, vm: VmId) -> Result<GuestReport, CallAgentError> {
        self.get(&format!("/v1/vms/{vm}/guest"), NOW).await
    }

    /// What libvirt counts of one VM, or of all we have a part in.
    pub async fn stats(&self, vm: Option<VmId>) -> Result<StatsList, CallAgentError> {
        match vm {
            Some(vm) => Ok(StatsList { vms: vec![self.get(&format!("/v1/vms/{vm}/stats"), NOW).await?] }),
            None => self.get("/v1/stats", NOW).await,
        }
    }

    /// Why a command went as it did.
    pub async fn explain(&self, id: CommandId) -> Result<Explanation, CallAgentError> {
        self.get(&format!("/v1/commands/{id}/explain"), NOW).await
    }

    /// What happened.
    pub async fn events(&self, asked: EventsAsked) -> Result<EventPage, CallAgentError> {
        let EventsAsked { after, vm, wait } = asked;
        let vm = vm.map(|vm| format!("&vm={vm}")).unwrap_or_default();
        let path = format!("/v1/events?after={after}&limit={EVENTS_PER_PAGE}&wait={}{vm}", wait.as_secs());
        self.get(&path, wait).await
    }

    /// Checks the journal.
    pub async fn audit(&self) -> Result<AuditReport, CallAgentError> {
        self.get("/v1/audit/verify", NOW).await
    }
}

/// What a query may not hold as it is, in percents.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,*".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_cannot_be_broken_out_of() {
        assert_eq!(escape("snapshot.*,power.start"), "snapshot.*,power.start");
        assert_eq!(escape("a&b=c d/é"), "a%26b%3Dc%20d%2F%C3%A9");
    }
}
