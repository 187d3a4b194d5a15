//! Work split over threads by place alone, so that a sum over parts is the same in every run with as many threads.

use std::ops::Range;

use crate::scratch::{self, Scratch};

/// `n` in at most `threads` parts of nearly one size.
pub(crate) fn split(n: usize, threads: usize) -> Vec<Range<usize>> {
    let parts = threads.clamp(1, n.max(1));
    (0..parts).map(|part| part * n / parts..(part + 1) * n / parts).collect()
}

/// The parts of a slice in which each place has `each` elements.
pub(crate) fn parts<'a, E>(mut of: &'a [E], ranges: &[Range<usize>], each: usize) -> Vec<&'a [E]> {
    let cut = ranges.iter().map(|range| {
        let (part, rest) = of.split_at((range.len() * each).min(of.len()));
        of = rest;
        part
    });
    cut.collect()
}

/// Likewise, to be written.
pub(crate) fn parts_mut<'a, E>(mut of: &'a mut [E], ranges: &[Range<usize>], each: usize) -> Vec<&'a mut [E]> {
    let mut cut = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (part, rest) = of.split_at_mut((range.len() * each).min(of.len()));
        cut.push(part);
        of = rest;
    }
    cut
}

/// Carry out every part, each on a thread of its own; the first on this one.
pub(crate) fn run<P: Send>(parts: Vec<P>, body: impl Fn(P, &mut Scratch) + Sync) {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return };
    rayon::in_place_scope(|scope| {
        let body = &body;
        for part in parts {
            scope.spawn(move |_| scratch::with(|scratch| body(part, scratch)));
        }
        scratch::with(|scratch| body(first, scratch));
    });
}
