//! Tables, plots and drawings of searches.
//!
//! Plain numbers and names go in; strings and bytes come out. The crate knows no search spaces, journals or
//! engines, reads no clock and writes no files, so any command can show what it has, and a picture of the
//! same input is the same to the byte on every machine (its font travels with it).
//!
//! - [`plot`]: lines, learning curves, scatters with their Pareto front, as SVG.
//! - [`drawing`]: cells as graphs, as SVG.
//! - [`png()`]: any of these as PNG.
//! - [`table`]: tables for the terminal and for Markdown; ours beside published rows.
//! - [`report`]: all of them for one run.

mod png;
mod svg;
mod text;

pub use png::{PngError, png};
