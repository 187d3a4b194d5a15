//! A prologue, a depthwise convolution and a 1x1 convolution as one pass over each image.
//!
//! What lies between them stays in the processor's cache and is computed again in the backward pass instead of being
//! kept. Batch statistics come out of the same pass. Either convolution may be left out; without the depthwise one the
//! pixels can be read at a distance.

use std::ops::Range;

use crate::depthwise::{Extent, Prologue, Sink, Store, Window, convolve, filter_gradient, pad, spread};
use crate::moments::{Moments, Partial, moments_of};
use crate::parallel::{self, parts, parts_mut, split};
use crate::pointwise::{add_transposed_product, product};
use crate::scratch::Aligned;
use crate::vector::{Element, Kernel, Level, Vector};
use crate::{Mismatch, check};

/// How the input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// By a depthwise convolution, zeros around.
    Depthwise(Window),
    /// Pixel by pixel: from `offset` on, `stride` apart.
    Pixels {
        /// In both directions.
        stride: usize,
        /// In both directions.
        offset: usize,
    },
}

/// The weights and sizes of a unit.
#[derive(Debug)]
pub struct Unit<'a, E> {
    /// `[height, width, channels]` of an input image.
    pub input: [usize; 3],
    /// Done to the input first.
    pub prologue: Prologue<'a, E>,
    /// Then.
    pub reading: Reading,
    /// `[channels, kernel, kernel]` of the depthwise convolution; empty without one.
    pub filter: &'a [E],
    /// `[out channels, channels]` of the 1x1 convolution; empty without one.
    pub matrix: &'a [E],
}

/// The gradient of a unit's output: `scale * gradient + of_value * value + constant`, per channel, where `value` is the
/// output itself. The last two come from a batch normalisation behind it.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a, E> {
    /// `[images, height, width, channels]`.
    pub gradient: &'a [E],
    /// Scale, constant, factor of the value; all one a channel.
    pub affine: Option<[&'a [E]; 3]>,
    /// The output.
    pub value: &'a [E],
}

/// Gradients of a unit's weights, laid out as the weights; empty where there are none.
#[derive(Clone, Debug)]
pub struct WeightGradients<E> {
    /// Of [`Unit::filter`].
    pub filter: Vec<E>,
    /// Of [`Unit::matrix`].
    pub matrix: Vec<E>,
}

/// Sizes and packed weights.
struct Packed<'a, E> {
    input: Extent,
    /// Between the two convolutions.
    inner: Extent,
    out: Extent,
    prologue: Prologue<'a, E>,
    reading: Reading,
    /// How many of each.
    n_weights: [usize; 2],
    /// `[taps, channels]`.
    filter: Aligned<E>,
    /// The same turned round.
    turned: Aligned<E>,
    /// `[out channels, channels]`.
    matrix: Aligned<E>,
    /// `[channels, out channels]`.
    transposed: Aligned<E>,
    level: Level,
}

impl<'a, E: Element> Unit<'a, E> {
    /// `[height, width, channels]` of an output image.
    pub fn output(&self) -> [usize; 3] {
        let [height, width, channels] = self.input;
        let out_channels = self.matrix.len().checked_div(channels).filter(|&n| n > 0).unwrap_or(channels);
        let places = |pixels: usize| match self.reading {
            Reading::Depthwise(window) => window.places(pixels),
            Reading::Pixels { stride, offset } => pixels.saturating_sub(offset + 1) / stride.max(1) + 1,
        };
        [places(height), places(width), out_channels]
    }

