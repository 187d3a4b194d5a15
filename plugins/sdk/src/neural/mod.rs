//! Small neural networks for strategies: controllers and surrogates of tens of thousands of weights.
//!
//! A [`Tape`] writes down vector operations as they happen and differentiates them backwards. Weights lie in one
//! vector, so that one [`Adam`](crate::math::Adam) moves them and a snapshot holds them; a [`Layout`] gives each
//! layer its place there. The layers are those that controllers of the literature use: [`Lstm`], [`Attention`],
//! [`Linear`], embeddings (rows of a matrix).
//!
//! Why not a machine-learning crate: the smallest of them that compile for a component bring over a hundred
//! crates, tensors of any shape and threads; what is needed here is a few hundred lines, single precision, and
//! the same bits on every machine. Everything is generic over [`Real`], so that gradients are checked against
//! finite differences in double precision while strategies compute in single precision.

mod kernels;
mod layers;
mod real;
mod tape;

pub use layers::{Attention, Layout, Linear, Lstm, Matrix, Memory, Place};
pub use real::Real;
pub use tape::{Mark, Tape, Vector};
