//! How far the work on shared weights has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Job, JobId, Outcome, Proposal, Request, Setup, WeightUpdate, Work, history};

/// Failures in a row after which a search has no hope.
const MAX_FAILURES: u32 = 20;

/// Counts of weight steps and evaluated candidates, handed out and told. Part of a strategy's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    steps: u64,
    evaluated: u64,
    in_flight: BTreeMap<JobId, Load>,
    failures: u32,
    last_failure: String,
    pub(super) is_stopped: bool,
}

/// What a job counts for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Load {
    steps: u64,
    candidates: u64,
}

impl Load {
    fn of(work: &Work) -> Self {
        match work {
            Work::Train(_) => Self { steps: 0, candidates: 0 },
            Work::TrainShared(steps) => {
                let updates = steps.iter().filter(|step| step.update == WeightUpdate::Apply).count();
                Self { steps: updates as u64, candidates: 0 }
            }
            Work::EvaluateShared(evaluation) => Self { steps: 0, candidates: evaluation.architectures.len() as u64 },
        }
    }
}

impl Session {
    /// At the beginning: steps that the task says were made count as told.
    pub fn new(setup: &Setup) -> Self {
        let steps = setup.shared_weights.as_ref().map_or(0, |shared| shared.steps_done);
        Self { steps, ..Self::default() }
    }

    /// To be called first in every `ask`: learns of jobs in flight which another instance asked for.
    pub fn look_around(&mut self, request: &Request) {
        // What the host does not name any more it will not tell either.
        self.in_flight.retain(|id, _| request.in_flight.contains(id));
        for id in &request.in_flight {
            if !self.in_flight.contains_key(id)
                && let Some(job) = history::get(*id)
            {
                self.in_flight.insert(*id, Load::of(&job.proposal.work));
            }
        }
    }

    /// A proposal leaves as job `id`.
    pub fn hand_out(&mut self, id: JobId, proposal: &Proposal) {
        self.in_flight.insert(id, Load::of(&proposal.work));
    }

    /// A job was told. A failed one counts as well: it used up its minibatches, its candidates are not tried again.
    pub fn tell(&mut self, job: &Job) {
        self.steps += Load::of(&job.proposal.work).steps;
        self.replay(job);
    }

    /// A job was told before this instance took over: its weight steps are in the setup's count already.
    pub fn replay(&mut self, job: &Job) {
        self.evaluated += Load::of(&job.proposal.work).candidates;
        self.in_flight.remove(&job.id);
        match &job.outcome {
            Some(Outcome::Failed(failure)) => {
                self.failures += 1;
                self.last_failure = failure.message.clone();
            }
            Some(_) => self.failures = 0,
            None => {}
        }
    }

    /// Weight steps told.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Weight steps told or in flight.
    pub fn steps_planned(&self) -> u64 {
        self.steps + self.in_flight.values().map(|load| load.steps).sum::<u64>()
    }

    /// Whether training ended before its last step, because its share of the budget was used.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Candidates told.
    pub fn evaluated(&self) -> u64 {
        self.evaluated
    }

    /// Candidates told or in flight.
    pub fn evaluations_planned(&self) -> u64 {
        self.evaluated + self.in_flight.values().map(|load| load.candidates).sum::<u64>()
    }

    /// Whether no job is in flight.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Why to give up: too many failures in a row.
    pub fn hopeless(&self) -> Option<String> {
        (self.failures >= MAX_FAILURES)
            .then(|| format!("{MAX_FAILURES} jobs in a row failed, the last one: {}", self.last_failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, failed, one_max, setup, shared_steps};
    use crate::{BatchNorm, EvaluationBatches, FailureKind, Gene, SharedStep};

    fn training(n_steps: usize) -> Proposal {
        Proposal::train_shared(vec![SharedStep::weights(vec![Gene::Choice(0)]); n_steps])
    }

    fn evaluation(n_candidates: usize) -> Proposal {
        let candidates = vec![vec![Gene::Choice(0)]; n_candidates];
        Proposal::evaluate_shared(candidates, EvaluationBatches::All, BatchNorm::BatchStatistics)
    }

    fn request(in_flight: &[JobId]) -> Request {
        Request { slots: 1, next_id: 9, in_flight: in_flight.to_vec(), jobs_left: None, budget_used: 0.0 }
    }

    #[test]
    fn what_is_in_flight_is_planned_and_what_is_told_is_done_failed_or_not() {
        let mut session = Session::new(&setup(one_max(1)));
        session.hand_out(0, &training(3));
        session.hand_out(1, &evaluation(2));
        assert_eq!((session.steps(), session.steps_planned()), (0, 3));
        assert_eq!((session.evaluated(), session.evaluations_planned()), (0, 2));
        let outcome = shared_steps(&training(3), |_| (0.0, vec![]));
        session.tell(&Job { id: 0, proposal: training(3), outcome: Some(outcome), cost: 0.0 });
        let outcome = failed(FailureKind::TimedOut);
        session.tell(&Job { id: 1, proposal: evaluation(2), outcome: Some(outcome), cost: 0.0 });
        assert_eq!((session.steps(), session.steps_planned()), (3, 3));
        assert_eq!((session.evaluated(), session.evaluations_planned()), (2, 2));
        assert!(session.is_idle());
    }

    #[test]
    fn jobs_of_another_instance_count_as_planned_and_lost_ones_do_not() {
        let mut host = Host::new(&one_max(1), 0);
        host.jobs.insert(5, Job { id: 5, proposal: training(4), outcome: None, cost: 0.0 });
        host.install();
        let mut session = Session::new(&setup(one_max(1)));
        session.look_around(&request(&[5]));
        assert_eq!(session.steps_planned(), 4);
        session.look_around(&request(&[]));
        assert_eq!(session.steps_planned(), 0);
    }

    #[test]
    fn replayed_steps_are_counted_by_the_setup_alone() {
        let mut setup = setup(one_max(1));
        setup.shared_weights.as_mut().unwrap().steps_done = 7;
        let mut session = Session::new(&setup);
        let outcome = shared_steps(&training(7), |_| (0.0, vec![]));
        session.replay(&Job { id: 0, proposal: training(7), outcome: Some(outcome), cost: 0.0 });
        assert_eq!(session.steps(), 7);
    }

    #[test]
    fn only_failures_in_a_row_are_hopeless() {
        let mut session = Session::new(&setup(one_max(1)));
        let job = |outcome| Job { id: 0, proposal: training(1), outcome: Some(outcome), cost: 0.0 };
        for round in 0..2 {
            for _ in 0..MAX_FAILURES - 1 {
                session.tell(&job(failed(FailureKind::Infrastructure)));
            }
            assert_eq!(session.hopeless(), None, "round {round}");
            session.tell(&job(shared_steps(&training(1), |_| (0.0, vec![]))));
        }
        (0..MAX_FAILURES).for_each(|_| session.tell(&job(failed(FailureKind::Infrastructure))));
        assert!(session.hopeless().unwrap().contains("the test wants it so"));
    }
}
