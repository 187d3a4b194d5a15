//! Tables for people: columns as wide as what is in them.

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Longest cell; the rest is cut.
const WIDEST: usize = 60;

/// A table with a heading, without a line's trailing blanks.
pub fn columns(heading: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let cut = |cell: &str| match cell.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", cell.get(..at).unwrap_or_default()),
        None => cell.to_owned(),
    };
    let titles = heading.iter().map(|(title, _)| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> =
        std::iter::once(titles).chain(rows.iter().map(|row| row.iter().map(|cell| cut(cell)).collect())).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut cells = Vec::new();
        for ((cell, width), (_, side)) in line.iter().zip(&widths).zip(heading) {
            cells.push(match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
        }
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A time span in a word: `45 s`, `12 min`, `3 h 20 min`, `5 d 2 h`.
pub fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if minutes == 0 => format!("{seconds} s"),
        () if hours == 0 => format!("{minutes} min"),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// The beginning of a digest.
pub fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// Seconds since 1970.
pub fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

/// A time on this machine's clock.
pub fn clock(unix: f64) -> String {
    let time = jiff::Timestamp::from_second(unix as i64).map(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [vec!["a".into(), "1".into(), "x".into()], vec!["long".into(), "100".into(), String::new()]];
        let heading = [("RUN", Side::Left), ("N", Side::Right), ("NOTE", Side::Left)];
        assert_eq!(columns(&heading, &rows), "RUN     N  NOTE\na       1  x\nlong  100\n");
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let spans = [(0.4, "0 s"), (59.9, "59 s"), (60.0, "1 min"), (12_000.0, "3 h 20 min"), (440_000.0, "5 d 2 h")];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
    }
}
