//! The estimate of one decision on one side of the split, ready to be asked and drawn from.
//!
//! Numbers: a mixture of the kernels, weighted by age, and of a prior as wide as the interval. Kernels of the least width
//! are most of them once there are many; those of real numbers are asked in boxes, those of whole numbers and levels, where
//! equal ones are one kernel, through a window of [`REACH`] deviations in their sorted list. The others are at most 200, as
//! the gaps that widen them add up to the interval.
//!
//! Options: shares of the weights with a pseudo-count, the mixture of Optuna's rows in closed form.

use crate::gauss::{INV_SQRT_TAU, REACH, mass, sum};
use crate::kernels::{Kernels, Trial};
use crate::transform::Boxes;

/// The prior's mean; its deviation is 1.
pub const PRIOR_MEAN: f64 = 0.5;

/// One over the prior's mass within the unit interval: 1 / erf(1 / sqrt 8).
pub const PRIOR_INVERSE_MASS: f64 = 2.611_477_971_571_779;

/// A mixture of cut-off normal distributions on the unit interval.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// For densities.
    boxes: Boxes,
    /// For masses of cells.
    narrow_means: Vec<f64>,
    /// Of all kernels, 0 for wide ones, for densities; by `narrow_means` for masses of cells.
    narrow_weights: Vec<f64>,
    floor: f64,
    wide_means: Vec<f64>,
    wide_rates: Vec<f64>,
    /// For densities: weight times the height of the kernel.
    wide_weights: Vec<f64>,
    /// For masses of cells.
    wide_masses: Vec<(f64, f64)>,
    total: f64,
}

impl Numbers {
    /// `weights` by trial; `prior` the prior's. Refills the columns of an older one.
    pub fn fill(&mut self, kernels: &Kernels, weights: &[f64], prior: f64, cells: bool) {
        self.narrow_means.clear();
        self.narrow_weights.clear();
        self.wide_means.clear();
        self.wide_rates.clear();
        self.wide_weights.clear();
        self.wide_masses.clear();
        self.floor = kernels.floor();
        self.total = prior;
        let weight_of = |trial: &Trial| weights.get(*trial as usize).copied().unwrap_or(0.0);
        if cells {
            self.total += kernels.trials.iter().map(weight_of).sum::<f64>();
            self.merge(kernels, weight_of);
            self.widen(PRIOR_MEAN, 1.0, prior * PRIOR_INVERSE_MASS, cells);
            return;
        }
        // Columns one after the other: loops without branches, then the few wide kernels.
        let (mut total, columns) = (0.0, kernels.trials.iter().zip(&kernels.inverse_masses));
        self.narrow_weights.extend(columns.map(|(trial, inverse_mass)| {
            let weight = weight_of(trial);
            total += weight;
            weight * inverse_mass
        }));
        self.total += total;
        for (at, deviation) in kernels.deviations.iter().enumerate() {
            if *deviation > self.floor
                && let (Some(mean), Some(weight)) = (kernels.means.get(at), self.narrow_weights.get_mut(at))
            {
                let weight = std::mem::take(weight);
                self.widen(*mean, *deviation, weight, cells);
            }
        }
        self.widen(PRIOR_MEAN, 1.0, prior * PRIOR_INVERSE_MASS, cells);
        self.boxes.fill(self.floor, &kernels.means, &self.narrow_weights);
    }

    /// Kernels for masses of cells; equal narrow ones, as whole numbers repeat, become one.
    fn merge(&mut self, kernels: &Kernels, weight_of: impl Fn(&Trial) -> f64) {
        let columns = kernels.means.iter().zip(&kernels.trials).zip(&kernels.deviations).zip(&kernels.inverse_masses);
        let mut last = f64::NAN;
        for (((mean, trial), deviation), inverse_mass) in columns {
            let weight = weight_of(trial) * inverse_mass;
            if *deviation > self.floor {
                self.widen(*mean, *deviation, weight, true);
            } else if *mean == last
                && let Some(before) = self.narrow_weights.last_mut()
            {
                *before += weight;
            } else {
                self.narrow_means.push(*mean);
                self.narrow_weights.push(weight);
                last = *mean;
            }
        }
    }

