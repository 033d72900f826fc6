//! What is open, as the oracle keeps account of it: by what commands do, not by what the lane says that it holds.

use covirt::model::{Action, Class, Ending, HoldKey};
use covirt::resolver::{Closed, Fact, Phase, Standing, Tracked};

use super::Oracle;

impl Oracle {
    /// Whoever leaves something open ends together with the fact that says so, unless libvirt has shown that over already.
    pub(super) fn nothing_open_is_forgotten(&self, facts: &[Fact]) {
        for fact in facts {
            let Fact::Ended { command, outcome } = fact else { continue };
            // Whoever came and ended in one step never had anything executed.
            let known = self.shadow.command(*command).filter(|_| outcome.ending == Ending::Done);
            let Some((key, _)) = known.and_then(|tracked| tracked.command().operation.leaves_open()) else { continue };
            let noted = facts.iter().any(
                |fact| matches!(fact, Fact::HoldOpened { hold, command: by, .. } if *hold == key && *by == Some(*command)),
            );
            let was_unknown = known.is_some_and(|tracked| *tracked.phase() == Phase::Unknown);
            let shown_over = self.shadow.believed().is_some_and(|vm| key.is_observable() && !vm.jobs.contains(&key));
            assert!(noted || was_unknown && shown_over, "{command} leaves its {key} open, and the lane forgets it");
        }
    }

    /// I1: nothing starts beside what is open and clashes with it, but for what may.
    pub(super) fn nothing_open_is_passed(&self, starts: &Tracked) {
        let command = starts.command();
        let (who, operation) = (&command.provider, &command.operation);
        for hold in self.shadow.holds() {
            let opener = hold.opener().and_then(|id| self.shadow.command(id));
            let left = opener.and_then(|tracked| tracked.command().operation.leaves_open());
            let footprint = left.map_or_else(|| hold.key().footprint(), |(_, footprint)| footprint);
            if footprint.contested_with(&operation.footprint()).is_empty() {
                continue;
            }
            let owns = hold.owner() == Some(who) || who.is_operator();
            let ends_it = operation.ends_open().as_ref() == Some(hold.key());
            let may = match operation.action() {
                _ if who.is_agent() || owns && (ends_it || *hold.key() == HoldKey::Lock) => true,
                Action::PowerStop | Action::PowerReset => {
                    command.class == Class::Emergency && *hold.key() != HoldKey::Migration
                }
                Action::PowerSuspend => owns && *hold.key() == HoldKey::Migration,
                Action::PowerResume => *hold.key() == HoldKey::Freeze,
                _ => false,
            };
            assert!(may, "I1: {} starts beside {}, which is open", command.id, hold.named());
        }
    }

    /// Nothing is closed without proof; where nobody can tell, that is what is said.
    pub(super) fn is_proved(&self, key: &HoldKey, how: &Closed) {
        let vm = self.shadow.believed();
        let proved = match how {
            Closed::ByCommand { command } => {
                let phase = self.shadow.command(*command).map(Tracked::phase);
                matches!(phase, Some(Phase::Ended(outcome)) if outcome.ending == Ending::Done)
            }
            Closed::Seen {} => key.is_observable() && vm.is_some_and(|vm| !vm.jobs.contains(key)),
            Closed::Stopped {} => *key != HoldKey::Lock,
            Closed::Gone {} => self.shadow.standing() == Standing::Vanished,
            Closed::GivenBack {} => *key == HoldKey::Lock,
            Closed::Unverified { .. } => !key.is_observable(),
        };
        assert!(proved, "{key} is called over, and nothing shows it: {how:?}");
    }
}
