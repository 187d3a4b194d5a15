//! A product of softmaxes: for each decision one vector of logits over its options.
//!
//! A range stands for a few *bins* of equal share of its scale; a value is drawn evenly within its bin. Ranges
//! of no more whole numbers than bins have one for each number. Decisions that a rule of the space speaks of
//! are limited to what the space leaves open after the genes before them, and so is their gradient.

use std::ops::Range;

use nas_strategy_sdk::math::{drawn, share_of_word};
use nas_strategy_sdk::{Architecture, Decision, Domain, Gene, SearchSpace, random, space};

/// Which decisions are limited to what the space opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Those that the space's rules name.
    Named,
    /// All: the space has rules which it does not write down.
    All,
}

/// The layout of the logits. They themselves are state.
pub struct Policy {
    decisions: Vec<Decision>,
    /// Places of each decision's logits.
    places: Vec<Range<usize>>,
    /// Whether a rule speaks of the decision.
    named: Vec<bool>,
    n_logits: usize,
}

/// The gradient of a sample's negative log-probability, and what was seen on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Slope {
    /// d -ln p(architecture) / d logit.
    pub gradient: Vec<f64>,
    /// d -entropy / d logit.
    pub order: Vec<f64>,
    /// Entropy of the active decisions after the genes before them, in nats.
    pub entropy: f64,
}

impl Policy {
    /// The policy's layout for a space.
    pub fn new(search_space: &SearchSpace, bins: u32) -> Self {
        let mut named = vec![false; search_space.decisions.len()];
        let counted = search_space.counts.iter().flat_map(|rule| rule.decisions.iter());
        let forbidden = search_space.forbidden.iter().flatten().map(|condition| &condition.decision);
        for decision in counted.chain(forbidden) {
            if let Some(named) = named.get_mut(*decision as usize) {
                *named = true;
            }
        }
        let mut n_logits = 0;
        let places = search_space.decisions.iter().map(|decision| {
            let first = n_logits;
            n_logits += n_options(&decision.domain, bins);
            first..n_logits
        });
        let places = places.collect();
        Self { decisions: search_space.decisions.clone(), places, named, n_logits }
    }

    /// Number of logits.
    pub fn n_logits(&self) -> usize {
        self.n_logits
    }

    /// An architecture, decision by decision. Draws two words a decision, whatever comes of them.
    pub fn sample(&self, logits: &[f64], masking: Masking) -> Result<Architecture, String> {
        let words = random::fill(2 * self.decisions.len() as u32);
        let mut genes = Architecture::with_capacity(self.decisions.len());
        let mut shares = Vec::new();
        for ((idx, decision), [option, value]) in self.decisions.iter().enumerate().zip(words.as_chunks::<2>().0) {
            let gene = if space::is_active(decision, &genes) {
                let open = self.open(idx, &genes, masking)?;
                softmax_of_open(self.logits_of(idx, logits), open.as_deref(), &mut shares);
                let option = drawn(&shares, share_of_word(*option));
                self.gene(decision, option, shares.len(), share_of_word(*value))
            } else {
                Gene::Inactive
            };
            genes.push(gene);
        }
        Ok(genes)
    }

    /// How the log-probability of an architecture and the policy's entropy depend on the logits. None where
    /// the genes are not those of a stand-alone architecture of the space.
    pub fn slope(&self, logits: &[f64], genes: &Architecture, masking: Masking) -> Option<Slope> {
        if genes.len() != self.decisions.len() {
            return None;
        }
        let mut slope = Slope { gradient: vec![0.0; self.n_logits], order: vec![0.0; self.n_logits], entropy: 0.0 };
        let mut shares = Vec::new();
        for (idx, gene) in genes.iter().enumerate() {
            if *gene == Gene::Inactive {
                continue;
            }
            let place = self.places.get(idx)?.clone();
            let chosen = option_of(&self.decisions.get(idx)?.domain, gene, place.len())?;
            let open = self.open(idx, genes.get(..idx)?, masking).ok()?;
            let logits = self.logits_of(idx, logits);
            let log_total = softmax_of_open(logits, open.as_deref(), &mut shares);
            // The logarithm of a share is its logit minus that of the total.
            let entropy = log_total - shares.iter().zip(logits).map(|(share, logit)| share * logit).sum::<f64>();
            slope.entropy += entropy;
            let slopes = slope.gradient.get_mut(place.clone())?.iter_mut().zip(slope.order.get_mut(place)?);
            for (option, ((gradient, order), (share, logit))) in slopes.zip(shares.iter().zip(logits)).enumerate() {
                *gradient = share - f64::from(u8::from(option == chosen));
                *order = share * (logit - log_total + entropy);
            }
        }
        Some(slope)
    }

