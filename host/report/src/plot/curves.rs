//! Learning curves: many thin lines, the best one in front.

use plotters::prelude::*;

use super::{
    Axis, PlotError,
    chart::{Entry, Frame, Mark, colour, draw},
    lines::runs,
    scale::{Extent, Padding, can_show},
};

/// The training of one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Of the job; the best one's stands in the legend.
    pub name: String,
    /// Fidelity and measure.
    pub points: Vec<(f64, f64)>,
    /// Stopped before its end by an approximation.
    pub stopped: bool,
}

/// The learning curves of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningCurves {
    /// Above the plot.
    pub title: String,
    /// Across: how much training.
    pub x: Axis,
    /// Upwards: the measure.
    pub y: Axis,
    /// In any order.
    pub curves: Vec<Curve>,
    /// Index of the one in front.
    pub best: Option<usize>,
}

const OTHERS: RGBColor = RGBColor(112, 138, 163);
const STOPPED: RGBColor = RGBColor(204, 121, 40);

impl LearningCurves {
    /// As an SVG document.
    pub fn svg(&self) -> Result<String, PlotError> {
        let drawn = |(x, y): &(f64, f64)| can_show(&self.x, *x) && can_show(&self.y, *y);
        let points = || self.curves.iter().flat_map(|curve| &curve.points).copied().filter(drawn);
        let best = self.best.and_then(|index| self.curves.get(index));
        let others = || {
            let is_best = |index: &usize| Some(*index) == self.best;
            self.curves.iter().enumerate().filter(move |(index, _)| !is_best(index)).map(|(_, curve)| curve)
        };
        // Many lines are drawn fainter each, so that their density shows.
        let faint = (8.0 / others().count().max(1) as f64).clamp(0.25, 0.7);
        let look = |stopped: bool| {
            let (line, shade) = if stopped { (STOPPED, (faint * 1.4).min(0.8)) } else { (OTHERS, faint) };
            line.mix(shade)
        };
        let frame = Frame {
            title: &self.title,
            x: &self.x,
            y: &self.y,
            extent: (Extent::of(&self.x, points().map(|(x, _)| x)), Extent::of(&self.y, points().map(|(_, y)| y))),
            padding: (Padding(0.0, 0.02), Padding(0.05, 0.05)),
            legend: self.legend(best),
        };
        draw(&frame, |axes| {
            for curve in others() {
                for part in runs(curve.points.iter().copied(), drawn) {
                    axes.line(part.clone(), look(curve.stopped), 1.1)?;
                    if let ([only], _) | ([.., only], true) = (part.as_slice(), curve.stopped) {
                        axes.dot(*only, 2.2, look(curve.stopped))?;
                    }
                }
            }
            for part in best.into_iter().flat_map(|curve| runs(curve.points.iter().copied(), drawn)) {
                axes.line(part.clone(), WHITE.mix(0.85), 5.0)?;
                axes.line(part.clone(), colour(0), 2.6)?;
                if let [.., last] = part.as_slice() {
                    axes.dot(*last, 3.8, colour(0))?;
                }
            }
            Ok(())
        })
    }

    fn legend(&self, best: Option<&Curve>) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(curve) = best {
            let last = curve.points.last().map(|(_, y)| format!(", {}", self.y.value(*y))).unwrap_or_default();
            let text = format!("best: {}{last}", curve.name);
            entries.push(Entry { text, colour: colour(0), mark: Mark::Ended, stroke: 2.6 });
        }
        let stopped = self.curves.iter().filter(|curve| curve.stopped).count();
        let full = self.curves.len() - stopped;
        let full = if best.is_some_and(|curve| !curve.stopped) { full - 1 } else { full };
        if full > 0 {
            let text =
                if stopped > 0 { format!("trained to the end ({full})") } else { format!("other jobs ({full})") };
            entries.push(Entry { text, colour: OTHERS.mix(0.8), mark: Mark::Line, stroke: 1.4 });
        }
        if stopped > 0 {
            let text = format!("stopped early ({stopped})");
            entries.push(Entry { text, colour: STOPPED.mix(0.85), mark: Mark::Ended, stroke: 1.4 });
        }
        entries
    }
}
