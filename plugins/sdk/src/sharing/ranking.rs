//! The best candidates, in order, and how far two orders agree.

use serde::{Deserialize, Serialize};

use crate::{Architecture, JobId};

/// An architecture with what it reached on the shared weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The job that evaluated it.
    pub job: JobId,
    /// Its genes.
    pub architecture: Architecture,
    /// Larger is better. A finite number.
    pub score: f64,
}

/// Candidates best first, of equals the earlier first, none twice; no more than a given number of them. Part of
/// a strategy's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    best: Vec<Candidate>,
}

impl Ranking {
    /// Takes a candidate in if it is among the `at_most` best. One that is in already keeps its better score.
    pub fn join(&mut self, candidate: Candidate, at_most: usize) {
        let place = self.best.partition_point(|other| other.score >= candidate.score);
        if place >= at_most {
            return;
        }
        match self.best.iter().position(|other| other.architecture == candidate.architecture) {
            Some(before) if before < place => return,
            Some(before) => drop(self.best.remove(before)),
            None => self.best.truncate(at_most.saturating_sub(1)),
        }
        self.best.insert(place, candidate);
    }

    /// Best first.
    pub fn best(&self) -> &[Candidate] {
        &self.best
    }

    /// The architectures, best first.
    pub fn architectures(&self) -> impl Iterator<Item = &Architecture> {
        self.best.iter().map(|candidate| &candidate.architecture)
    }

    /// The score of an architecture, if it is in.
    pub fn score(&self, architecture: &Architecture) -> Option<f64> {
        self.best.iter().find(|candidate| candidate.architecture == *architecture).map(|candidate| candidate.score)
    }

    /// Number of candidates kept.
    pub fn len(&self) -> usize {
        self.best.len()
    }

    /// Whether nothing was ranked.
    pub fn is_empty(&self) -> bool {
        self.best.is_empty()
    }
}

/// Kendall's tau-b of two judgements of the same things (Kendall 1945): 1 for the same order, -1 for the reverse,
/// ties accounted for. None where one of them sees no difference. Takes time by the square of their number.
pub fn rank_agreement(judged: &[(f64, f64)]) -> Option<f64> {
    let (mut balance, mut n_first, mut n_second) = (0i64, 0i64, 0i64);
    for (idx, (first, second)) in judged.iter().enumerate() {
        for (other_first, other_second) in judged.iter().skip(idx + 1) {
            let order = |a: &f64, b: &f64| a.partial_cmp(b).map_or(0, |order| order as i64);
            let (by_first, by_second) = (order(first, other_first), order(second, other_second));
            balance += by_first * by_second;
            n_first += by_first.abs();
            n_second += by_second.abs();
        }
    }
    (n_first > 0 && n_second > 0).then(|| balance as f64 / ((n_first as f64) * (n_second as f64)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gene;

    fn ranked(scores: &[(u32, f64)], at_most: usize) -> Vec<(u32, f64)> {
        let mut ranking = Ranking::default();
        for (job, (gene, score)) in (0..).zip(scores) {
            let architecture = vec![Gene::Choice(*gene)];
            ranking.join(Candidate { job, architecture, score: *score }, at_most);
        }
        let gene = |candidate: &Candidate| candidate.architecture[0].chosen().unwrap();
        ranking.best().iter().map(|candidate| (gene(candidate), candidate.score)).collect()
    }

    #[test]
    fn the_best_are_kept_in_order_and_none_twice() {
        let scores = [(1, 0.3), (2, 0.5), (3, 0.1), (4, 0.5), (1, 0.2), (3, 0.4)];
        assert_eq!(ranked(&scores, 3), [(2, 0.5), (4, 0.5), (3, 0.4)]);
        assert_eq!(ranked(&scores, 9), [(2, 0.5), (4, 0.5), (3, 0.4), (1, 0.3)]);
        assert_eq!(ranked(&scores, 0), []);
    }

    #[test]
    fn agreement_is_one_for_one_order_and_minus_one_for_its_reverse() {
        assert_eq!(rank_agreement(&[(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]), Some(1.0));
        assert_eq!(rank_agreement(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), Some(-1.0));
        assert_eq!(rank_agreement(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(rank_agreement(&[]), None);
    }

    #[test]
    fn ties_count_as_in_tau_b() {
        // By hand: pairs 12 and 13 agree, 23 is tied in the second; tau-b = 2 / sqrt(3 * 2).
        let tau = rank_agreement(&[(1.0, 1.0), (2.0, 2.0), (3.0, 2.0)]).unwrap();
        assert!((tau - 2.0 / 6f64.sqrt()).abs() < 1e-15);
    }
}
