//! Searches repeated with many seeds: means with deviations, paired tests, best-so-far with a band, published rows
//! beside ours.

mod published;

use serde::Serialize;

use crate::{
    plot::{Axis, LinePlot, PlotError, Series},
    report::Objective,
    statistics::{Paired, mean, paired, quantile, standard_deviation},
    table::Table,
};
pub use published::{Published, PublishedRow, ReferenceError};

/// Places of the plot's grid.
const GRID: usize = 200;

/// One seed's search.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Repetition {
    /// Its seed.
    pub seed: u64,
    /// Jobs told.
    pub jobs: u64,
    /// Of them failed.
    pub failed: u64,
    /// Cost of all jobs.
    pub cost: f64,
    /// What it found.
    pub found: String,
    /// The objective of what it found, as the strategy saw it.
    pub objective: Option<f64>,
    /// Validation measures of what it found.
    pub validation: Vec<(String, f64)>,
    /// Held-out measures of it.
    pub test: Vec<(String, f64)>,
    /// Cost spent and value of the best so far from then on; rising cost.
    #[serde(skip)]
    pub trace: Vec<(f64, f64)>,
}

/// All repetitions of one search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepeatedSearch {
    /// Its name.
    pub name: String,
    /// Its strategy.
    pub strategy: String,
    /// One a seed.
    pub repetitions: Vec<Repetition>,
}

/// Several searches with the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepeatedSearches {
    /// Above everything.
    pub title: String,
    /// What they were after.
    pub objective: Objective,
    /// What the trace's values are, such as `test accuracy of the best so far`.
    pub traced: String,
    /// Unit of cost.
    pub cost_unit: String,
    /// Best values there are, by the names of test measures; for regret.
    pub optima: Vec<(String, f64)>,
    /// The first is what the others are compared with.
    pub searches: Vec<RepeatedSearch>,
    /// What a reader must know to compare.
    pub notes: Vec<String>,
    /// Results of others.
    #[serde(skip)]
    pub published: Option<Published>,
}

/// The difference of two searches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The search.
    pub search: String,
    /// What it is compared with.
    pub baseline: String,
    /// Of what.
    pub measure: String,
    /// Mean of the differences over seeds, in the measure's own unit.
    pub difference: f64,
    /// Its standard error.
    pub error: f64,
    /// Student's two-sided p.
    pub p: f64,
    /// Seeds.
    pub seeds: usize,
}

impl RepeatedSearch {
    /// Values of a measure over all repetitions that have it.
    pub fn values(&self, of: impl Fn(&Repetition) -> Option<f64>) -> Vec<f64> {
        self.repetitions.iter().filter_map(of).filter(|value| value.is_finite()).collect()
    }
}

