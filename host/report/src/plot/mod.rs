//! Plots as SVG: lines over jobs or cost, learning curves, scatters with their Pareto front.
//!
//! plotters draws on its SVG backend; ranges, ticks, text and legends are the crate's own, since plotters
//! without a font system only guesses widths, and its ticks do not end for a range of a few ulps. The backend
//! knows whole units only, so pictures are drawn in tenths of a pixel. Whatever the numbers are (none at all,
//! NaN, one point, all equal), a plot is drawn: what cannot be shown is left out.

mod chart;
mod curves;
mod lines;
mod scale;
mod scatter;

pub use curves::{Curve, LearningCurves};
pub(crate) use lines::without_outliers;
pub use lines::{LinePlot, Series};
pub use scatter::{Scatter, ScatterPoint};

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The drawing library refused.
    #[error("the plot `{title}` cannot be drawn: {reason}")]
    Drawing {
        /// The plot's title.
        title: String,
        /// In the drawing library's words.
        reason: String,
    },
}

/// What an axis shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    label: String,
    unit: Option<String>,
    percent: bool,
    whole: bool,
    log: bool,
}

impl Axis {
    /// Plain numbers; thousands and more are shown as 20k, 3.3M.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), unit: None, percent: false, whole: false, log: false }
    }

    /// With the unit of its numbers, such as `epochs`.
    #[must_use]
    pub fn unit(self, unit: impl Into<String>) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }

    /// Its numbers are fractions (0.97) and shown in percent (97).
    #[must_use]
    pub fn percent(self) -> Self {
        Self { percent: true, ..self }
    }

    /// Its numbers are counts: no ticks between whole numbers.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Logarithmic: numbers up to 0 are left out.
    #[must_use]
    pub fn log(self) -> Self {
        Self { log: true, ..self }
    }

    fn title(&self) -> String {
        match (&self.unit, self.percent) {
            (Some(unit), _) => format!("{} ({unit})", self.label),
            (None, true) => format!("{} (%)", self.label),
            (None, false) => self.label.clone(),
        }
    }

    /// A value of this axis in a legend or label: three to four significant digits.
    fn value(&self, value: f64) -> String {
        match (self.percent, &self.unit) {
            (true, _) => format!("{} %", crate::table::significant(value * 100.0, 4)),
            (false, Some(unit)) => format!("{} {unit}", crate::table::short(value)),
            (false, None) => crate::table::short(value),
        }
    }
}

/// Colours of series, told apart by colour-blind readers too (Okabe & Ito, 2008, without yellow; darkened
/// for thin lines on white).
const COLOURS: [(u8, u8, u8); 7] =
    [(0, 114, 178), (213, 94, 0), (0, 145, 105), (190, 90, 150), (204, 136, 0), (60, 150, 205), (90, 90, 90)];
