//! Poolings and their gradients, without a table of where the maxima were: it is found again from the output.
//!
//! The first of several equal values of a window gets the maximum's gradient, as in libtorch. Padding never wins, and
//! does not count in a mean.

use crate::depthwise::Extent;
use crate::parallel::{self, parts, parts_mut, split};
use crate::vector::{Element, Kernel, Vector};
use crate::{Mismatch, check};

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its largest value.
    Max,
    /// Its mean.
    Mean,
}

/// A pooling of square windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What is taken.
    pub kind: Kind,
    /// `[height, width, channels]` of an input image.
    pub input: [usize; 3],
    /// Side of a window.
    pub kernel: usize,
    /// Distance of windows.
    pub stride: usize,
    /// On each side.
    pub padding: usize,
}

impl Pool {
    /// `[height, width, channels]` of an output image.
    pub fn output(&self) -> [usize; 3] {
        let [height, width, channels] = self.input;
        let places = |pixels: usize| (pixels + 2 * self.padding).saturating_sub(self.kernel) / self.stride.max(1) + 1;
        [places(height), places(width), channels]
    }

    fn extents(&self) -> Result<[Extent; 2], Mismatch> {
        check("padding below half a window", self.padding, self.padding.min(self.kernel / 2))?;
        check("stride", self.stride.max(1), self.stride)?;
        let fits = self.input.iter().take(2).all(|pixels| pixels + 2 * self.padding >= self.kernel);
        check("window within the map", 1, usize::from(fits))?;
        Ok([self.input, self.output()].map(|[height, width, channels]| Extent { height, width, channels }))
    }

    /// Pool `[images, height, width, channels]`.
    pub fn forward<E: Element>(&self, threads: usize, images: usize, x: &[E], out: &mut [E]) -> Result<(), Mismatch> {
        let [input, output] = self.extents()?;
        check("input", images * input.elements(), x.len())?;
        check("output", images * output.elements(), out.len())?;
        let level = E::level(&[input.channels]);
        let level = level.ok_or(Mismatch { what: "whole vectors of channels", expected: 8, found: input.channels })?;
        let ranges = split(images, threads);
        let work = parts(x, &ranges, input.elements()).into_iter();
        let work = work.zip(parts_mut(out, &ranges, output.elements())).zip(&ranges);
        parallel::run(work.collect(), |((x, out), range), _| {
            E::run(level, Forward { pool: *self, input, output, images: range.len(), x, out });
        });
        Ok(())
    }

    /// The gradient of the input into `to`, added if `adds`. `out` is what [`Self::forward`] gave (for a maximum).
    pub fn backward<E: Element>(
        &self,
        threads: usize,
        images: usize,
        [x, out, gradient]: [&[E]; 3],
        to: &mut [E],
        adds: bool,
    ) -> Result<(), Mismatch> {
        let [input, output] = self.extents()?;
        check("input", images * input.elements(), x.len())?;
        check("output", images * output.elements(), out.len())?;
        check("output's gradient", images * output.elements(), gradient.len())?;
        check("input's gradient", images * input.elements(), to.len())?;
        let level = E::level(&[input.channels]);
        let level = level.ok_or(Mismatch { what: "whole vectors of channels", expected: 8, found: input.channels })?;
        if !adds {
            to.fill(E::ZERO);
        }
        let ranges = split(images, threads);
        let [x, out, gradient] = [(x, input), (out, output), (gradient, output)]
            .map(|(slice, extent)| parts(slice, &ranges, extent.elements()).into_iter());
        let work = x.zip(out).zip(gradient).zip(parts_mut(to, &ranges, input.elements())).zip(&ranges);
        parallel::run(work.collect(), |((((x, out), gradient), to), range), _| {
            let images = range.len();
            E::run(level, Backward { pool: *self, input, output, images, x, out, gradient, to });
        });
        Ok(())
    }

    /// The pixels of window number `place` along an axis of `pixels`.
    fn window(&self, place: usize, pixels: usize) -> [usize; 2] {
        let start = place * self.stride;
        [start.saturating_sub(self.padding), (start + self.kernel - self.padding).min(pixels)]
    }
}

struct Forward<'a, E> {
    pool: Pool,
    input: Extent,
    output: Extent,
    images: usize,
    x: &'a [E],
    out: &'a mut [E],
}

impl<E: Element> Kernel<E> for Forward<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(self) {
        let Self { pool, input, output, images, x, out } = self;
        let channels = input.channels;
        for place in 0..images * output.pixels() {
            let (image, place_in) = (place / output.pixels(), place % output.pixels());
            let [top, bottom] = pool.window(place_in / output.width, input.height);
            let [left, right] = pool.window(place_in % output.width, input.width);
            let inverse = E::of(1.0 / ((bottom - top) * (right - left)) as f64);
            for c in (0..channels).step_by(V::LANES) {
                // SAFETY: `Pool::forward` checked the lengths; windows lie within the map and are not empty.
                unsafe {
                    let from = x.as_ptr().add(image * input.elements() + c);
                    let at = |h: usize, w: usize| V::load(from.add((h * input.width + w) * channels));
                    let mut best = at(top, left);
                    let mut sum = V::splat(E::ZERO);
                    for h in top..bottom {
                        for w in left..right {
                            let value = at(h, w);
                            match pool.kind {
                                Kind::Max => best = value.max(best),
                                Kind::Mean => sum = sum.add(value),
                            }
                        }
                    }
                    let value = match pool.kind {
                        Kind::Max => best,
                        Kind::Mean => sum.mul(V::splat(inverse)),
                    };
                    value.store(out.as_mut_ptr().add(place * channels + c));
                }
            }
        }
    }
}

struct Backward<'a, E> {
    pool: Pool,
    input: Extent,
    output: Extent,
    images: usize,
    x: &'a [E],
    out: &'a [E],
    gradient: &'a [E],
    to: &'a mut [E],
}

impl<E: Element> Kernel<E> for Backward<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(self) {
        let Self { pool, input, output, images, x, out, gradient, to } = self;
        let channels = input.channels;
        let to = to.as_mut_ptr();
        for place in 0..images * output.pixels() {
            let (image, place_in) = (place / output.pixels(), place % output.pixels());
            let [top, bottom] = pool.window(place_in / output.width, input.height);
            let [left, right] = pool.window(place_in % output.width, input.width);
            let inverse = E::of(1.0 / ((bottom - top) * (right - left)) as f64);
            for c in (0..channels).step_by(V::LANES) {
                // SAFETY: `Pool::backward` checked the lengths; windows lie within the map.
                unsafe {
                    let zero = V::splat(E::ZERO);
                    let best = V::load(out.as_ptr().add(place * channels + c));
                    let gradient = V::load(gradient.as_ptr().add(place * channels + c));
                    let mean = gradient.mul(V::splat(inverse));
                    // What no earlier value of the window has taken.
                    let mut left_over = gradient;
                    for h in top..bottom {
                        for w in left..right {
                            let i = image * input.elements() + (h * input.width + w) * channels + c;
                            let share = match pool.kind {
                                Kind::Mean => mean,
                                Kind::Max => {
                                    let share = left_over.where_equal(V::load(x.as_ptr().add(i)), best);
                                    left_over = left_over.sub(share);
                                    share
                                }
                            };
                            V::load(to.add(i)).add(share).add(zero).store(to.add(i));
                        }
                    }
                }
            }
        }
    }
}
