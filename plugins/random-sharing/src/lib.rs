//! Random search with weight sharing (Li and Talwalkar, "Random Search and Reproducibility for Neural
//! Architecture Search", UAI 2019, section 3.2): the baseline that any method on shared weights has to beat.
//!
//! Every weight step is on one uniformly sampled path. Then many samples are evaluated with the shared weights on
//! the same few validation minibatches, and the best of them once more on the whole validation split, as the
//! authors' code does. Nothing is learned about architectures before the end.

mod parameters;

use nas_strategy_sdk::sharing::{self, Candidate, Evaluation, Phase, Ranking, Session, Supernet};
use nas_strategy_sdk::{
    About, Answer, Architecture, Features, Job, Proposal, Request, Setup, Strategy, StrategyError, Work, about, export,
    log, space,
};
use serde::{Deserialize, Serialize};

pub use parameters::Parameters;

/// The strategy.
pub struct RandomSharing {
    setup: Setup,
    parameters: Parameters,
    supernet: Supernet,
    /// Of samples.
    evaluation: Evaluation,
    /// Of the finalists.
    whole: Evaluation,
}

/// What changes during a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    session: Session,
    /// Samples told, failed ones too.
    sampled: u64,
    /// The best samples.
    ranking: Ranking,
    /// Whether they were handed out.
    are_finalists_out: bool,
    /// The finalists by the whole validation split.
    finalists: Ranking,
}

impl Strategy for RandomSharing {
    const ABOUT: About = about!();
    const NEEDS: Features = Features::SHARED_WEIGHTS;
    type Parameters = Parameters;
    type State = State;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        sharing::check_choices(&setup)?;
        sharing::check_objective(&setup)?;
        let (steps, share) = (parameters.steps, parameters.training_share);
        let supernet = Supernet::new(&setup, steps, parameters.steps_per_job, share)?;
        let (batches, recalibration) = (parameters.validation_batches, parameters.recalibration_batches);
        let evaluation = Evaluation::new(&setup, batches, parameters.batch_norm, recalibration)?;
        Ok(Self { setup, parameters, supernet, evaluation, whole: evaluation.on_all() })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        Ok(State { session: Session::new(&self.setup), ..State::default() })
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        state.session.look_around(request);
        if let Some(reason) = state.session.hopeless() {
            return Ok(Answer::Finished(reason));
        }
        match self.supernet.ask(&mut state.session, request, |_| Ok(space::sample(&[])?))? {
            Phase::Work(proposals) => return Ok(Answer::Work(proposals)),
            Phase::InFlight => return Ok(Answer::Wait),
            Phase::Over => {}
        }
        let samples = self.samples(state, request)?;
        if !samples.is_empty() {
            return Ok(Answer::Work(samples));
        }
        if !state.session.is_idle() {
            return Ok(Answer::Wait);
        }
        let n_finalists = self.parameters.finalists.min(state.ranking.len() as u32) as usize;
        if state.are_finalists_out || self.evaluation.is_whole() || n_finalists < 2 {
            return Ok(Answer::Finished(format!("{} samples were evaluated", state.sampled)));
        }
        state.are_finalists_out = true;
        let finalists = state.ranking.architectures().take(n_finalists).cloned().collect();
        let proposal = self.whole.propose(finalists).note("finalists");
        state.session.hand_out(request.next_id, &proposal);
        Ok(Answer::Work(vec![proposal]))
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.session.tell(job);
        self.learn(state, job);
        Ok(())
    }

    fn replay(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.session.replay(job);
        self.learn(state, job);
        Ok(())
    }

    fn recommend(&self, state: &State, limit: u32) -> Vec<Architecture> {
        let samples = state.ranking.architectures().filter(|sample| state.finalists.score(sample).is_none());
        state.finalists.architectures().chain(samples).take(limit as usize).cloned().collect()
    }
}

impl RandomSharing {
    /// Samples to evaluate, for the free slots.
    fn samples(&self, state: &mut State, request: &Request) -> Result<Vec<Proposal>, StrategyError> {
        let mut proposals = Vec::new();
        if state.are_finalists_out {
            return Ok(proposals);
        }
        for id in (request.next_id..).take(request.slots as usize) {
            let in_flight = state.session.evaluations_planned() - state.session.evaluated();
            let left = u64::from(self.parameters.samples).saturating_sub(state.sampled + in_flight);
            let size = left.min(u64::from(self.parameters.samples_per_job));
            if size == 0 {
                break;
            }
            let samples = (0..size).map(|_| space::sample(&self.setup.constraints)).collect::<Result<_, _>>()?;
            let proposal = self.evaluation.propose(samples);
            state.session.hand_out(id, &proposal);
            proposals.push(proposal);
        }
        Ok(proposals)
    }

    fn learn(&self, state: &mut State, job: &Job) {
        Supernet::chart(job);
        let Work::EvaluateShared(work) = &job.proposal.work else {
            return;
        };
        let is_final = self.whole.made(job) && !self.evaluation.is_whole();
        let scores = sharing::scores(&self.setup, job);
        if is_final {
            state.are_finalists_out = true;
            let before_and_after: Vec<(f64, f64)> =
                scores.iter().filter_map(|(sample, score)| Some((state.ranking.score(sample)?, *score))).collect();
            if let Some(agreement) = sharing::rank_agreement(&before_and_after) {
                log::chart("rank agreement with whole validation", agreement);
            }
        } else if self.evaluation.made(job) {
            state.sampled += work.architectures.len() as u64;
        } else {
            return;
        }
        for (sample, score) in scores {
            if sample.len() == self.setup.space.decisions.len() && space::check(sample).is_ok() {
                let candidate = Candidate { job: job.id, architecture: sample.clone(), score };
                let ranking = if is_final { &mut state.finalists } else { &mut state.ranking };
                ranking.join(candidate, self.parameters.kept as usize);
            }
        }
        if let Some(best) = state.ranking.best().first() {
            log::chart("best sample", best.score);
        }
    }
}

export!(RandomSharing);
