//! What is open, as facts make it.

use super::errand::PAUSE;
use super::{Hold, asleep};
use crate::model::operation::BackupBeginArgs;
use crate::model::{Action, CommandId, Ending, HoldKey, Now, Operation, Outcome};
use crate::resolver::fact::{Fact, GivenUp};
use crate::resolver::state::{State, Tracked};

impl State {
    pub(in crate::resolver) fn hold_opened(&mut self, at: Now, fact: &Fact) {
        let Fact::HoldOpened { hold, command, owner, footprint, lease } = fact else { return };
        let opened = Hold {
            key: hold.clone(),
            opener: *command,
            owner: owner.clone(),
            footprint: footprint.clone(),
            since: at,
            lease: *lease,
            start: self.believed.as_ref().map(|vm| vm.start).unwrap_or_default(),
            given_up: None,
            failed: 0,
            retry_at: None,
        };
        // Who has it open already opens it anew: what was asked about the opener before is asked about nobody any more.
        if let Some(before) = self.holds.insert(hold.clone(), opened).and_then(|hold| hold.opener)
            && Some(before) != *command
        {
            self.no_more_about(at, before);
        }
    }

    /// Conflicts with the opener of what is open no more are about nothing.
    fn no_more_about(&mut self, at: Now, opener: CommandId) {
        for conflict in self.open.clone() {
            let moot = self.conflicts.get_mut(&conflict).filter(|open| open.between.contains(&opener));
            if let Some(open) = moot {
                open.moot = Some(opener);
                self.open.remove(&conflict);
                self.asking_ends(conflict, at);
            }
        }
    }

    pub(in crate::resolver) fn hold_given_up(&mut self, at: Now, key: &HoldKey, why: &GivenUp) {
        if let Some(hold) = self.holds.get_mut(key) {
            hold.given_up = Some((at, why.clone()));
        }
    }

    pub(in crate::resolver) fn hold_closed(&mut self, at: Now, key: &HoldKey) {
        let Some(hold) = self.holds.remove(key) else { return };
        if asleep(self, &hold) {
            self.unthawed = Some(hold.start);
        }
        let Some(opener) = hold.opener else { return };
        self.no_more_about(at, opener);
        if hold.given_up.is_some()
            && let Some(Operation::BackupBegin(BackupBeginArgs { checkpoint: Some(name), .. })) =
                self.commands.get(&opener).map(|tracked| &tracked.command().operation)
        {
            self.broken.insert(name.clone());
        }
    }

    /// An errand ended: when it was in vain, another is sent later.
    pub(in crate::resolver) fn errand_ended(&mut self, at: Now, operation: &Operation, outcome: &Outcome) {
        if let Operation::CheckpointDelete(args) = operation {
            self.broken.remove(&args.name);
        }
        let key = operation.ends_open().filter(|_| outcome.ending != Ending::Done);
        if let Some(hold) = key.and_then(|key| self.holds.get_mut(&key)) {
            hold.failed = hold.failed.saturating_add(1);
            hold.retry_at = Some(at.mono.after(PAUSE));
        }
    }

    /// Where a migration that is open leads, as far as this agent knows.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else opens a migration")]
    pub(in crate::resolver) fn destination(&self) -> Option<String> {
        // A fast one is over before its own command is.
        let begins = |running: &&Tracked| running.command().operation.action() == Action::MigrateBegin;
        let opener = match self.holds.get(&HoldKey::Migration) {
            Some(hold) => hold.opener?,
            None => self.active().find(begins)?.command().id,
        };
        match &self.commands.get(&opener)?.command().operation {
            Operation::MigrateBegin(args) => Some(args.to.clone()),
            // Where a client's call leads, only libvirt knows.
            Operation::Relayed(_) => Some("another host".to_owned()),
            _ => None,
        }
    }
}
