//! A data set in memory: bytes as they were published, so that one digest means one data set on every machine.
//! Scaling to `0..1` and normalisation are arithmetic of the trainer; only the statistics for it are computed here,
//! from exact integer sums.

use crate::{DataError, packed};

/// Images with labels, in two splits. Pixels are unsigned bytes, planar per image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// The name it was loaded or imported by. Not part of the digest.
    pub name: String,
    /// Channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Images to train on, validation images included (see [`crate::split_train_validation`]).
    pub train: Split,
    /// Images kept for the test.
    pub test: Split,
    /// The byte that maps to 1.0: 255, for the digits 16.
    pub max_value: u8,
}

/// One split of an [`ImageSet`].
///
/// # Shapes
/// - pixels: `[n, channels, height, width]`
/// - labels: `[n]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// All pixels, image after image, each planar.
    pub pixels: Vec<u8>,
    /// A class index for each image.
    pub labels: Vec<u16>,
}

/// Per-channel statistics over all pixels of a training split, in units of `0..1`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelStatistics {
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Population standard deviation of each channel.
    pub std: Vec<f64>,
}

impl ImageSet {
    /// Bytes an image: `channels * height * width`.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Mean and standard deviation of each channel of the training split. Sums are exact, so the result does not
    /// depend on threads or order.
    pub fn statistics(&self) -> ChannelStatistics {
        let plane = self.height * self.width;
        let mut sums = vec![(0u64, 0u64); self.channels];
        if plane > 0 && self.channels > 0 {
            for image in self.train.pixels.chunks_exact(plane * self.channels) {
                for (pixels, (sum, squares)) in image.chunks_exact(plane).zip(&mut sums) {
                    for &pixel in pixels {
                        *sum += u64::from(pixel);
                        *squares += u64::from(pixel) * u64::from(pixel);
                    }
                }
            }
        }
        let count = (plane * self.train.len()).max(1) as f64;
        let scale = f64::from(self.max_value.max(1));
        let mut statistics = ChannelStatistics::default();
        for (sum, squares) in sums {
            let mean = sum as f64 / count;
            let variance = (squares as f64 / count - mean * mean).max(0.0);
            statistics.mean.push(mean / scale);
            statistics.std.push(variance.sqrt() / scale);
        }
        statistics
    }

    /// BLAKE3, in hexadecimal, of the canonical encoding: shape, class names, labels and pixels of both splits in
    /// their order. The name is left out: the same data under two names have one digest.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        packed::encode(self, |bytes| {
            hasher.update(bytes);
        });
        hasher.finalize().to_hex().to_string()
    }

    /// Images of each class in a split, by class index.
    pub fn class_counts(&self, split: &Split) -> Vec<u64> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &split.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of image `index`, `[channels, height, width]`; `None` beyond the end.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        let length = self.pixels.len().checked_div(self.len())?;
        let start = index.checked_mul(length)?;
        if index < self.len() { self.pixels.get(start..start + length) } else { None }
    }

    /// The images of these indices, in their order; an index may repeat.
    pub fn subset(&self, indices: &[u32]) -> Result<Split, DataError> {
        let length = self.pixels.len().checked_div(self.len()).unwrap_or(0);
        let mut subset =
            Split { pixels: Vec::with_capacity(length * indices.len()), labels: Vec::with_capacity(indices.len()) };
        for &index in indices {
            let missing = || DataError::NoSuchImage { index: u64::from(index), count: self.len() as u64 };
            subset.pixels.extend_from_slice(self.image(index as usize).ok_or_else(missing)?);
            subset.labels.push(*self.labels.get(index as usize).ok_or_else(missing)?);
        }
        Ok(subset)
    }
}
