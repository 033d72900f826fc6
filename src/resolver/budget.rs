//! How long asking may hold a command: not by one conflict's time-outs, and not by the sum over all its conflicts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::state::{Conflict, State};
use crate::model::{ConflictId, Mono, Now};

/// How long asks have held a command. Asks that overlap hold it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Asking {
    /// Conflicts about which somebody is being asked.
    open: u32,
    since: Option<Mono>,
    /// What is over.
    spent: Duration,
}

impl Asking {
    fn begin(&mut self, at: Mono) {
        self.since = self.since.or(Some(at));
        self.open = self.open.saturating_add(1);
    }

    fn end(&mut self, at: Mono) {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.spent = self.spent(at);
            self.since = None;
        }
    }

    fn spent(&self, now: Mono) -> Duration {
        self.spent.saturating_add(self.since.map_or(Duration::ZERO, |since| now.since(since)))
    }
}

/// How long may still be asked about a conflict: the least that it and both of its commands have left.
pub(crate) fn left(state: &State, policy: &Policy, conflict: &Conflict, now: Now) -> Duration {
    let spent = conflict.between.iter().filter_map(|id| state.commands.get(id)).map(|t| t.asking.spent(now.mono));
    let most = spent.chain([now.mono.since(conflict.opened.mono)]).max().unwrap_or_default();
    policy.callback_budget.saturating_sub(most)
}

impl State {
    /// Somebody is asked about a conflict. A second round of it, after the hook's, goes on with the same time.
    pub(super) fn asking_begins(&mut self, id: ConflictId, at: Now) {
        self.asking(id, true, |asking| asking.begin(at.mono));
    }

    /// Nobody is asked about it any more.
    pub(super) fn asking_ends(&mut self, id: ConflictId, at: Now) {
        self.asking(id, false, |asking| asking.end(at.mono));
    }

    fn asking(&mut self, id: ConflictId, begins: bool, change: impl Fn(&mut Asking)) {
        let Some(conflict) = self.conflicts.get_mut(&id).filter(|conflict| conflict.being_asked != begins) else {
            return;
        };
        conflict.being_asked = begins;
        for command in conflict.between {
            if let Some(tracked) = self.commands.get_mut(&command) {
                change(&mut tracked.asking);
            }
        }
    }
}
