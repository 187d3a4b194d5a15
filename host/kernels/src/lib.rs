//! Kernels for feature maps that lie channels-last: depthwise and 1x1 convolutions in one pass with what precedes and
//! follows them, weighted sums, poolings; forward and backward.
//!
//! They exist because a one-shot step spends most of its time in depthwise gradients that general libraries do slowly,
//! and in passes over memory between operations too small to be worth one. A kernel is written once, generic over the
//! width of the processor's vectors (`vector`), and works on the channels of one pixel at a time, so channel counts are
//! whole vectors: multiples of 8 in single precision.
//!
//! Work is split over threads by place and sums over parts are added in order: the same number of threads gives the
//! same bits.
//!
//! `unsafe` here means vector loads and stores through pointers. Every public function checks the lengths of all slices
//! against the sizes it is told, and gives an error for what does not fit; kernels stay within them by construction of
//! their loops. What the crate does not know: tensors, graphs, gradients of anything but its own operations.

// Vector loads and stores; what makes them sound is said above.
#![allow(unsafe_code)]

mod depthwise;
mod moments;
mod parallel;
mod pointwise;
mod pool;
mod scratch;
mod sums;
mod unit;
mod vector;

pub use depthwise::{Prologue, Window};
pub use moments::Moments;
pub use pool::{Kind, Pool};
pub use sums::{Term, gradient_sums, weighted_sum};
pub use unit::{Reading, Unit, Upstream, WeightGradients};
pub use vector::{Element, Kernel, Level, Vector};

/// Sizes that do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {found} instead of {expected}")]
pub struct Mismatch {
    /// Of what.
    pub what: &'static str,
    /// What the other sizes ask for.
    pub expected: usize,
    /// What it is.
    pub found: usize,
}

fn check(what: &'static str, expected: usize, found: usize) -> Result<(), Mismatch> {
    if expected == found { Ok(()) } else { Err(Mismatch { what, expected, found }) }
}

/// Whether this processor has vectors for maps with so many channels.
pub fn is_fast_for(channels: usize) -> bool {
    <f32 as Element>::level(&[channels]).is_some()
}
