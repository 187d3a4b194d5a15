//! What a one-shot graph promises: a path is the network of that path, and what a step does not use rests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod double_backward;
mod invariants;
mod path;
mod recalibration;
mod support;
