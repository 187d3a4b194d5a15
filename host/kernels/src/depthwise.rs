//! Depthwise convolution of one image.
//!
//! The image is copied once into a border of zeros; then a tile of eight output columns and one vector of channels stays
//! in registers while the filter passes over it. The gradient of the input is the same convolution, of the output's
//! gradient with its places set apart by the stride and the filter turned round. All sizes are in elements; filters are
//! `[kernel * kernel, channels]`.

// Everything here computes on pointers into buffers whose sizes `Unit` has checked.
#![allow(unsafe_op_in_unsafe_fn)]

use crate::vector::{Element, Vector};

/// A square filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns: 3, 5 or 7.
    pub kernel: usize,
    /// Distance of its taps.
    pub dilation: usize,
    /// Distance of its places.
    pub stride: usize,
}

impl Window {
    /// Zeros on each side, so that stride 1 keeps the size.
    pub fn border(&self) -> usize {
        self.kernel / 2 * self.dilation
    }

    /// Places along an axis of so many pixels.
    pub fn places(&self, pixels: usize) -> usize {
        pixels.saturating_sub(1) / self.stride.max(1) + 1
    }
}

/// What is done to the input as it is read: `relu(x * scale + shift)`, as far as there.
#[derive(Debug)]
pub struct Prologue<'a, E> {
    /// Scale and shift, one a channel.
    pub affine: Option<(&'a [E], &'a [E])>,
    /// Whether negative values become 0.
    pub relu: bool,
}

impl<E> Clone for Prologue<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Prologue<'_, E> {}

impl<E: Element> Prologue<'_, E> {
    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        self.affine.is_none() && !self.relu
    }

    /// Of `pixels` pixels of `channels` channels.
    #[inline(always)]
    pub(crate) unsafe fn apply<V: Vector<Element = E>>(
        &self,
        from: *const E,
        to: *mut E,
        pixels: usize,
        channels: usize,
    ) {
        let zero = V::splat(E::ZERO);
        match self.affine {
            None if !self.relu => std::ptr::copy_nonoverlapping(from, to, pixels * channels),
            None => {
                for i in (0..pixels * channels).step_by(V::LANES) {
                    V::load(from.add(i)).max(zero).store(to.add(i));
                }
            }
            Some((scale, shift)) => {
                for c in (0..channels).step_by(V::LANES) {
                    let (scale, shift) = (V::load(scale.as_ptr().add(c)), V::load(shift.as_ptr().add(c)));
                    for i in (0..pixels).map(|pixel| pixel * channels + c) {
                        let value = V::load(from.add(i)).fma(scale, shift);
                        let value = if self.relu { value.max(zero) } else { value };
                        value.store(to.add(i));
                    }
                }
            }
        }
    }
}

/// An image `[height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Extent {
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub fn elements(&self) -> usize {
        self.pixels() * self.channels
    }

    pub fn bordered(&self, border: usize) -> Self {
        Self { height: self.height + 2 * border, width: self.width + 2 * border, ..*self }
    }
}

/// Copy an image into its place within a border that is zeros already, through the prologue.
#[inline(always)]
pub(crate) unsafe fn pad<V: Vector>(
    image: *const V::Element,
    extent: Extent,
    border: usize,
    prologue: Prologue<'_, V::Element>,
    to: *mut V::Element,
) {
    let Extent { height, width, channels } = extent;
    let row = (width + 2 * border) * channels;
    for h in 0..height {
        let to = to.add((h + border) * row + border * channels);
        prologue.apply::<V>(image.add(h * width * channels), to, width, channels);
    }
}

/// Copy an image's pixels to places `stride` apart within a border of `full`, all zeros already.
#[inline(always)]
pub(crate) unsafe fn spread<V: Vector>(
    image: *const V::Element,
    extent: Extent,
    stride: usize,
    full: Extent,
    border: usize,
    to: *mut V::Element,
) {
    let full = full.bordered(border);
    let Extent { height, width, channels } = extent;
    for h in 0..height {
        for w in 0..width {
            let place = (h * stride + border) * full.width + w * stride + border;
            std::ptr::copy_nonoverlapping(image.add((h * width + w) * channels), to.add(place * channels), channels);
        }
    }
}

