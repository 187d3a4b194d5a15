//! The multivariate estimate: one mixture over all decisions that are always active, with a kernel a trial that is the
//! product of its kernels in each decision (Bergstra et al. 2011 estimate each by itself; Falkner et al. 2018 and Optuna's
//! `multivariate`, with the same widths as the univariate estimate, together). It sees that two decisions are good
//! in combination.
//!
//! A row is a trial, the last one the prior. For every candidate the exponents of all rows are summed up over the
//! numerical decisions first, so that a row costs one exponential however many decisions there are.

use nas_strategy_sdk::Gene;

use crate::axis::Axis;
use crate::gauss::{log_sum, mass, subtract_squares};
use crate::kernels::{Kernels, Trial};
use crate::mixture::{Options, PRIOR_INVERSE_MASS, PRIOR_MEAN};
use crate::model::Model;
use crate::proposer::Ground;
use crate::stream::Stream;
use crate::trials::Trials;

/// Products of so many peaks (at most 105 each) are finite.
const FINITE: usize = 64;

/// Of one decision, by row.
enum Dimension {
    /// Means and deviations; rates are 1 / (2 deviation^2).
    Real { means: Vec<f64>, deviations: Vec<f64>, rates: Vec<f64> },
    /// Means, deviations and inverse masses.
    Cells { means: Vec<f64>, deviations: Vec<f64>, inverse_masses: Vec<f64> },
    /// Options (as numbers, for vector instructions), and what a row gives to its own and to any other; the prior gives all the same.
    Options { options: Vec<f64>, own: f64, other: f64, prior: f64 },
}

struct Side {
    /// Cumulated weights of the rows.
    cumulated: Vec<f64>,
    /// Logarithms of weight times the heights of the real kernels.
    logs: Vec<f64>,
    dimensions: Vec<Dimension>,
}

/// See the module.
pub struct Joint<'a> {
    ground: &'a Ground,
    good: Side,
    rest: Side,
}

impl<'a> Joint<'a> {
    /// Both sides, made for one proposal.
    pub fn new(ground: &'a Ground, trials: &Trials, model: &Model, weights: &[f64]) -> Self {
        Self {
            ground,
            good: Side::new(ground, trials, model, weights, true),
            rest: Side::new(ground, trials, model, weights, false),
        }
    }

    /// The best candidate: a gene for each of the decisions that are always active.
    pub fn choose(&self, stream: &mut Stream) -> Vec<Gene> {
        let mut best: Option<(Vec<Gene>, f64)> = None;
        let mut scratch = (Vec::new(), Vec::new());
        for _ in 0..self.ground.candidates {
            let (genes, units) = self.good.draw(self.ground, stream);
            let ratio = self.good.log_density(self.ground, &genes, &units, &mut scratch)
                - self.rest.log_density(self.ground, &genes, &units, &mut scratch);
            if best.as_ref().is_none_or(|(_, largest)| ratio > *largest) {
                best = Some((genes, ratio));
            }
        }
        best.map(|(genes, _)| genes).unwrap_or_default()
    }
}

impl Side {
    fn new(ground: &Ground, trials: &Trials, model: &Model, weights: &[f64], good: bool) -> Self {
        const NO_ROW: u32 = u32::MAX;
        let mut rows: Vec<u32> = Vec::with_capacity(weights.len());
        let mut cumulated: Vec<f64> = Vec::new();
        let (mut logs, mut total) = (Vec::new(), 0.0);
        for (trial, weight) in weights.iter().enumerate() {
            if model.is_good(trial) != good {
                rows.push(NO_ROW);
                continue;
            }
            rows.push(cumulated.len() as u32);
            total += weight;
            cumulated.push(total);
            logs.push(weight.ln());
        }
        cumulated.push(total + ground.prior);
        logs.push(ground.prior.ln());
        let n_rows = logs.len();
        let mut heights = vec![1.0; n_rows];
        let mut dimensions = Vec::with_capacity(ground.always.len());
        let mut n_real = 0;
        for idx in &ground.always {
            let kernels = model.sides(*idx).map(|sides| if good { &sides.good } else { &sides.rest });
            let dimension = match (ground.axes.get(*idx), kernels) {
                (Some(Axis::Options(n_options)), _) => options(*idx, *n_options, trials, model, ground.prior, good),
                (Some(Axis::Real(_)), Some(kernels)) => {
                    let by_row = scatter(kernels, &rows, n_rows, kernels.len());
                    for (height, at) in heights.iter_mut().zip(&by_row.kernel_of) {
                        let peak = at.map_or(PRIOR_INVERSE_MASS * crate::gauss::INV_SQRT_TAU, |at| kernels.peak(at));
                        *height *= peak;
                    }
                    n_real += 1;
                    if n_real % FINITE == 0 {
                        fold(&mut logs, &mut heights);
                    }
                    let rates = by_row.deviations.iter().map(|deviation| 0.5 / (deviation * deviation)).collect();
                    Dimension::Real { means: by_row.means, deviations: by_row.deviations, rates }
                }
                (_, kernels) => {
                    let none = Kernels::default();
                    let kernels = kernels.unwrap_or(&none);
                    let by_row = scatter(kernels, &rows, n_rows, kernels.len());
                    let inverse_mass = |at: &Option<usize>| match at {
                        Some(at) => kernels.inverse_masses.get(*at).copied().unwrap_or(1.0),
                        None => PRIOR_INVERSE_MASS,
                    };
                    let inverse_masses = by_row.kernel_of.iter().map(inverse_mass).collect();
                    Dimension::Cells { means: by_row.means, deviations: by_row.deviations, inverse_masses }
                }
            };
            dimensions.push(dimension);
        }
        fold(&mut logs, &mut heights);
        Self { cumulated, logs, dimensions }
    }