    fn packed(&self) -> Result<Packed<'a, E>, Mismatch> {
        let [height, width, channels] = self.input;
        let [out_height, out_width, out_channels] = self.output();
        let input = Extent { height, width, channels };
        let inner = Extent { height: out_height, width: out_width, channels };
        let taps = match self.reading {
            Reading::Depthwise(Window { kernel, stride, dilation }) => {
                if ![3, 5, 7].contains(&kernel) || stride == 0 || dilation == 0 {
                    return Err(Mismatch { what: "kernel, stride or dilation", expected: 3, found: kernel });
                }
                kernel * kernel
            }
            Reading::Pixels { stride, offset } => {
                check("stride", 1, stride.min(1))?;
                check("offset within the map", offset, offset.min(height.min(width).saturating_sub(1)))?;
                0
            }
        };
        check("filter", taps * channels, self.filter.len())?;
        check("matrix", if self.matrix.is_empty() { 0 } else { out_channels * channels }, self.matrix.len())?;
        if let Some((scale, shift)) = self.prologue.affine {
            check("scale", channels, scale.len())?;
            check("shift", channels, shift.len())?;
        }
        let level = E::level(&[channels, out_channels]);
        let level = level.ok_or(Mismatch { what: "whole vectors of channels", expected: 8, found: channels })?;
        let of_taps = |tap: usize| self.filter.iter().skip(tap).step_by(taps.max(1)).copied();
        Ok(Packed {
            input,
            inner,
            out: Extent { channels: out_channels, ..inner },
            prologue: self.prologue,
            reading: self.reading,
            n_weights: [self.filter.len(), self.matrix.len()],
            filter: (0..taps).flat_map(of_taps).collect::<Vec<E>>().as_slice().into(),
            turned: (0..taps).rev().flat_map(of_taps).collect::<Vec<E>>().as_slice().into(),
            matrix: self.matrix.into(),
            transposed: transposed(self.matrix, channels).as_slice().into(),
            level,
        })
    }

    /// Compute `[images, height, width, channels]`; gives the output's moments where they are asked.
    pub fn forward(
        &self,
        threads: usize,
        images: usize,
        x: &[E],
        out: &mut [E],
        with_moments: bool,
    ) -> Result<Option<Moments>, Mismatch> {
        let unit = self.packed()?;
        check("input", images * unit.input.elements(), x.len())?;
        check("output", images * unit.out.elements(), out.len())?;
        let ranges = split(images, threads);
        let mut partials = vec![E::ZERO; if with_moments { images * 2 * unit.out.channels } else { 0 }];
        let moments = parts_mut(&mut partials, &ranges, 2 * unit.out.channels);
        let outputs = parts_mut(out, &ranges, unit.out.elements());
        let work = parts(x, &ranges, unit.input.elements()).into_iter().zip(outputs).zip(moments).zip(&ranges);
        parallel::run(work.collect(), |(((x, out), moments), range), scratch| {
            let buffers = scratch.buffers(unit.buffers());
            E::run(unit.level, Forward { unit: &unit, images: range.len(), x, out, moments, buffers });
        });
        let pixels = unit.out.pixels();
        Ok(with_moments.then(|| Moments::of(&Partial { values: &partials, channels: unit.out.channels, pixels })))
    }

    /// Gradients: of the weights where they are asked, and of the input into `to_input`, where it is added if the flag
    /// says so. The prologue's scale and shift are not part of that: it is the gradient of what they give.
    pub fn backward(
        &self,
        threads: usize,
        images: usize,
        x: &[E],
        upstream: Upstream<'_, E>,
        with_weights: bool,
        to_input: Option<(&mut [E], bool)>,
    ) -> Result<WeightGradients<E>, Mismatch> {
        let unit = self.packed()?;
        check("input", images * unit.input.elements(), x.len())?;
        check("output's gradient", images * unit.out.elements(), upstream.gradient.len())?;
        if let Some(coefficients) = upstream.affine {
            check("output", images * unit.out.elements(), upstream.value.len())?;
            for each in coefficients {
                check("coefficients", unit.out.channels, each.len())?;
            }
        }
        let ranges = split(images, threads);
        let n_weights = if with_weights { unit.n_weights.iter().sum() } else { 0 };
        let mut sums = vec![E::ZERO; ranges.len() * n_weights];
        let each_sums: Vec<Range<usize>> = (0..ranges.len()).map(|part| part..part + 1).collect();
        let (mut to, adds) = match to_input {
            Some((to, adds)) => {
                check("input's gradient", images * unit.input.elements(), to.len())?;
                (parts_mut(to, &ranges, unit.input.elements()).into_iter(), adds)
            }
            None => (Vec::new().into_iter(), false),
        };
        let gradients = parts(upstream.gradient, &ranges, unit.out.elements());
        let values = parts(upstream.value, &ranges, unit.out.elements());
        let upstreams =
            gradients.into_iter().zip(values).map(|(gradient, value)| Upstream { gradient, value, ..upstream });
        let work = parts(x, &ranges, unit.input.elements()).into_iter().zip(upstreams).zip(&ranges);
        let work = work.zip(parts_mut(&mut sums, &each_sums, n_weights));
        let work = work.map(|(((x, upstream), range), sums)| (x, upstream, range.len(), sums, to.next()));
        parallel::run(work.collect(), |(x, upstream, images, sums, to), scratch| {
            let buffers = scratch.buffers(unit.buffers());
            E::run(unit.level, Backward { unit: &unit, images, x, upstream, sums, to, adds, buffers });
        });
        Ok(unit.weight_gradients(&sums, n_weights))
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn transposed<E: Copy>(matrix: &[E], columns: usize) -> Vec<E> {
    let column = |c: usize| matrix.iter().skip(c).step_by(columns.max(1)).copied();
    if matrix.is_empty() { Vec::new() } else { (0..columns).flat_map(column).collect() }
}

impl<E: Element> Packed<'_, E> {
    fn has_no_matrix(&self) -> bool {
        self.n_weights[1] == 0
    }

    fn border(&self) -> usize {
        match self.reading {
            Reading::Depthwise(window) => window.border(),
            Reading::Pixels { .. } => 0,
        }
    }

    /// Padded input, what is between, output's gradient, padded gradient.
    fn buffers(&self) -> [usize; 4] {
        let padded = self.input.bordered(self.border()).elements();
        [padded, self.inner.elements(), self.out.elements(), padded]
    }

    /// Fill a padded buffer with zeros; images are put into the same places of it one after the other.
    #[inline(always)]
    unsafe fn clear(&self, padded: *mut E) {
        if let Reading::Depthwise(window) = self.reading {
            // SAFETY: as of this function.
            unsafe { std::ptr::write_bytes(padded, 0, self.input.bordered(window.border()).elements()) };
        }
    }

    /// Add up the parts' sums, in order.
    fn weight_gradients(&self, sums: &[E], n_weights: usize) -> WeightGradients<E> {
        if n_weights == 0 {
            return WeightGradients { filter: Vec::new(), matrix: Vec::new() };
        }
        let mut total = vec![0.0; n_weights];
        for part in sums.chunks(n_weights) {
            for (total, part) in total.iter_mut().zip(part) {
                *total += part.double();
            }
        }
        let (filter, matrix) = total.split_at(self.n_weights[0]);
        let rounded = |values: &[f64]| values.iter().map(|&value| E::of(value)).collect::<Vec<E>>();
        WeightGradients { filter: transposed(&rounded(filter), self.inner.channels), matrix: rounded(matrix) }
    }

    /// The prologue's output at the pixels that are read.
    #[inline(always)]
    unsafe fn pick<V: Vector<Element = E>>(&self, x: *const E, to: *mut E, stride: usize, offset: usize) {
        let Extent { height, width, channels } = self.inner;
        if stride == 1 && offset == 0 {
            // SAFETY: as of this function.
            return unsafe { self.prologue.apply::<V>(x, to, height * width, channels) };
        }
        for h in 0..height {
            for w in 0..width {
                let from = ((h * stride + offset) * self.input.width + w * stride + offset) * channels;
                // SAFETY: the pixel lies in the input by `Unit::output`.
                unsafe { self.prologue.apply::<V>(x.add(from), to.add((h * width + w) * channels), 1, channels) };
            }
        }
    }
}