fn find(measures: &[(String, f64)], name: &str) -> Option<f64> {
    measures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

impl RepeatedSearches {
    /// Names of all test measures, in the order of the first search that has them.
    fn names(&self, of: fn(&Repetition) -> &[(String, f64)]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for repetition in self.searches.iter().flat_map(|search| &search.repetitions) {
            for (name, _) in of(repetition) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        names
    }

    fn scale(&self, name: &str) -> f64 {
        if self.objective.percent && name.contains(self.objective.name.as_str()) { 100.0 } else { 1.0 }
    }

    /// `93.92 ± 0.30`.
    fn summarised(&self, name: &str, values: &[f64]) -> String {
        let scale = self.scale(name);
        let shown = |value: f64| {
            let value = value * scale;
            if scale == 100.0 || value.abs() >= 100.0 { format!("{value:.2}") } else { format!("{value:.4}") }
        };
        match (mean(values), standard_deviation(values)) {
            (Some(mean), Some(deviation)) => format!("{} ± {}", shown(mean), shown(deviation)),
            (Some(mean), None) => shown(mean),
            _ => crate::table::MISSING.to_owned(),
        }
    }

    /// The measure that searches are compared by: the first test measure, else the objective.
    pub fn compared(&self) -> String {
        self.names(|repetition| &repetition.test).into_iter().next().unwrap_or_else(|| self.objective.name.clone())
    }

    /// One row a search: means with standard deviations.
    pub fn table(&self) -> Table {
        let (validation, test) = (self.names(|r| &r.validation), self.names(|r| &r.test));
        let mut table = Table::new().text("search").text("strategy").number("runs").number("jobs");
        table = table.number(format!("found {}", self.objective.name));
        for name in &validation {
            table = table.number(format!("{name} validation"));
        }
        for name in &test {
            table = table.number(format!("{name} test"));
        }
        let regret = self.regret_name();
        if regret.is_some() {
            table = table.number("test regret");
        }
        for search in &self.searches {
            let mut cells = vec![search.name.clone(), search.strategy.clone(), search.repetitions.len().to_string()];
            let jobs = mean(&search.values(|repetition| Some(repetition.jobs as f64)));
            cells.push(jobs.map_or_else(|| crate::table::MISSING.to_owned(), |jobs| format!("{jobs:.1}")));
            cells.push(self.summarised(&self.objective.name, &search.values(|repetition| repetition.objective)));
            for name in &validation {
                cells.push(self.summarised(name, &search.values(|repetition| find(&repetition.validation, name))));
            }
            for name in &test {
                cells.push(self.summarised(name, &search.values(|repetition| find(&repetition.test, name))));
            }
            if let Some((name, optimum)) = &regret {
                let regret = search.values(|repetition| Some((optimum - find(&repetition.test, name)?).abs()));
                cells.push(self.summarised(name, &regret));
            }
            table.row(cells);
        }
        table
    }

    fn regret_name(&self) -> Option<(String, f64)> {
        let name = self.compared();
        self.optima.iter().find(|(known, _)| *known == name).cloned()
    }

    /// Each later search beside the first.
    pub fn differences(&self) -> Vec<Difference> {
        let Some((baseline, others)) = self.searches.split_first() else { return Vec::new() };
        // One measure for all: where any search has a test result, repetitions without one are left out.
        let measure = self.compared();
        let has_tests = !self.names(|repetition| &repetition.test).is_empty();
        let value = |one: &Repetition| if has_tests { find(&one.test, &measure) } else { one.objective };
        let against = |search: &RepeatedSearch| {
            let pairs = baseline.repetitions.iter().zip(&search.repetitions);
            let (first, second): (Vec<f64>, Vec<f64>) = pairs.filter_map(|(a, b)| Some((value(a)?, value(b)?))).unzip();
            let Paired { difference, error, p, n } = paired(&first, &second)?;
            Some(Difference {
                search: search.name.clone(),
                baseline: baseline.name.clone(),
                measure: measure.clone(),
                difference,
                error,
                p,
                seeds: n,
            })
        };
        others.iter().filter_map(against).collect()
    }

    /// `evolution: +0.21 ± 0.02 points over random, paired p = 0.01 (500 seeds)`.
    pub fn difference_line(&self, difference: &Difference) -> String {
        let scale = self.scale(&difference.measure);
        let unit = if scale == 100.0 { " points".to_owned() } else { format!(" in {}", difference.measure) };
        let p = if difference.p < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {:.4}", difference.p) };
        format!(
            "{}: {:+.*} ± {:.*}{unit} over {}, paired {p} ({} seeds)",
            difference.search,
            if scale == 100.0 { 2 } else { 4 },
            difference.difference * scale,
            if scale == 100.0 { 2 } else { 4 },
            difference.error * scale,
            difference.baseline,
            difference.seeds,
        )
    }

    /// Best so far over cost: median, with a band from the first to the third quartile.
    pub fn plot(&self) -> LinePlot {
        let all = || self.searches.iter().flat_map(|search| &search.repetitions);
        let end = all().filter_map(|repetition| repetition.trace.last()).map(|(cost, _)| *cost).fold(0.0, f64::max);
        let series = self.searches.iter().map(|search| {
            let mut series = Series { name: search.name.clone(), ..Series::default() };
            // Where each trace stands; costs of the grid rise, so each is walked once.
            let mut at: Vec<usize> = vec![0; search.repetitions.len()];
            for step in 0..=GRID {
                let cost = end * step as f64 / GRID as f64;
                let mut values = Vec::with_capacity(search.repetitions.len());
                for (repetition, at) in search.repetitions.iter().zip(&mut at) {
                    while repetition.trace.get(*at).is_some_and(|(reached, _)| *reached <= cost) {
                        *at += 1;
                    }
                    values.extend(at.checked_sub(1).and_then(|last| repetition.trace.get(last)).map(|(_, v)| *v));
                }
                // Before half of the searches have anything, there is no median of them.
                if values.len() * 2 >= search.repetitions.len()
                    && let (Some(low), Some(middle), Some(high)) =
                        (quantile(&values, 0.25), quantile(&values, 0.5), quantile(&values, 0.75))
                {
                    series.points.push((cost, middle));
                    series.band.push((cost, low, high));
                }
            }
            series
        });
        let mut y = Axis::new(self.traced.clone());
        if self.objective.percent {
            y = y.percent();
        }
        LinePlot {
            title: format!("{}: median and quartiles", self.title),
            x: Axis::new("the search's clock").unit(self.cost_unit.clone()),
            y,
            series: series.collect(),
        }
    }

    /// The plot as an SVG document; none without traces.
    pub fn svg(&self) -> Result<Option<String>, PlotError> {
        let any = self.searches.iter().flat_map(|search| &search.repetitions).any(|one| !one.trace.is_empty());
        if any { self.plot().svg().map(Some) } else { Ok(None) }
    }

    /// Markdown; `picture` is the plot's file.
    pub fn markdown(&self, picture: Option<&str>) -> String {
        let mut out = format!("# {}\n\n{}", self.title, self.table().markdown());
        out.push_str("\nMeans and standard deviations over seeds.\n");
        for difference in self.differences() {
            out.push_str(&format!("\n- {}", self.difference_line(&difference)));
        }
        for note in &self.notes {
            out.push_str(&format!("\n- {note}"));
        }
        if let Some(published) = &self.published {
            out.push_str(&format!("\n\n## Beside published results\n\n{}", published.table(self).markdown()));
        }
        if let Some(picture) = picture {
            out.push_str(&format!("\n![{}]({picture})\n", self.traced));
        }
        out
    }

    /// For a terminal of so many columns.
    pub fn terminal(&self, width: usize) -> String {
        let mut out = format!("{}\n{}", self.title, self.table().terminal(width));
        for difference in self.differences() {
            out.push_str(&format!("{}\n", self.difference_line(&difference)));
        }
        for note in &self.notes {
            out.push_str(&format!("{note}\n"));
        }
        if let Some(published) = &self.published {
            out.push_str(&format!("\n{}", published.table(self).terminal(width)));
        }
        out
    }
}
