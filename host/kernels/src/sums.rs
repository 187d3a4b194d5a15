//! Weighted sums of many maps, and their gradients' sums, each map read once.
//!
//! Maps are `[pixels, channels]`; weights are one a channel, so that a batch normalisation (a scale and a shift) is part
//! of the sum it ends in.

use crate::parallel::{self, parts, parts_mut, split};
use crate::vector::{Element, Kernel, Level, Vector};
use crate::{Mismatch, check};

/// Elements of a piece that stays in the processor's nearest cache.
const PIECE: usize = 4096;

/// `values * scale`.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a, E> {
    /// `[pixels, channels]`.
    pub values: &'a [E],
    /// One a channel.
    pub scale: &'a [E],
}

fn level_of<E: Element>(channels: usize) -> Result<Level, Mismatch> {
    let level = E::level(&[channels]);
    level.ok_or(Mismatch { what: "whole vectors of channels", expected: 8, found: channels })
}

fn check_terms<E>(terms: &[Term<'_, E>], channels: usize, elements: usize) -> Result<(), Mismatch> {
    check("whole pixels", 0, elements % channels.max(1))?;
    for term in terms {
        check("term", elements, term.values.len())?;
        check("term's weights", channels, term.scale.len())?;
    }
    Ok(())
}

/// `out = sum of terms + constant`, added to what is there if `adds`; the constant is one a channel or empty.
pub fn weighted_sum<E: Element>(
    threads: usize,
    terms: &[Term<'_, E>],
    constant: &[E],
    out: &mut [E],
    channels: usize,
    adds: bool,
) -> Result<(), Mismatch> {
    check_terms(terms, channels, out.len())?;
    check("constant", if constant.is_empty() { 0 } else { channels }, constant.len())?;
    let level = level_of::<E>(channels)?;
    let ranges = split(out.len() / channels.max(1), threads);
    let cut: Vec<Vec<&[E]>> = terms.iter().map(|term| parts(term.values, &ranges, channels)).collect();
    let work = parts_mut(out, &ranges, channels).into_iter().enumerate();
    parallel::run(work.collect(), |(part, out), scratch| {
        let cut = terms.iter().zip(&cut);
        let terms: Vec<Term<'_, E>> =
            cut.filter_map(|(term, cut)| Some(Term { values: cut.get(part).copied()?, scale: term.scale })).collect();
        let [piece] = scratch.buffers([PIECE.max(channels)]);
        E::run(level, WeightedSum { terms: &terms, constant, out, channels, adds, piece });
    });
    Ok(())
}

struct WeightedSum<'a, E> {
    terms: &'a [Term<'a, E>],
    constant: &'a [E],
    out: &'a mut [E],
    channels: usize,
    adds: bool,
    piece: *mut E,
}

impl<E: Element> Kernel<E> for WeightedSum<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(self) {
        let Self { terms, constant, out, channels, adds, piece } = self;
        let pixels = out.len() / channels;
        let at_once = (PIECE / channels).max(1);
        for first in (0..pixels).step_by(at_once) {
            let n = at_once.min(pixels - first);
            // SAFETY: `weighted_sum` checked the lengths and sized `piece` for `at_once` pixels.
            unsafe {
                let out = out.as_mut_ptr().add(first * channels);
                for c in (0..channels).step_by(V::LANES) {
                    let start = match constant.is_empty() {
                        true => V::splat(E::ZERO),
                        false => V::load(constant.as_ptr().add(c)),
                    };
                    for i in (0..n).map(|pixel| pixel * channels + c) {
                        let before = if adds { V::load(out.add(i)).add(start) } else { start };
                        before.store(piece.add(i));
                    }
                }
                let (last, others) = match terms.split_last() {
                    Some((last, others)) => (last, others),
                    None => return std::ptr::copy_nonoverlapping(piece, out, n * channels),
                };
                for term in others {
                    add::<V>(term, first, piece, piece, n, channels);
                }
                add::<V>(last, first, piece, out, n, channels);
            }
        }
    }
}

/// `to = piece + term`, for `n` pixels from number `first` on.
///
/// # Safety
/// All hold those pixels.
#[inline(always)]
unsafe fn add<V: Vector>(
    term: &Term<'_, V::Element>,
    first: usize,
    piece: *const V::Element,
    to: *mut V::Element,
    n: usize,
    channels: usize,
) {
    for c in (0..channels).step_by(V::LANES) {
        // SAFETY: as of this function.
        unsafe {
            let scale = V::load(term.scale.as_ptr().add(c));
            let values = term.values.as_ptr().add(first * channels);
            for i in (0..n).map(|pixel| pixel * channels + c) {
                V::load(values.add(i)).fma(scale, V::load(piece.add(i))).store(to.add(i));
            }
        }
    }
}

