//! Numbers as people read them.

use super::MISSING;

/// A number with so many significant digits; zeros that say how exact it is stay.
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let power = value.abs().log10().floor();
    let decimals = (digits as f64 - 1.0 - power).clamp(0.0, 12.0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

/// A number in few characters: `0.972`, `17`, `3.35M`, `2.1G`, `4e−5`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => MISSING.to_owned(),
        0.0 => "0".to_owned(),
        1e-3..9999.5 => trimmed(significant(value, 4)),
        9999.5..999.5e12 => {
            let (unit, suffix) = match size {
                999.5e9.. => (1e12, "T"),
                999.5e6.. => (1e9, "G"),
                999.5e3.. => (1e6, "M"),
                _ => (1e3, "k"),
            };
            format!("{}{suffix}", trimmed(significant(value / unit, 3)))
        }
        _ => format!("{value:.1e}").replace(".0e", "e").replace('-', "−"),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A count with its thousands apart: `3,349,342`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_deserve() {
        let cases: [(f64, &str); 14] = [
            (0.0, "0"),
            (0.97222, "0.9722"),
            (17.0, "17"),
            (2.76, "2.76"),
            (1234.56, "1235"),
            (9_999.9, "10k"),
            (73_306.0, "73.3k"),
            (999_900.0, "1M"),
            (3_349_342.0, "3.35M"),
            (537_000_000.0, "537M"),
            (2.1e9, "2.1G"),
            (-0.5, "−0.5"),
            (4e-5, "4e−5"),
            (f64::NAN, "–"),
        ];
        for (value, expected) in cases {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn significant_digits_keep_their_zeros() {
        assert_eq!(significant(97.5, 4), "97.50");
        assert_eq!(significant(2.7, 3), "2.70");
        assert_eq!(significant(100.0, 3), "100");
        assert_eq!(significant(f64::INFINITY, 3), "–");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let shown = [0, 999, 1_000, 1_930_618, u64::MAX].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,930,618", "18,446,744,073,709,551,615"]);
    }
}
