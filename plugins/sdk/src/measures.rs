//! Reading results.

use crate::{Decision, Domain, Goal, Job, Measure, Objective, Outcome, Setup, Trained};

/// The value of a measure, if it is there.
pub fn measure(measures: &[Measure], name: &str) -> Option<f64> {
    measures.iter().find(|measure| measure.name == name).map(|measure| measure.value)
}

impl Objective {
    /// The value, turned so that larger is better; none if it was not measured or is not a number.
    pub fn score(&self, measures: &[Measure]) -> Option<f64> {
        self.turned(measure(measures, &self.metric)?)
    }

    fn turned(&self, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        Some(match self.goal {
            Goal::Maximize => value,
            Goal::Minimize => -value,
        })
    }
}

impl Setup {
    /// The first objective of a finished training, turned so that larger is better: what the host predicts
    /// for full fidelity where it stopped the job early, else what was measured at its end. None for
    /// failures, for work on shared weights and where the objective was not measured.
    pub fn score(&self, job: &Job) -> Option<f64> {
        let objective = self.objectives.first()?;
        let Some(Outcome::Trained(Trained { measures, predicted, .. })) = &job.outcome else {
            return None;
        };
        predicted.and_then(|value| objective.turned(value)).or_else(|| objective.score(measures))
    }

    /// The fidelity to train at: `wanted`, or the highest if none is wanted. An error where the task does
    /// not answer it.
    pub fn fidelity(&self, wanted: Option<u32>) -> Result<u32, String> {
        let fidelity = wanted.unwrap_or(self.max_fidelity);
        if fidelity == 0 || fidelity > self.max_fidelity {
            return Err(format!("fidelity: {fidelity} is not within 1 to {}", self.max_fidelity));
        }
        if !self.fidelities.is_empty() && !self.fidelities.contains(&fidelity) {
            return Err(format!("fidelity: {fidelity} is none of the task's {:?}", self.fidelities));
        }
        Ok(fidelity)
    }
}

impl Decision {
    /// Number of options of a `choice` or `levels`; none for ranges.
    pub fn n_options(&self) -> Option<usize> {
        match &self.domain {
            Domain::Choice(options) => Some(options.len()),
            Domain::Levels(levels) => Some(levels.len()),
            Domain::Integer(_) | Domain::Real(_) => None,
        }
    }

    /// Index of a named option of a `choice`.
    pub fn option(&self, name: &str) -> Option<u32> {
        match &self.domain {
            Domain::Choice(options) => options.iter().position(|option| option == name).map(|idx| idx as u32),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ending, Proposal, testing};

    fn job(measures: Vec<Measure>, predicted: Option<f64>) -> Job {
        let trained = Trained { measures, curve: vec![], ending: Ending::Complete, predicted };
        Job { id: 0, proposal: Proposal::train(vec![], 1), outcome: Some(Outcome::Trained(trained)), cost: 1.0 }
    }

    fn loss(value: f64) -> Vec<Measure> {
        vec![Measure { name: "loss".to_owned(), value }]
    }

    #[test]
    fn a_smaller_loss_scores_higher() {
        let mut setup = testing::setup(testing::one_max(2));
        setup.objectives = vec![Objective { metric: "loss".to_owned(), goal: Goal::Minimize }];
        assert!(setup.score(&job(loss(1.0), None)) > setup.score(&job(loss(2.0), None)));
    }

    #[test]
    fn a_prediction_counts_before_the_measure_of_a_stopped_training() {
        let mut setup = testing::setup(testing::one_max(2));
        setup.objectives = vec![Objective { metric: "loss".to_owned(), goal: Goal::Minimize }];
        assert_eq!(setup.score(&job(loss(2.0), Some(0.5))), Some(-0.5));
    }

    #[test]
    fn what_was_not_measured_has_no_score() {
        let setup = testing::setup(testing::one_max(2));
        assert_eq!(setup.score(&job(loss(2.0), None)), None);
        assert_eq!(setup.score(&job(vec![Measure { name: "accuracy".to_owned(), value: f64::NAN }], None)), None);
    }

    #[test]
    fn only_fidelities_of_the_task_are_accepted() {
        let mut setup = testing::setup(testing::one_max(2));
        setup.max_fidelity = 200;
        assert_eq!(setup.fidelity(None), Ok(200));
        assert_eq!(setup.fidelity(Some(7)), Ok(7));
        setup.fidelities = vec![12, 200];
        setup.fidelity(Some(7)).unwrap_err();
        setup.fidelity(Some(0)).unwrap_err();
        setup.fidelity(Some(300)).unwrap_err();
    }
}
