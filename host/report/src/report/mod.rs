//! The report of a run: what was searched, what was found, what it cost, in Markdown with pictures and in JSON.
//!
//! A [`RunSummary`] is plain numbers, made by whoever knows the journal; everything shown is derived from it
//! here, so that the terminal, the Markdown and the JSON never disagree.

mod markdown;
mod pictures;

pub use pictures::Picture;

use serde::Serialize;

use crate::{
    Goal,
    drawing::{CellDrawing, DrawingError},
    known::KnownResults,
    plot::PlotError,
    table::{ComparisonTable, MISSING, Table, grouped, short, significant},
};

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objective {
    /// Name of the measure, as in [`JobRow::measures`].
    pub name: String,
    /// Which way is better.
    pub goal: Goal,
    /// Whether it is a fraction (0.97) that people read in percent (97 %).
    pub percent: bool,
}

/// A job of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JobRow {
    /// Its number or name.
    pub id: String,
    /// In the space's notation.
    pub architecture: String,
    /// By name; `params` and `flops` are shown as counts.
    pub measures: Vec<(String, f64)>,
    /// In [`RunSummary::cost_unit`].
    pub cost: f64,
    /// How much training in all, in [`RunSummary::fidelity_unit`].
    pub fidelity: u32,
    /// Fidelity and the objective's measure.
    pub curve: Vec<(u32, f64)>,
    /// Stopped before its end by an approximation.
    pub stopped: bool,
    /// Why it failed.
    pub failed: Option<String>,
}

/// What a run hands over.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recommended {
    /// In the space's notation.
    pub architecture: String,
    /// Its cells, where the space has some.
    pub cells: Vec<CellDrawing>,
}

/// A held-out measure, over seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TestMeasure {
    /// Its name.
    pub name: String,
    /// Mean over seeds.
    pub mean: f64,
    /// Standard deviation over seeds, where there are several.
    pub deviation: Option<f64>,
}

/// A number that the strategy wrote down again and again.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chart {
    /// Its name. Charts whose names begin with the same word are one picture.
    pub name: String,
    /// Jobs told before it, and the value.
    pub points: Vec<(u32, f64)>,
}

/// What an approximation did in a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Approximation {
    /// Such as `median stopping`.
    pub name: String,
    /// Jobs it changed.
    pub jobs: u32,
    /// What it saved, in [`RunSummary::cost_unit`].
    pub saved: f64,
    /// How far the cheap ranking agrees with the full one: Kendall's tau, from -1 to 1.
    pub rank_agreement: Option<f64>,
}

/// A run, told in plain numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSummary {
    /// Its name, such as `digits-evolution/1`.
    pub run: String,
    /// Name of the search space.
    pub space: String,
    /// Name and version of the strategy.
    pub strategy: String,
    /// Name of the data set.
    pub data: String,
    /// What is searched for.
    pub objective: Objective,
    /// What is searched for besides: with any of them the report shows the Pareto front.
    pub further_objectives: Vec<Objective>,
    /// Unit of costs, such as `epochs`.
    pub cost_unit: String,
    /// Unit of fidelities, such as `epochs`.
    pub fidelity_unit: String,
    /// In the order their results were told.
    pub jobs: Vec<JobRow>,
    /// Best first.
    pub recommended: Vec<Recommended>,
    /// The mixtures a recommendation was derived from.
    pub mixtures: Vec<CellDrawing>,
    /// Held-out measures of the recommended architecture; shown like the objective where fractions.
    pub test: Vec<TestMeasure>,
    /// Seeds of the trainings that gave them.
    pub repetitions: u32,
    /// The final trainings' rows beside published ones.
    pub comparison: Option<ComparisonTable>,
    /// What was found and how it was ranked, beside known results.
    pub known: Option<KnownResults>,
    /// What the strategy charted.
    pub charts: Vec<Chart>,
    /// In the search's order.
    pub approximations: Vec<Approximation>,
    /// Further lines of the head, such as the journal's digest.
    pub facts: Vec<(String, String)>,
}

