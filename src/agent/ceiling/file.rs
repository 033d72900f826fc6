//! The ceiling file: what no provider may exceed. Every mistake is named with its line and a hint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::model::{Action, Class, ProviderId};
use crate::sovereignty::{Ceiling, Quota, Subject, Table};

/// Why a ceiling is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ReadCeilingError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has keys or values that do not belong there.
    #[error("{path}: {message}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What, with line and column.
        message: String,
    },
    /// It makes no sense.
    #[error("{path}: {what}")]
    Senseless {
        /// Which.
        path: PathBuf,
        /// The line, what does not fit, and what would.
        what: String,
    },
}

/// A ceiling file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CeilingFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The SHA-256 of its text, in hexadecimal.
    pub(crate) digest: String,
    /// What it says.
    pub(crate) ceiling: Ceiling,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    host: Option<Spanned<Bounds>>,
    provider: BTreeMap<Spanned<String>, Bounds>,
    vm: BTreeMap<Spanned<String>, Bounds>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Bounds {
    actions: Option<Vec<Spanned<String>>>,
    class: Option<Class>,
    primary: Option<bool>,
    enroll: Option<bool>,
    roles: Option<Spanned<BTreeSet<String>>>,
    quota: QuotaBounds,
}

/// How much one provider may have under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuotaBounds {
    queued: Option<u32>,
    commands_per_minute: Option<u32>,
    open: Option<u32>,
}

impl QuotaBounds {
    fn checked(self) -> Result<Quota, String> {
        let Self { queued, commands_per_minute, open } = self;
        for (key, bound) in [("queued", queued), ("commands_per_minute", commands_per_minute), ("open", open)] {
            if bound == Some(0) {
                return Err(format!("{key} is at least 1; `covirt freeze` stops a provider"));
            }
        }
        Ok(Quota { queued, per_minute: commands_per_minute, open })
    }
}

/// Where something is in the file.
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    /// The line at an offset, from 1.
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
    }

    fn senseless(&self, at: usize, what: &str) -> ReadCeilingError {
        let what = format!("line {}: {what}", self.line(at));
        ReadCeilingError::Senseless { path: self.path.to_owned(), what }
    }
}

impl CeilingFile {
    /// Reads a ceiling file.
    ///
    /// *Errors*: [`ReadCeilingError`], with the file, the line and what would do.
    pub(crate) fn read(path: &Path) -> Result<Self, ReadCeilingError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReadCeilingError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ReadCeilingError> {
        let file: File = toml::from_str(text)
            .map_err(|error| ReadCeilingError::Malformed { path: path.to_owned(), message: error.to_string() })?;
        let here = Text { path, text };
        let mut tables = Vec::new();
        if let Some(host) = file.host {
            let at = host.span().start;
            tables.push(table(&here, at, "host", Subject::Host, host.into_inner())?);
        }
        for (name, bounds) in file.provider {
            let at = name.span().start;
            let provider: ProviderId =
                name.get_ref().parse().map_err(|error| here.senseless(at, &format!("[provider.…]: {error}")))?;
            let title = format!("provider.{provider}");
            tables.push(table(&here, at, &title, Subject::Provider(provider), bounds)?);
        }
        for (name, bounds) in file.vm {
            let at = name.span().start;
            let title = format!("vm.{:?}", name.get_ref());
            let subject = name.get_ref().parse().map_or_else(|_| Subject::Named(name.get_ref().clone()), Subject::Vm);
            if bounds.enroll.is_some() || bounds.roles.is_some() || bounds.quota != QuotaBounds::default() {
                let what = format!(
                    "[{title}] bounds actions, class and primary; enroll, roles and quota are for [host] and [provider.NAME]"
                );
                return Err(here.senseless(at, &what));
            }
            tables.push(table(&here, at, &title, subject, bounds)?);
        }
        let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), digest, ceiling: Ceiling { tables } })
    }
}