    fn logits_of<'a>(&self, decision: usize, logits: &'a [f64]) -> &'a [f64] {
        self.places.get(decision).and_then(|place| logits.get(place.clone())).unwrap_or_default()
    }

    /// The options open after these genes; none if all are.
    fn open(&self, decision: usize, before: &[Gene], masking: Masking) -> Result<Option<Vec<u32>>, String> {
        let named = self.named.get(decision).copied().unwrap_or(false);
        let is_range = self.decisions.get(decision).is_none_or(|decision| decision.n_options().is_none());
        if is_range || !(named || masking == Masking::All) {
            return Ok(None);
        }
        space::open_options(before).map(Some)
    }

    fn gene(&self, decision: &Decision, option: usize, n_options: usize, within: f64) -> Gene {
        let own_bins = |range: &nas_strategy_sdk::IntegerRange| range.n_values() == n_options as u64;
        match &decision.domain {
            Domain::Integer(range) if own_bins(range) => Gene::Integer(range.low.saturating_add(option as i64)),
            domain => {
                let share = (option as f64 + within) / n_options.max(1) as f64;
                domain.gene_at(share).unwrap_or(Gene::Choice(option as u32))
            }
        }
    }
}

/// Logits of a decision.
fn n_options(domain: &Domain, bins: u32) -> usize {
    match domain {
        Domain::Choice(options) => options.len(),
        Domain::Levels(levels) => levels.len(),
        Domain::Integer(range) => range.n_values().min(u64::from(bins)) as usize,
        Domain::Real(range) if range.low < range.high => bins as usize,
        Domain::Real(_) => 1,
    }
}

/// The option that a gene stands for.
fn option_of(domain: &Domain, gene: &Gene, n_options: usize) -> Option<usize> {
    let option = match (domain, gene) {
        (Domain::Choice(_) | Domain::Levels(_), Gene::Choice(option)) => *option as usize,
        (Domain::Integer(range), Gene::Integer(value)) if range.n_values() == n_options as u64 => {
            value.checked_sub(range.low)? as usize
        }
        _ => ((domain.share_of(gene)? * n_options as f64) as usize).min(n_options.saturating_sub(1)),
    };
    (option < n_options).then_some(option)
}

