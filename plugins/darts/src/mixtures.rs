//! Which decisions are mixtures, where their logits lie, and the way between logits and genes.

use std::collections::BTreeMap;

use nas_strategy_sdk::math::{softmax, softmax_backward};
use nas_strategy_sdk::{Architecture, Domain, Gene, Role, SearchSpace};

/// One mixture a decision; their logits lie one after the other in one vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixtures {
    /// Number of options of each decision.
    sizes: Vec<usize>,
    /// For each decision, the option that passes its input on, where there is one.
    skips: Vec<Option<u32>>,
    /// For each decision on an operation, its options' names.
    operations: Vec<Vec<String>>,
}

/// Names for the option that passes its input on: the DARTS and NAS-Bench-201 vocabulary, and the recurrent cell's.
const SKIPS: [&str; 2] = ["skip_connect", "identity"];

impl Mixtures {
    /// Those of a space; an error names a decision that is no choice.
    pub fn of(space: &SearchSpace) -> Result<Self, String> {
        if space.decisions.is_empty() {
            return Err("the space has no decisions".to_owned());
        }
        let mut mixtures = Self { sizes: Vec::new(), skips: Vec::new(), operations: Vec::new() };
        for decision in &space.decisions {
            let n_options = match (&decision.domain, decision.role) {
                (_, Role::HyperParameter) => None,
                (Domain::Choice(_) | Domain::Levels(_), _) => decision.n_options(),
                _ => None,
            };
            let Some(n_options) = n_options else {
                return Err(format!("decision {} cannot be a mixture: only choices of the network can", decision.name));
            };
            mixtures.sizes.push(n_options);
            mixtures.operations.push(match &decision.domain {
                Domain::Choice(names) if decision.role == Role::Operation => names.clone(),
                _ => Vec::new(),
            });
            mixtures.skips.push(SKIPS.iter().find_map(|name| decision.option(name)));
        }
        Ok(mixtures)
    }

    /// Number of logits in all.
    pub fn n_logits(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Each decision's softmax.
    pub fn shares(&self, logits: &[f64]) -> Vec<Vec<f64>> {
        let mut rest = logits;
        self.sizes
            .iter()
            .map(|size| {
                let (own, behind) = rest.split_at_checked(*size).unwrap_or((rest, &[]));
                rest = behind;
                softmax(own)
            })
            .collect()
    }

    /// Each decision's mixture, of all its options.
    pub fn genes(&self, logits: &[f64]) -> Architecture {
        self.shares(logits).into_iter().map(Gene::mixture_of).collect()
    }

    /// d loss / d logit, from d loss / d mixture as the host gives it. The chain rule is applied at the
    /// mixtures that were trained. None if there is no gradient, or if it is not that of full mixtures
    /// (a strategy before this one may have sampled paths).
    pub fn logit_gradient(&self, genes: &[Gene], gradients: &[Vec<f32>]) -> Option<Vec<f64>> {
        if gradients.is_empty() || gradients.len() != self.sizes.len() || genes.len() != self.sizes.len() {
            return None;
        }
        let mut gradient = Vec::with_capacity(self.n_logits());
        for ((gene, slopes), size) in genes.iter().zip(gradients).zip(&self.sizes) {
            let Gene::Mixture(listed) = gene else {
                return None;
            };
            if listed.len() != *size || slopes.len() != *size {
                return None;
            }
            let shares: Vec<f64> = listed.iter().map(|option| f64::from(option.weight)).collect();
            let slopes: Vec<f64> = slopes.iter().map(|slope| f64::from(*slope)).collect();
            gradient.extend(softmax_backward(&shares, &slopes));
        }
        Some(gradient)
    }

    /// The mean weight of each operation over the decisions that can choose it, by name.
    pub fn mean_shares(&self, shares: &[Vec<f64>]) -> BTreeMap<&str, f64> {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (name, share) in self.operations.iter().zip(shares).flat_map(|(names, shares)| names.iter().zip(shares)) {
            let (sum, count) = sums.entry(name).or_default();
            *sum += share;
            *count += 1.0;
        }
        sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
    }

    /// Number of decisions of a derived architecture that pass their input on.
    pub fn n_skips(&self, derived: &[Gene]) -> u32 {
        let skips = derived.iter().zip(&self.skips).filter(|(gene, skip)| skip.is_some() && gene.chosen() == **skip);
        skips.count() as u32
    }
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::testing::{edges_cell, one_max};

    use super::*;

    #[test]
    fn logits_are_laid_out_decision_by_decision() {
        let mixtures = Mixtures::of(&edges_cell(1, 1, &["none", "skip_connect", "conv"])).unwrap();
        assert_eq!(mixtures.n_logits(), 6);
        let shares = mixtures.shares(&[0.0, 0.0, 0.0, 9.0, 0.0, 0.0]);
        assert!((shares[0][2] - 1.0 / 3.0).abs() < 1e-15);
        assert!(shares[1][0] > 0.99);
    }

    #[test]
    fn a_gradient_that_prefers_no_option_moves_no_logit() {
        let mixtures = Mixtures::of(&one_max(2)).unwrap();
        let genes = mixtures.genes(&[0.0, 1.0, 0.5, -0.5]);
        let gradient = mixtures.logit_gradient(&genes, &[vec![3.0, 3.0], vec![0.0, 0.0]]).unwrap();
        assert!(gradient.iter().all(|slope| slope.abs() < 1e-6), "{gradient:?}");
    }

    #[test]
    fn gradients_of_sampled_paths_are_not_taken_for_those_of_full_mixtures() {
        let mixtures = Mixtures::of(&one_max(2)).unwrap();
        let path = vec![Gene::mixture_of([1.0]), Gene::Choice(0)];
        assert_eq!(mixtures.logit_gradient(&path, &[vec![1.0], vec![]]), None);
        assert_eq!(mixtures.logit_gradient(&mixtures.genes(&[0.0; 4]), &[]), None);
    }

    #[test]
    fn a_range_cannot_be_a_mixture_and_is_named() {
        let mut space = one_max(1);
        space.decisions[0].domain = Domain::Real(nas_strategy_sdk::RealRange { low: 0.0, high: 1.0, log_scale: false });
        assert!(Mixtures::of(&space).unwrap_err().contains("bit0"));
    }
}