fn table(here: &Text<'_>, at: usize, title: &str, subject: Subject, bounds: Bounds) -> Result<Table, ReadCeilingError> {
    if let Some(roles) = &bounds.roles
        && let Some(role) = roles.get_ref().iter().find(|role| !["host", "read-secure"].contains(&role.as_str()))
    {
        let what = format!("[{title}] roles: there is no role {role:?}; host and read-secure are");
        return Err(here.senseless(roles.span().start, &what));
    }
    let place = format!("{}, line {}, [{title}]", here.path.display(), here.line(at));
    Ok(Table {
        subject,
        place,
        actions: bounds.actions.map(|names| actions(here, title, &names)).transpose()?,
        class: bounds.class,
        primary: bounds.primary,
        enroll: bounds.enroll,
        roles: bounds.roles.map(Spanned::into_inner),
        quota: bounds.quota.checked().map_err(|what| here.senseless(at, &format!("[{title}.quota] {what}")))?,
    })
}

/// Names, `group.*` and `*` as actions.
fn actions(here: &Text<'_>, title: &str, names: &[Spanned<String>]) -> Result<BTreeSet<Action>, ReadCeilingError> {
    let mut all = BTreeSet::new();
    for name in names {
        let pattern = name.get_ref().as_str();
        let group = pattern.strip_suffix(".*");
        let meant = |action: &Action| {
            pattern == "*" || action.name() == pattern || group.is_some_and(|group| action.group() == group)
        };
        let found: Vec<Action> = Action::ALL.into_iter().filter(meant).collect();
        if found.is_empty() {
            let what = format!(
                "[{title}] actions: {pattern:?} names no action; write a name such as power.start, a group such as power.*, or *"
            );
            return Err(here.senseless(name.span().start, &what));
        }
        all.extend(found);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CeilingFile, String> {
        CeilingFile::parse(Path::new("ceiling.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_bounds_nothing() {
        assert_eq!(parse("").unwrap().ceiling, Ceiling::default());
    }

    #[test]
    fn each_table_knows_its_line_and_whom_it_bounds() {
        let text = "# the host\n[host]\nactions = ['power.*', 'cpu.set']\nclass = 'critical'\n\n[provider.south]\nprimary = false\nroles = []\n\
            [provider.south.quota]\nqueued = 5\n\n[vm.'web-*']\nactions = []\n[vm.01234567-89ab-cdef-0123-456789abcdef]\nprimary = false\n";
        let tables = parse(text).unwrap().ceiling.tables;
        let places: Vec<&str> = tables.iter().map(|table| table.place.as_str()).collect();
        assert!(places[0].starts_with("ceiling.toml, line 2, [host]"), "{places:?}");
        assert!(places[1].starts_with("ceiling.toml, line 6, [provider.south]"), "{places:?}");
        assert_eq!(tables[1].quota.queued, Some(5));
        let subjects: Vec<&Subject> = tables.iter().map(|table| &table.subject).collect();
        assert!(subjects.contains(&&Subject::Named("web-*".to_owned())), "{subjects:?}");
        assert!(subjects.iter().any(|subject| matches!(subject, Subject::Vm(_))), "{subjects:?}");
        assert!(tables[0].actions.as_ref().unwrap().contains(&Action::PowerStop));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_would_do() {
        for (text, says) in [
            ("[host]\nactoins = []\n", "line 2"),
            ("\n[host]\nactions = ['cpu.set',\n'power.strat']\n", "line 4"),
            ("[host]\nactions = ['power.strat']\n", "power.*"),
            ("[host]\nclass = 'urgent'\n", "line 2"),
            ("[provider.South]\nenroll = false\n", "line 1"),
            ("[host]\nroles = ['root']\n", "read-secure"),
            ("[vm.a]\nroles = ['host']\n", "[host] and [provider.NAME]"),
            ("[host.quota]\nqueued = 0\n", "at least 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says) && error.contains("ceiling.toml"), "{text}: {error}");
        }
    }
}
