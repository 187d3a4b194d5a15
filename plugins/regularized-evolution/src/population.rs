//! The living, oldest first, and the best that ever lived.

use std::collections::VecDeque;

use nas_strategy_sdk::{Architecture, JobId};
use serde::{Deserialize, Serialize};

/// Individuals remembered for the recommendation, dead or alive.
const REMEMBERED: usize = 100;

/// A trained architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Individual {
    /// The job that trained it.
    pub job: JobId,
    /// Its genes.
    pub architecture: Architecture,
    /// Its objective, larger is better. Never NaN.
    pub score: f64,
}

/// The state of the evolution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// In told order.
    living: VecDeque<Individual>,
    /// Best first, each architecture once with its best score; among equals the earlier first.
    best: Vec<Individual>,
}

impl Population {
    /// Number of living individuals.
    pub fn len(&self) -> usize {
        self.living.len()
    }

    /// Whether nobody lives.
    pub fn is_empty(&self) -> bool {
        self.living.is_empty()
    }

    /// Everybody kept, the living and the best.
    pub fn individuals(&self) -> impl Iterator<Item = &Individual> {
        self.living.iter().chain(&self.best)
    }

    /// The living, oldest first.
    pub fn living(&self) -> impl Iterator<Item = &Individual> {
        self.living.iter()
    }

    /// The best that ever lived, best first, no architecture twice.
    pub fn best(&self) -> impl Iterator<Item = &Individual> {
        self.best.iter()
    }

    /// Somebody is born; beyond `at_most` the oldest die.
    pub fn join(&mut self, individual: Individual, at_most: usize) {
        self.remember(&individual);
        self.living.push_back(individual);
        while self.living.len() > at_most {
            self.living.pop_front();
        }
    }

    fn remember(&mut self, individual: &Individual) {
        let place = self.best.partition_point(|other| other.score >= individual.score);
        if place >= REMEMBERED {
            return;
        }
        match self.best.iter().position(|other| other.architecture == individual.architecture) {
            Some(before) if before < place => return,
            Some(before) => drop(self.best.remove(before)),
            None => self.best.truncate(REMEMBERED - 1),
        }
        self.best.insert(place, individual.clone());
    }

    /// The best of the individuals at these positions; among equals the first drawn.
    pub fn winner(&self, positions: &[u64]) -> Option<&Individual> {
        let mut winner: Option<&Individual> = None;
        for individual in positions.iter().filter_map(|position| self.living.get(*position as usize)) {
            if winner.is_none_or(|best| individual.score > best.score) {
                winner = Some(individual);
            }
        }
        winner
    }

    /// Mean score of the living; 0 if nobody lives.
    pub fn mean_score(&self) -> f64 {
        self.living.iter().map(|individual| individual.score).sum::<f64>() / self.living.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::Gene;

    use super::*;

    fn individual(job: JobId, gene: u32, score: f64) -> Individual {
        Individual { job, architecture: vec![Gene::Choice(gene)], score }
    }

    #[test]
    fn the_oldest_dies_even_if_it_is_the_best() {
        let mut population = Population::default();
        for (job, score) in [(1, 0.9), (2, 0.1), (3, 0.2)] {
            population.join(individual(job, job as u32, score), 2);
        }
        assert_eq!(population.living().map(|one| one.job).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(population.best().map(|one| one.job).collect::<Vec<_>>(), [1, 3, 2]);
    }

    #[test]
    fn age_is_counted_in_told_order_not_in_id_order() {
        let mut population = Population::default();
        for job in [5, 3, 4] {
            population.join(individual(job, 0, 0.0), 2);
        }
        assert_eq!(population.living().map(|one| one.job).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn an_architecture_is_remembered_once_with_its_best_score() {
        let mut population = Population::default();
        for (job, gene, score) in [(1, 7, 0.3), (2, 8, 0.2), (3, 7, 0.1), (4, 8, 0.5)] {
            population.join(individual(job, gene, score), 10);
        }
        let best: Vec<_> = population.best().map(|one| (one.job, one.score)).collect();
        assert_eq!(best, [(4, 0.5), (1, 0.3)]);
    }

    #[test]
    fn among_equals_the_first_drawn_wins_the_tournament() {
        let mut population = Population::default();
        for job in 0..4 {
            population.join(individual(job, 0, f64::from(job as u32 / 2)), 10);
        }
        assert_eq!(population.winner(&[0, 3, 2]).unwrap().job, 3);
        assert_eq!(population.winner(&[0, 2, 3]).unwrap().job, 2);
        assert_eq!(population.winner(&[]), None);
    }

    #[test]
    fn only_a_bounded_number_is_remembered() {
        let mut population = Population::default();
        for job in 0..3 * REMEMBERED as u64 {
            population.join(individual(job, job as u32, job as f64), 10);
        }
        assert_eq!(population.best().count(), REMEMBERED);
        assert_eq!(population.best().next().unwrap().job, 3 * REMEMBERED as u64 - 1);
    }
}
