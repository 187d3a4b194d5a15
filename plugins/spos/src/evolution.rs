//! The evolution: generations of candidates, none of which was visited before and none beyond the constraints.

use std::collections::{BTreeSet, VecDeque};

use nas_strategy_sdk::sharing::{Candidate, Ranking};
use nas_strategy_sdk::{Architecture, Bound, Gene, StrategyError, identity, random, space};
use serde::{Deserialize, Serialize};

use crate::Parameters;

/// Tries for each child wanted, as in the authors' code.
const TRIES_PER_CHILD: u32 = 10;

/// What the evolution remembers: bounded by the number of candidates that it may propose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evolution {
    /// Generations bred.
    pub iteration: u32,
    /// Identities of everything proposed.
    visited: BTreeSet<u64>,
    /// Of the present generation, not yet handed out.
    pub waiting: VecDeque<Architecture>,
    /// Of the present generation, evaluated.
    pub evaluated: Vec<Candidate>,
    /// The best of all generations; the first of them breed.
    pub parents: Ranking,
}

/// How a candidate came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One parent, changed.
    Mutation,
    /// Two parents, mixed.
    Crossover,
    /// A sample of the space.
    Random,
}

impl Evolution {
    /// The next generation: mutations, crossovers, and random samples up to the population's size. Smaller where
    /// tries run out, and empty where nothing new is left.
    pub fn breed(&mut self, parameters: &Parameters, constraints: &[Bound]) -> Result<Vec<Origin>, StrategyError> {
        self.iteration += 1;
        self.evaluated.clear();
        let mut origins = Vec::new();
        if !self.parents.is_empty() {
            for (origin, wanted) in
                [(Origin::Mutation, parameters.mutations), (Origin::Crossover, parameters.crossovers)]
            {
                self.add(origin, wanted, parameters, constraints, &mut origins)?;
            }
        }
        let wanted = parameters.population.saturating_sub(origins.len() as u32);
        self.add(Origin::Random, wanted, parameters, constraints, &mut origins)?;
        Ok(origins)
    }

    fn add(
        &mut self,
        origin: Origin,
        wanted: u32,
        parameters: &Parameters,
        constraints: &[Bound],
        origins: &mut Vec<Origin>,
    ) -> Result<(), StrategyError> {
        let enough = origins.len() + wanted as usize;
        for _ in 0..wanted.saturating_mul(TRIES_PER_CHILD) {
            if origins.len() >= enough {
                break;
            }
            let child = match origin {
                Origin::Mutation => self.mutation(parameters),
                Origin::Crossover => self.crossover(parameters),
                // The host tries often before it says that there is none: once more would not help.
                Origin::Random => match space::sample(constraints) {
                    Ok(sample) => Some(sample),
                    Err(_) => break,
                },
            };
            if let Some(child) = child
                && self.admit(&child)?
            {
                self.waiting.push_back(child);
                origins.push(origin);
            }
        }
        Ok(())
    }

    /// Whether a candidate is legal, within the constraints and new; if so it is visited from now on.
    fn admit(&mut self, candidate: &Architecture) -> Result<bool, StrategyError> {
        Ok(space::check(candidate).is_ok() && self.visited.insert(identity(candidate)?))
    }

    /// A candidate that another instance evaluated.
    pub fn visit(&mut self, candidate: &Architecture) {
        self.visited.extend(identity(candidate).ok());
    }

    fn parent(&self, parameters: &Parameters) -> Option<&Architecture> {
        let n_parents = self.parents.len().min(parameters.parents as usize).max(1);
        let drawn = random::below(n_parents as u64) as usize;
        self.parents.best().get(drawn).map(|candidate| &candidate.architecture)
    }

    /// Each active decision of a parent changed to another value with the given probability.
    fn mutation(&self, parameters: &Parameters) -> Option<Architecture> {
        let parent = self.parent(parameters)?;
        let chosen = draw_decisions(parent, parameters.mutation_probability);
        if chosen.is_empty() {
            return None;
        }
        space::mutate(parent, chosen.len() as u32, &chosen).ok()
    }

    fn crossover(&self, parameters: &Parameters) -> Option<Architecture> {
        let (first, second) = (self.parent(parameters)?, self.parent(parameters)?);
        space::crossover(first, second).ok()
    }
}

/// Each active decision with the given probability. Draws one word a decision.
fn draw_decisions(parent: &Architecture, probability: f64) -> Vec<u32> {
    let words = random::fill(parent.len() as u32);
    let is_drawn = |word: u64| ((word >> 11) as f64 / (1u64 << 53) as f64) < probability;
    let drawn = parent.iter().zip(words).zip(0u32..);
    drawn
        .filter(|((gene, word), _)| **gene != Gene::Inactive && is_drawn(*word))
        .map(|(_, decision)| decision)
        .collect()
}

