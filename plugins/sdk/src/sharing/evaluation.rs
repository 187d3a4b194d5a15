//! How candidates are judged with the shared weights: on which minibatches, by which statistics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Architecture, BatchNorm, EvaluationBatches, Job, Measure, Outcome, Proposal, Setup, StrategyError, Work, sharing,
};

/// Which statistics batch normalisation takes in evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// Those of each minibatch evaluated.
    BatchStatistics,
    /// The running averages that all trained paths left together.
    RunningStatistics,
    /// The candidate's own, measured on training minibatches before it is evaluated.
    Recalibrated,
}

/// One way of evaluating, the same for all candidates of a search: else their order would be unfair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    batches: EvaluationBatches,
    batch_norm: BatchNorm,
    is_whole: bool,
}

impl Evaluation {
    /// On the same `n_batches` validation minibatches every time; 0, or more than there are: all. With
    /// [`Normalization::Recalibrated`] statistics come from `recalibration` training minibatches, at least one.
    pub fn new(
        setup: &Setup,
        n_batches: u32,
        normalization: Normalization,
        recalibration: u32,
    ) -> Result<Self, StrategyError> {
        let shared = sharing::shared_weights(setup)?;
        if normalization == Normalization::Recalibrated && recalibration == 0 {
            return Err(StrategyError::InvalidParameters(
                "recalibration-batches: 0 give no statistics; use at least 1, or another batch-norm".to_owned(),
            ));
        }
        let is_whole = n_batches == 0 || n_batches >= shared.validation_batches;
        Ok(Self {
            batches: if is_whole { EvaluationBatches::All } else { EvaluationBatches::First(n_batches) },
            batch_norm: match normalization {
                Normalization::BatchStatistics => BatchNorm::BatchStatistics,
                Normalization::RunningStatistics => BatchNorm::RunningStatistics,
                Normalization::Recalibrated => BatchNorm::Recalibrate(recalibration),
            },
            is_whole,
        })
    }

    /// The same on the whole validation split.
    pub fn on_all(self) -> Self {
        Self { batches: EvaluationBatches::All, is_whole: true, ..self }
    }

    /// Whether it takes the whole validation split.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// A job of candidates.
    pub fn propose(&self, candidates: Vec<Architecture>) -> Proposal {
        Proposal::evaluate_shared(candidates, self.batches, self.batch_norm)
    }

    /// Whether a job evaluated this way.
    pub fn made(&self, job: &Job) -> bool {
        matches!(&job.proposal.work, Work::EvaluateShared(evaluation)
            if evaluation.batches == self.batches && evaluation.batch_norm == self.batch_norm)
    }
}

/// The candidates of an evaluation with what was measured of them, and their score by the first objective
/// (larger is better). Empty for other jobs and failed ones; what has no score is left out.
pub fn scores<'a>(setup: &Setup, job: &'a Job) -> Vec<(&'a Architecture, f64)> {
    let (Some(objective), Work::EvaluateShared(evaluation), Some(Outcome::SharedEvaluations(results))) =
        (setup.objectives.first(), &job.proposal.work, &job.outcome)
    else {
        return Vec::new();
    };
    let scored = |(architecture, measures): (&'a Architecture, &Vec<Measure>)| {
        Some((architecture, objective.score(measures).filter(|score| score.is_finite())?))
    };
    evaluation.architectures.iter().zip(results).filter_map(scored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{failed, one_max, setup};
    use crate::{FailureKind, Gene};

    fn work(evaluation: Evaluation) -> (EvaluationBatches, BatchNorm) {
        match evaluation.propose(vec![vec![Gene::Choice(0)]]).work {
            Work::EvaluateShared(work) => (work.batches, work.batch_norm),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn more_minibatches_than_there_are_mean_all_of_them() {
        // The test's setup has 5.
        let setup = setup(one_max(1));
        for (n_batches, expected) in [
            (0, EvaluationBatches::All),
            (3, EvaluationBatches::First(3)),
            (5, EvaluationBatches::All),
            (9, EvaluationBatches::All),
        ] {
            let evaluation = Evaluation::new(&setup, n_batches, Normalization::BatchStatistics, 0).unwrap();
            assert_eq!(work(evaluation), (expected, BatchNorm::BatchStatistics));
            assert_eq!(evaluation.is_whole(), expected == EvaluationBatches::All);
        }
    }

    #[test]
    fn recalibration_needs_a_minibatch() {
        let setup = setup(one_max(1));
        let evaluation = Evaluation::new(&setup, 1, Normalization::Recalibrated, 25).unwrap();
        assert_eq!(work(evaluation).1, BatchNorm::Recalibrate(25));
        assert!(Evaluation::new(&setup, 1, Normalization::Recalibrated, 0).is_err());
    }

    #[test]
    fn what_was_not_measured_has_no_score() {
        let setup = setup(one_max(1));
        let evaluation = Evaluation::new(&setup, 0, Normalization::RunningStatistics, 0).unwrap();
        let proposal = evaluation.propose(vec![vec![Gene::Choice(0)], vec![Gene::Choice(1)], vec![Gene::Choice(0)]]);
        let accuracy = |value| vec![Measure { name: "accuracy".to_owned(), value }];
        let outcome = Outcome::SharedEvaluations(vec![accuracy(0.25), Vec::new(), accuracy(f64::NAN)]);
        let mut job = Job { id: 0, proposal, outcome: Some(outcome), cost: 0.0 };
        assert_eq!(scores(&setup, &job), [(&vec![Gene::Choice(0)], 0.25)]);
        assert!(evaluation.made(&job));
        job.outcome = Some(failed(FailureKind::TimedOut));
        assert!(scores(&setup, &job).is_empty());
    }
}
