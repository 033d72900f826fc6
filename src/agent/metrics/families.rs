//! Every metric: its name, its help, its labels.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Provider {
    pub(super) provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Command {
    pub(super) provider: String,
    pub(super) action: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ended {
    pub(super) provider: String,
    pub(super) action: String,
    pub(super) state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Settled {
    pub(super) rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    /// The provider, or `hook`.
    pub(super) provider: String,
    pub(super) how: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Standing {
    pub(super) provider: String,
    pub(super) state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Door {
    pub(super) door: String,
}

/// From a tenth of a millisecond: a journal on a fast disk.
const FAST: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Up to minutes: what waits for people, guests and other commands.
const SLOW: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

fn fast() -> Histogram {
    Histogram::new(FAST)
}

fn slow() -> Histogram {
    Histogram::new(SLOW)
}

/// All of them. Clones are the same.
pub(super) struct Families {
    pub(super) received: Family<Command, Counter>,
    pub(super) ended: Family<Ended, Counter>,
    pub(super) live: Family<Standing, Gauge>,
    pub(super) command_seconds: Family<Provider, Histogram, fn() -> Histogram>,
    pub(super) wait_seconds: Family<Provider, Histogram, fn() -> Histogram>,
    pub(super) conflicts: Counter,
    pub(super) settled: Family<Settled, Counter>,
    pub(super) escalated: Counter,
    pub(super) answers: Family<Answered, Counter>,
    pub(super) ask_seconds: Family<Provider, Histogram, fn() -> Histogram>,
    pub(super) out_of_band: Counter,
    pub(super) holds: Gauge,
    pub(super) lanes: Gauge,
    pub(super) sessions: Family<Provider, Gauge>,
    pub(super) connections: Family<Door, Gauge>,
    pub(super) connections_opened: Family<Door, Counter>,
    pub(super) journal_seconds: Histogram,
    pub(super) journal_refused: Counter,
    pub(super) journal_records: Gauge,
    pub(super) journal_writable: Gauge,
    pub(super) journal_waiting_entries: Gauge,
    pub(super) journal_waiting_bytes: Gauge,
    pub(super) libvirt_connected: Gauge,
    pub(super) reloads: Counter,
}

impl Families {
    /// Makes them, and registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let families = Self {
            received: Family::default(),
            ended: Family::default(),
            live: Family::default(),
            command_seconds: Family::new_with_constructor(slow),
            wait_seconds: Family::new_with_constructor(slow),
            conflicts: Counter::default(),
            settled: Family::default(),
            escalated: Counter::default(),
            answers: Family::default(),
            ask_seconds: Family::new_with_constructor(slow),
            out_of_band: Counter::default(),
            holds: Gauge::default(),
            lanes: Gauge::default(),
            sessions: Family::default(),
            connections: Family::default(),
            connections_opened: Family::default(),
            journal_seconds: fast(),
            journal_refused: Counter::default(),
            journal_records: Gauge::default(),
            journal_writable: Gauge::default(),
            journal_waiting_entries: Gauge::default(),
            journal_waiting_bytes: Gauge::default(),
            libvirt_connected: Gauge::default(),
            reloads: Counter::default(),
        };
        families.register(registry);
        families
    }

    fn register(&self, registry: &mut Registry) {
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("covirt_build", "Which covirtd this is", version);
        let start = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
        start.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        registry.register("covirt_start_time_seconds", "When covirtd was started, in seconds since 1970", start);
        registry.register("covirt_commands_received", "Commands that were taken in", self.received.clone());
        registry.register("covirt_commands_ended", "Commands that ended, by how", self.ended.clone());
        registry.register(
            "covirt_commands",
            "Commands that wait (queued) or are at libvirt (running)",
            self.live.clone(),
        );
        registry.register(
            "covirt_command_duration_seconds",
            "From a command's being taken in to its end",
            self.command_seconds.clone(),
        );
        registry.register(
            "covirt_command_wait_seconds",
            "From a command's being taken in to its leaving for libvirt",
            self.wait_seconds.clone(),
        );
        registry.register("covirt_conflicts_opened", "Conflicts between commands", self.conflicts.clone());
        registry.register("covirt_conflicts_settled", "Conflicts that were settled, by rule", self.settled.clone());
        registry.register(
            "covirt_conflicts_escalated",
            "Conflicts that were put before the operator",
            self.escalated.clone(),
        );
        registry.register(
            "covirt_answers",
            "Answers to what providers and the hook were asked, by how they came about",
            self.answers.clone(),
        );
        registry.register(
            "covirt_ask_duration_seconds",
            "From asking to the answer or its loss",
            self.ask_seconds.clone(),
        );
        registry.register(
            "covirt_out_of_band",
            "Changes of co-managed VMs that no command explains",
            self.out_of_band.clone(),
        );
        registry.register("covirt_holds", "What finished commands left open", self.holds.clone());
        registry.register("covirt_lanes", "VMs that are co-managed", self.lanes.clone());
        registry.register("covirt_sessions", "1 for a provider that has a session", self.sessions.clone());
        registry.register("covirt_connections", "Open connections, by door", self.connections.clone());
        registry.register(
            "covirt_connections_opened",
            "Connections ever opened, by door",
            self.connections_opened.clone(),
        );
        registry.register(
            "covirt_journal_append_seconds",
            "From handing facts to the journal to their being durable",
            self.journal_seconds.clone(),
        );
        registry.register(
            "covirt_journal_refused",
            "Entries that the journal did not take",
            self.journal_refused.clone(),
        );
        registry.register("covirt_journal_records", "The last durable position", self.journal_records.clone());
        registry.register("covirt_journal_writable", "1 if the last batch was written", self.journal_writable.clone());
        registry.register(
            "covirt_journal_waiting_entries",
            "Entries that wait to be written",
            self.journal_waiting_entries.clone(),
        );
        registry.register(
            "covirt_journal_waiting_bytes",
            "How large they are together",
            self.journal_waiting_bytes.clone(),
        );
        registry.register("covirt_libvirt_connected", "1 if libvirt is connected", self.libvirt_connected.clone());
        registry.register("covirt_reloads", "How often the configuration was read again", self.reloads.clone());
    }
}
