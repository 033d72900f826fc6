//! Where log lines go: with their fields to the host's journal, or as lines to standard error.
//!
//! Guarantees that one event is one line, whatever is in its values: line breaks, escape sequences and whatever else a
//! terminal obeys are written as escapes, so that nobody outside can forge a line. What is secret is of a type that
//! shows nothing ([`Secret`](crate::model::Secret)), so no filter has to look for it.

use std::fmt;
use std::io;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::config::{LogConfig, LogFormat};

/// Stands above the configuration's filter, for whoever looks into something for a while.
const FILTER_VARIABLE: &str = "COVIRT_LOG";

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum BeginLogError {
    /// The host's journal.
    #[error("the host's journal cannot be reached")]
    Journald(#[source] io::Error),
    /// The process logs already.
    #[error("this process logs already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// A log that was begun; its filter can be changed. Clones are the same.
#[derive(Clone)]
pub struct Log(Option<reload::Handle<EnvFilter, Registry>>);

impl Log {
    /// Begins to log.
    ///
    /// *Errors*: [`BeginLogError`].
    pub fn begin(config: &LogConfig) -> Result<Self, BeginLogError> {
        let (filter, handle) = reload::Layer::new(filter_of(config));
        let (format, fell_back) = match (config.format, is_journal()) {
            (LogFormat::Auto, true) => match tracing_journald::layer() {
                Ok(layer) => (layer.with_field_prefix(Some("COVIRT".to_owned())).boxed(), None),
                Err(error) => (lines(LogFormat::Text), Some(error)),
            },
            (LogFormat::Journald, _) => {
                let layer = tracing_journald::layer().map_err(BeginLogError::Journald)?;
                (layer.with_field_prefix(Some("COVIRT".to_owned())).boxed(), None)
            }
            (format @ (LogFormat::Auto | LogFormat::Text | LogFormat::Json), _) => (lines(format), None),
        };
        tracing_subscriber::registry().with(filter).with(format).try_init()?;
        if let Some(error) = fell_back {
            tracing::warn!(%error, "the host's journal takes no fields: what is logged are lines");
        }
        Ok(Self(Some(handle)))
    }

    /// A log whose filter stays as it is, for an agent in a process that logs by itself.
    #[must_use]
    pub const fn of_the_process() -> Self {
        Self(None)
    }

    /// Changes the filter to the configuration's, unless the environment sets another.
    pub(super) fn refilter(&self, config: &LogConfig) {
        let Some(handle) = &self.0 else { return };
        if let Err(error) = handle.reload(filter_of(config)) {
            tracing::warn!(%error, "the log's filter was not changed");
        }
    }
}

fn filter_of(config: &LogConfig) -> EnvFilter {
    let chosen = EnvFilter::try_from_env(FILTER_VARIABLE).or_else(|_| EnvFilter::try_new(&config.filter));
    chosen.unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Whether standard error is the journal's own stream, as systemd says it.
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = nix::sys::stat::fstat(io::stderr()) else { return false };
    named == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Lines to standard error. One that cannot be written, on a disk that is full, must not end the thread that wrote it.
fn lines(format: LogFormat) -> Box<dyn Layer<Filtered> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    match format {
        LogFormat::Json => {
            let json = OneLine { format: Format::default().json().flatten_event(true), escaped: escaped_in_json };
            layer.fmt_fields(JsonFields::new()).event_format(json).boxed()
        }
        LogFormat::Auto | LogFormat::Text | LogFormat::Journald => {
            layer.event_format(OneLine { format: Format::default(), escaped: escaped_in_text }).boxed()
        }
    }
}

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// A form of lines, with everything that is no plain text escaped.
struct OneLine<F> {
    format: Format<F>,
    escaped: fn(char, &mut Writer<'_>) -> fmt::Result,
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<F>: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        for c in line.strip_suffix('\n').unwrap_or(&line).chars() {
            if obeyed(c) { (self.escaped)(c, &mut out)? } else { out.write_char(c)? }
        }
        out.write_char('\n')
    }
}

fn escaped_in_text(c: char, out: &mut Writer<'_>) -> fmt::Result {
    write!(out, "{}", c.escape_default())
}

/// JSON has such characters in its strings alone, and there they may be written so.
fn escaped_in_json(c: char, out: &mut Writer<'_>) -> fmt::Result {
    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
}

/// Whether a terminal or a reader of lines obeys a character instead of showing it.
fn obeyed(c: char) -> bool {
    // Line and paragraph separators, and those that turn the direction of writing.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const FORGED: &str =
        "x\n2026-01-01T00:00:00Z  INFO covirt: all is well\r\u{1b}[2J\u{9b}31m\u{2028}\u{202e}\u{7}\"}\u{61c}";

    fn logged(layer: impl Layer<Registry> + Send + Sync, sink: &Sink) -> String {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(name = FORGED, shown = %FORGED, debug = ?FORGED, "{FORGED}");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end_matches('\n').chars().any(obeyed), "{text:?}");
        text
    }

    #[test]
    fn a_value_from_outside_stays_on_its_line_and_commands_no_terminal() {
        let sink = Sink::default();
        let to = sink.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || to.clone());
        let text = OneLine { format: Format::default(), escaped: escaped_in_text };
        let text = logged(layer.event_format(text), &sink);
        assert!(text.contains("all is well\\r\\u{1b}[2J\\u{9b}31m\\u{2028}"), "{text}");
    }

    #[test]
    fn a_value_from_outside_is_itself_in_json_and_commands_no_terminal() {
        let sink = Sink::default();
        let to = sink.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || to.clone());
        let json = OneLine { format: Format::default().json().flatten_event(true), escaped: escaped_in_json };
        let text = logged(layer.fmt_fields(JsonFields::new()).event_format(json), &sink);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["name"]), (&FORGED.into(), &FORGED.into()));
    }

    #[test]
    fn a_secret_in_a_field_shows_nothing() {
        let sink = Sink::default();
        let to = sink.clone();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || to.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let secret: crate::model::Secret = serde_json::from_str("\"hunter2\"").unwrap();
            tracing::warn!(?secret, "a password");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("a password") && !text.contains("hunter2"), "{text}");
    }
}
