//! The files of a configuration, one over the other: `covirt.toml`, then `conf.d/*.toml` beside it in the order of
//! their names. Tables merge key by key and providers by their id; of a key that is written twice the later file's
//! counts. Nothing here knows what a key means.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Mistakes;
use super::place::{Place, Source};

/// The folder beside the file whose files go over it.
const MORE: &str = "conf.d";
/// The table of which there are several.
const PROVIDER: &str = "provider";
/// Which provider a table is about.
const ID: &str = "id";

/// A key's value, and where both are written.
#[derive(Debug, Clone)]
pub(super) struct Entry<'i> {
    pub(super) at: Place,
    pub(super) value: Spanned<DeValue<'i>>,
    pub(super) source: &'i Source,
}

/// The keys of one table, from all files.
#[derive(Debug, Clone)]
pub(super) struct Section<'i> {
    /// Where its first header is.
    pub(super) at: Place,
    pub(super) entries: BTreeMap<String, Entry<'i>>,
}

/// The files' texts, in the order in which they count.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) sources: Vec<Source>,
    /// Whether every one could be read.
    readable: bool,
}

impl Files {
    /// Reads a file, and those of the folder beside it.
    pub(super) fn read(path: &Path, mistakes: &mut Mistakes) -> Self {
        let mut files = Self { sources: Vec::new(), readable: true };
        files.load(path.to_owned(), mistakes);
        let more = path.parent().unwrap_or(Path::new("")).join(MORE);
        match listed(&more) {
            Ok(paths) => paths.into_iter().for_each(|path| files.load(path, mistakes)),
            Err(error) => files.unreadable(more, &error, mistakes),
        }
        files
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.sources.iter().map(|source| source.path().to_owned()).collect()
    }

    #[cfg(test)]
    pub(super) fn of(texts: &[(&str, &str)]) -> Self {
        let source = |(name, text): &(&str, &str)| Source::new(name.into(), (*text).to_owned());
        Self { sources: texts.iter().map(source).collect(), readable: true }
    }

    fn load(&mut self, path: PathBuf, mistakes: &mut Mistakes) {
        match std::fs::read_to_string(&path) {
            Ok(text) => self.sources.push(Source::new(path, text)),
            Err(error) => self.unreadable(path, &error, mistakes),
        }
    }

    fn unreadable(&mut self, path: PathBuf, error: &io::Error, mistakes: &mut Mistakes) {
        self.readable = false;
        let place = Source::new(path, String::new()).whole();
        mistakes.add(place, "", format!("it cannot be read: {error}"), None);
    }
}

/// All files, merged.
#[derive(Debug, Default)]
pub(super) struct Layers<'i> {
    pub(super) tables: BTreeMap<String, Section<'i>>,
    /// In the order in which they are written first.
    pub(super) providers: Vec<Section<'i>>,
    /// Whether every file was TOML.
    pub(super) readable: bool,
}

impl<'i> Layers<'i> {
    /// Lays the files over each other.
    pub(super) fn merge_all(files: &'i Files, mistakes: &mut Mistakes) -> Self {
        let mut layers = Self { tables: BTreeMap::new(), providers: Vec::new(), readable: files.readable };
        for source in &files.sources {
            layers.add(source, mistakes);
        }
        layers
    }

    /// Lays one file over what is there.
    pub(super) fn add(&mut self, source: &'i Source, mistakes: &mut Mistakes) {
        let (document, errors) = DeTable::parse_recoverable(source.text());
        if !errors.is_empty() {
            // What is understood of such a file is a guess, and so would be what is wrong with its keys.
            self.readable = false;
            for error in errors {
                let place = error.span().map_or_else(|| source.whole(), |span| source.at(&span));
                mistakes.add(place, "", format!("this is not TOML: {}", error.message()), None);
            }
            return;
        }
        for (name, value) in document.into_inner() {
            let at = source.at(&name.span());
            let name = name.into_inner().into_owned();
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) if name != PROVIDER => self.merge(name, at, table, source),
                DeValue::Array(tables) if name == PROVIDER && tables.iter().all(|one| one.get_ref().is_table()) => {
                    let mut here = Vec::new();
                    for one in tables {
                        let at = source.at(&one.span());
                        if let DeValue::Table(table) = one.into_inner() {
                            self.merge_provider(at, table, source, &mut here, mistakes);
                        }
                    }
                }
                other => {
                    let (what, hint) = misplaced(&name, &other);
                    mistakes.add(source.at(&span), &name, what, hint);
                }
            }
        }
    }

    fn merge(&mut self, name: String, at: Place, table: DeTable<'i>, source: &'i Source) {
        let section = self.tables.entry(name).or_insert_with(|| Section { at, entries: BTreeMap::new() });
        section.lay(table, source);
    }

    fn merge_provider(
        &mut self,
        at: Place,
        table: DeTable<'i>,
        source: &'i Source,
        here: &mut Vec<String>,
        mistakes: &mut Mistakes,
    ) {
        let mut section = Section { at: at.clone(), entries: BTreeMap::new() };
        section.lay(table, source);
        let Some(entry) = section.entries.get(ID) else {
            let hint = "each [[provider]] has an id, such as id = \"south\"".to_owned();
            mistakes.add(at, PROVIDER, "this provider has no id", Some(hint));
            return;
        };
        let Some(id) = section.id().map(str::to_owned) else {
            // That its id is no text is found when it is read.
            self.providers.push(section);
            return;
        };
        if here.contains(&id) {
            let what = format!("there are two providers called {id} in this file");
            mistakes.add(entry.at.clone(), "provider.id", what, Some("give each its own id".to_owned()));
            return;
        }
        match self.providers.iter_mut().find(|known| known.id() == Some(id.as_str())) {
            Some(known) => known.entries.extend(section.entries),
            None => self.providers.push(section),
        }
        here.push(id);
    }
}

impl<'i> Section<'i> {
    /// Which provider it is about, if that is a text.
    pub(super) fn id(&self) -> Option<&str> {
        self.entries.get(ID).and_then(|entry| entry.value.get_ref().as_str())
    }

    /// Puts a table's keys over those that are there.
    fn lay(&mut self, table: DeTable<'i>, source: &'i Source) {
        for (key, value) in table {
            let at = source.at(&key.span());
            let key = key.into_inner().into_owned();
            self.entries.insert(key, Entry { at, value, source });
        }
    }
}

/// The files of the folder, in the order of their names; none when there is no such folder.
fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn misplaced(name: &str, value: &DeValue<'_>) -> (String, Option<String>) {
    if name == PROVIDER {
        return ("providers are a list of tables".to_owned(), Some("begin each with [[provider]]".to_owned()));
    }
    let kind = value.type_str();
    (format!("this {kind} stands outside of every table"), Some("a key belongs below a [table]".to_owned()))
}
