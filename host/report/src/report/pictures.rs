//! Which pictures a run has.

use super::{ReportError, RunSummary};
use crate::{
    Goal, PngError,
    drawing::sheet,
    plot::{Axis, Curve, LearningCurves, LinePlot, Scatter, ScatterPoint, Series},
    png,
};

/// Recommended architectures that are drawn.
const DRAWN: usize = 3;
/// Pictures of charts; a strategy may invent any number of names.
const CHARTS: usize = 12;
/// Name of the picture of known results.
pub(super) const KNOWN: &str = "known-results";

/// A picture of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Name of its file without an extension, such as `best-so-far`.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The document.
    pub svg: String,
}

impl Picture {
    /// As the bytes of a PNG file.
    pub fn png(&self) -> Result<Vec<u8>, PngError> {
        png(&self.svg)
    }
}

impl RunSummary {
    /// All pictures there is something to show in.
    pub fn pictures(&self) -> Result<Vec<Picture>, ReportError> {
        let mut pictures = Vec::new();
        let mut add = |name: &str, title: &str, svg: String| {
            pictures.push(Picture { name: name.to_owned(), title: title.to_owned(), svg });
        };
        for (rank, recommended) in self.recommended.iter().enumerate().take(DRAWN) {
            if !recommended.cells.is_empty() {
                let name = if rank == 0 { "recommended".to_owned() } else { format!("recommended-{}", rank + 1) };
                let title = if rank == 0 { String::new() } else { format!(", rank {}", rank + 1) };
                let title = format!("Recommended by {}{title}", self.run);
                let svg = sheet(&title, &recommended.cells)?;
                add(&name, &title, svg);
            }
        }
        if !self.mixtures.is_empty() {
            let title = format!("Mixtures of {} at its end", self.run);
            let svg = sheet(&title, &self.mixtures)?;
            add("mixtures", &title, svg);
        }
        if self.jobs.iter().any(|job| self.value(job).is_some()) {
            add("best-so-far", "Best so far, over jobs", self.best_so_far_over_jobs().svg()?);
            if self.cost() > 0.0 {
                add("best-so-far-cost", "Best so far, over cost", self.best_so_far_over_cost().svg()?);
            }
        }
        if self.jobs.iter().any(|job| job.curve.len() > 1) {
            add("learning-curves", "Learning curves", self.learning_curves().svg()?);
        }
        for objective in &self.further_objectives {
            let mut scatter = self.against(&objective.name, &objective.name);
            scatter.x.1 = objective.goal;
            if scatter.points.len() > 1 {
                let title = format!("Pareto front of {} and {}", self.objective.name, objective.name);
                scatter.title = format!("{title}: {}", self.run);
                add(&format!("front-{}", objective.name), &title, scatter.svg()?);
            }
        }
        for (measure, title) in [("params", "parameters"), ("flops", "FLOPs")] {
            let scatter = self.against(measure, title);
            if scatter.points.len() > 1 {
                add(
                    &format!("objective-{measure}"),
                    &format!("{} against {title}", capitalised(&self.objective.name)),
                    scatter.svg()?,
                );
            }
        }
        if let Some(scatter) = self.known.as_ref().and_then(|known| known.scatter(&self.run)) {
            add(KNOWN, "Judged by the search, and known", scatter.svg()?);
        }
        for (number, (title, plot)) in self.charted().into_iter().take(CHARTS).enumerate() {
            add(&format!("chart-{}", number + 1), &title, plot.svg()?);
        }
        Ok(pictures)
    }

