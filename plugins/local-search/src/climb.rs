//! Where the search stands. A *round* is the start of a climb or one neighbourhood: its jobs are told, then
//! the climb moves to the best of them, or ends.

use std::collections::BTreeSet;

use nas_strategy_sdk::{Architecture, JobId, Seen};
use serde::{Deserialize, Serialize};

/// A trained architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The job that trained it.
    pub job: JobId,
    /// Its genes.
    pub architecture: Architecture,
    /// Its objective, larger is better. Never NaN.
    pub score: f64,
}

/// The state of the search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Climb {
    /// Where the climb stands; none while its start is sought.
    pub current: Option<Position>,
    /// The best of the round.
    pub candidate: Option<Position>,
    /// Neighbours of `current` not looked at yet, the next one last.
    pub to_visit: Vec<Architecture>,
    /// Random architectures that this round still begins with.
    pub starts_left: u32,
    /// Jobs of the round in flight.
    pub round: BTreeSet<JobId>,
    /// Climbs that ended in a local optimum.
    pub optima: u64,
    /// What was trained or is in flight.
    pub seen: Seen,
}

/// What comes after a round.
#[derive(Debug, PartialEq)]
pub enum Turn {
    /// The climb moved: to where `current` is now.
    Moved,
    /// No neighbour is better: a local optimum, or no start succeeded.
    Ended,
}

impl Climb {
    /// A result of the round, or of another strategy.
    pub fn offer(&mut self, position: Position) {
        if self.candidate.as_ref().is_none_or(|best| position.score > best.score) {
            self.candidate = Some(position);
        }
    }

    /// Whether the best of the round is better than where the climb stands.
    pub fn has_improved(&self) -> bool {
        match (&self.current, &self.candidate) {
            (Some(current), Some(candidate)) => candidate.score > current.score,
            _ => false,
        }
    }

    /// Ends the round early. Its jobs in flight are told all the same and may still improve the climb.
    pub fn cut_short(&mut self) {
        self.to_visit.clear();
        self.round.clear();
    }

    /// Ends the round.
    pub fn turn(&mut self) -> Turn {
        let candidate = self.candidate.take();
        let better = match (&self.current, candidate) {
            (Some(current), Some(candidate)) if candidate.score > current.score => Some(candidate),
            (None, candidate) => candidate,
            _ => None,
        };
        match better {
            Some(better) => {
                self.current = Some(better);
                Turn::Moved
            }
            None => {
                self.optima += u64::from(self.current.take().is_some());
                Turn::Ended
            }
        }
    }

    /// Every architecture kept.
    pub fn architectures(&self) -> impl Iterator<Item = &Architecture> {
        let positions = self.current.iter().chain(&self.candidate).map(|position| &position.architecture);
        positions.chain(&self.to_visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(job: JobId, score: f64) -> Position {
        Position { job, architecture: Vec::new(), score }
    }

    #[test]
    fn a_climb_moves_to_the_best_of_a_round_and_ends_where_none_is_better() {
        let mut climb = Climb::default();
        [at(0, 0.2), at(1, 0.4), at(2, 0.4)].into_iter().for_each(|position| climb.offer(position));
        assert_eq!((climb.turn(), climb.current.as_ref().map(|position| position.job)), (Turn::Moved, Some(1)));
        climb.offer(at(3, 0.4));
        assert!(!climb.has_improved(), "an equal is not better");
        assert_eq!((climb.turn(), climb.current.take(), climb.optima), (Turn::Ended, None, 1));
    }

    #[test]
    fn a_start_that_failed_is_no_optimum() {
        let mut climb = Climb::default();
        assert_eq!((climb.turn(), climb.optima), (Turn::Ended, 0));
    }
}
