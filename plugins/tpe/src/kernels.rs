//! The observations of one numerical decision on one side of the split, sorted, each with its kernel.
//!
//! A kernel's width follows from its neighbours alone: the larger distance to them (Bergstra et al. 2011, section 4;
//! at the ends of the sorted list the only one, Optuna's `consider_endpoints = False`), within `1 / min(100, n + 2)` and 1
//! of the unit interval for n observations ("magic clip"). So an observation more or less touches three kernels, and from
//! 98 observations on nothing else: the list is kept up instead of built anew. Every number in it is a function of the
//! observations in it, not of the way they came, so a list rebuilt from a snapshot is equal to the last bit.

use crate::gauss::{INV_SQRT_TAU, mass};

/// Trials are numbered as they were told; those in flight follow.
pub type Trial = u32;

/// See the module. Four columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernels {
    /// Ascending; among equals by trial.
    pub means: Vec<f64>,
    /// The observation's trial.
    pub trials: Vec<Trial>,
    /// Standard deviations.
    pub deviations: Vec<f64>,
    /// One over the kernel's mass within the unit interval.
    pub inverse_masses: Vec<f64>,
    floor: f64,
}

/// The narrowest kernel among those of `n` observations.
pub fn narrowest(n: usize) -> f64 {
    1.0 / (n as f64 + 2.0).min(100.0)
}

impl Kernels {
    /// From observations in any order.
    pub fn of(mut observations: Vec<(f64, Trial)>) -> Self {
        observations.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (means, trials): (Vec<f64>, Vec<Trial>) = observations.into_iter().unzip();
        let n = means.len();
        let mut kernels =
            Self { means, trials, deviations: vec![0.0; n], inverse_masses: vec![0.0; n], floor: narrowest(n) };
        kernels.refresh(0..n);
        kernels
    }

    /// Number of observations.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// The narrowest kernel allowed now.
    pub fn floor(&self) -> f64 {
        self.floor
    }

    fn place(&self, mean: f64, trial: Trial) -> usize {
        let from = self.means.partition_point(|other| *other < mean);
        let equals = self.means.iter().zip(&self.trials).skip(from);
        from + equals.take_while(|(other, number)| **other == mean && **number < trial).count()
    }

    /// One observation more.
    pub fn insert(&mut self, mean: f64, trial: Trial) {
        let at = self.place(mean, trial);
        self.means.insert(at, mean);
        self.trials.insert(at, trial);
        self.deviations.insert(at, 0.0);
        self.inverse_masses.insert(at, 0.0);
        self.changed(at.saturating_sub(1)..at + 2);
    }

    /// One less; of no effect if it is not there.
    pub fn remove(&mut self, mean: f64, trial: Trial) {
        let at = self.place(mean, trial);
        if self.trials.get(at) != Some(&trial) {
            return;
        }
        self.means.remove(at);
        self.trials.remove(at);
        self.deviations.remove(at);
        self.inverse_masses.remove(at);
        self.changed(at.saturating_sub(1)..at + 1);
    }

    fn changed(&mut self, around: std::ops::Range<usize>) {
        let floor = narrowest(self.len());
        // With two observations the first and the last change their rule.
        if floor == self.floor {
            self.refresh(around.start..around.end.min(self.len()));
        } else {
            self.floor = floor;
            self.refresh(0..self.len());
        }
    }

    fn refresh(&mut self, range: std::ops::Range<usize>) {
        let n = self.len();
        for at in range {
            let mean = self.means[at];
            let left = if at > 0 { Some(mean - self.means[at - 1]) } else { None };
            let right = if at + 1 < n { Some(self.means[at + 1] - mean) } else { None };
            let width = match (left, right) {
                (None, None) => mean.max(1.0 - mean),
                (None, Some(only)) | (Some(only), None) => only,
                (Some(left), Some(right)) => left.max(right),
            };
            let deviation = width.clamp(self.floor, 1.0);
            self.deviations[at] = deviation;
            self.inverse_masses[at] = 1.0 / mass(mean, deviation, 0.0, 1.0);
        }
    }

    /// Density of kernel `at` at its mean, as cut off at the ends of the interval.
    pub fn peak(&self, at: usize) -> f64 {
        self.inverse_masses[at] * INV_SQRT_TAU / self.deviations[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_larger_distance_to_a_neighbour_and_at_the_ends_the_only_one() {
        let kernels = Kernels::of(vec![(0.7, 0), (0.2, 1), (0.3, 2), (0.9, 3)]);
        assert_eq!(kernels.means, [0.2, 0.3, 0.7, 0.9]);
        assert_eq!(kernels.trials, [1, 2, 0, 3]);
        let expected = [1.0 / 6.0, 0.4, 0.4, 0.2]; // the first is clipped to 1 / (4 + 2)
        for (found, expected) in kernels.deviations.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{:?}", kernels.deviations);
        }
    }

    #[test]
    fn a_single_observation_is_as_wide_as_its_distance_to_the_farther_end() {
        assert_eq!(Kernels::of(vec![(0.25, 0)]).deviations, [0.75]);
    }

    #[test]
    fn a_list_kept_up_equals_one_built_anew_to_the_last_bit() {
        let mut random = 1u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 40) as f64 / (1u64 << 24) as f64
        };
        let (mut kept, mut all) = (Kernels::of(vec![]), Vec::new());
        for trial in 0..300 {
            // Doubled values too.
            let mean = if trial % 5 == 4 { 0.5 } else { next() };
            kept.insert(mean, trial);
            all.push((mean, trial));
            if trial % 3 == 2 {
                let (mean, trial) = all.remove((next() * all.len() as f64) as usize);
                kept.remove(mean, trial);
            }
            assert_eq!(kept, Kernels::of(all.clone()), "after {trial}");
        }
        while let Some((mean, trial)) = all.pop() {
            kept.remove(mean, trial);
            assert_eq!(kept, Kernels::of(all.clone()));
        }
        kept.remove(0.5, 7);
        assert!(kept.is_empty());
    }
}