/// Best and median of some scores; none if there are none.
pub fn best_and_median(evaluated: &[Candidate]) -> Option<(f64, f64)> {
    let mut scores: Vec<f64> = evaluated.iter().map(|candidate| candidate.score).collect();
    scores.sort_by(f64::total_cmp);
    let upper = scores.get(scores.len() / 2)?;
    let lower = scores.get((scores.len() - 1) / 2)?;
    Some((*scores.last()?, (lower + upper) / 2.0))
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::Measure;
    use nas_strategy_sdk::testing::{Host, one_max};

    use super::*;

    const N_DECISIONS: usize = 20;

    fn candidate(genes: Vec<u32>, score: f64) -> Candidate {
        Candidate { job: 0, architecture: genes.into_iter().map(Gene::Choice).collect(), score }
    }

    fn evolution(parents: impl IntoIterator<Item = Candidate>) -> Evolution {
        let mut evolution = Evolution::default();
        parents.into_iter().for_each(|parent| evolution.parents.join(parent, 10));
        evolution
    }

    #[test]
    fn a_mutation_changes_each_decision_with_the_probability_configured() {
        Host::new(&one_max(N_DECISIONS as u32), 3).install();
        let evolution = evolution([candidate(vec![0; N_DECISIONS], 0.5)]);
        let (n_tries, mut changed) = (4_000, [0u32; N_DECISIONS]);
        for child in (0..n_tries).filter_map(|_| evolution.mutation(&Parameters::default())) {
            for (count, gene) in changed.iter_mut().zip(&child) {
                *count += gene.chosen().unwrap();
            }
        }
        // Five deviations of a count of 4,000 draws with p = 0.1 are 95.
        assert!(changed.iter().all(|count| count.abs_diff(400) < 95), "{changed:?}");
    }

    #[test]
    fn a_crossover_takes_each_gene_from_either_parent_with_the_same_chance() {
        Host::new(&one_max(N_DECISIONS as u32), 4).install();
        let parents = [candidate(vec![0; N_DECISIONS], 0.5), candidate(vec![1; N_DECISIONS], 0.4)];
        let evolution = evolution(parents);
        let (mut mixed, mut ones) = (0u32, [0u32; N_DECISIONS]);
        for child in (0..4_000).filter_map(|_| evolution.crossover(&Parameters::default())) {
            // Parents are drawn with replacement: half of the pairs are one parent twice.
            if child.iter().any(|gene| *gene != child[0]) {
                mixed += 1;
                for (count, gene) in ones.iter_mut().zip(&child) {
                    *count += gene.chosen().unwrap();
                }
            }
        }
        assert!(mixed.abs_diff(2_000) < 160, "{mixed}");
        assert!(ones.iter().all(|count| count.abs_diff(mixed / 2) < 125), "{ones:?} of {mixed}");
    }

    #[test]
    fn a_generation_has_as_many_of_each_origin_as_configured_and_none_twice() {
        Host::new(&one_max(N_DECISIONS as u32), 5).install();
        let parents = (0..10).map(|seed| candidate((0..N_DECISIONS as u32).map(|bit| (bit + seed) % 2).collect(), 0.1));
        let mut evolution = evolution(parents);
        let parameters = Parameters { population: 60, ..Parameters::default() };
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let origins = evolution.breed(&parameters, &[]).unwrap();
            let count = |wanted| origins.iter().filter(|origin| **origin == wanted).count();
            assert_eq!([Origin::Mutation, Origin::Crossover, Origin::Random].map(count), [25, 25, 10]);
            for child in evolution.waiting.drain(..) {
                assert!(seen.insert(format!("{child:?}")), "{child:?} twice");
            }
        }
    }

    #[test]
    fn where_few_networks_are_left_a_generation_is_smaller_and_at_last_empty() {
        Host::new(&one_max(3), 6).install();
        let mut evolution = evolution([]);
        let parameters = Parameters { population: 6, crossovers: 0, mutations: 0, ..Parameters::default() };
        let sizes: Vec<_> = (0..3).map(|_| evolution.breed(&parameters, &[]).unwrap().len()).collect();
        assert_eq!(sizes, [6, 2, 0]);
    }

    #[test]
    fn nothing_beyond_the_constraints_is_bred_even_of_parents_beyond_them() {
        let ones = |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64;
        let constraints = vec![Bound { metric: "flops".to_owned(), at_least: None, at_most: Some(9.0) }];
        let cost = move |genes: &[Gene]| Ok(vec![Measure { name: "flops".to_owned(), value: ones(genes) }]);
        let mut host = Host::new(&one_max(N_DECISIONS as u32), 7).with_costs(cost);
        host.constraints = constraints.clone();
        host.install();
        let parents = [candidate(vec![1; N_DECISIONS], 0.9), candidate(vec![0; N_DECISIONS], 0.8)];
        let mut evolution = evolution(parents);
        for _ in 0..20 {
            evolution.breed(&Parameters::default(), &constraints).unwrap();
        }
        assert!(evolution.waiting.len() > 800);
        assert!(evolution.waiting.iter().all(|child| ones(child) <= 9.0));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let scored = |scores: &[f64]| scores.iter().map(|score| candidate(vec![0], *score)).collect::<Vec<_>>();
        assert_eq!(best_and_median(&scored(&[0.4, 0.1, 0.2, 0.3])), Some((0.4, 0.25)));
        assert_eq!(best_and_median(&scored(&[0.4, 0.1, 0.2])), Some((0.4, 0.2)));
        assert_eq!(best_and_median(&[]), None);
    }
}
