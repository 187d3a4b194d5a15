//! Tables, plots and drawings of searches.
//!
//! Plain numbers and names go in; strings and bytes come out. The crate knows no search spaces, journals or
//! engines, reads no clock and writes no files, so any command can show what it has, and a picture of the
//! same input is the same to the byte on every machine (its font travels with it).
//!
//! - [`pareto`]: which points no other beats.
//! - [`plot`]: lines, learning curves, scatters with their Pareto front, as SVG.
//! - [`drawing`]: cells as graphs, as SVG.
//! - [`png()`]: any of these as PNG.
//! - [`table`]: tables for the terminal and for Markdown; ours beside published rows.
//! - [`known`]: what was found and how it was ranked, beside known results.
//! - [`report`]: all of them for one run.
//! - [`repeated`]: searches repeated with many seeds, judged by [`statistics`].

pub mod drawing;
pub mod known;
pub mod pareto;
pub mod plot;
mod png;
pub mod repeated;
pub mod report;
pub mod statistics;
mod svg;
pub mod table;
mod text;

pub use png::{PngError, png};

/// Which way a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Higher is better.
    Maximize,
    /// Lower is better.
    Minimize,
}

impl Goal {
    /// Whether the first value is better than the second; one that is not finite never is.
    pub fn better(self, first: f64, second: f64) -> bool {
        match self {
            Self::Maximize => first.is_finite() && !(second.is_finite() && second >= first),
            Self::Minimize => first.is_finite() && !(second.is_finite() && second <= first),
        }
    }
}
