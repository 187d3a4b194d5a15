//! Tables for the terminal and for Markdown, from the same columns and rows.
//!
//! Headers carry units, numbers stand right-aligned with as many digits as they deserve. A character counts as
//! one column of the terminal; wide ones (Chinese, emoji) are not measured.

mod comparison;
mod number;
mod published;

pub use comparison::{ComparisonRow, ComparisonTable, CostParts, SearchCost, Source};
pub use number::{grouped, short, significant};
pub use published::{PublishedMethod, PublishedTable};

use crate::text::clean;

/// Which way a column's cells lean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    header: String,
    align: Align,
    code: bool,
}

/// A row: one text a column, and whether it stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    cells: Vec<String>,
    strong: bool,
}

/// What stands in a cell without a value.
pub const MISSING: &str = "–";

/// A table.
///
/// ```
/// use nasd_report::table::{Table, grouped};
/// let mut table = Table::new().text("method").number("params");
/// table.row(["DARTS".into(), grouped(3_349_342)]);
/// assert_eq!(table.terminal(80), "method     params\nDARTS   3,349,342\n");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl Table {
    /// Without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a column of texts more.
    #[must_use]
    pub fn text(self, header: impl Into<String>) -> Self {
        self.column(header.into(), Align::Left, false)
    }

    /// With a column of numbers more.
    #[must_use]
    pub fn number(self, header: impl Into<String>) -> Self {
        self.column(header.into(), Align::Right, false)
    }

    /// With a column of notations more: Markdown shows them in a fixed-width font.
    #[must_use]
    pub fn code(self, header: impl Into<String>) -> Self {
        self.column(header.into(), Align::Left, true)
    }

    fn column(mut self, header: String, align: Align, code: bool) -> Self {
        self.columns.push(Column { header: clean(&header), align, code });
        self
    }

    /// Adds a row; cells beyond the columns are left out, missing ones are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.add(cells, false);
    }

    /// Adds a row that stands out: bold in Markdown, `*` on the terminal.
    pub fn strong_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.add(cells, true);
    }

    fn add(&mut self, cells: impl IntoIterator<Item = String>, strong: bool) {
        let mut cells: Vec<_> = cells.into_iter().take(self.columns.len()).map(|cell| clean(&cell)).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(Row { cells, strong });
    }

    /// Without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned by spaces; the widest text column is cut where a line would be longer than `width` characters.
    pub fn terminal(&self, width: usize) -> String {
        let marks = self.rows.iter().any(|row| row.strong);
        let mut widths: Vec<usize> = (0..self.columns.len()).map(|column| self.widest(column)).collect();
        let separators = 2 * widths.len().saturating_sub(1) + if marks { 2 } else { 0 };
        let excess = (widths.iter().sum::<usize>() + separators).saturating_sub(width);
        let texts = widths.iter_mut().zip(&self.columns).filter(|(_, column)| column.align == Align::Left);
        if let Some((widest, _)) = texts.max_by_key(|(width, _)| **width) {
            *widest = widest.saturating_sub(excess).max(8.min(*widest));
        }
        let mut out = String::new();
        let headers: Vec<&str> = self.columns.iter().map(|column| column.header.as_str()).collect();
        out.push_str(&self.terminal_line(&headers, &widths, marks.then_some(' ')));
        for row in &self.rows {
            let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
            let mark = marks.then_some(if row.strong { '*' } else { ' ' });
            out.push_str(&self.terminal_line(&cells, &widths, mark));
        }
        out
    }

    fn terminal_line(&self, cells: &[&str], widths: &[usize], mark: Option<char>) -> String {
        let cells = cells.iter().zip(widths).zip(&self.columns).map(|((cell, width), column)| {
            let cell = shortened(cell, *width);
            match column.align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = mark.map_or(line.clone(), |mark| format!("{mark} {line}"));
        format!("{}\n", line.trim_end())
    }

    fn widest(&self, column: usize) -> usize {
        let header = self.columns.get(column).map_or(0, |column| column.header.chars().count());
        let cells = self.rows.iter().filter_map(|row| row.cells.get(column)).map(|cell| cell.chars().count());
        cells.fold(header, usize::max)
    }

    /// As a Markdown table; empty without columns.
    pub fn markdown(&self) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.columns.iter().map(|column| escaped(&column.header)).collect());
        let rule = self.columns.iter().map(|column| if column.align == Align::Right { "--:" } else { ":--" });
        out.push_str(&line(rule.map(str::to_owned).collect()));
        for row in &self.rows {
            let cells = row.cells.iter().zip(&self.columns).map(|(cell, column)| {
                let cell = if column.code { code(cell) } else { escaped(cell) };
                if row.strong && !cell.is_empty() { format!("**{cell}**") } else { cell }
            });
            out.push_str(&line(cells.collect()));
        }
        out
    }
}

/// Cut in the middle to so many characters.
fn shortened(text: &str, width: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head = kept.div_ceil(2);
    let start = characters.iter().take(head);
    start.chain(&['…']).chain(characters.iter().skip(characters.len() - (kept - head))).collect()
}

/// A text that Markdown shows as it is, also inside a table.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' | '#') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// A text in a fixed-width font, also inside a table, whatever backticks it has.
pub(crate) fn code(text: &str) -> String {
    if text.is_empty() || text == MISSING {
        return text.to_owned();
    }
    if text.contains('\\') {
        // A backslash before a bar cannot be written between backticks.
        let text = crate::text::escape(text).replace('|', "&#124;").replace('\\', "&#92;");
        return format!("<code>{text}</code>");
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new().number("job").code("architecture").number("accuracy (%)");
        table.row(["7".into(), "|none~0|+|a_b~0|".into(), "97.2".into()]);
        table.strong_row(["12".into(), "x".into(), "8".into()]);
        table
    }

    #[test]
    fn the_terminal_gets_aligned_columns() {
        assert_eq!(
            table().terminal(80),
            "  job  architecture      accuracy (%)\n\
             \x20   7  |none~0|+|a_b~0|          97.2\n\
             *  12  x                            8\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_text() {
        for line in table().terminal(34).lines() {
            assert!(line.chars().count() <= 34, "{line}");
        }
        assert!(table().terminal(34).contains("|none~…a_b~0|"), "{}", table().terminal(34));
    }

    #[test]
    fn markdown_keeps_bars_and_underscores() {
        assert_eq!(
            table().markdown(),
            "| job | architecture | accuracy (%) |\n\
             | --: | :-- | --: |\n\
             | 7 | `\\|none~0\\|+\\|a_b~0\\|` | 97.2 |\n\
             | **12** | **`x`** | **8** |\n"
        );
        assert_eq!(escaped("sep_conv <b>"), "sep\\_conv \\<b\\>");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("a\\|b"), "<code>a&#92;&#124;b</code>");
    }

    #[test]
    fn rows_of_another_length_are_evened_out() {
        let mut table = Table::new().text("a").text("b");
        table.row(["1".into()]);
        table.row(["1".into(), "2".into(), "3".into()]);
        assert_eq!(table.markdown().lines().map(|line| line.matches('|').count()).collect::<Vec<_>>(), [3, 3, 3, 3]);
        assert_eq!(Table::new().markdown(), "");
    }
}