    fn widen(&mut self, mean: f64, deviation: f64, weight: f64, cells: bool) {
        self.wide_means.push(mean);
        if cells {
            self.wide_masses.push((deviation, weight));
        } else {
            self.wide_rates.push(0.5 / (deviation * deviation));
            self.wide_weights.push(weight * INV_SQRT_TAU / deviation);
        }
    }

    fn window(&self, low: f64, high: f64) -> std::ops::Range<usize> {
        let reach = REACH * self.floor;
        let from = self.narrow_means.partition_point(|mean| *mean < low - reach);
        let to = self.narrow_means.partition_point(|mean| *mean <= high + reach);
        from..to.max(from)
    }

    /// The density at `x`, for a mixture without cells.
    pub fn density(&self, x: f64) -> f64 {
        let narrow = self.boxes.sum(x) * INV_SQRT_TAU / self.floor;
        (narrow + sum(x, &self.wide_means, &self.wide_rates, &self.wide_weights)) / self.total
    }

    /// The mass of a cell, for a mixture with cells.
    pub fn cell(&self, low: f64, high: f64) -> f64 {
        let window = self.window(low, high);
        let means = self.narrow_means.get(window.clone()).unwrap_or_default().iter();
        let weights = self.narrow_weights.get(window).unwrap_or_default();
        let narrow: f64 = means.zip(weights).map(|(mean, weight)| weight * mass(*mean, self.floor, low, high)).sum();
        let wide = self.wide_means.iter().zip(&self.wide_masses);
        let wide: f64 = wide.map(|(mean, (deviation, weight))| weight * mass(*mean, *deviation, low, high)).sum();
        (narrow + wide) / self.total
    }
}

/// Observed options with weights. Each observation is a row of shares with a pseudo-count spread over the n + 1 rows; the
/// prior is a row of its own, alike for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    weights: Vec<f64>,
    n_observations: usize,
}

impl Options {
    /// None observed yet.
    pub fn new(n_options: usize) -> Self {
        Self { weights: vec![0.0; n_options], n_observations: 0 }
    }

    /// One observation more.
    pub fn add(&mut self, option: u32, weight: f64) {
        if let Some(sum) = self.weights.get_mut(option as usize) {
            *sum += weight;
            self.n_observations += 1;
        }
    }

    /// The share of each option in the mixture; they add up to 1.
    pub fn shares(self, prior: f64) -> Vec<f64> {
        let n_options = self.weights.len();
        let total: f64 = self.weights.iter().sum();
        let (own, other) = Self::row(n_options, prior, self.n_observations);
        let mut shares = self.weights;
        for share in &mut shares {
            *share = (*share * (own - other) + total * other + prior / n_options as f64) / (total + prior);
        }
        shares
    }

    /// What one observed row gives to its own option, and to any other.
    pub fn row(n_options: usize, prior: f64, n_observations: usize) -> (f64, f64) {
        let pseudo = prior / (n_observations + 1) as f64;
        let row = 1.0 + pseudo * n_options as f64;
        ((1.0 + pseudo) / row, pseudo / row)
    }
}

/// Weights by age of `n` observations, oldest first: from 25 on the older ones rise from 1/n to 1 and the last 25 count
/// fully (Bergstra et al. 2013's "linear forgetting").
pub fn age_weight(rank: usize, n: usize) -> f64 {
    const FULL: usize = 25;
    let ramp = n.saturating_sub(FULL);
    if n < FULL || rank >= ramp {
        return 1.0;
    }
    let least = 1.0 / n as f64;
    if ramp < 2 { least } else { least + (1.0 - least) * rank as f64 / (ramp - 1) as f64 }
}

/// The kernel that a share of the total weight falls on; none for the prior.
pub fn pick(kernels: &Kernels, weights: &[f64], prior: f64, share: f64) -> Option<usize> {
    let weight = |trial: &Trial| weights.get(*trial as usize).copied().unwrap_or(0.0);
    let total: f64 = kernels.trials.iter().map(weight).sum::<f64>() + prior;
    let mut left = share * total;
    for (at, trial) in kernels.trials.iter().enumerate() {
        left -= weight(trial);
        if left < 0.0 {
            return Some(at);
        }
    }
    None
}
