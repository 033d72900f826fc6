//! What `/metrics` says.
//!
//! | file | idea |
//! |---|---|
//! | `families` | every metric: its name, its help, its labels |
//! | `watching` | lanes' facts become numbers |
//! | `text` | Prometheus' text format 0.0.4 from the library's OpenMetrics |
//!
//! No label names a VM or a command: their number is not bounded, and the journal is the place to look one up. Labels are
//! words of closed lists (actions, endings, rules, kinds of doors) and the providers, who are as many as the operator
//! enrolled.

mod families;
mod text;
mod watching;

use std::sync::Arc;

use crate::doors::tally::Kind;
use crate::doors::{Exposition, Sessions};
use crate::lanes::Lanes;
use crate::model::ProviderId;
use families::{Door, Families, Provider};
pub(super) use watching::Watching;

/// The agent's metrics as they are asked for.
pub(super) struct Metrics {
    watching: Arc<Watching>,
    lanes: Lanes,
    sessions: Sessions,
    /// Whom the configuration names.
    providers: Vec<ProviderId>,
}

impl Metrics {
    pub(super) const fn new(
        watching: Arc<Watching>,
        lanes: Lanes,
        sessions: Sessions,
        providers: Vec<ProviderId>,
    ) -> Self {
        Self { watching, lanes, sessions, providers }
    }

    /// What nobody tells of its changes is looked up when it is asked for.
    fn look(&self, families: &Families) {
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        families.lanes.set(whole(self.lanes.vms().len()));
        families.libvirt_connected.set(i64::from(self.lanes.hypervisor_is_connected()));
        families.journal_writable.set(i64::from(self.lanes.journal().is_writable()));
        let (entries, bytes) = self.lanes.journal().waiting();
        families.journal_waiting_entries.set(whole(entries));
        families.journal_waiting_bytes.set(whole(bytes));
        families.journal_records.set(i64::try_from(self.lanes.journal().last()).unwrap_or(i64::MAX));
        families.sessions.clear();
        for provider in &self.providers {
            families.sessions.get_or_create(&Provider { provider: provider.to_string() }).set(0);
        }
        for provider in self.sessions.providers() {
            families.sessions.get_or_create(&Provider { provider: provider.to_string() }).set(1);
        }
        for kind in Kind::ALL {
            let door = Door { door: kind.as_str().to_owned() };
            families.connections.get_or_create(&door).set(i64::try_from(kind.open()).unwrap_or(i64::MAX));
            let counter = families.connections_opened.get_or_create(&door);
            counter.inc_by(kind.ever().saturating_sub(counter.get()));
        }
    }
}

impl Exposition for Metrics {
    fn text(&self) -> String {
        self.look(self.watching.families());
        self.watching.text()
    }
}
