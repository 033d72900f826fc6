//! Times and spans as people write and read them.
//!
//! A span is a whole number with a unit (`100ms`, `30s`, `5m`, `1h`, `2d`); a time is RFC 3339, or `+SPAN` from now.

use std::time::Duration;

use crate::model::Wall;

/// Why a text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a span of time: a whole number and ms, s, m, h or d are expected, such as 30s")]
pub struct ParseSpanError {
    text: String,
}

/// Reads a span.
///
/// *Errors*: [`ParseSpanError`].
pub fn parse_span(text: &str) -> Result<Duration, ParseSpanError> {
    let refuse = || ParseSpanError { text: text.chars().take(64).collect() };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refuse()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refuse)
}

/// Reads a span of at least a second, in whole seconds: what a lease is counted in.
///
/// *Errors*: a sentence.
pub fn parse_lease(text: &str) -> Result<Duration, String> {
    let span = parse_span(text).map_err(|error| error.to_string())?;
    if span.is_zero() || span.subsec_millis() != 0 {
        return Err(format!("{text:?} is not a lease: whole seconds, at least one, are expected"));
    }
    Ok(span)
}

/// A point in time, said absolutely or from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This time.
    At(Wall),
    /// This long after the command line was read.
    In(Duration),
}

impl Moment {
    /// The time meant, when it is `now`.
    #[must_use]
    pub fn from(self, now: Wall) -> Wall {
        match self {
            Self::At(time) => time,
            Self::In(span) => now.shifted(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        }
    }
}

/// Reads a time or `+SPAN`.
///
/// *Errors*: a sentence.
pub fn parse_moment(text: &str) -> Result<Moment, String> {
    match text.strip_prefix('+') {
        Some(span) => parse_span(span).map(Moment::In).map_err(|error| error.to_string()),
        None => text.parse().map(Moment::At).map_err(|error: crate::model::time::ParseWallError| error.to_string()),
    }
}

/// A span as people say it, in at most two units.
#[must_use]
pub fn rough(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let place = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, letter) in UNITS.iter().skip(place).take(2) {
        let count = rest / unit;
        rest %= unit;
        if count > 0 || text.is_empty() {
            text.push_str(&format!("{count}{letter}"));
        }
    }
    text
}

/// The time now, by this machine's clock.
#[must_use]
pub fn now() -> Wall {
    Wall::from_micros(jiff::Timestamp::now().as_microsecond())
}

/// The time of day in UTC to the millisecond: what a row of a table has room for.
#[must_use]
pub fn clock(time: Wall) -> String {
    let text = time.to_string();
    text.get(11..23).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_its_unit() {
        assert_eq!(parse_span("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_span("2d"), Ok(Duration::from_secs(172_800)));
        for bad in ["", "10", "s", "-1s", "1.5s", "1 s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rough_span_has_two_units_at_most() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (7_265, "2h1m"), (86_459, "1d")] {
            assert_eq!(rough(seconds), text);
        }
    }

    #[test]
    fn a_lease_is_whole_seconds() {
        assert_eq!(parse_lease("1h"), Ok(Duration::from_secs(3600)));
        assert!(parse_lease("0s").is_err() && parse_lease("1500ms").is_err());
    }

    #[test]
    fn a_moment_is_absolute_or_from_now() {
        let at = Wall::from_micros(5);
        assert_eq!(parse_moment("+30s").map(|moment| moment.from(at)), Ok(Wall::from_micros(30_000_005)));
        assert_eq!(
            parse_moment("1970-01-01T00:00:01Z").map(|moment| moment.from(at)),
            Ok(Wall::from_micros(1_000_000))
        );
        assert_eq!(parse_moment("tomorrow").ok(), None);
    }

    #[test]
    fn a_clock_shows_milliseconds() {
        assert_eq!(clock(Wall::from_micros(1_234_567)), "00:00:01.234");
    }
}
