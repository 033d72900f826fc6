//! Where a command's answer goes: a table for people, or JSON for programs.
//!
//! Guarantees that nothing but the answer is on standard output, and that it has left before the next one is made,
//! so that a reader at the other end of a pipe sees each line when it happens.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::table::{Emphasis, Table, plain};

/// The widest line of a table, unless `COLUMNS` says otherwise.
const WIDTH: usize = 120;

/// For whom the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned, for people.
    #[default]
    Table,
    /// The agent's own JSON, for programs.
    Json,
}

/// `-o`, at every command that answers.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Shown {
    /// For whom the answer is
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub format: Format,
}

/// Standard output.
pub struct Output {
    format: Format,
    width: usize,
    emphasis: Emphasis,
    out: Box<dyn Write + Send>,
}

impl Output {
    /// Standard output, for people or programs.
    #[must_use]
    pub fn stdout(format: Format) -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self {
            format,
            width: width.unwrap_or(WIDTH),
            emphasis: if colour { Emphasis::Bold } else { Emphasis::Plain },
            out: Box::new(io::BufWriter::new(io::stdout())),
        }
    }

    /// For whom the answer is.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Writes the whole answer: indented JSON, or what `people` writes.
    ///
    /// *Errors*: those of writing.
    pub fn show<T: Serialize>(
        &mut self,
        answer: &T,
        people: impl FnOnce(&mut Self, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut self.out, answer)?;
                writeln!(self.out)?;
            }
            Format::Table => people(self, answer)?,
        }
        self.out.flush()
    }

    /// Writes one answer of many: one line of JSON, or lines of text.
    ///
    /// *Errors*: those of writing.
    pub fn item<T: Serialize>(&mut self, answer: &T, people: impl FnOnce(&T) -> String) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.out, answer)?;
                writeln!(self.out)?;
            }
            Format::Table => people(answer).split('\n').try_for_each(|line| self.line(line))?,
        }
        self.out.flush()
    }

    /// One line of text.
    ///
    /// *Errors*: those of writing.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", plain(text))
    }

    /// A line that stands out.
    ///
    /// *Errors*: those of writing.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", self.emphasis.on(&plain(text)))?;
        self.out.flush()
    }

    /// An empty line.
    ///
    /// *Errors*: those of writing.
    pub fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A table; when it has no row, a sentence in its place.
    ///
    /// *Errors*: those of writing.
    pub fn table(&mut self, table: &Table, empty: &str) -> io::Result<()> {
        if table.is_empty() { self.line(empty) } else { table.write(&mut self.out, self.width, self.emphasis) }
    }

    /// Text as it is, such as another process's output.
    ///
    /// *Errors*: those of writing.
    pub fn verbatim(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}
