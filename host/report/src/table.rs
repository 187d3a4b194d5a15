//! Tables (being written).

/// A number with so many significant digits, without trailing zeros beyond them.
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let power = value.abs().log10().floor();
    let decimals = (digits as f64 - 1.0 - power).clamp(0.0, 12.0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

/// A number in few characters: `0.972`, `17`, `3.35M`, `2.1G`, `4e-5`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    let trimmed = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match size {
        _ if !value.is_finite() => "–".to_owned(),
        0.0 => "0".to_owned(),
        1e-3..1e4 => trimmed(significant(value, 4)),
        1e4..1e15 => {
            let (unit, suffix) = match size {
                1e12.. => (1e12, "T"),
                1e9.. => (1e9, "G"),
                1e6.. => (1e6, "M"),
                _ => (1e3, "k"),
            };
            format!("{}{suffix}", trimmed(significant(value / unit, 3)))
        }
        _ => format!("{value:.1e}").replace(".0e", "e").replace('-', "−"),
    }
}
