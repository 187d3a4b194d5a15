//! What a search file may set, and its defaults.

use nas_strategy_sdk::sharing::Normalization;
use nas_strategy_sdk::{Bound, random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a search file may set. The defaults are the paper's (section 3.4 and 4) and, where it is silent, those of
/// the authors' code. Minibatches are counted in those of 1,024 images that the paper trains with: 25 are its
/// 25,600 images for statistics, 8 its 8,000 for the score.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Weight steps in all; those the task's schedules span if absent.
    pub steps: Option<u64>,
    /// Weight steps of one job.
    pub steps_per_job: u32,
    /// Share of the search's budget, where it has one, after which training ends in any case.
    pub training_share: f64,
    /// Paths are drawn evenly over intervals of a cost, as in the authors' code; over all paths if absent, as in the paper.
    pub bins: Option<Bins>,
    /// Candidates of a generation.
    pub population: u32,
    /// Generations, the random first one included.
    pub iterations: u32,
    /// Children of two parents in a generation.
    pub crossovers: u32,
    /// Children of one parent in a generation.
    pub mutations: u32,
    /// Probability of each decision of a mutated parent to change.
    pub mutation_probability: f64,
    /// Best candidates so far that become parents.
    pub parents: u32,
    /// Candidates of one evaluation job.
    pub candidates_per_job: u32,
    /// Validation minibatches of an evaluation, the same for all; 0: all there are.
    pub validation_batches: u32,
    /// Which statistics batch normalisation takes in evaluations: `recalibrated`, `batch-statistics` or `running-statistics`.
    pub batch_norm: Normalization,
    /// Training minibatches that recalibrated statistics come from.
    pub recalibration_batches: u32,
    /// Best candidates that are evaluated once more on all validation minibatches, which the paper does not do; 0: none.
    pub finalists: u32,
}

/// Intervals of equal width of a cost; a path comes from each with the same chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bins {
    /// The cost.
    pub metric: String,
    /// Low end of the lowest interval.
    pub from: f64,
    /// High end of the highest interval.
    pub to: f64,
    /// Width of an interval.
    pub width: f64,
}

impl Default for Bins {
    /// Of the authors' code: seven intervals of ten million FLOPs.
    fn default() -> Self {
        Self { metric: "flops".to_owned(), from: 290e6, to: 360e6, width: 10e6 }
    }
}

/// More intervals are a mistake in the width.
const MAX_BINS: f64 = 1_000.0;

impl Bins {
    fn n_bins(&self) -> f64 {
        ((self.to - self.from) / self.width).round()
    }

    /// The limits of one interval, drawn evenly.
    pub(crate) fn draw(&self) -> Bound {
        let n_bins = self.n_bins().max(1.0) as u64;
        let low = self.from + random::below(n_bins) as f64 * self.width;
        Bound { metric: self.metric.clone(), at_least: Some(low), at_most: Some(low + self.width) }
    }

    fn check(&self) -> Result<(), String> {
        if !(self.from.is_finite() && self.to.is_finite() && self.width > 0.0 && self.from < self.to) {
            return Err(format!("bins: from {} to {} by {} are no intervals", self.from, self.to, self.width));
        }
        let n_bins = self.n_bins();
        if !(1.0..=MAX_BINS).contains(&n_bins) {
            return Err(format!("bins: {n_bins} intervals; use 1 to {MAX_BINS}"));
        }
        Ok(())
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            steps: None,
            steps_per_job: 50,
            training_share: 0.8,
            bins: None,
            population: 50,
            iterations: 20,
            crossovers: 25,
            mutations: 25,
            mutation_probability: 0.1,
            parents: 10,
            candidates_per_job: 10,
            validation_batches: 8,
            batch_norm: Normalization::Recalibrated,
            recalibration_batches: 25,
            finalists: 10,
        }
    }
}

impl Parameters {
    pub(crate) fn check(&self) -> Result<(), String> {
        let counts = [
            ("population", self.population),
            ("iterations", self.iterations),
            ("parents", self.parents),
            ("candidates-per-job", self.candidates_per_job),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(format!("{name}: at least 1"));
        }
        let children = u64::from(self.crossovers) + u64::from(self.mutations);
        if children > u64::from(self.population) {
            return Err(format!(
                "crossovers and mutations: {children} children in a population of {}",
                self.population
            ));
        }
        if !(self.mutation_probability > 0.0 && self.mutation_probability <= 1.0) {
            return Err(format!("mutation-probability: {} is not above 0 and at most 1", self.mutation_probability));
        }
        self.bins.as_ref().map_or(Ok(()), Bins::check)
    }
}
