//! The split into the good trials and the rest, and the kernels of both sides, kept up from trial to trial.
//!
//! A trial told changes the split by one or two trials, so a proposal costs no sorting. After a restore, or when much was
//! told at once, everything is built anew; both ways give the same numbers.

use nas_strategy_sdk::{Architecture, Gene};

use crate::axis::Axis;
use crate::kernels::{Kernels, Trial};
use crate::mixture::age_weight;
use crate::trials::Trials;

/// How many of the scored trials are good ones: `min(ceil(fraction * n), at_most)`, Optuna's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Of the scored trials.
    pub fraction: f64,
    /// Their largest number.
    pub at_most: usize,
}

impl Split {
    /// Good ones among `n`.
    pub fn good(&self, n: usize) -> usize {
        ((self.fraction * n as f64).ceil() as usize).min(self.at_most).min(n)
    }
}

/// Kernels of a numerical decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sides {
    /// Of the good trials.
    pub good: Kernels,
    /// Of the rest, those in flight included.
    pub rest: Kernels,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Whether each trial is a good one.
    is_good: Vec<bool>,
    /// Scored trials, best first; among equals the earlier first.
    ranking: Vec<Trial>,
    n_good: usize,
    /// By decision; none where it is not numerical.
    sides: Vec<Option<Sides>>,
    in_flight: Vec<Architecture>,
}

impl Model {
    /// Scored trials.
    pub fn n_scored(&self) -> usize {
        self.ranking.len()
    }

    /// Whether a trial is a good one.
    pub fn is_good(&self, trial: usize) -> bool {
        self.is_good.get(trial).copied().unwrap_or(false)
    }

    /// The same of all trials.
    pub fn good_ones(&self) -> &[bool] {
        &self.is_good
    }

    /// Kernels of a decision, if it is numerical.
    pub fn sides(&self, decision: usize) -> Option<&Sides> {
        self.sides.get(decision)?.as_ref()
    }

    /// Architectures in flight, numbered from the number of trials on.
    pub fn in_flight(&self) -> &[Architecture] {
        &self.in_flight
    }

    /// Take in what was told since the last time.
    pub fn catch_up(&mut self, trials: &Trials, axes: &[Axis], split: Split) {
        let new = trials.len().saturating_sub(self.is_good.len());
        if self.sides.len() != axes.len() || new > 32 {
            self.rebuild(trials, axes, split);
        } else {
            (self.is_good.len()..trials.len()).for_each(|trial| self.add(trial, trials, axes, split));
        }
    }

    fn rebuild(&mut self, trials: &Trials, axes: &[Axis], split: Split) {
        self.ranking = trials.best_first().into_iter().map(|trial| trial as Trial).collect();
        self.n_good = split.good(self.ranking.len());
        self.is_good = vec![false; trials.len()];
        for trial in self.ranking.iter().take(self.n_good) {
            if let Some(is_good) = self.is_good.get_mut(*trial as usize) {
                *is_good = true;
            }
        }
        let observations = |axis: &Axis, column: &crate::trials::Column, good: bool| {
            let trials = self.is_good.iter().enumerate().filter(|(_, is_good)| **is_good == good);
            Kernels::of(
                trials.filter_map(|(trial, _)| Some((axis.unit(&column.gene(trial))?, trial as Trial))).collect(),
            )
        };
        let sides = axes.iter().zip(trials.columns()).map(|(axis, column)| {
            axis.is_numerical()
                .then(|| Sides { good: observations(axis, column, true), rest: observations(axis, column, false) })
        });
        self.sides = sides.collect();
        self.in_flight.clear();
    }

    fn add(&mut self, trial: usize, trials: &Trials, axes: &[Axis], split: Split) {
        self.is_good.push(false);
        self.put(trial, &trials.architecture(trial), axes);
        let Some(score) = trials.score(trial) else { return };
        let worse = |other: &Trial| trials.score(*other as usize).is_some_and(|other| other >= score);
        let rank = self.ranking.partition_point(worse);
        self.ranking.insert(rank, trial as Trial);
        let n_good = split.good(self.ranking.len());
        // All that may have changed sides: the new one, and those beside the border.
        let around = [rank, self.n_good, n_good.saturating_sub(1), n_good];
        self.n_good = n_good;
        for rank in around {
            let Some(trial) = self.ranking.get(rank).map(|trial| *trial as usize) else { continue };
            let is_good = rank < n_good;
            if self.is_good(trial) != is_good {
                let genes = trials.architecture(trial);
                self.take(trial, &genes, axes);
                if let Some(place) = self.is_good.get_mut(trial) {
                    *place = is_good;
                }
                self.put(trial, &genes, axes);
            }
        }
    }