/// Where a convolution's results go.
pub(crate) trait Sink<V: Vector> {
    /// Take the vector at channel `c` of the pixel whose first element is number `pixel`.
    unsafe fn put(&self, pixel: usize, c: usize, value: V);
}

/// To memory.
pub(crate) struct Store<E>(pub *mut E);

impl<V: Vector> Sink<V> for Store<V::Element> {
    #[inline(always)]
    unsafe fn put(&self, pixel: usize, c: usize, value: V) {
        value.store(self.0.add(pixel + c));
    }
}

/// The convolution: `padded` has the window's border, the result is `[height, width, channels]`.
#[inline(always)]
pub(crate) unsafe fn convolve<V: Vector>(
    padded: *const V::Element,
    padded_width: usize,
    filter: *const V::Element,
    window: Window,
    sink: &impl Sink<V>,
    extent: Extent,
) {
    match window.kernel {
        3 => convolve_rows::<V, 3>(padded, padded_width, filter, window, sink, extent),
        5 => convolve_rows::<V, 5>(padded, padded_width, filter, window, sink, extent),
        _ => convolve_rows::<V, 7>(padded, padded_width, filter, window, sink, extent),
    }
}

#[inline(always)]
unsafe fn convolve_rows<V: Vector, const K: usize>(
    padded: *const V::Element,
    padded_width: usize,
    filter: *const V::Element,
    window: Window,
    sink: &impl Sink<V>,
    extent: Extent,
) {
    let Extent { height, width, channels } = extent;
    let step = window.stride * channels;
    for h in 0..height {
        for c in (0..channels).step_by(V::LANES) {
            let corner = padded.add(h * window.stride * padded_width * channels + c);
            let filter = filter.add(c);
            let taps = Taps {
                rows: window.dilation * padded_width * channels,
                columns: window.dilation * channels,
                step,
                channels,
            };
            let first = h * width * channels;
            let mut w = 0;
            while w + 8 <= width {
                let (corner, pixel) = (corner.add(w * step), first + w * channels);
                match (window.stride, window.dilation) {
                    (1, 1) => dense_tile::<V, K, 8, 1>(corner, taps, filter, sink, pixel, c),
                    (1, 2) => dense_tile::<V, K, 8, 2>(corner, taps, filter, sink, pixel, c),
                    _ => tile::<V, K, 8>(corner, taps, filter, sink, pixel, c),
                }
                w += 8;
            }
            if w + 4 <= width {
                tile::<V, K, 4>(corner.add(w * step), taps, filter, sink, first + w * channels, c);
                w += 4;
            }
            while w < width {
                tile::<V, K, 1>(corner.add(w * step), taps, filter, sink, first + w * channels, c);
                w += 1;
            }
        }
    }
}

/// Distances in elements.
#[derive(Clone, Copy)]
struct Taps {
    rows: usize,
    columns: usize,
    /// Of places.
    step: usize,
    channels: usize,
}

/// `T` neighbouring columns.
#[inline(always)]
unsafe fn tile<V: Vector, const K: usize, const T: usize>(
    corner: *const V::Element,
    taps: Taps,
    filter: *const V::Element,
    sink: &impl Sink<V>,
    pixel: usize,
    c: usize,
) {
    let mut sums = [V::splat(V::Element::ZERO); T];
    for row in 0..K {
        for column in 0..K {
            let weight = V::load(filter.add((row * K + column) * taps.channels));
            let from = corner.add(row * taps.rows + column * taps.columns);
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = weight.fma(V::load(from.add(t * taps.step)), *sum);
            }
        }
    }
    for (t, sum) in sums.iter().enumerate() {
        sink.put(pixel + t * taps.channels, c, *sum);
    }
}

