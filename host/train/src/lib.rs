//! The training core on libtorch and the trainer process.
//!
//! A trainer knows no search spaces: it computes primitive graphs. This crate is the only one that links libtorch.

pub mod average;
pub mod checkpoint;
pub mod classifier;
pub mod error;
pub mod fixed;
mod fused;
pub mod gradient;
pub mod images;
pub mod interpreter;
pub mod layout;
pub mod module;
pub mod optimizer;
pub mod plan;
pub mod schedule;
pub mod selection;
pub mod serve;
pub mod session;
pub mod stream;
pub mod task;
pub mod threads;
pub mod unrolled;
pub mod weights;