struct Forward<'a, E> {
    unit: &'a Packed<'a, E>,
    images: usize,
    x: &'a [E],
    out: &'a mut [E],
    moments: &'a mut [E],
    buffers: [*mut E; 4],
}

impl<E: Element> Kernel<E> for Forward<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(self) {
        let Self { unit, images, x, out, moments, buffers: [padded, between, ..] } = self;
        let (x, out) = (x.as_ptr(), out.as_mut_ptr());
        let (inner, channels) = (unit.inner, unit.out.channels);
        // SAFETY: `Packed::buffers` sized it.
        unsafe { unit.clear(padded) };
        for image in 0..images {
            // SAFETY: `Unit::forward` checked the lengths of all slices, and `Packed::buffers` sized the buffers, which
            // are this thread's.
            unsafe {
                let x = x.add(image * unit.input.elements());
                let out = out.add(image * unit.out.elements());
                let is_last = unit.has_no_matrix();
                let mut between = if is_last { out } else { between }.cast_const();
                match unit.reading {
                    Reading::Depthwise(window) => {
                        pad::<V>(x, unit.input, window.border(), unit.prologue, padded);
                        let width = unit.input.width + 2 * window.border();
                        let to = Store(between.cast_mut());
                        convolve::<V>(padded, width, unit.filter.as_ptr(), window, &to, inner);
                    }
                    Reading::Pixels { stride: 1, offset: 0 } if unit.prologue.is_nothing() && !is_last => between = x,
                    Reading::Pixels { stride, offset } => unit.pick::<V>(x, between.cast_mut(), stride, offset),
                }
                if !is_last {
                    let shape = [inner.pixels(), inner.channels, channels];
                    product::<V>(between, unit.transposed.as_ptr(), out, shape);
                }
                if !moments.is_empty() {
                    moments_of::<V>(out, unit.out.pixels(), channels, moments.as_mut_ptr().add(image * 2 * channels));
                }
            }
        }
    }
}

