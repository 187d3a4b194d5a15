//! Lines over jobs, cost or time, each with an optional band and its single measurements.

use plotters::prelude::*;

use super::{
    Axis, PlotError,
    chart::{Entry, Frame, Mark, colour, draw},
    scale::{Extent, Padding, can_show},
};

/// A line and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// The line; a point that is not finite interrupts it.
    pub points: Vec<(f64, f64)>,
    /// Around the line: place, lower and upper end, such as one standard deviation over repetitions.
    pub band: Vec<(f64, f64, f64)>,
    /// Single measurements, drawn as faint dots; those far off the others stay outside and are counted in the legend.
    pub marks: Vec<(f64, f64)>,
    /// Holds each value until the next point, as best-so-far does.
    pub steps: bool,
}

/// Several lines over one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct LinePlot {
    /// Above the plot.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// In the order of the legend.
    pub series: Vec<Series>,
}

impl LinePlot {
    /// As an SVG document.
    pub fn svg(&self) -> Result<String, PlotError> {
        let all = || self.series.iter();
        let drawn = |(x, y): &(f64, f64)| can_show(&self.x, *x) && can_show(&self.y, *y);
        let points = || all().flat_map(|series| &series.points).copied().filter(drawn);
        let bands = || all().flat_map(|series| &series.band).flat_map(|(x, low, high)| [(*x, *low), (*x, *high)]);
        let bands = || bands().filter(drawn);
        let marks: Vec<_> = all().flat_map(|series| &series.marks).copied().filter(drawn).collect();
        let x = Extent::of(&self.x, points().chain(bands()).chain(marks.iter().copied()).map(|(x, _)| x));
        let y = Extent::of(&self.y, points().chain(bands()).map(|(_, y)| y));
        let y = y.and(Extent::of(&self.y, without_outliers(marks.iter().map(|(_, y)| *y).collect())));

        let outside = |series: &Series| series.marks.iter().filter(|mark| drawn(mark) && !y.holds(mark.1)).count();
        let entry = |(index, series): (usize, &Series)| {
            let text = match outside(series) {
                0 => series.name.clone(),
                1 => format!("{} (1 job outside the plot)", series.name),
                count => format!("{} ({count} jobs outside the plot)", series.name),
            };
            Entry { text, colour: colour(index), mark: Mark::Line, stroke: 2.5 }
        };
        let mut legend: Vec<_> = all().enumerate().map(entry).collect();
        if !marks.is_empty() {
            let look = if legend.len() == 1 { colour(0) } else { BLACK.to_rgba() };
            legend.push(Entry { text: "single jobs".to_owned(), colour: look.mix(0.35), mark: Mark::Dot, stroke: 1.0 });
        }
        let frame = Frame {
            title: &self.title,
            x: &self.x,
            y: &self.y,
            extent: (x, y),
            padding: (Padding(0.02, 0.02), Padding(0.06, 0.06)),
            legend,
        };
        draw(&frame, |axes| {
            for (index, series) in self.series.iter().enumerate() {
                let colour = colour(index);
                for part in
                    runs(series.band.iter().copied(), |(x, low, high)| drawn(&(*x, *low)) && drawn(&(*x, *high)))
                {
                    let path = |points: Vec<_>| if series.steps { stepped(&points) } else { points };
                    let upper = path(part.iter().map(|(x, _, high)| (*x, *high)).collect());
                    let lower = path(part.iter().map(|(x, low, _)| (*x, *low)).collect());
                    let outline: Vec<_> = upper.into_iter().chain(lower.into_iter().rev()).collect();
                    axes.fill(outline, colour.mix(0.16))?;
                }
                let inside = series.marks.iter().filter(|point| drawn(point) && y.holds(point.1));
                for point in inside {
                    axes.dot(*point, 2.6, colour.mix(0.35))?;
                }
            }
            for (index, series) in self.series.iter().enumerate() {
                for part in runs(series.points.iter().copied(), drawn) {
                    axes.line(if series.steps { stepped(&part) } else { part.clone() }, colour(index), 2.2)?;
                    if let ([only], _) | ([.., only], true) = (part.as_slice(), series.steps) {
                        axes.dot(*only, 3.5, colour(index))?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// With a corner before each change.
fn stepped(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let corners = points.iter().zip(points.iter().skip(1)).flat_map(|(from, to)| [*from, (to.0, from.1)]);
    corners.chain(points.last().copied()).collect()
}

/// The stretches of items that may be drawn.
pub(super) fn runs<T>(items: impl Iterator<Item = T>, drawn: impl Fn(&T) -> bool) -> Vec<Vec<T>> {
    let mut runs = vec![Vec::new()];
    for item in items {
        match (drawn(&item), runs.last_mut()) {
            (true, Some(run)) => run.push(item),
            (false, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Without numbers further from the quartiles than three times their distance (Tukey's outer fences).
pub(crate) fn without_outliers(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let quartile = |part: usize| values.get(values.len() * part / 4).copied();
    let (Some(first), Some(third)) = (quartile(1), quartile(3)) else { return values };
    let reach = 3.0 * (third - first);
    values.retain(|value| (first - reach..=third + reach).contains(value));
    values
}
