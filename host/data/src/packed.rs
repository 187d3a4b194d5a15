//! The canonical encoding of a data set: what its digest is taken of, and the packed file of a data folder byte for
//! byte, so that any BLAKE3 tool can check the file against the manifest.
//!
//! ```text
//! "nasd images 1\n"
//! u32 channels, height, width, max_value, classes        little-endian, like all numbers here
//! classes times: u32 length, UTF-8 name
//! twice (train, test): u64 n, n times u16 label, n * channels * height * width pixels
//! ```

use crate::{DataError, ImageSet, Split};

const MAGIC: &[u8] = b"nasd images 1\n";

/// Hand the canonical encoding to `write`, piece by piece.
pub(crate) fn encode(set: &ImageSet, mut write: impl FnMut(&[u8])) {
    write(MAGIC);
    for number in [set.channels, set.height, set.width, usize::from(set.max_value), set.classes.len()] {
        write(&(number as u32).to_le_bytes());
    }
    for class in &set.classes {
        write(&(class.len() as u32).to_le_bytes());
        write(class.as_bytes());
    }
    for split in [&set.train, &set.test] {
        write(&(split.len() as u64).to_le_bytes());
        let labels: Vec<u8> = split.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        write(&labels);
        write(&split.pixels);
    }
}

/// Read a packed file that is wholly in memory; every length is compared with what is there before it is used.
pub(crate) fn decode(name: &str, file: &str, bytes: &[u8]) -> Result<ImageSet, DataError> {
    let mut cursor = Cursor { file, bytes, position: 0 };
    if cursor.take(MAGIC.len() as u64)? != MAGIC {
        return Err(DataError::WrongMagic {
            file: file.to_owned(),
            expected: "\"nasd images 1\"".to_owned(),
            found: crate::source::hexadecimal(bytes),
        });
    }
    let channels = cursor.u32()? as usize;
    let height = cursor.u32()? as usize;
    let width = cursor.u32()? as usize;
    let max_value = u8::try_from(cursor.u32()?)
        .map_err(|_| DataError::Damaged { file: file.to_owned(), reason: "largest value above 255".to_owned() })?;
    let mut classes = Vec::new();
    for _ in 0..cursor.u32()? {
        let length = cursor.u32()?;
        let name = std::str::from_utf8(cursor.take(u64::from(length))?).map_err(|_| DataError::Damaged {
            file: file.to_owned(),
            reason: "a class name is not UTF-8".to_owned(),
        })?;
        classes.push(name.to_owned());
    }
    let image_len = [channels, height, width].iter().try_fold(1u64, |product, n| product.checked_mul(*n as u64));
    let image_len = image_len.unwrap_or(u64::MAX);
    let train = cursor.split(image_len, classes.len())?;
    let test = cursor.split(image_len, classes.len())?;
    match bytes.len() - cursor.position {
        0 => {}
        excess => {
            return Err(DataError::TrailingBytes { file: file.to_owned(), excess: excess as u64 });
        }
    }
    Ok(ImageSet { name: name.to_owned(), channels, height, width, classes, train, test, max_value })
}

struct Cursor<'a> {
    file: &'a str,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], DataError> {
        let expected = (self.position as u64).saturating_add(count);
        let range = usize::try_from(expected).ok().map(|end| self.position..end);
        match range.and_then(|range| self.bytes.get(range)) {
            Some(slice) => {
                self.position += slice.len();
                Ok(slice)
            }
            None => {
                let found = self.bytes.len() as u64;
                Err(DataError::Truncated { file: self.file.to_owned(), expected, found })
            }
        }
    }

    fn u32(&mut self) -> Result<u32, DataError> {
        let mut number = [0; 4];
        number.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(number))
    }

    fn split(&mut self, image_len: u64, n_classes: usize) -> Result<Split, DataError> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        let n_images = u64::from_le_bytes(number);
        let labels = self.take(n_images.saturating_mul(2))?;
        let labels: Vec<u16> = labels.as_chunks().0.iter().map(|pair: &[u8; 2]| u16::from_le_bytes(*pair)).collect();
        if let Some(record) = labels.iter().position(|label| usize::from(*label) >= n_classes) {
            return Err(DataError::LabelOutOfRange {
                file: self.file.to_owned(),
                record: record as u64 + 1,
                label: labels.get(record).copied().unwrap_or_default().into(),
                last: n_classes.saturating_sub(1) as u32,
            });
        }
        let pixels = self.take(n_images.saturating_mul(image_len))?.to_vec();
        Ok(Split { pixels, labels })
    }
}