    /// What the strategy charted over jobs, a plot for each first word of the names.
    fn charted(&self) -> Vec<(String, LinePlot)> {
        let mut groups: Vec<(&str, Vec<&super::Chart>)> = Vec::new();
        for chart in self.charts.iter().filter(|chart| chart.points.len() > 1) {
            let word = chart.name.split_whitespace().next().unwrap_or_default();
            match groups.iter_mut().find(|(known, _)| *known == word) {
                Some((_, charts)) => charts.push(chart),
                None => groups.push((word, vec![chart])),
            }
        }
        let plot = |(word, charts): (&str, Vec<&super::Chart>)| {
            let name = match charts.as_slice() {
                [only] => only.name.clone(),
                _ => word.to_owned(),
            };
            let series = charts.iter().map(|chart| Series {
                name: chart.name.clone(),
                points: chart.points.iter().map(|(jobs, value)| (f64::from(*jobs), *value)).collect(),
                ..Series::default()
            });
            let title = format!("{}: {}", capitalised(&name), self.run);
            let plot = LinePlot {
                title,
                x: Axis::new("jobs told").whole(),
                y: Axis::new(name.clone()),
                series: series.collect(),
            };
            (capitalised(&name), plot)
        };
        groups.into_iter().map(plot).collect()
    }

    fn objective_axis(&self) -> Axis {
        let axis = Axis::new(format!("validation {}", self.objective.name));
        if self.objective.percent { axis.percent() } else { axis }
    }

    /// Best-so-far over the number of jobs.
    pub fn best_so_far_over_jobs(&self) -> LinePlot {
        self.best_so_far_plot(Axis::new("jobs told").whole(), |jobs, _| jobs as f64)
    }

    /// Best-so-far over the cost of the jobs.
    pub fn best_so_far_over_cost(&self) -> LinePlot {
        self.best_so_far_plot(Axis::new("cost of all jobs").unit(&self.cost_unit), |_, cost| cost)
    }

    fn best_so_far_plot(&self, x: Axis, place: fn(usize, f64) -> f64) -> LinePlot {
        let points = self.best_so_far().iter().map(|at| (place(at.jobs, at.cost), at.best)).collect();
        let mut cost = 0.0;
        let marks = self.jobs.iter().enumerate().filter_map(|(index, job)| {
            cost += if job.cost.is_finite() { job.cost } else { 0.0 };
            Some((place(index + 1, cost), self.value(job)?))
        });
        let series =
            Series { name: self.strategy.clone(), points, band: Vec::new(), marks: marks.collect(), steps: true };
        let title = format!("Best so far: {}, {} on {}", self.run, self.space, self.data);
        LinePlot { title, x, y: self.objective_axis(), series: vec![series] }
    }

    /// The curves of all jobs that have one.
    pub fn learning_curves(&self) -> LearningCurves {
        let best = self.best(1).first().map(|job| job.id.clone());
        let drawn: Vec<_> = self.jobs.iter().filter(|job| !job.curve.is_empty()).collect();
        let curve = |job: &&super::JobRow| Curve {
            name: format!("job {}", job.id),
            points: job.curve.iter().map(|(fidelity, value)| (f64::from(*fidelity), *value)).collect(),
            stopped: job.stopped,
        };
        LearningCurves {
            title: format!("Learning curves: {}", self.run),
            x: Axis::new("training").unit(&self.fidelity_unit).whole(),
            y: self.objective_axis(),
            curves: drawn.iter().map(curve).collect(),
            best: best.and_then(|id| drawn.iter().position(|job| job.id == id)),
        }
    }

    /// The objective against a cost of the architecture.
    pub fn against(&self, measure: &str, title: &str) -> Scatter {
        let point = |job: &super::JobRow| {
            let x = job.measures.iter().find(|(name, value)| name == measure && *value > 0.0)?.1;
            Some(ScatterPoint { x, y: self.value(job)?, label: format!("job {}", job.id), group: 0 })
        };
        let points: Vec<_> = self.jobs.iter().filter_map(point).collect();
        // Logarithmic where the largest is many times the smallest.
        let largest = points.iter().map(|point| point.x).fold(0.0, f64::max);
        let wide = points.iter().any(|point| point.x * 5.0 < largest);
        let axis = if wide { Axis::new(title).log() } else { Axis::new(title) };
        // The one cost with a unit of its own.
        let axis = if measure == "latency" { axis.unit("s") } else { axis };
        Scatter {
            title: format!("{} against {title}: {}", capitalised(&self.objective.name), self.run),
            x: (axis, Goal::Minimize),
            y: (self.objective_axis(), self.objective.goal),
            groups: vec![format!("jobs of this run ({})", points.len())],
            points,
            has_front: true,
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
