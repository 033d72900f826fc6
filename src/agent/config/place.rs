//! Where in which file something is written.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in a configuration file; lines and columns begin with 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    /// Which file.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<Path>,
    /// Which line; none for the file as a whole.
    pub line: Option<usize>,
    /// Which column, in characters.
    pub column: usize,
}

fn as_text<S: serde::Serializer>(file: &Arc<Path>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&file.display())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}:{}", self.column))
    }
}

/// A file's text, in which places are found.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Arc<Path>,
    text: Arc<str>,
}

impl Source {
    pub(super) fn new(file: PathBuf, text: String) -> Self {
        Self { file: file.into(), text: text.into() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The file as a whole.
    pub(super) fn whole(&self) -> Place {
        Place { file: self.file.clone(), line: None, column: 1 }
    }

    /// Where a span of bytes begins.
    pub(super) fn at(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Place { file: self.file.clone(), line: Some(line), column }
    }
}