/// `T` neighbouring columns of a convolution of stride 1, its taps `D` apart: each input is loaded once a row, for all
/// the places that it adds to. Every sum's order is that of [`tile`].
#[inline(always)]
unsafe fn dense_tile<V: Vector, const K: usize, const T: usize, const D: usize>(
    corner: *const V::Element,
    taps: Taps,
    filter: *const V::Element,
    sink: &impl Sink<V>,
    pixel: usize,
    c: usize,
) {
    let mut sums = [V::splat(V::Element::ZERO); T];
    for row in 0..K {
        let mut weights = [V::splat(V::Element::ZERO); K];
        for (column, weight) in weights.iter_mut().enumerate() {
            *weight = V::load(filter.add((row * K + column) * taps.channels));
        }
        let from = corner.add(row * taps.rows);
        // Few enough at a time for all to be written out, so that sums and weights stay in registers.
        dense_part::<V, K, T, D, 0, 0>(from, taps.channels, &weights, &mut sums);
        if D == 2 {
            dense_part::<V, K, T, D, 1, 0>(from, taps.channels, &weights, &mut sums);
        }
        if K > AT_ONCE {
            dense_part::<V, K, T, D, 0, AT_ONCE>(from, taps.channels, &weights, &mut sums);
        }
        if K > AT_ONCE && D == 2 {
            dense_part::<V, K, T, D, 1, AT_ONCE>(from, taps.channels, &weights, &mut sums);
        }
    }
    for (t, sum) in sums.iter().enumerate() {
        sink.put(pixel + t * taps.channels, c, *sum);
    }
}

/// Most columns of a filter that one pass over a row's inputs is for.
const AT_ONCE: usize = 5;

/// The columns of a filter from `F` on, as many as go at once, on every `D`th input from `P` on.
#[inline(always)]
unsafe fn dense_part<V: Vector, const K: usize, const T: usize, const D: usize, const P: usize, const F: usize>(
    from: *const V::Element,
    channels: usize,
    weights: &[V; K],
    sums: &mut [V; T],
) {
    for place in F..T / D + (F + AT_ONCE).min(K) - 1 {
        let value = V::load(from.add((place * D + P) * channels));
        for (column, weight) in weights.iter().enumerate().skip(F).take(AT_ONCE) {
            let sum = place.checked_sub(column).filter(|t| *t < T / D).and_then(|t| sums.get_mut(t * D + P));
            if let Some(sum) = sum {
                *sum = weight.fma(value, *sum);
            }
        }
    }
}

/// Add the filter's gradient, `[kernel * kernel, channels]`, of an output gradient of `extent` whose rows lie
/// `gradient_width` pixels apart.
#[inline(always)]
pub(crate) unsafe fn filter_gradient<V: Vector>(
    padded: *const V::Element,
    padded_width: usize,
    gradient: *const V::Element,
    gradient_width: usize,
    extent: Extent,
    window: Window,
    sums: *mut V::Element,
) {
    for c in (0..extent.channels).step_by(V::LANES) {
        let (padded, gradient) = (padded.add(c), gradient.add(c));
        let site = Site { padded, padded_width, gradient, gradient_width, extent, window };
        let sums = sums.add(c);
        let slides = V::REGISTERS >= 32 && window.stride == 1 && window.dilation == 1;
        match window.kernel {
            3 if slides => site.sliding_rows::<V, 3, 3>(0, sums),
            5 if slides => {
                site.sliding_rows::<V, 5, 2>(0, sums);
                site.sliding_rows::<V, 5, 2>(2, sums);
                site.sliding_rows::<V, 5, 1>(4, sums);
            }
            7 if slides => {
                for row in 0..7 {
                    site.sliding_rows::<V, 7, 1>(row, sums);
                }
            }
            3 => site.rows::<V, 3, 3>(0, sums),
            5 => {
                site.rows::<V, 5, 2>(0, sums);
                site.rows::<V, 5, 2>(2, sums);
                site.rows::<V, 5, 1>(4, sums);
            }
            _ => {
                for row in (0..6).step_by(2) {
                    site.rows::<V, 7, 2>(row, sums);
                }
                site.rows::<V, 7, 1>(6, sums);
            }
        }
    }
}

