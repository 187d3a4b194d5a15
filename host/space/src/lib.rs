//! Search spaces as data: an ordered list of decisions with conditions and rules.
//!
//! An [`Architecture`] is one [`Gene`] per decision. Everything a strategy may ask about a space
//! (sampling, mutation, crossover, neighbours, prefix masks, repair, validity, identity) is answered here,
//! from the [`SearchSpace`] alone, so that no strategy implements rules.
//!
//! This crate does no input or output, knows no networks and draws no randomness of its own: the caller
//! passes a [`RandomSource`].

pub mod model;
pub mod random;

pub use model::*;
pub use random::{RandomSource, StreamRandom};