struct Backward<'a, E> {
    unit: &'a Packed<'a, E>,
    images: usize,
    x: &'a [E],
    upstream: Upstream<'a, E>,
    sums: &'a mut [E],
    to: Option<&'a mut [E]>,
    adds: bool,
    buffers: [*mut E; 4],
}

impl<E: Element> Kernel<E> for Backward<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(mut self) {
        let unit = self.unit;
        let [padded, _, _, padded_gradient] = self.buffers;
        // SAFETY: `Packed::buffers` sized them.
        unsafe {
            unit.clear(padded);
            unit.clear(padded_gradient);
        }
        for image in 0..self.images {
            // SAFETY: `Unit::backward` checked the lengths of all slices, and `Packed::buffers` sized the buffers, which
            // are this thread's.
            unsafe {
                match unit.reading {
                    Reading::Depthwise(window) => self.depthwise::<V>(image, window),
                    Reading::Pixels { stride, offset } => self.pixels::<V>(image, stride, offset),
                }
            }
        }
    }
}

impl<E: Element> Backward<'_, E> {
    #[inline(always)]
    unsafe fn depthwise<V: Vector<Element = E>>(&mut self, image: usize, window: Window) {
        let unit = self.unit;
        let [padded, between, of_out, padded_gradient] = self.buffers;
        let (inner, channels) = (unit.inner, unit.out.channels);
        let with_weights = !self.sums.is_empty();
        let (border, width) = (window.border(), unit.input.width + 2 * window.border());
        let sums = self.sums.as_mut_ptr();
        // SAFETY: as in `run`.
        unsafe {
            let x = self.x.as_ptr().add(image * unit.input.elements());
            let gradient = self.upstream.at::<V>(image, unit.out, of_out);
            if with_weights {
                pad::<V>(x, unit.input, border, unit.prologue, padded);
                if !unit.has_no_matrix() {
                    convolve::<V>(padded, width, unit.filter.as_ptr(), window, &Store(between), inner);
                    let shape = [inner.pixels(), channels, inner.channels];
                    add_transposed_product::<V>(gradient, between, sums.add(unit.n_weights[0]), shape);
                }
            }
            // The gradient between the convolutions goes to its place within a border at once, row by row.
            let (to, to_width) = match window.stride {
                1 => (padded_gradient.add((border * width + border) * inner.channels), width),
                _ => (between, inner.width),
            };
            for h in 0..inner.height {
                let (from, to) = (gradient.add(h * inner.width * channels), to.add(h * to_width * inner.channels));
                match unit.has_no_matrix() {
                    true => std::ptr::copy_nonoverlapping(from, to, inner.width * channels),
                    false => product::<V>(from, unit.matrix.as_ptr(), to, [inner.width, channels, inner.channels]),
                }
            }
            if with_weights {
                filter_gradient::<V>(padded, width, to, to_width, inner, window, sums);
            }
            if let Some(emit) = self.emit(image) {
                if window.stride != 1 {
                    spread::<V>(between, inner, window.stride, unit.input, border, padded_gradient);
                }
                let every = Window { stride: 1, ..window };
                convolve::<V>(padded_gradient, width, unit.turned.as_ptr(), every, &emit, unit.input);
            }
        }
    }

    #[inline(always)]
    unsafe fn pixels<V: Vector<Element = E>>(&mut self, image: usize, stride: usize, offset: usize) {
        let unit = self.unit;
        let [_, between, of_out, _] = self.buffers;
        let (inner, channels) = (unit.inner, unit.out.channels);
        // SAFETY: as in `run`.
        unsafe {
            let x = self.x.as_ptr().add(image * unit.input.elements());
            let mut gradient = self.upstream.at::<V>(image, unit.out, of_out);
            if !unit.has_no_matrix() {
                let shape = [inner.pixels(), channels, inner.channels];
                if !self.sums.is_empty() {
                    let is_input = stride == 1 && offset == 0 && unit.prologue.is_nothing();
                    if !is_input {
                        unit.pick::<V>(x, between, stride, offset);
                    }
                    let from = if is_input { x } else { between.cast_const() };
                    add_transposed_product::<V>(gradient, from, self.sums.as_mut_ptr(), shape);
                }
                product::<V>(gradient, unit.matrix.as_ptr(), between, shape);
                gradient = between;
            }
            let Some(emit) = self.emit(image) else { return };
            if (stride, offset) == (1, 0) {
                for c in (0..inner.channels).step_by(V::LANES) {
                    for i in (0..inner.pixels()).map(|pixel| pixel * inner.channels) {
                        emit.put(i, c, V::load(gradient.add(i + c)));
                    }
                }
                return;
            }
            if !emit.adds {
                std::ptr::write_bytes(emit.to, 0, unit.input.elements());
            }
            for h in 0..inner.height {
                for w in 0..inner.width {
                    let place = ((h * stride + offset) * unit.input.width + w * stride + offset) * inner.channels;
                    let from = gradient.add((h * inner.width + w) * inner.channels);
                    for c in (0..inner.channels).step_by(V::LANES) {
                        emit.put(place, c, V::load(from.add(c)));
                    }
                }
            }
        }
    }

    /// Where an image's gradient goes, if it is asked for.
    #[inline(always)]
    unsafe fn emit(&mut self, image: usize) -> Option<Emit<'_, E>> {
        let start = image * self.unit.input.elements();
        let to = self.to.as_mut()?.as_mut_ptr();
        // SAFETY: both hold the image.
        let (x, to) = unsafe { (self.x.as_ptr().add(start), to.add(start)) };
        Some(Emit { prologue: self.unit.prologue, x, to, adds: self.adds })
    }
}

