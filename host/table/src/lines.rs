//! Line numbers of what is found at an offset of a text.
//!
//! Counted from the bytes, since a CSV reader's own count skips blank lines and knows no lines that end in CR alone.
//! Offsets are asked for in ascending order, so a whole file costs one pass.

/// Counts the lines of a text, forwards.
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    /// At the start.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    /// The line, from 1, of the first byte at or after `offset` that ends no line; LF, CR and CR LF end one.
    pub fn at(&mut self, offset: usize) -> u64 {
        while let Some(byte) = self.text.get(self.offset) {
            let is_end = matches!(byte, b'\n' | b'\r');
            if self.offset >= offset && !is_end {
                break;
            }
            self.offset += 1;
            // Of CR LF, the LF counts.
            let is_first_half = *byte == b'\r' && self.text.get(self.offset) == Some(&b'\n');
            self.line += u64::from(is_end && !is_first_half);
        }
        self.line
    }
}

/// The line, from 1, of the first line of a TOML text that `is_it`, comments aside; 1 if none is.
pub(crate) fn line_where(text: &str, is_it: impl Fn(&str) -> bool) -> u64 {
    let mut lines = text.lines().map(str::trim_start).zip(1..);
    lines.find(|(line, _)| !line.starts_with('#') && is_it(line)).map_or(1, |(_, number)| number)
}

/// Whether a line holds `name` as a TOML string.
pub(crate) fn quotes(line: &str, name: &str) -> bool {
    line.contains(&format!("\"{name}\"")) || line.contains(&format!("'{name}'"))
}