/// For each channel the sum of `gradient`; then for each map the sum of `gradient * (map - its mean)`. A map's `scale`
/// is its mean here.
pub fn gradient_sums<E: Element>(
    threads: usize,
    gradient: &[E],
    maps: &[Term<'_, E>],
    channels: usize,
) -> Result<Vec<Vec<f64>>, Mismatch> {
    check_terms(maps, channels, gradient.len())?;
    let level = level_of::<E>(channels)?;
    let ranges = split(gradient.len() / channels.max(1), threads);
    let cut: Vec<Vec<&[E]>> = maps.iter().map(|map| parts(map.values, &ranges, channels)).collect();
    let length = (maps.len() + 1) * channels;
    let mut sums = vec![0.0; ranges.len() * length];
    let work = parts(gradient, &ranges, channels).into_iter().zip(sums.chunks_mut(length.max(1))).enumerate();
    parallel::run(work.collect(), |(part, (gradient, sums)), _| {
        let cut = maps.iter().zip(&cut);
        let maps: Vec<Term<'_, E>> =
            cut.filter_map(|(map, cut)| Some(Term { values: cut.get(part).copied()?, scale: map.scale })).collect();
        let mut few = vec![E::ZERO; length];
        E::run(level, GradientSums { gradient, maps: &maps, sums, few: &mut few, channels });
    });
    let mut total = vec![0.0; length];
    for part in sums.chunks(length.max(1)) {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
    Ok(total.chunks(channels.max(1)).map(<[f64]>::to_vec).collect())
}

struct GradientSums<'a, E> {
    gradient: &'a [E],
    maps: &'a [Term<'a, E>],
    sums: &'a mut [f64],
    /// Of one piece.
    few: &'a mut [E],
    channels: usize,
}

impl<E: Element> Kernel<E> for GradientSums<'_, E> {
    #[inline(always)]
    unsafe fn run<V: Vector<Element = E>>(self) {
        let Self { gradient, maps, sums, few, channels } = self;
        let pixels = gradient.len() / channels;
        let at_once = (PIECE / channels).max(1);
        for first in (0..pixels).step_by(at_once) {
            let n = at_once.min(pixels - first);
            // SAFETY: `gradient_sums` checked the lengths; `few` has `channels` for the gradient and for each map.
            unsafe {
                let gradient = gradient.as_ptr().add(first * channels);
                let one = V::splat(E::of(1.0));
                let zero = V::splat(E::ZERO);
                for c in (0..channels).step_by(V::LANES) {
                    let (mut even, mut odd) = (zero, zero);
                    for pixel in (0..n & !1).step_by(2) {
                        even = even.add(V::load(gradient.add(pixel * channels + c)));
                        odd = odd.add(V::load(gradient.add((pixel + 1) * channels + c)));
                    }
                    if n % 2 == 1 {
                        even = V::load(gradient.add((n - 1) * channels + c)).fma(one, even);
                    }
                    even.add(odd).store(few.as_mut_ptr().add(c));
                }
                for (number, map) in maps.iter().enumerate() {
                    let values = map.values.as_ptr().add(first * channels);
                    for c in (0..channels).step_by(V::LANES) {
                        let mean = V::load(map.scale.as_ptr().add(c));
                        let (mut even, mut odd) = (zero, zero);
                        for pixel in (0..n & !1).step_by(2) {
                            let (i, j) = (pixel * channels + c, (pixel + 1) * channels + c);
                            even = V::load(values.add(i)).sub(mean).fma(V::load(gradient.add(i)), even);
                            odd = V::load(values.add(j)).sub(mean).fma(V::load(gradient.add(j)), odd);
                        }
                        if n % 2 == 1 {
                            let i = (n - 1) * channels + c;
                            even = V::load(values.add(i)).sub(mean).fma(V::load(gradient.add(i)), even);
                        }
                        even.add(odd).store(few.as_mut_ptr().add((number + 1) * channels + c));
                    }
                }
            }
            for (sum, few) in sums.iter_mut().zip(few.iter()) {
                *sum += few.double();
            }
        }
    }
}
