//! Mean and variance of each channel.
//!
//! An image's sums are taken while it is in the cache, the second about the image's own mean, so that a large mean costs
//! no digits; images are put together in double precision, in order.

use crate::parallel::{self, parts, parts_mut, split};
use crate::vector::{Element, Kernel, Vector};
use crate::{Mismatch, check};

/// Of a minibatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// One a channel.
    pub mean: Vec<f64>,
    /// Biased; one a channel.
    pub variance: Vec<f64>,
    /// Values of each channel.
    pub count: usize,
}

/// For each image and channel the sum, then for each channel the sum of squares about the image's mean.
pub(crate) struct Partial<'a, E> {
    pub values: &'a [E],
    pub channels: usize,
    /// Of an image.
    pub pixels: usize,
}

impl Moments {
    pub(crate) fn of<E: Element>(partial: &Partial<'_, E>) -> Self {
        let Partial { values, channels, pixels } = *partial;
        let images = values.len() / (2 * channels).max(1);
        let count = images * pixels;
        let sum_of = |row: usize, c: usize| values.iter().skip((row * channels) + c).step_by(2 * channels);
        let mut moments = Self { mean: Vec::new(), variance: Vec::new(), count };
        for c in 0..channels {
            let mean = sum_of(0, c).map(|sum| sum.double()).sum::<f64>() / count as f64;
            let squares = sum_of(0, c).zip(sum_of(1, c)).map(|(sum, squares)| {
                let apart = sum.double() / pixels as f64 - mean;
                squares.double() + pixels as f64 * apart * apart
            });
            moments.mean.push(mean);
            moments.variance.push(squares.sum::<f64>() / count as f64);
        }
        moments
    }

    /// Of `values` `[images, pixels, channels]`.
    pub fn measure<E: Element>(
        threads: usize,
        values: &[E],
        [images, pixels, channels]: [usize; 3],
    ) -> Result<Self, Mismatch> {
        check("values", images * pixels * channels, values.len())?;
        let level = E::level(&[channels]);
        let level = level.ok_or(Mismatch { what: "whole vectors of channels", expected: 8, found: channels })?;
        let mut partial = vec![E::ZERO; images * 2 * channels];
        let ranges = split(images, threads);
        let work = parts(values, &ranges, pixels * channels).into_iter();
        let work = work.zip(parts_mut(&mut partial, &ranges, 2 * channels)).zip(&ranges);
        parallel::run(work.collect(), |((values, sums), range), _| {
            E::run(level, Measure { values, sums, images: range.len(), pixels, channels });
        });
        Ok(Self::of(&Partial { values: &partial, channels, pixels }))
    }
}

struct Measure<'a, E> {
    values: &'a [E],
    sums: &'a mut [E],
    images: usize,
    pixels: usize,
    channels: usize,
}

impl<E: Element> Kernel<E> for Measure<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(self) {
        for image in 0..self.images {
            // SAFETY: `Moments::measure` checked the lengths.
            unsafe {
                let values = self.values.as_ptr().add(image * self.pixels * self.channels);
                let sums = self.sums.as_mut_ptr().add(image * 2 * self.channels);
                moments_of::<V>(values, self.pixels, self.channels, sums);
            }
        }
    }
}

/// One image's sums.
///
/// # Safety
/// `pixels * channels` values, `2 * channels` sums.
#[inline(always)]
pub(crate) unsafe fn moments_of<V: Vector>(
    values: *const V::Element,
    pixels: usize,
    channels: usize,
    sums: *mut V::Element,
) {
    for c in (0..channels).step_by(V::LANES) {
        // SAFETY: as of this function.
        unsafe {
            let zero = V::splat(V::Element::ZERO);
            let value = |pixel: usize| V::load(values.add(pixel * channels + c));
            // Two sums at a time: one alone would wait for itself.
            let (mut even, mut odd) = (zero, zero);
            for pixel in (0..pixels & !1).step_by(2) {
                even = even.add(value(pixel));
                odd = odd.add(value(pixel + 1));
            }
            if pixels % 2 == 1 {
                even = even.add(value(pixels - 1));
            }
            let sum = even.add(odd);
            let mean = sum.mul(V::splat(V::Element::of(1.0 / pixels as f64)));
            (even, odd) = (zero, zero);
            for pixel in (0..pixels & !1).step_by(2) {
                let (a, b) = (value(pixel).sub(mean), value(pixel + 1).sub(mean));
                even = a.fma(a, even);
                odd = b.fma(b, odd);
            }
            if pixels % 2 == 1 {
                let a = value(pixels - 1).sub(mean);
                even = a.fma(a, even);
            }
            sum.store(sums.add(c));
            even.add(odd).store(sums.add(channels + c));
        }
    }
}
