//! CIFAR-10 and CIFAR-100 in their official binary form: records without header, so that the file's size is the
//! only check of its shape and labels the only check of its kind. Any number of records is right.

use crate::{
    DataError, Format, ImageSet, Split,
    import::{Found, Part},
};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-100 if only its record size divides every file, else CIFAR-10.
pub(crate) fn recognise(files: &[Found]) -> Format {
    let divides = |record_bytes: usize| files.iter().all(|file| file.bytes.len().is_multiple_of(record_bytes));
    if divides(PIXELS + 2) && !divides(PIXELS + 1) { Format::Cifar100 } else { Format::Cifar10 }
}

/// Put the records of all files together, in the order of their names.
pub(crate) fn decode(files: Vec<Found>, format: Format) -> Result<ImageSet, DataError> {
    let (n_label_bytes, n_classes) = if format == Format::Cifar100 { (2, 100u8) } else { (1, 10) };
    let mut set = ImageSet {
        name: String::new(),
        channels: 3,
        height: SIDE,
        width: SIDE,
        classes: match format {
            Format::Cifar100 => (0..n_classes).map(|class| class.to_string()).collect(),
            _ => CIFAR10_CLASSES.map(str::to_owned).to_vec(),
        },
        train: Split::default(),
        test: Split::default(),
        max_value: 255,
    };
    for file in files {
        let split = match file.part {
            Some(Part::Train) => &mut set.train,
            Some(Part::Test) => &mut set.test,
            None => {
                return Err(DataError::UnclearSplit { file: file.path.shown });
            }
        };
        append(split, &file, n_label_bytes, n_classes)?;
    }
    Ok(set)
}

fn append(split: &mut Split, file: &Found, n_label_bytes: usize, n_classes: u8) -> Result<(), DataError> {
    let record_bytes = n_label_bytes + PIXELS;
    let records = file.bytes.chunks_exact(record_bytes);
    let excess = records.remainder().len() as u64;
    if excess > 0 {
        return Err(DataError::IncompleteRecord {
            file: file.path.shown.clone(),
            record: records.len() as u64 + 1,
            excess,
            record_bytes: record_bytes as u64,
        });
    }
    split.pixels.reserve(records.len() * PIXELS);
    for (record_idx, record) in records.enumerate() {
        let (labels, pixels) = record.split_at(n_label_bytes);
        let label = labels.last().copied().unwrap_or_default();
        if label >= n_classes {
            return Err(DataError::LabelOutOfRange {
                file: file.path.shown.clone(),
                record: record_idx as u64 + 1,
                label: label.into(),
                last: u32::from(n_classes) - 1,
            });
        }
        split.labels.push(label.into());
        split.pixels.extend_from_slice(pixels);
    }
    Ok(())
}