/// One vector of channels of an image and of its output's gradient.
struct Site<E> {
    padded: *const E,
    padded_width: usize,
    gradient: *const E,
    gradient_width: usize,
    extent: Extent,
    window: Window,
}

impl<E: Element> Site<E> {
    /// `R` rows of a filter of `K` columns, from `first` on.
    #[inline(always)]
    unsafe fn rows<V: Vector<Element = E>, const K: usize, const R: usize>(&self, first: usize, sums: *mut E) {
        let Extent { height, width, channels } = self.extent;
        let Window { dilation, stride, .. } = self.window;
        let mut totals = [[V::splat(E::ZERO); K]; R];
        for h in 0..height {
            let row = (h * stride + first * dilation) * self.padded_width;
            let from = self.padded.add(row * channels);
            for w in 0..width {
                let gradient = V::load(self.gradient.add((h * self.gradient_width + w) * channels));
                for (r, totals) in totals.iter_mut().enumerate() {
                    let from = from.add((r * dilation * self.padded_width + w * stride) * channels);
                    for (k, total) in totals.iter_mut().enumerate() {
                        *total = gradient.fma(V::load(from.add(k * dilation * channels)), *total);
                    }
                }
            }
        }
        self.add::<V, K, R>(&totals, first, sums);
    }

    /// The same of a window whose taps and places are neighbours: the inputs under it stay in registers as it slides,
    /// each row's next one taking the place of its last.
    #[inline(always)]
    unsafe fn sliding_rows<V: Vector<Element = E>, const K: usize, const R: usize>(&self, first: usize, sums: *mut E) {
        let Extent { height, width, channels } = self.extent;
        let mut totals = [[V::splat(E::ZERO); K]; R];
        for h in 0..height {
            let from = self.padded.add((h + first) * self.padded_width * channels);
            let input = |r: usize, column: usize| from.wrapping_add((r * self.padded_width + column) * channels);
            let gradients = self.gradient.add(h * self.gradient_width * channels);
            let mut inputs = [[V::splat(E::ZERO); K]; R];
            for (r, inputs) in inputs.iter_mut().enumerate() {
                for (k, value) in inputs.iter_mut().enumerate().take(K - 1) {
                    *value = V::load(input(r, k));
                }
            }
            let mut w = 0;
            while w + K <= width {
                for turn in 0..K {
                    let gradient = V::load(gradients.add((w + turn) * channels));
                    for (r, (inputs, totals)) in inputs.iter_mut().zip(&mut totals).enumerate() {
                        inputs[(turn + K - 1) % K] = V::load(input(r, w + turn + K - 1));
                        for (k, total) in totals.iter_mut().enumerate() {
                            *total = gradient.fma(inputs[(turn + k) % K], *total);
                        }
                    }
                }
                w += K;
            }
            for w in w..width {
                let gradient = V::load(gradients.add(w * channels));
                for (r, totals) in totals.iter_mut().enumerate() {
                    for (k, total) in totals.iter_mut().enumerate() {
                        *total = gradient.fma(V::load(input(r, w + k)), *total);
                    }
                }
            }
        }
        self.add::<V, K, R>(&totals, first, sums);
    }

    /// Add rows' totals where they belong.
    #[inline(always)]
    unsafe fn add<V: Vector<Element = E>, const K: usize, const R: usize>(
        &self,
        totals: &[[V; K]; R],
        first: usize,
        sums: *mut E,
    ) {
        for (r, totals) in totals.iter().enumerate() {
            for (k, total) in totals.iter().enumerate() {
                let to = sums.add(((first + r) * K + k) * self.extent.channels);
                V::load(to).add(*total).store(to);
            }
        }
    }
}