/// Softmax over the open options (none: all), zero elsewhere; gives the logarithm of the sum of exponentials.
fn softmax_of_open(logits: &[f64], open: Option<&[u32]>, shares: &mut Vec<f64>) -> f64 {
    let is_open = |option: usize| open.is_none_or(|open| open.binary_search(&(option as u32)).is_ok());
    let mut largest = f64::NEG_INFINITY;
    for (option, logit) in logits.iter().enumerate() {
        if is_open(option) {
            largest = largest.max(*logit);
        }
    }
    shares.clear();
    let each = logits.iter().enumerate();
    shares.extend(each.map(|(option, logit)| if is_open(option) { (logit - largest).exp() } else { 0.0 }));
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    largest + total.ln()
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::math::log_softmax;
    use nas_strategy_sdk::testing::{Host, edges_cell, mixed_space, one_max};

    use super::*;

    /// Spaces with and without rules, logits that differ.
    fn policies() -> Vec<(Policy, Vec<f64>)> {
        let spaces = [one_max(4), mixed_space(), edges_cell(1, 2, &["none", "a", "b"])];
        let with_logits = |space: &SearchSpace| {
            let policy = Policy::new(space, 5);
            let logits = (0..policy.n_logits()).map(|idx| (idx as f64 * 1.7).sin()).collect();
            (policy, logits)
        };
        spaces.iter().map(with_logits).collect()
    }

    fn log_probability(policy: &Policy, logits: &[f64], genes: &Architecture) -> f64 {
        let mut sum = 0.0;
        for (idx, gene) in genes.iter().enumerate().filter(|(_, gene)| **gene != Gene::Inactive) {
            let open = policy.open(idx, &genes[..idx], Masking::Named).unwrap();
            let mut own = policy.logits_of(idx, logits).to_vec();
            for (option, logit) in own.iter_mut().enumerate() {
                if open.as_ref().is_some_and(|open| !open.contains(&(option as u32))) {
                    *logit = f64::NEG_INFINITY;
                }
            }
            let chosen = option_of(&policy.decisions[idx].domain, gene, own.len()).unwrap();
            sum += log_softmax(&own)[chosen];
        }
        sum
    }

    #[test]
    fn the_slope_agrees_with_finite_differences_rules_and_conditions_included() {
        for (policy, logits) in policies() {
            Host::new(&as_space(&policy), 1).install();
            for _ in 0..20 {
                let genes = policy.sample(&logits, Masking::Named).unwrap();
                let slope = policy.slope(&logits, &genes, Masking::Named).unwrap();
                for idx in 0..logits.len() {
                    let moved = |by: f64| {
                        let mut logits = logits.clone();
                        logits[idx] += by;
                        let entropy = policy.slope(&logits, &genes, Masking::Named).unwrap().entropy;
                        (-log_probability(&policy, &logits, &genes), -entropy)
                    };
                    let ((up, up_order), (down, down_order)) = (moved(1e-5), moved(-1e-5));
                    assert!(((up - down) / 2e-5 - slope.gradient[idx]).abs() < 1e-7);
                    assert!(((up_order - down_order) / 2e-5 - slope.order[idx]).abs() < 1e-7);
                }
            }
        }
    }

    /// The rules of the policy's space are those of the spaces above, found by their size.
    fn as_space(policy: &Policy) -> SearchSpace {
        let spaces = [one_max(4), mixed_space(), edges_cell(1, 2, &["none", "a", "b"])];
        spaces.into_iter().find(|space| space.decisions == policy.decisions).unwrap()
    }

    #[test]
    fn options_are_drawn_as_often_as_their_softmax_says() {
        let space = one_max(1);
        let policy = Policy::new(&space, 5);
        Host::new(&space, 3).install();
        let logits = [0.0, 3f64.ln()];
        let ones = (0..4_000).filter(|_| policy.sample(&logits, Masking::Named).unwrap() == [Gene::Choice(1)]).count();
        assert!((2_900..3_100).contains(&ones), "{ones}");
    }

    #[test]
    fn every_value_of_a_range_can_be_drawn_and_has_a_bin() {
        let space = mixed_space();
        let policy = Policy::new(&space, 5);
        Host::new(&space, 5).install();
        let logits = vec![0.0; policy.n_logits()];
        let mut widths = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            let genes = policy.sample(&logits, Masking::All).unwrap();
            if let Gene::Integer(width) = genes[3] {
                widths.insert(width);
            }
            assert!(policy.slope(&logits, &genes, Masking::All).is_some());
        }
        assert_eq!(widths.into_iter().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    }

    #[test]
    fn foreign_genes_have_no_slope() {
        let space = one_max(2);
        let policy = Policy::new(&space, 5);
        Host::new(&space, 0).install();
        for genes in [vec![Gene::Choice(0)], vec![Gene::Choice(7), Gene::Choice(0)], vec![Gene::Real(0.5); 2]] {
            assert_eq!(policy.slope(&[0.0; 4], &genes, Masking::Named), None);
        }
    }
}
