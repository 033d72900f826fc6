//! Aligned tables for people.
//!
//! Assumes nothing about the cells: they may come from a VM's owner, so terminal controls and line breaks are taken
//! out. Guarantees aligned columns, and that a long last column is wrapped inside its own column.

use std::io::{self, Write};

/// Between two columns.
const GAP: &str = "  ";
/// A last column narrower than this is not worth wrapping.
const NARROWEST: usize = 24;

/// Whether a heading is made to stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emphasis {
    /// As on a terminal.
    Bold,
    /// As in a file.
    Plain,
}

impl Emphasis {
    /// `text`, standing out or not.
    #[must_use]
    pub fn on(self, text: &str) -> String {
        match self {
            Self::Bold => format!("\x1b[1m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// Rows of cells.
#[derive(Debug, Clone, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table under a header.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    /// A table without a header: names and their values.
    #[must_use]
    pub fn bare() -> Self {
        Self::default()
    }

    /// Adds a row.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell.into())).collect());
    }

    /// Adds a name and its value, unless there is none.
    pub fn pair(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.row([name.to_owned(), value]);
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table within `width` columns where that can be.
    ///
    /// *Errors*: those of writing.
    pub fn write(&self, out: &mut dyn Write, width: usize, emphasis: Emphasis) -> io::Result<()> {
        let widths = self.widths();
        if !self.header.is_empty() {
            let line = one_row(&self.header, &widths, usize::MAX).concat();
            writeln!(out, "{}", emphasis.on(&line))?;
        }
        for row in &self.rows {
            for line in one_row(row, &widths, width) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let all = || self.rows.iter().chain(std::iter::once(&self.header));
        let columns = all().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| length(cell)).max();
        (0..columns).map(|column| widest(column).unwrap_or(0)).collect()
    }
}

/// The lines of one row: several only when its last column is wrapped.
fn one_row(cells: &[String], widths: &[usize], width: usize) -> Vec<String> {
    let Some((last, before)) = cells.split_last() else { return Vec::new() };
    let mut start = String::new();
    for (cell, width) in before.iter().zip(widths) {
        start.push_str(cell);
        start.push_str(&" ".repeat(width.saturating_sub(length(cell))));
        start.push_str(GAP);
    }
    let indent = length(&start);
    let room = width.saturating_sub(indent).max(NARROWEST);
    let mut lines = Vec::new();
    for (number, part) in wrap(last, room).into_iter().enumerate() {
        let line = if number == 0 { format!("{start}{part}") } else { format!("{}{part}", " ".repeat(indent)) };
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// `text` in lines of at most `room` characters, broken at spaces; a longer word has a line of its own.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && length(&line) + 1 + length(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The text without what would move a terminal's cursor.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table, width: usize) -> String {
        let mut out = Vec::new();
        table.write(&mut out, width, Emphasis::Plain).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&["A", "LONGER", "C"]);
        table.row(["wide one", "x", "y"]);
        table.row(["b", "", ""]);
        assert_eq!(written(&table, 80), "A         LONGER  C\nwide one  x       y\nb\n");
    }

    #[test]
    fn the_last_column_wraps_in_its_place() {
        let mut table = Table::bare();
        table.row(["why", "one two three four five six seven eight"]);
        assert_eq!(written(&table, 30), "why  one two three four five\n     six seven eight\n");
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        let mut table = Table::bare();
        table.row(["a\nb\x1b[2Jc"]);
        assert_eq!(written(&table, 80), "a b [2Jc\n");
    }
}