    fn put(&mut self, trial: usize, genes: &[Gene], axes: &[Axis]) {
        let is_good = self.is_good(trial);
        for ((sides, axis), gene) in self.sides.iter_mut().zip(axes).zip(genes) {
            if let (Some(sides), Some(unit)) = (sides, axis.unit(gene)) {
                if is_good { &mut sides.good } else { &mut sides.rest }.insert(unit, trial as Trial);
            }
        }
    }

    fn take(&mut self, trial: usize, genes: &[Gene], axes: &[Axis]) {
        let is_good = self.is_good(trial);
        for ((sides, axis), gene) in self.sides.iter_mut().zip(axes).zip(genes) {
            if let (Some(sides), Some(unit)) = (sides, axis.unit(gene)) {
                if is_good { &mut sides.good } else { &mut sides.rest }.remove(unit, trial as Trial);
            }
        }
    }

    /// Count an architecture in flight among the rest, until [`land`](Self::land).
    pub fn fly(&mut self, genes: Architecture, axes: &[Axis]) {
        self.put(self.is_good.len() + self.in_flight.len(), &genes, axes);
        self.in_flight.push(genes);
    }

    /// Forget what is in flight.
    pub fn land(&mut self, axes: &[Axis]) {
        while let Some(genes) = self.in_flight.pop() {
            self.take(self.is_good.len() + self.in_flight.len(), &genes, axes);
        }
    }

    /// The weight of each trial on its side, by age; those in flight are the newest of the rest.
    pub fn weights(&self) -> Vec<f64> {
        let n = self.is_good.len() + self.in_flight.len();
        let n_rest = n - self.n_good;
        let (mut good, mut rest) = (0, 0);
        let weigh = |trial| {
            if self.is_good(trial) {
                good += 1;
                age_weight(good - 1, self.n_good)
            } else {
                rest += 1;
                age_weight(rest - 1, n_rest)
            }
        };
        (0..n).map(weigh).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: Split = Split { fraction: 0.1, at_most: 25 };

    #[test]
    fn the_number_of_good_trials_is_a_tenth_rounded_up_and_at_most_25() {
        let good: Vec<usize> = [0, 1, 10, 11, 249, 250, 1_000].iter().map(|n| SPLIT.good(*n)).collect();
        assert_eq!(good, [0, 1, 1, 2, 25, 25, 25]);
    }

    #[test]
    fn a_model_kept_up_equals_one_built_anew() {
        let axes = [Axis::Levels(7), Axis::Options(3), Axis::Levels(5)];
        let mut trials = Trials::new(&axes);
        let mut kept = Model::default();
        let mut random = 7u64;
        let mut next = move |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for _ in 0..400 {
            let third = if next(2) == 0 { Gene::Inactive } else { Gene::Choice(next(5) as u32) };
            let genes = [Gene::Choice(next(7) as u32), Gene::Choice(next(3) as u32), third];
            // Many equal scores, some infinite ones, some failures.
            let score = match next(10) {
                0 => None,
                1 => Some(f64::NEG_INFINITY),
                _ => Some(next(20) as f64),
            };
            trials.push(&genes, score);
            kept.catch_up(&trials, &axes, SPLIT);
            kept.fly(genes.to_vec(), &axes);
            kept.fly(genes.to_vec(), &axes);
            kept.land(&axes);
            let mut anew = Model::default();
            anew.catch_up(&trials, &axes, SPLIT);
            assert_eq!(kept, anew);
        }
    }

    #[test]
    fn failures_are_never_good_and_do_not_raise_their_number() {
        let axes = [Axis::Levels(3)];
        let mut trials = Trials::new(&axes);
        for trial in 0..40 {
            trials.push(&[Gene::Choice(trial % 3)], (trial % 2 == 0).then_some(f64::from(trial)));
        }
        let mut model = Model::default();
        model.catch_up(&trials, &axes, SPLIT);
        let good: Vec<usize> = (0..40).filter(|trial| model.is_good(*trial)).collect();
        assert_eq!(good, [36, 38]);
        assert_eq!(model.n_scored(), 20);
    }
}