    fn n_rows(&self) -> usize {
        self.logs.len()
    }

    /// A candidate: genes and, for numerical decisions, their places.
    fn draw(&self, ground: &Ground, stream: &mut Stream) -> (Vec<Gene>, Vec<f64>) {
        let share = stream.uniform() * self.cumulated.last().copied().unwrap_or(0.0);
        let row = self.cumulated.partition_point(|weight| *weight <= share).min(self.n_rows() - 1);
        let (mut genes, mut units) = (Vec::new(), Vec::new());
        for (dimension, idx) in self.dimensions.iter().zip(&ground.always) {
            let axis = &ground.axes[*idx];
            let (gene, unit) = match dimension {
                Dimension::Real { means, deviations, .. } | Dimension::Cells { means, deviations, .. } => {
                    let unit = stream.within_unit(means[row], deviations[row]);
                    (axis.gene(unit), unit)
                }
                Dimension::Options { options, own, other, .. } => {
                    let n_options = if let Axis::Options(n_options) = axis { *n_options } else { 1 };
                    let mine = options.get(row).copied();
                    let shares: Vec<f64> = (0..n_options as u32)
                        .map(|option| if mine.is_none_or(|mine| mine == f64::from(option)) { *own } else { *other })
                        .collect();
                    (Gene::Choice(stream.option(&shares)), 0.0)
                }
            };
            genes.push(gene);
            units.push(unit);
        }
        (genes, units)
    }

    fn log_density(&self, ground: &Ground, genes: &[Gene], units: &[f64], scratch: &mut (Vec<f64>, Vec<f64>)) -> f64 {
        let (exponents, factors) = scratch;
        exponents.clone_from(&self.logs);
        factors.clear();
        factors.resize(self.n_rows(), 1.0);
        for ((dimension, idx), (gene, unit)) in self.dimensions.iter().zip(&ground.always).zip(genes.iter().zip(units))
        {
            match dimension {
                Dimension::Real { means, rates, .. } => subtract_squares(exponents, *unit, means, rates),
                Dimension::Cells { means, deviations, inverse_masses } => {
                    let Some((low, high)) = ground.axes[*idx].cell(gene) else { continue };
                    let kernels = means.iter().zip(deviations).zip(inverse_masses);
                    for (factor, ((mean, deviation), inverse_mass)) in factors.iter_mut().zip(kernels) {
                        *factor *= inverse_mass * mass(*mean, *deviation, low, high);
                    }
                }
                Dimension::Options { options, own, other, prior } => {
                    let Gene::Choice(option) = gene else { continue };
                    let option = f64::from(*option);
                    for (factor, mine) in factors.iter_mut().zip(options) {
                        *factor *= if *mine == option { *own } else { *other };
                    }
                    if let Some(last) = factors.last_mut() {
                        *last *= prior;
                    }
                }
            }
        }
        let total = self.cumulated.last().copied().unwrap_or(1.0);
        log_sum(exponents, factors) - total.ln()
    }
}

/// Moves the heights into the logarithms.
fn fold(logs: &mut [f64], heights: &mut [f64]) {
    for (log, height) in logs.iter_mut().zip(heights) {
        *log += height.ln();
        *height = 1.0;
    }
}

/// A decision's kernels in the order of the rows; rows without one have the prior.
struct ByRow {
    means: Vec<f64>,
    deviations: Vec<f64>,
    kernel_of: Vec<Option<usize>>,
}

fn scatter(kernels: &Kernels, rows: &[u32], n_rows: usize, n_kernels: usize) -> ByRow {
    let mut by_row =
        ByRow { means: vec![PRIOR_MEAN; n_rows], deviations: vec![1.0; n_rows], kernel_of: vec![None; n_rows] };
    for at in 0..n_kernels {
        let trial: Trial = kernels.trials[at];
        let Some(row) = rows.get(trial as usize).map(|row| *row as usize).filter(|row| *row < n_rows) else { continue };
        by_row.means[row] = kernels.means[at];
        by_row.deviations[row] = kernels.deviations[at];
        by_row.kernel_of[row] = Some(at);
    }
    by_row
}

fn options(idx: usize, n_options: usize, trials: &Trials, model: &Model, prior: f64, good: bool) -> Dimension {
    let column = trials.columns().get(idx).map_or(&[][..], |column| column.options());
    let told = column.iter().enumerate().filter(|(trial, _)| model.is_good(*trial) == good);
    let mut options: Vec<f64> = told.map(|(_, option)| option.map_or(-1.0, f64::from)).collect();
    if !good {
        let flying = model.in_flight().iter().map(|genes| match genes.get(idx) {
            Some(Gene::Choice(option)) => f64::from(*option),
            _ => -1.0,
        });
        options.extend(flying);
    }
    let (own, other) = Options::row(n_options, prior, options.len());
    Dimension::Options { options, own, other, prior: 1.0 / n_options as f64 }
}