/// How far a run had come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Jobs told, failed ones too.
    pub jobs: usize,
    /// Cost of them all.
    pub cost: f64,
    /// The best value among them.
    pub best: f64,
}

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A plot.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A drawing.
    #[error(transparent)]
    Drawing(#[from] DrawingError),
    /// The JSON.
    #[error("the report of {run} cannot be written as JSON")]
    Json {
        /// The run.
        run: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Of the JSON document: the summary and what is derived from it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    summary: &'a RunSummary,
    failed_jobs: usize,
    cost: f64,
    best: Option<&'a str>,
    front: Vec<&'a str>,
    best_so_far: Vec<Progress>,
}

impl RunSummary {
    /// The objective's value of a job that has one.
    pub fn value(&self, job: &JobRow) -> Option<f64> {
        let measure = job.measures.iter().find(|(name, _)| *name == self.objective.name);
        measure.map(|(_, value)| *value).filter(|value| value.is_finite() && job.failed.is_none())
    }

    fn objectives(&self) -> impl Iterator<Item = &Objective> {
        std::iter::once(&self.objective).chain(&self.further_objectives)
    }

    /// Jobs that no other of as much training beats in all objectives at once, best in the first objective first;
    /// none with one objective alone.
    pub fn front(&self) -> Vec<&JobRow> {
        if self.further_objectives.is_empty() {
            return Vec::new();
        }
        let longest = self.jobs.iter().filter(|job| self.value(job).is_some()).map(|job| job.fidelity).max();
        let jobs: Vec<&JobRow> = self.jobs.iter().filter(|job| Some(job.fidelity) == longest).collect();
        let value = |job: &JobRow, name: &str| {
            let measure = job.measures.iter().find(|(known, _)| known == name).filter(|_| job.failed.is_none());
            measure.map_or(f64::NAN, |(_, value)| *value)
        };
        let values = |job: &&JobRow| self.objectives().map(|objective| value(job, &objective.name)).collect();
        let points: Vec<Vec<f64>> = jobs.iter().map(values).collect();
        let goals: Vec<Goal> = self.objectives().map(|objective| objective.goal).collect();
        crate::pareto::front(&points, &goals).into_iter().filter_map(|index| jobs.get(index).copied()).collect()
    }

    /// The best jobs, at most so many; of equal ones the earlier.
    pub fn best(&self, count: usize) -> Vec<&JobRow> {
        let mut jobs: Vec<_> = self.jobs.iter().filter_map(|job| Some((self.value(job)?, job))).collect();
        jobs.sort_by(|(a, _), (b, _)| match self.objective.goal {
            Goal::Maximize => b.total_cmp(a),
            Goal::Minimize => a.total_cmp(b),
        });
        jobs.into_iter().take(count).map(|(_, job)| job).collect()
    }

    /// After each told job, from the first that has a value.
    pub fn best_so_far(&self) -> Vec<Progress> {
        let (mut cost, mut best) = (0.0, None);
        let mut progress = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            cost += if job.cost.is_finite() { job.cost } else { 0.0 };
            if let Some(value) = self.value(job) {
                let better = best.is_none_or(|best| self.objective.goal.better(value, best));
                best = if better { Some(value) } else { best };
            }
            progress.extend(best.map(|best| Progress { jobs: index + 1, cost, best }));
        }
        progress
    }

    /// Cost of all jobs.
    pub fn cost(&self) -> f64 {
        self.jobs.iter().map(|job| job.cost).filter(|cost| cost.is_finite()).sum()
    }

    /// The best jobs with all their measures, for the terminal or Markdown.
    pub fn best_table(&self, count: usize) -> Table {
        self.jobs_table(self.best(count))
    }

    /// The Pareto front with all measures.
    pub fn front_table(&self) -> Table {
        self.jobs_table(self.front())
    }

    fn jobs_table(&self, best: Vec<&JobRow>) -> Table {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in best.iter().flat_map(|job| &job.measures) {
            if *name != self.objective.name && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let percent = if self.objective.percent { " (%)" } else { "" };
        let mut table = Table::new().number("job").number(format!("{}{percent}", self.objective.name));
        for name in &names {
            table = table.number(if *name == "flops" { "FLOPs" } else { name });
        }
        table = table.number(format!("training ({})", self.fidelity_unit)).code("architecture");
        for job in best {
            let measure = |name: &str| job.measures.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
            let mut cells =
                vec![job.id.clone(), self.value(job).map_or(MISSING.to_owned(), |value| self.number(value))];
            cells.extend(names.iter().map(|name| measure(name).map_or(MISSING.to_owned(), |value| shown(name, value))));
            cells.extend([job.fidelity.to_string(), job.architecture.clone()]);
            table.row(cells);
        }
        table
    }

    /// A value of the objective as a number alone, in percent where people read it so.
    fn number(&self, value: f64) -> String {
        if self.objective.percent { format!("{:.2}", value * 100.0) } else { significant(value, 4) }
    }

    /// A deviation of the objective, as exact as its values.
    fn deviation(&self, deviation: f64) -> String {
        if self.objective.percent { format!("{:.2}", deviation * 100.0) } else { significant(deviation, 2) }
    }

    /// A value of the objective with its sign.
    fn with_unit(&self, value: f64) -> String {
        format!("{}{}", self.number(value), if self.objective.percent { " %" } else { "" })
    }

    /// The summary and all that is derived from it, as a JSON document. Numbers that are not finite are `null`.
    pub fn json(&self) -> Result<String, ReportError> {
        let document = Document {
            summary: self,
            failed_jobs: self.jobs.iter().filter(|job| job.failed.is_some()).count(),
            cost: self.cost(),
            best: self.best(1).first().map(|job| job.id.as_str()),
            front: self.front().into_iter().map(|job| job.id.as_str()).collect(),
            best_so_far: self.best_so_far(),
        };
        serde_json::to_string_pretty(&document).map_err(|source| ReportError::Json { run: self.run.clone(), source })
    }
}

/// A measure beside the objective.
fn shown(name: &str, value: f64) -> String {
    match name {
        // Counts below 2^53 are exact.
        "params" | "flops" if value >= 0.0 && value.fract() == 0.0 && value < 9e15 => grouped(value as u64),
        _ => short(value),
    }
}

#[cfg(test)]
mod tests;
