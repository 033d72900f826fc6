//! What is wrong with a configuration: all of it, each with its place and a hint.

use std::fmt;

use super::place::Place;

/// Where every key is described.
const DOCUMENTED: &str = "docs/configuration.md (installed as /usr/share/doc/covirt/configuration.md)";

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// Which key or table; empty for a file as a whole.
    pub key: String,
    /// What does not fit.
    pub what: String,
    /// What would.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.what)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Every mistake of a configuration, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, place: Place, key: &str, what: impl Into<String>, hint: Option<String>) {
        self.0.push(Mistake { place, key: key.to_owned(), what: what.into(), hint });
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// The mistakes.
    #[must_use]
    pub fn all(&self) -> &[Mistake] {
        &self.0
    }

    pub(super) fn sorted(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        self
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        let count = self.0.len();
        let plural = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "{count} {plural} in the configuration; every key is described in {DOCUMENTED}")
    }
}

impl std::error::Error for Mistakes {}

/// "did you mean", when one of these is near.
pub(super) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(written, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    near.map(|(_, word)| format!("did you mean {word}?"))
}
