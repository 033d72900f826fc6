//! What the host's owner does during a storm (freezes, a lower ceiling, broken glass), and who opens channels meanwhile.

use std::sync::Arc;
use std::time::Duration;

use covirt::model::{Action, ChannelId, Peer, ProviderId, VmId, Wall};
use covirt::resolver::{ChannelEnd, ChannelRequest, Force, Input};
use covirt::sovereignty::{Ceiling, Freeze, Quota, Reach, Restraint, Scope, Subject, Table};
use uuid::Uuid;

use super::rig::{Rig, STORM};

impl Rig {
    /// All that the owner decides, and the channels.
    pub(super) fn plan_owner(&mut self) {
        self.plan_restraints();
        for lane in 0..self.benches.len() {
            self.plan_glass(lane);
            self.plan_channels(lane);
        }
    }

    /// What holds on the host since a moment; every lane is told a little later.
    fn plan_restraints(&mut self) {
        let Some(owner) = &mut self.owner else { return };
        if !owner.percent(50) {
            return;
        }
        let mut times: Vec<u64> = (0..1 + owner.below(4)).map(|_| owner.below(STORM)).collect();
        times.sort_unstable();
        let mut holds = Restraint::default();
        for at in times {
            let who = owner.pick(&self.providers).0.clone();
            let scope = match owner.below(4) {
                0 => Scope::Host {},
                1 => Scope::Vm { vm: VmId(Uuid::from_u128(0x100)) },
                _ => Scope::Provider { provider: who.clone() },
            };
            let known = holds.freezes.iter().position(|freeze| freeze.scope == scope);
            match known {
                _ if owner.percent(25) => {
                    holds.ceiling = Arc::new(ceiling(if owner.percent(50) { "power" } else { "cpu" }, who));
                }
                Some(known) => drop(holds.freezes.remove(known)),
                None if owner.percent(25) => holds.freezes.clear(),
                None => {
                    let reach = if owner.percent(10) { Reach::Everyone } else { Reach::Providers };
                    let since = Wall::from_micros(i64::try_from(self.base + at).unwrap());
                    holds.freezes.push(Freeze { scope, reach, reason: Some("simulated".to_owned()), since });
                }
            }
            self.restraints.push((at, Arc::new(holds.clone())));
        }
        let mut delays: Vec<(u64, usize, Arc<Restraint>)> = Vec::new();
        for (at, holds) in &self.restraints {
            delays.extend((0..self.benches.len()).map(|lane| (*at, lane, holds.clone())));
        }
        for (at, lane, holds) in delays {
            self.arrives(lane, at, Input::Restrained(holds));
        }
    }

    /// When the agent begins again, its lane is told once more.
    pub(super) fn told_again(&mut self, lane: usize) {
        let past = self.restraints.iter().rev().find(|(at, _)| *at <= self.time());
        if let Some(holds) = past.map(|(_, holds)| holds.clone()) {
            self.feed(lane, Input::Restrained(holds));
        }
    }

    fn plan_glass(&mut self, lane: usize) {
        let Some(owner) = &mut self.owner else { return };
        if !owner.percent(20) {
            return;
        }
        let at = owner.below(STORM);
        let span = Duration::from_millis(200 + owner.below(2_000));
        let by = if owner.percent(90) { ProviderId::operator() } else { self.providers[0].0.clone() };
        let mends = owner.percent(40).then(|| at + owner.below(2_000_000));
        self.arrives(lane, at, Input::BreakGlass { token: 0, by: by.clone(), reason: "simulated".to_owned(), span });
        if let Some(mends) = mends {
            self.arrives(lane, mends, Input::MendGlass { token: 0, by });
        }
    }

    fn plan_channels(&mut self, lane: usize) {
        let Some(owner) = &mut self.owner else { return };
        let mut wishes = Vec::new();
        for number in 0..owner.below(8) {
            let by = owner.pick(&self.providers).0.clone();
            let kind = *owner.pick(&["console", "console", "screen", "nbd", "disk:vda"]);
            let force = if owner.percent(20) { Force::Yes } else { Force::No };
            let id = ChannelId(Uuid::from_u128((u128::from(owner.next()) << 64) + u128::from(number)));
            // A disk that is read keeps the VM off: somebody ends that within the simulation's time.
            let ends = (kind == "disk:vda" || owner.percent(60)).then(|| owner.below(3_000_000));
            let asked = owner.percent(30);
            wishes.push((owner.below(STORM), by, kind, force, id, ends, asked));
        }
        for (at, by, kind, force, id, ends, asked) in wishes {
            let (kind, from) = (kind.parse().unwrap(), Peer::Local { uid: 1001, gid: None, pid: None });
            let request = ChannelRequest { id, by: by.clone(), kind, from, force };
            self.arrives(lane, at, Input::OpenChannel { token: 0, request });
            let Some(after) = ends else { continue };
            // A request may come too late, or be lost with a crash; the peer goes in the end.
            if asked {
                let reason = "simulated".to_owned();
                self.arrives(lane, at + after / 2, Input::CloseChannel { token: 0, by, channel: id, reason });
            }
            let over = Input::ChannelOver { channel: id, how: ChannelEnd::PeerLeft {}, received: 1, sent: 2 };
            self.arrives(lane, at + after, over);
        }
    }
}

/// One provider may do everything but one group of actions.
fn ceiling(group: &str, provider: ProviderId) -> Ceiling {
    let actions = Action::ALL.into_iter().filter(|action| action.group() != group).collect();
    let table = Table {
        subject: Subject::Provider(provider),
        place: "simulated".to_owned(),
        actions: Some(actions),
        class: None,
        primary: None,
        enroll: None,
        roles: None,
        quota: Quota::default(),
    };
    Ceiling { tables: vec![table] }
}
