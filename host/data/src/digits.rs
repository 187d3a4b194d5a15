//! The data set that nasd carries with it: 1,797 real handwritten digits of 8 x 8 pixels, so that a first search
//! needs no download. Source and licence: `assets/README.md` (UCI, E. Alpaydin and C. Kaynak, CC BY 4.0).

use crate::{DataError, ImageSet, Split};

const CSV: &[u8] = include_bytes!("../assets/digits.csv");
/// The canonical digest of the embedded set: a build with other digits fails to load them.
const DIGEST: &str = "516038932277affcedde819b357b6f1375f4209acda72e9cdb2f0511c99c4f90";
const SIDE: usize = 8;
const N_TEST: usize = 360;
const MAX_VALUE: u8 = 16;
/// The embedded set's name.
pub(crate) const NAME: &str = "digits";

/// The embedded digits: the first 1,437 rows to train on, the last 360 as the test.
pub fn digits() -> Result<ImageSet, DataError> {
    let file = "digits.csv (embedded)";
    let mut train = parse_digits_csv(file, CSV)?;
    let n_train = train.len().saturating_sub(N_TEST);
    let test = Split { labels: train.labels.split_off(n_train), pixels: train.pixels.split_off(n_train * SIDE * SIDE) };
    let set = ImageSet {
        name: NAME.to_owned(),
        channels: 1,
        height: SIDE,
        width: SIDE,
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        train,
        test,
        max_value: MAX_VALUE,
    };
    let found = set.digest();
    if found != DIGEST {
        return Err(DataError::DigestDiffers { file: file.to_owned(), expected: DIGEST.to_owned(), found });
    }
    Ok(set)
}

/// Rows of 64 values of 0 to 16 and a label of 0 to 9, comma-separated, no header; errors name the line.
pub fn parse_digits_csv(file: &str, bytes: &[u8]) -> Result<Split, DataError> {
    let mut split = Split::default();
    for (line_idx, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let fault = |reason: String| DataError::BadLine { file: file.to_owned(), line: line_idx as u64 + 1, reason };
        let line = std::str::from_utf8(line).map_err(|_| fault("not text; the file is of another kind".to_owned()))?;
        let mut row = [0u8; SIDE * SIDE + 1];
        let n_values = line.split(',').count();
        if n_values != row.len() {
            return Err(fault(format!("{n_values} values; a row has 64 pixels and a label")));
        }
        for (column, (text, value)) in line.split(',').zip(&mut row).enumerate() {
            let (what, most) = if column < SIDE * SIDE { ("pixel", MAX_VALUE) } else { ("label", 9) };
            *value = text.trim().parse().ok().filter(|number| *number <= most).ok_or_else(|| {
                let text = crate::source::printable(text);
                fault(format!("value {} is \"{text}\"; a {what} is a number from 0 to {most}", column + 1))
            })?;
        }
        if let Some((label, pixels)) = row.split_last() {
            split.pixels.extend_from_slice(pixels);
            split.labels.push(u16::from(*label));
        }
    }
    Ok(split)
}
