//! MNIST's idx files: a big-endian header (magic, then a count and the image's sides), then bytes. Fashion-MNIST,
//! KMNIST and EMNIST are published in the same form. A split is a pair of files, images (0x803) and labels (0x801).

use crate::{
    DataError, ImageSet, Split,
    import::{Found, Part},
};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
const FASHION_CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

struct Images {
    file: String,
    n_images: u64,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

struct Labels {
    file: String,
    labels: Vec<u16>,
}

/// The split an idx file belongs to, by its standard name (`train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`).
pub(crate) fn part_of(file_name: &str) -> Option<Part> {
    let lower = file_name.to_ascii_lowercase();
    if lower.contains("train") {
        Some(Part::Train)
    } else if lower.contains("t10k") || lower.contains("test") {
        Some(Part::Test)
    } else {
        None
    }
}

/// Join images and labels of both splits. `name` tells Fashion-MNIST's class names from digits.
pub(crate) fn decode(name: &str, files: Vec<Found>) -> Result<ImageSet, DataError> {
    let mut images: [Option<Images>; 2] = [None, None];
    let mut labels: [Option<Labels>; 2] = [None, None];
    for found in files {
        let part = found.part.ok_or_else(|| DataError::UnclearSplit { file: found.path.shown.clone() })? as usize;
        let file = found.path.shown.clone();
        match magic(&found)? {
            IMAGES => fill(images.get_mut(part), parse_images(found)?, &file)?,
            _ => fill(labels.get_mut(part), parse_labels(found)?, &file)?,
        }
    }
    let [train_images, test_images] = images;
    let [train_labels, test_labels] = labels;
    let train = join(train_images, train_labels)?;
    let test = join(test_images, test_labels)?;
    if let (Some((first, _)), Some((other, _))) = (&train, &test)
        && (first.height, first.width) != (other.height, other.width)
    {
        return Err(DataError::SizeDiffers {
            file: other.file.clone(),
            found: format!("{}x{}", other.width, other.height),
            first_file: first.file.clone(),
            first: format!("{}x{}", first.width, first.height),
        });
    }
    let (height, width) = train.as_ref().or(test.as_ref()).map_or((0, 0), |(images, _)| (images.height, images.width));
    let split = |pair: Option<(Images, Labels)>| {
        pair.map_or_else(Split::default, |(images, labels)| Split { pixels: images.pixels, labels: labels.labels })
    };
    let n_classes =
        train.as_ref().or(test.as_ref()).and_then(|(_, labels)| labels.labels.iter().max()).map_or(0, |most| most + 1);
    if let Some((_, labels)) = &test {
        check_labels(labels, n_classes)?;
    }
    let classes = if n_classes == 10 && name.contains("fashion") {
        FASHION_CLASSES.map(str::to_owned).to_vec()
    } else {
        (0..n_classes).map(|class| class.to_string()).collect()
    };
    let (train, test) = (split(train), split(test));
    Ok(ImageSet { name: String::new(), channels: 1, height, width, classes, train, test, max_value: 255 })
}

fn fill<T>(slot: Option<&mut Option<T>>, value: T, file: &str) -> Result<(), DataError> {
    match slot {
        Some(slot @ None) => {
            *slot = Some(value);
            Ok(())
        }
        _ => Err(DataError::BadOption {
            option: "source",
            reason: format!("{file} is a second file of its kind; give a folder with one data set"),
        }),
    }
}

fn join(images: Option<Images>, labels: Option<Labels>) -> Result<Option<(Images, Labels)>, DataError> {
    match (images, labels) {
        (None, None) => Ok(None),
        (Some(images), Some(labels)) if images.n_images == labels.labels.len() as u64 => Ok(Some((images, labels))),
        (images, labels) => {
            let missing = || "a file that is missing".to_owned();
            Err(DataError::CountMismatch {
                images: images.as_ref().map_or(0, |images| images.n_images),
                images_file: images.map_or_else(missing, |images| images.file),
                labels: labels.as_ref().map_or(0, |labels| labels.labels.len() as u64),
                labels_file: labels.map_or_else(missing, |labels| labels.file),
            })
        }
    }
}

fn check_labels(labels: &Labels, n_classes: u16) -> Result<(), DataError> {
    match labels.labels.iter().enumerate().find(|(_, label)| **label >= n_classes) {
        None => Ok(()),
        Some((record, label)) => Err(DataError::LabelOutOfRange {
            file: labels.file.clone(),
            record: record as u64 + 1,
            label: (*label).into(),
            last: n_classes.saturating_sub(1).into(),
        }),
    }
}

fn number(found: &Found, at: usize) -> Result<u32, DataError> {
    let bytes = found.bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(|| DataError::Truncated {
        file: found.path.shown.clone(),
        expected: at as u64 + 4,
        found: found.bytes.len() as u64,
    })?;
    Ok(u32::from_be_bytes(*bytes))
}

fn magic(found: &Found) -> Result<u32, DataError> {
    match number(found, 0) {
        Ok(magic @ (IMAGES | LABELS)) => Ok(magic),
        _ => Err(DataError::WrongMagic {
            file: found.path.shown.clone(),
            expected: "00 00 08 03 (images) or 00 00 08 01 (labels)".to_owned(),
            found: crate::source::hexadecimal(&found.bytes),
        }),
    }
}

/// The bytes after a header, which must be exactly as many as it promises.
fn body(found: Found, header: usize, promised: Option<u64>) -> Result<Vec<u8>, DataError> {
    let there = found.bytes.len() as u64;
    let expected = promised.and_then(|count| count.checked_add(header as u64)).unwrap_or(u64::MAX);
    let file = found.path.shown;
    if there < expected {
        return Err(DataError::Truncated { file, expected, found: there });
    }
    if there > expected {
        return Err(DataError::TrailingBytes { file, excess: there - expected });
    }
    let mut bytes = found.bytes;
    bytes.drain(..header);
    Ok(bytes)
}

fn parse_images(found: Found) -> Result<Images, DataError> {
    let (count, height, width) = (number(&found, 4)?, number(&found, 8)?, number(&found, 12)?);
    let file = found.path.shown.clone();
    if height == 0 || width == 0 {
        return Err(DataError::Damaged { file, reason: format!("images of {width}x{height} pixels") });
    }
    let promised = u64::from(height).checked_mul(width.into()).and_then(|pixels| pixels.checked_mul(count.into()));
    let pixels = body(found, 16, promised)?;
    Ok(Images { file, n_images: count.into(), height: height as usize, width: width as usize, pixels })
}

fn parse_labels(found: Found) -> Result<Labels, DataError> {
    let count = number(&found, 4)?;
    let file = found.path.shown.clone();
    let labels = body(found, 8, Some(count.into()))?.into_iter().map(u16::from).collect();
    Ok(Labels { file, labels })
}
