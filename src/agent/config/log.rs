//! `[log]`: what is logged, and in which form.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::mistake::Mistakes;
use super::section::{Read, Table};

/// How the agent logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// Which events, as `tracing` filters are written.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Fields to the host's journal when standard error leads there, text otherwise.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// Lines of JSON.
    Json,
    /// Fields to the host's journal.
    Journald,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LogTable {
    format: LogFormat,
    filter: String,
}

impl Default for LogTable {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

impl Table for LogTable {
    const NAME: &'static str = "log";
}

impl Read<LogTable> {
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> LogConfig {
        let LogTable { format, filter } = &self.value;
        if let Err(error) = EnvFilter::try_new(filter) {
            let hint = "a level (info) or levels of parts (info,covirt=debug) are expected";
            self.wrong("filter", format!("{filter:?} is no filter: {error}"), Some(hint), mistakes);
        }
        LogConfig { format: *format, filter: filter.clone() }
    }
}
