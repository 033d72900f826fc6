//! What providers, the operator and the outside are going to do during a storm.

use std::collections::BTreeSet;
use std::time::Duration;

use covirt::delegation::{ChangeRequest, Mode};
use covirt::model::{
    Action, Cause, Class, ClockEstimate, Command, CommandId, Guard, Order, PowerState, ProviderId, StartId, VmId, Wall,
};
use covirt::resolver::{Fact, Input, Observation, Policy, Sender, pair};
use uuid::Uuid;

use super::rig::{Event, Rig, STORM};
use super::wish;

impl Rig {
    /// For how long the operator and hand-overs are waited for.
    pub(super) fn patience(&mut self) -> Policy {
        let Some(more) = &mut self.more else { return Policy::default() };
        let mut policy = Policy {
            escalate_wait: Duration::from_millis(500 + more.below(2_000)),
            drain_wait: Duration::from_secs(*more.pick(&[1, 3, 600])),
            ..Policy::default()
        };
        for (one, (who, _)) in self.providers.iter().enumerate() {
            for (other, _) in self.providers.iter().skip(one + 1) {
                if more.percent(50) {
                    policy.escalate.insert(pair(who.clone(), other.clone()));
                }
            }
        }
        policy
    }

    pub(super) fn grant(&mut self, who: usize) -> ChangeRequest {
        let exclusive = self.roll.percent(20);
        // Different sets for everybody: the primary alone reads the metadata, the third may not set vCPUs either, nor the
        // fourth memory.
        let mut actions: BTreeSet<Action> =
            Action::ALL.into_iter().filter(|a| !matches!(a, Action::InspectRead | Action::MonitorCommand)).collect();
        if exclusive {
            let groups: &[&str] = if who == 1 { &["snapshot", "power"] } else { &["cpu", "memory"] };
            let group = *self.roll.pick(groups);
            actions.retain(|action| action.group() == group);
        } else if let Some(withheld) = [Action::CpuSet, Action::MemorySet].get(who.wrapping_sub(2)) {
            actions.remove(withheld);
        }
        let lease = self.roll.percent(20).then(|| Duration::from_millis(500 + self.roll.below(4000)));
        let mode = if exclusive { Mode::Exclusive } else { Mode::Shared };
        ChangeRequest::Delegate {
            by: self.providers[0].0.clone(),
            to: self.providers[who].0.clone(),
            actions,
            mode,
            lease,
        }
    }

    /// All that providers and the outside want to do during the storm.
    pub(super) fn plan(&mut self) {
        let commands = 8 + self.roll.below(30);
        // Bursts: commands that meet are the interesting ones.
        let mut times: Vec<u64> =
            (0..commands).map(|_| (self.roll.below(STORM) / 400_000) * 400_000 + self.roll.below(20_000)).collect();
        times.sort_unstable();
        for (number, at) in (0..).zip(times) {
            let lane = usize::try_from(self.roll.below(self.benches.len() as u64)).unwrap();
            let who = usize::try_from(self.roll.below(self.providers.len() as u64)).unwrap();
            self.command(lane, who, number, at);
        }
        for lane in 0..self.benches.len() {
            for _ in 0..self.roll.below(4) {
                let at = (self.roll.below(STORM) / 400_000) * 400_000 + self.roll.below(60_000);
                self.at(at, Event::Crash(lane));
            }
            for _ in 0..self.roll.below(3) {
                let at = self.roll.below(STORM);
                self.at(at, Event::OutOfBand(lane));
            }
            for _ in 0..self.roll.below(3) {
                let (at, who) = (self.roll.below(STORM), self.roll.pick(&self.providers).0.clone());
                self.at(at, Event::CutOff(lane, who));
            }
            if self.providers.len() > 1 && self.roll.percent(40) {
                let from = self.providers[1].0.clone();
                let request = ChangeRequest::Revoke { by: self.providers[0].0.clone(), from, actions: BTreeSet::new() };
                let at = self.roll.below(STORM);
                self.arrives(lane, at, Input::Change { token: 0, request });
                let request = self.grant(1);
                self.arrives(lane, at + 100_000, Input::Change { token: 0, request });
            }
            self.hand_over(lane);
        }
    }

    /// What is in flight ends, nothing new begins, and then somebody else holds the actions.
    fn hand_over(&mut self, lane: usize) {
        let Some(more) = &mut self.more else { return };
        if !more.percent(40) {
            return;
        }
        let at = more.below(STORM);
        let primary = self.providers[0].0.clone();
        let who = more.pick(&self.providers[1..]).0.clone();
        let by = if more.percent(20) { ProviderId::operator() } else { primary };
        let request = if more.percent(50) {
            ChangeRequest::Revoke { by, from: who, actions: BTreeSet::new() }
        } else {
            let group = *more.pick(&["snapshot", "power", "cpu", "backup"]);
            let actions = Action::ALL.into_iter().filter(|action| action.group() == group).collect();
            let lease = more.percent(20).then(|| Duration::from_secs(2));
            ChangeRequest::Delegate { by, to: who, actions, mode: Mode::Exclusive, lease }
        };
        self.arrives(lane, at, Input::Drain { token: 0, request });
    }

