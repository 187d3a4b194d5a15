//! One-Shot (Bender, Kindermans, Zoph, Vasudevan and Le, "Understanding and Simplifying One-Shot Architecture
//! Search", ICML 2018).
//!
//! The graph of shared weights has every path on; each weight step drops some of them at random, the more the
//! later, so that paths learn to do without each other. Then candidates are sampled and ranked by their accuracy
//! with all other paths zeroed, on the same minibatches. Ghost batch normalisation and L2 on the paths kept alone
//! are matters of the task's recipe.
//!
//! The paper's comparison is charted on the shared weights: *top*, the best candidate; *small*, the one with the
//! fewest parameters; *random*, the mean of a few; *all on*, the graph with every path. What is no stand-alone
//! architecture (all on, mostly) can only be charted; the others can be handed out for the final training.

mod parameters;
mod paths;

use nas_strategy_sdk::sharing::{self, Candidate, Evaluation, Phase, Selected, Selection, Session, Supernet};
use nas_strategy_sdk::{
    About, Answer, Architecture, Features, Job, Outcome, Request, Setup, Strategy, StrategyError, Work, about, costs,
    export, log, measure, space,
};
use serde::{Deserialize, Serialize};

pub use parameters::Parameters;
pub use paths::Paths;

/// Note of the job that evaluates every path on.
const ALL_ON: &str = "all on";

/// The strategy.
pub struct OneShot {
    setup: Setup,
    parameters: Parameters,
    paths: Paths,
    supernet: Supernet,
    evaluation: Evaluation,
    selection: Selection,
}

/// What changes during a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    session: Session,
    selected: Selected,
    is_all_on_out: bool,
    is_all_on_in_flight: bool,
    /// Score of every path on.
    all_on: Option<f64>,
    /// The first candidates told.
    random: Vec<Candidate>,
    /// The candidate with the fewest parameters, and how many.
    small: Option<(Candidate, f64)>,
    is_compared: bool,
}

impl Strategy for OneShot {
    const ABOUT: About = about!();
    const NEEDS: Features = Features::SHARED_WEIGHTS.union(Features::MIXTURES);
    type Parameters = Parameters;
    type State = State;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        sharing::check_choices(&setup)?;
        sharing::check_objective(&setup)?;
        let Parameters { steps, steps_per_job, training_share, .. } = parameters;
        let supernet = Supernet::new(&setup, steps, steps_per_job, training_share)?;
        let Parameters { validation_batches, batch_norm, recalibration_batches, .. } = parameters;
        let evaluation = Evaluation::new(&setup, validation_batches, batch_norm, recalibration_batches)?;
        let Parameters { samples, samples_per_job, finalists, kept, .. } = parameters;
        let selection = Selection::new(evaluation, samples, samples_per_job, finalists, kept)?;
        let paths = Paths::of(&setup.space);
        Ok(Self { setup, parameters, paths, supernet, evaluation, selection })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        Ok(State { session: Session::new(&self.setup), ..State::default() })
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        state.session.look_around(request);
        if let Some(reason) = state.session.hopeless() {
            return Ok(Answer::Finished(reason));
        }
        let phase = self.supernet.ask(&mut state.session, request, |step| {
            // From 0 at the first step to 1 at the last.
            let ramp = step as f64 / self.supernet.steps().saturating_sub(1).max(1) as f64;
            Ok(self.paths.drop(&self.setup.space, self.parameters.dropout, ramp))
        })?;
        match phase {
            Phase::Work(proposals) => return Ok(Answer::Work(proposals)),
            Phase::InFlight => return Ok(Answer::Wait),
            Phase::Over => {}
        }
        if !state.is_all_on_out {
            state.is_all_on_out = true;
            state.is_all_on_in_flight = true;
            let proposal = self.evaluation.propose(vec![self.paths.all(&self.setup.space)]).note(ALL_ON);
            state.session.hand_out(request.next_id, &proposal);
            return Ok(Answer::Work(vec![proposal]));
        }
        // Samples in flight are counted by the session: only samples may be in flight.
        if state.is_all_on_in_flight && !state.session.is_idle() {
            return Ok(Answer::Wait);
        }
        state.is_all_on_in_flight = false;
        let constraints = &self.setup.constraints;
        let sample = || Ok(space::sample(constraints)?);
        Ok(match self.selection.ask(&mut state.selected, &mut state.session, request, sample)? {
            Phase::Work(proposals) => Answer::Work(proposals),
            Phase::InFlight => Answer::Wait,
            Phase::Over => {
                self.compare(state);
                Answer::Finished(format!("{} candidates were ranked", state.selected.sampled()))
            }
        })
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
        let best: Vec<&Candidate> = state.selected.best().collect();
        let mut order: Vec<&Candidate> = best.clone();
        if self.parameters.recommend_comparison {
            let small = state.small.as_ref().map(|(small, _)| small);
            order = best.first().copied().into_iter().chain(small).chain(state.random.first()).collect();
            order.extend(best.iter().skip(1));
        }
        let mut recommended: Vec<Architecture> = Vec::new();
        for candidate in order {
            if recommended.len() < limit as usize && !recommended.contains(&candidate.architecture) {
                recommended.push(candidate.architecture.clone());
            }
        }
        recommended
    }
}

impl OneShot {
    fn learn(&self, state: &mut State, job: &Job) {
        Supernet::chart(job);
        self.selection.learn(&self.setup, &mut state.selected, job);
        if !self.evaluation.made(job) {
            return;
        }
        if job.proposal.note == ALL_ON {
            state.is_all_on_out = true;
            state.all_on = self.score_of_mixture(job);
            return;
        }
        for (genes, score) in sharing::scores(&self.setup, job) {
            if space::check(genes).is_err() {
                continue;
            }
            let candidate = || Candidate { job: job.id, architecture: genes.clone(), score };
            if state.random.len() < self.parameters.random as usize {
                state.random.push(candidate());
            }
            if let Some(parameters) = costs::of(genes).ok().and_then(|costs| measure(&costs, "params"))
                && state.small.as_ref().is_none_or(|(_, fewest)| parameters < *fewest)
            {
                state.small = Some((candidate(), parameters));
            }
        }
    }

    fn score_of_mixture(&self, job: &Job) -> Option<f64> {
        match (&job.proposal.work, &job.outcome) {
            (Work::EvaluateShared(_), Some(Outcome::SharedEvaluations(results))) => {
                self.setup.objectives.first()?.score(results.first()?)
            }
            _ => None,
        }
    }

    /// Charts the paper's comparison, once.
    fn compare(&self, state: &mut State) {
        if std::mem::replace(&mut state.is_compared, true) {
            return;
        }
        let random = state.random.iter().map(|candidate| candidate.score).sum::<f64>() / state.random.len() as f64;
        let rows = [
            ("top", state.selected.best().next().map(|top| top.score)),
            ("small", state.small.as_ref().map(|(small, _)| small.score)),
            ("random", (!state.random.is_empty()).then_some(random)),
            ("all on", state.all_on),
        ];
        for (name, score) in rows {
            if let Some(score) = score {
                log::chart(name, score);
                log::info(format!("{name}: {score:.4} on the shared weights"));
            }
        }
    }
}

export!(OneShot);
