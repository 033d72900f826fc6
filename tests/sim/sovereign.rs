//! The host's owner has its word: what is frozen, or under broken glass, begins nothing and keeps no way into the VM.

use covirt::model::{ChannelId, Now, ProviderId};
use covirt::resolver::{Channel, ChannelEnd, Fact, Phase, Rule, State, Tracked};
use covirt::sovereignty::frozen;

use super::Oracle;

/// Whether the owner has stopped a provider on the VM.
fn is_stopped(state: &State, who: &ProviderId) -> bool {
    let others = !who.is_operator() && !who.is_agent();
    frozen(state.freezes(), who, state.vm()).is_some() || others && state.glass().is_some()
}

/// Whether a command ends what its own provider has open.
fn lets_go(state: &State, tracked: &Tracked) -> bool {
    let command = tracked.command();
    let ends = command.operation.ends_open();
    ends.is_some_and(|key| state.holds().any(|hold| *hold.key() == key && hold.owner() == Some(&command.provider)))
}

/// Whether what is at the hypervisor already serves a command, too.
fn is_served(state: &State, tracked: &Tracked) -> bool {
    let verdicts = tracked.conflicts().iter().filter_map(|id| state.conflict(*id)?.verdict());
    let mut leaders = verdicts.filter(|verdict| verdict.rule == Rule::SameWish).filter_map(|v| state.command(v.first));
    leaders.any(Tracked::is_active)
}

impl Oracle {
    /// At the moment of the decision: nobody starts what its owner may not begin.
    pub(super) fn nothing_stopped_starts(&self, tracked: &Tracked) {
        let who = &tracked.command().provider;
        let may = !is_stopped(&self.shadow, who) || lets_go(&self.shadow, tracked);
        assert!(may, "{} starts although {who} is stopped: {:?}", tracked.command().id, self.shadow.freezes());
    }

    /// What the host's owner and channels add to the account, before the fact is applied.
    pub(super) fn owners(&mut self, at: Now, fact: &Fact) {
        match fact {
            Fact::ChannelOpened { channel, owner, kind, grant, .. } => {
                assert!(!is_stopped(&self.shadow, owner), "{channel} is opened although {owner} is stopped");
                let authority = self.shadow.authority().unwrap();
                let stands = authority.still_stands(owner, kind.action(), *grant, at);
                assert!(stands, "I4: {channel} is opened under a grant that is gone");
                assert!(self.channels.insert(*channel), "{channel} is opened twice");
                *self.tally.channels.entry(format!("opened {kind}")).or_default() += 1;
            }
            Fact::ChannelClosed { channel, how, .. } => {
                let open = self.shadow.channels().any(|open| open.id() == *channel);
                assert!(open, "{channel} is closed and was not open");
                *self.tally.channels.entry(how.as_str().to_owned()).or_default() += 1;
            }
            Fact::Frozen { .. } => self.hand("frozen"),
            Fact::Thawed { .. } => self.hand("thawed"),
            Fact::GlassBroken { .. } => self.hand("glass broken"),
            Fact::GlassMended { by } if by.is_agent() => self.hand("glass mended in time"),
            Fact::GlassMended { .. } => self.hand("glass mended"),
            _ => {}
        }
    }

    /// The door is told once, and only what is durable.
    pub(super) fn cuts_off(&mut self, channel: ChannelId, how: &ChannelEnd) {
        let closes = |fact: &Fact| matches!(fact, Fact::ChannelClosed { channel: id, how: why, .. } if *id == channel && why == how);
        assert!(self.durable(closes), "{channel} is cut off before that is durable");
        assert!(self.cut.insert(channel), "{channel} is cut off twice");
    }

    /// A channel that nobody was told of, because its opening was lost, may be opened again by its id.
    pub(super) fn forgets_channels(&mut self) {
        let durable = self.facts.iter().filter_map(|(_, fact, _)| match &**fact {
            Fact::ChannelOpened { channel, .. } => Some(*channel),
            _ => None,
        });
        self.channels = durable.collect();
    }

    /// After every step: what is open rests on what stands, and of whoever is stopped nothing waits but what lets go.
    pub(super) fn owner_has_its_word(now: Now, state: &State) {
        for channel in state.channels() {
            let (id, owner) = (channel.id(), Channel::owner(channel));
            assert!(!is_stopped(state, owner), "{id} is open although {owner} is stopped");
            let may = state.authority().is_some_and(|a| a.authorise(owner, channel.kind().action(), now).is_ok());
            assert!(may, "{id} is open although {owner} may not open it");
        }
        for tracked in state.commands().filter(|tracked| *tracked.phase() == Phase::Queued) {
            let who = &tracked.command().provider;
            let may = !is_stopped(state, who) || lets_go(state, tracked) || is_served(state, tracked);
            assert!(may, "{} waits although {who} is stopped", tracked.command().id);
        }
    }
}