    /// What somebody who reads the journal's events does about these.
    pub(super) fn reacts(&mut self, lane: usize, facts: &[Fact]) {
        for fact in facts {
            let (conflict, between, percent) = match fact {
                Fact::Escalated { conflict, .. } => {
                    let known = self.benches[lane].oracle.between(*conflict);
                    (*conflict, known, 70)
                }
                Fact::ConflictOpened { conflict, between, .. } => (*conflict, *between, 3),
                _ => continue,
            };
            let now = self.time();
            let Some(more) = &mut self.more else { return };
            if !more.percent(percent) {
                continue;
            }
            let by = if more.percent(90) { ProviderId::operator() } else { self.providers[0].0.clone() };
            // Now and then the operator names a command that has no part in it, or is late.
            let stranger = self.benches[lane].sent.first().map(|sent| sent.id).filter(|_| more.percent(10));
            let first = stranger.unwrap_or(*more.pick(&between));
            let at = now + more.below(2_500_000);
            self.arrives(lane, at, Input::Decide { token: 0, by, conflict, first });
        }
    }

    fn command(&mut self, lane: usize, who: usize, number: u64, at: u64) {
        let (provider, skew) = self.providers[who].clone();
        let provider = if self.roll.percent(4) || self.also(3) { ProviderId::operator() } else { provider };
        let breaks = self.also(if provider.is_operator() { 40 } else { 1 });
        let id = CommandId(Uuid::from_u128((u128::from(self.roll.next()) << 64) + u128::from(number)));
        let bench = &self.benches[lane];
        let after = if self.roll.percent(15) && !bench.sent.is_empty() {
            [self.roll.pick(&bench.sent).id].into()
        } else if self.roll.percent(2) {
            [CommandId(Uuid::from_u128(1))].into()
        } else {
            BTreeSet::new()
        };
        let used = bench.sent.iter().filter(|sent| sent.provider == provider).filter_map(|sent| sent.order.seq).max();
        let seq = self.roll.percent(50).then(|| used.unwrap_or(0) + 1 + u64::from(self.roll.percent(10)));
        let issued = i64::try_from(self.base + at).unwrap() - i64::try_from(self.roll.below(2_000_000)).unwrap();
        let (stamp, told) = match self.clocks.stamp(&provider, issued, self.now()) {
            Some(shown) => shown,
            None => (Wall::from_micros(issued + skew), false),
        };
        let vm = VmId(Uuid::from_u128(0x100 + lane as u128));
        let wish = wish::operation(&mut self.roll, vm);
        let (operation, call) = match &mut self.clients {
            Some(clients) => wish::carried(clients, wish),
            None => (wish, None),
        };
        let command = Command {
            id,
            vm,
            provider,
            operation,
            order: Order { seq, after },
            issued_at: self.roll.percent(80).then_some(stamp),
            not_after: self
                .roll
                .percent(10)
                .then(|| stamp.shifted(2_000_000 + i64::try_from(self.roll.below(1_000_000)).unwrap())),
            must_start_by: self.roll.percent(5).then(|| stamp.shifted(3_000_000)),
            break_glass: breaks.then(|| "simulated".to_owned()),
            guard: Guard {
                vcpus: self.roll.percent(8).then_some(2),
                state: self.roll.percent(8).then_some(PowerState::Running),
                ..Guard::default()
            },
            class: *self.roll.pick(&[
                Class::Routine,
                Class::Routine,
                Class::Routine,
                Class::Critical,
                Class::Emergency,
            ]),
            epoch: None,
            call,
        };
        if command.call.is_some() && self.clients.as_mut().is_some_and(|clients| clients.percent(15)) {
            let leaves = self.clients.as_mut().map_or(0, |clients| clients.below(800_000));
            self.arrives(lane, at + leaves, Input::ClientGone { command: id });
        }
        if told && command.issued_at.is_some() {
            self.benches[lane].oracle.issued(id, issued);
        }
        self.benches[lane].sent.push(command.clone());
        let known = skew.unsigned_abs() > 1_000_000 || self.roll.percent(50);
        let clock = known.then_some(ClockEstimate { offset_us: skew, uncertainty_us: 500 });
        // The network: delay, duplicates, loss with a later retry.
        let copies = 1 + u64::from(self.roll.percent(20));
        for _ in 0..copies {
            let delay = if self.roll.percent(20) { self.roll.below(400_000) } else { self.roll.below(3_000) };
            let input = Input::Submitted {
                token: number,
                command: Box::new(command.clone()),
                sender: Sender { clock, ..Sender::default() },
            };
            self.arrives(lane, at + delay, input);
        }
        if self.roll.percent(5) {
            let cancel = Input::Cancel { token: number, by: command.provider.clone(), command: id };
            self.arrives(lane, at + 20_000, cancel);
        }
    }

    /// Somebody acts past the lanes.
    pub(super) fn out_of_band(&mut self, lane: usize) {
        let bench = &mut self.benches[lane];
        bench.oracle.meddled();
        let told = match self.roll.below(4) {
            0 => {
                (bench.machine.power, bench.machine.start) = (PowerState::ShutOff, StartId(None));
                bench.machine.jobs.clear();
                Observation::Told(*self.roll.pick(&[Cause::Destroyed, Cause::GuestShutdown, Cause::Crashed]))
            }
            1 if bench.machine.power == PowerState::Running => {
                bench.machine.power = PowerState::Paused;
                Observation::Told(*self.roll.pick(&[Cause::Suspended, Cause::NoSpace]))
            }
            2 => {
                bench.machine.vcpus = 3;
                Observation::Told(Cause::Redefined)
            }
            _ => {
                bench.machine.snapshots.remove("base");
                Observation::Event
            }
        };
        self.observe(lane, told);
        let happened = *self.roll.pick(&[Cause::Rebooted, Cause::DeviceRemoved, Cause::AgentGone, Cause::Redefined]);
        self.feed(lane, Input::Happened(happened.into()));
    }
}
