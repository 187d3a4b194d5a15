//! Images of a task on the device, and minibatches of them.
//!
//! Images stay bytes, channels-last and padded once, so that cropping, flipping and gathering a whole minibatch is one
//! indexing operation. Crop and flip come before normalisation (padding is black), cutout after it (the square has the
//! mean colour), as in the usual scripts.

use nasd_data::{ImageSet, Split};
use nasd_protocol::trainer::Augmentation;
use nasd_space::{RandomSource, StreamRandom};
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::{Result, TrainError};

/// A minibatch.
#[derive(Debug)]
pub struct Minibatch {
    /// `[batch, channels, height, width]`, normalised, channels-last in memory.
    pub images: Tensor,
    /// `[batch]`, class indices.
    pub labels: Tensor,
}

impl Minibatch {
    /// The same tensors.
    pub fn shallow_clone(&self) -> Self {
        Self { images: self.images.shallow_clone(), labels: self.labels.shallow_clone() }
    }
}

/// Images of one split on the device.
#[derive(Debug)]
pub struct Images {
    /// `[n, height + 2 padding, width + 2 padding, channels]`, bytes.
    pixels: Tensor,
    labels: Tensor,
    scale: Tensor,
    shift: Tensor,
    n: usize,
    height: usize,
    width: usize,
    padding: usize,
    kind: Kind,
}

impl Images {
    /// Move a split of `set` to the device; `padding` is the most that crops will need. Pixels are normalised by the
    /// training split's channel statistics.
    pub fn new(set: &ImageSet, split: &Split, padding: u32, kind: Kind, device: Device) -> Result<Self> {
        let [n, channels, height, width] = [split.len(), set.channels, set.height, set.width];
        let [n_, channels_, height_, width_] = [n, channels, height, width].map(|extent| extent as i64);
        if split.pixels.len() != n * set.image_len() {
            return Err(TrainError::Data(format!("{}: pixels and labels differ in number", set.name)));
        }
        let statistics = set.statistics();
        let max = f64::from(set.max_value.max(1));
        let std = |index: usize| statistics.std.get(index).copied().filter(|&std| std > 0.0).unwrap_or(1.0);
        let scale: Vec<f64> = (0..channels).map(|channel| 1.0 / (max * std(channel))).collect();
        let shift: Vec<f64> = statistics.mean.iter().enumerate().map(|(channel, mean)| -mean / std(channel)).collect();
        let labels: Vec<i64> = split.labels.iter().map(|&label| i64::from(label)).collect();
        no_grad(|| {
            let to_channel = |values: &[f64]| -> Result<Tensor> {
                Ok(Tensor::f_from_slice(values)?.f_to_kind(kind)?.f_to_device(device)?)
            };
            let pixels = Tensor::f_from_data_size(&split.pixels, &[n_, channels_, height_, width_], Kind::Uint8)?;
            let padding_ = i64::from(padding);
            let pixels = match padding_ {
                0 => pixels,
                p => pixels.f_constant_pad_nd([p, p, p, p])?,
            };
            Ok(Self {
                pixels: pixels.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_to_device(device)?,
                labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
                scale: to_channel(&scale)?,
                shift: to_channel(&shift)?,
                n,
                height,
                width,
                padding: padding as usize,
                kind,
            })
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The images of these indices as they are.
    pub fn plain(&self, indices: &[u32]) -> Result<Minibatch> {
        let middle = self.padding as i64;
        self.gather(indices, &vec![(middle, middle, false); indices.len()])
    }

    /// The images of these indices, changed at random; the numbers drawn follow from the stream alone.
    pub fn augmented(
        &self,
        indices: &[u32],
        augmentation: &Augmentation,
        stream: &mut StreamRandom,
    ) -> Result<Minibatch> {
        let crop = (augmentation.crop_padding as usize).min(self.padding);
        let first = (self.padding - crop) as i64;
        let choices = 2 * crop as u64 + 1;
        let places: Vec<(i64, i64, bool)> = indices
            .iter()
            .map(|_| {
                let top = first + stream.below(choices) as i64;
                let left = first + stream.below(choices) as i64;
                (top, left, augmentation.flip && stream.below(2) == 1)
            })
            .collect();
        let mut minibatch = self.gather(indices, &places)?;
        if augmentation.cutout > 0 {
            let mask = self.cutout_mask(indices.len(), i64::from(augmentation.cutout), stream)?;
            minibatch.images = no_grad(|| minibatch.images.f_mul(&mask))?;
        }
        Ok(minibatch)
    }

    /// One indexing operation: row `top + y`, column `left + x` (from the right where flipped) of each image.
    fn gather(&self, indices: &[u32], places: &[(i64, i64, bool)]) -> Result<Minibatch> {
        if let Some(index) = indices.iter().find(|&&index| index as usize >= self.n) {
            return Err(TrainError::Data(format!("image {index} of {}", self.n)));
        }
        let (height, width) = (self.height as i64, self.width as i64);
        let n = indices.len() as i64;
        let examples: Vec<i64> = indices.iter().map(|&index| i64::from(index)).collect();
        let rows: Vec<i64> = places.iter().flat_map(|&(top, _, _)| top..top + height).collect();
        let columns: Vec<i64> = places
            .iter()
            .flat_map(|&(_, left, flipped)| (0..width).map(move |x| left + if flipped { width - 1 - x } else { x }))
            .collect();
        no_grad(|| {
            let device = self.pixels.device();
            let to_index = |values: &[i64], shape: [i64; 3]| -> Result<Tensor> {
                Ok(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)?)
            };
            let examples = to_index(&examples, [n, 1, 1])?;
            let rows = to_index(&rows, [n, height, 1])?;
            let columns = to_index(&columns, [n, 1, width])?;
            let labels = self.labels.f_index_select(0, &examples.f_view([n])?)?;
            let pixels = self.pixels.f_index(&[Some(examples), Some(rows), Some(columns)])?;
            let images = pixels.f_to_kind(self.kind)?.f_mul(&self.scale)?.f_add(&self.shift)?;
            Ok(Minibatch { images: images.f_permute([0, 3, 1, 2])?, labels })
        })
    }

    /// `[n, 1, height, width]`: 0 in a square of side `side` around a random pixel, cut at the border, else 1.
    fn cutout_mask(&self, n: usize, side: i64, stream: &mut StreamRandom) -> Result<Tensor> {
        let (mut rows, mut columns) = (Vec::new(), Vec::new());
        for _ in 0..n {
            for (extent, marks) in [(self.height, &mut rows), (self.width, &mut columns)] {
                let start = stream.below(extent as u64) as i64 - side / 2;
                marks.extend((0..extent as i64).map(|at| f64::from(u8::from((start..start + side).contains(&at)))));
            }
        }
        no_grad(|| {
            let device = self.pixels.device();
            let to_mask = |marks: &[f64], shape: [i64; 4]| -> Result<Tensor> {
                Ok(Tensor::f_from_slice(marks)?.f_view(shape)?.f_to_kind(self.kind)?.f_to_device(device)?)
            };
            let rows = to_mask(&rows, [n as i64, 1, self.height as i64, 1])?;
            let columns = to_mask(&columns, [n as i64, 1, 1, self.width as i64])?;
            Ok(rows.f_mul(&columns)?.f_neg()?.f_add_scalar(1.0)?)
        })
    }
}