/// Puts the gradient of the prologue's output where it belongs, but for what the ReLU held back.
struct Emit<'a, E> {
    prologue: Prologue<'a, E>,
    x: *const E,
    to: *mut E,
    adds: bool,
}

impl<V: Vector> Sink<V> for Emit<'_, V::Element> {
    #[inline(always)]
    unsafe fn put(&self, pixel: usize, c: usize, mut value: V) {
        // SAFETY: the pixel lies in the image.
        unsafe {
            let to = self.to.add(pixel + c);
            if self.prologue.relu {
                let x = V::load(self.x.add(pixel + c));
                let before = match self.prologue.affine {
                    Some((scale, shift)) => x.fma(V::load(scale.as_ptr().add(c)), V::load(shift.as_ptr().add(c))),
                    None => x,
                };
                value = value.where_positive(before);
            }
            if self.adds {
                value = value.add(V::load(to));
            }
            value.store(to);
        }
    }
}

impl<E: Element> Upstream<'_, E> {
    /// The gradient of one image; in `to` where it has to be computed.
    ///
    /// # Safety
    /// The slices hold the image, `to` has room for it.
    #[inline(always)]
    unsafe fn at<V: Vector<Element = E>>(&self, image: usize, extent: Extent, to: *mut E) -> *const E {
        // SAFETY: as of this function.
        unsafe {
            let gradient = self.gradient.as_ptr().add(image * extent.elements());
            let Some([scale, constant, of_value]) = self.affine else { return gradient };
            let value = self.value.as_ptr().add(image * extent.elements());
            for c in (0..extent.channels).step_by(V::LANES) {
                let [scale, constant, of_value] = [scale, constant, of_value].map(|of| V::load(of.as_ptr().add(c)));
                for pixel in 0..extent.pixels() {
                    let i = pixel * extent.channels + c;
                    let sum = V::load(value.add(i)).fma(of_value, constant);
                    V::load(gradient.add(i)).fma(scale, sum).store(to.add(i));
                }
            }
            to
        }
    }
}
