//! The first phase: training the shared weights by paths.

use crate::{
    Architecture, Job, JobId, Outcome, Proposal, Request, Session, Setup, SharedStep, Split, StrategyError, Work, log,
    measure, sharing,
};

/// How the shared weights are trained: how many weight steps, in jobs of which length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supernet {
    steps: u64,
    /// Steps that the share of the budget allows, as far as is known; at most `steps`.
    limit: u64,
    steps_per_job: u32,
    training_share: f64,
}

/// Where the training stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Steps to hand out.
    Work(Vec<Proposal>),
    /// All handed out, some still in flight.
    InFlight,
    /// Done.
    Over,
}

impl Supernet {
    /// `steps` weight steps, by default all that the task's schedules span, in jobs of `steps_per_job`. Where
    /// the search has a budget, training ends early once `training_share` of it is used, so that something is
    /// left for the candidates.
    pub fn new(
        setup: &Setup,
        steps: Option<u64>,
        steps_per_job: u32,
        training_share: f64,
    ) -> Result<Self, StrategyError> {
        let shared = sharing::shared_weights(setup)?;
        if steps_per_job == 0 {
            return Err(StrategyError::InvalidParameters("steps-per-job: at least 1".to_owned()));
        }
        if !(training_share > 0.0 && training_share <= 1.0) {
            let problem = format!("training-share: {training_share} is not above 0 and at most 1");
            return Err(StrategyError::InvalidParameters(problem));
        }
        let steps = steps.unwrap_or(shared.scheduled_steps);
        Ok(Self { steps, limit: steps, steps_per_job, training_share })
    }

    /// Weight steps in all.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The same for the first so many steps: where something else comes between.
    pub fn up_to(self, steps: u64) -> Self {
        Self { limit: self.steps.min(steps), ..self }
    }

    /// Whether the search's share of the budget for training is used, before or after its last step.
    pub fn is_share_used(&self, request: &Request) -> bool {
        request.budget_used >= self.training_share
    }

    /// Weight steps for the free slots; `path` makes what the weight step of a number (from 0) is on.
    pub fn ask(
        &self,
        session: &mut Session,
        request: &Request,
        mut path: impl FnMut(u64) -> Result<Architecture, StrategyError>,
    ) -> Result<Phase, StrategyError> {
        if !session.is_stopped && self.is_share_used(request) && session.steps() < self.steps {
            session.is_stopped = true;
            let (done, all) = (session.steps_planned(), self.steps);
            log::info(format!(
                "the weights' training ends after {done} of {all} steps: its share of the budget is used"
            ));
        }
        let mut proposals = Vec::new();
        for id in (request.next_id..).take(request.slots as usize) {
            let Some(proposal) = self.job(session, id, &mut path)? else { break };
            proposals.push(proposal);
        }
        Ok(match (proposals.is_empty(), session.steps_planned() > session.steps()) {
            (false, _) => Phase::Work(proposals),
            (true, true) => Phase::InFlight,
            (true, false) => Phase::Over,
        })
    }

    fn job(
        &self,
        session: &mut Session,
        id: JobId,
        path: &mut impl FnMut(u64) -> Result<Architecture, StrategyError>,
    ) -> Result<Option<Proposal>, StrategyError> {
        let first = session.steps_planned();
        let last = self.limit.min(first + u64::from(self.steps_per_job));
        if session.is_stopped || first >= last {
            return Ok(None);
        }
        let steps = (first..last).map(|step| path(step).map(SharedStep::weights)).collect::<Result<_, _>>()?;
        let proposal = Proposal::train_shared(steps);
        session.hand_out(id, &proposal);
        Ok(Some(proposal))
    }

    /// Charts the mean loss of a job's weight steps.
    pub fn chart(job: &Job) {
        let (Work::TrainShared(steps), Some(Outcome::SharedSteps(results))) = (&job.proposal.work, &job.outcome) else {
            return;
        };
        let trained = steps.iter().zip(results).filter(|(step, _)| step.split == Split::Train);
        let losses: Vec<f64> = trained.filter_map(|(_, result)| measure(&result.measures, "loss")).collect();
        if !losses.is_empty() {
            log::chart("loss train", losses.iter().sum::<f64>() / losses.len() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gene;
    use crate::testing::{Host, one_max, setup};

    fn request(slots: u32, next_id: JobId, in_flight: &[JobId], budget_used: f64) -> Request {
        Request { slots, next_id, in_flight: in_flight.to_vec(), jobs_left: None, budget_used }
    }

    fn lengths(phase: Phase) -> Vec<usize> {
        let length = |proposal: &Proposal| match &proposal.work {
            Work::TrainShared(steps) => steps.len(),
            other => panic!("{other:?}"),
        };
        match phase {
            Phase::Work(proposals) => proposals.iter().map(length).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn steps_are_numbered_and_handed_out_to_all_slots_until_the_schedule_is_done() {
        let setup = setup(one_max(1)); // 20 scheduled steps
        Host::new(&setup.space, 0).install();
        let supernet = Supernet::new(&setup, None, 8, 1.0).unwrap();
        let mut session = Session::new(&setup);
        let mut numbers = Vec::new();
        let mut path = |step| {
            numbers.push(step);
            Ok(vec![Gene::Choice(0)])
        };
        let phase = supernet.ask(&mut session, &request(2, 0, &[], 0.0), &mut path).unwrap();
        assert_eq!(lengths(phase), [8, 8]);
        let phase = supernet.ask(&mut session, &request(2, 2, &[0, 1], 0.0), &mut path).unwrap();
        assert_eq!(lengths(phase), [4]);
        assert_eq!(supernet.ask(&mut session, &request(1, 3, &[0, 1, 2], 0.0), &mut path), Ok(Phase::InFlight));
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        session.look_around(&request(1, 3, &[], 0.0));
        session.is_stopped = true;
        assert_eq!(supernet.ask(&mut session, &request(1, 3, &[], 0.0), |_| panic!()), Ok(Phase::Over));
    }

    #[test]
    fn training_ends_when_its_share_of_the_budget_is_used() {
        let setup = setup(one_max(1));
        Host::new(&setup.space, 0).install();
        let supernet = Supernet::new(&setup, Some(1_000), 10, 0.5).unwrap();
        let mut session = Session::new(&setup);
        let path = |_| Ok(vec![Gene::Choice(0)]);
        assert_eq!(lengths(supernet.ask(&mut session, &request(1, 0, &[], 0.4), path).unwrap()), [10]);
        session.look_around(&request(1, 1, &[], 0.6));
        assert_eq!(supernet.ask(&mut session, &request(1, 1, &[], 0.6), path), Ok(Phase::Over));
        assert_eq!(supernet.ask(&mut session, &request(1, 1, &[], 0.0), path), Ok(Phase::Over));
    }

    #[test]
    fn senseless_settings_are_refused_by_name() {
        let setup = setup(one_max(1));
        for (steps_per_job, share, part) in
            [(0, 0.5, "steps-per-job"), (1, 0.0, "training-share: 0"), (1, f64::NAN, "training-share: NaN")]
        {
            match Supernet::new(&setup, None, steps_per_job, share) {
                Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{message}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
