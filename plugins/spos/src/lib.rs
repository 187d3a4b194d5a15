//! Single path one-shot (Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling",
//! ECCV 2020).
//!
//! Weights and architectures are searched apart. First the shared weights are trained, each step on one path drawn
//! uniformly (or evenly over intervals of a cost). Then an evolution looks for the best path with these weights:
//! parents are the best of all generations, children come from mutation and crossover, nothing is evaluated
//! twice, and nothing is ever proposed beyond the search's constraints. Batch normalisation is recalibrated for
//! each candidate.
//!
//! A mutated decision changes to *another* value; the authors' code draws among all values, the old one included.

mod evolution;
mod parameters;

use nas_strategy_sdk::sharing::{self, Candidate, Evaluation, Phase, Ranking, Session, Supernet};
use nas_strategy_sdk::{
    About, Answer, Architecture, Features, Job, Proposal, Request, Setup, Strategy, StrategyError, Work, about, costs,
    export, log, measure, space,
};
use serde::{Deserialize, Serialize};

pub use evolution::{Evolution, Origin, best_and_median};
pub use parameters::{Bins, Parameters};

/// The strategy.
pub struct Spos {
    setup: Setup,
    parameters: Parameters,
    supernet: Supernet,
    /// Of every candidate.
    evaluation: Evaluation,
    /// Of the finalists.
    whole: Evaluation,
}

/// What changes during a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    session: Session,
    evolution: Evolution,
    are_finalists_out: bool,
    /// The finalists by the whole validation split.
    finalists: Ranking,
}

impl Strategy for Spos {
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
        match self.supernet.ask(&mut state.session, request, |_| self.path())? {
            Phase::Work(proposals) => return Ok(Answer::Work(proposals)),
            Phase::InFlight => return Ok(Answer::Wait),
            Phase::Over => {}
        }
        if state.evolution.waiting.is_empty() {
            // The whole generation is needed to breed the next.
            if !state.session.is_idle() {
                return Ok(Answer::Wait);
            }
            self.chart_generation(state);
            if state.evolution.iteration >= self.parameters.iterations || state.are_finalists_out {
                return Ok(self.finish(state, request));
            }
            if state.evolution.breed(&self.parameters, &self.setup.constraints)?.is_empty() {
                log::info("there is no new candidate within the constraints");
                return Ok(self.finish(state, request));
            }
        }
        Ok(Answer::Work(self.candidates(state, request)))
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.session.tell(job);
        self.learn(state, job);
        Ok(())
    }

    fn replay(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.session.replay(job);
        if let (true, Work::EvaluateShared(work)) = (self.evaluation.made(job), &job.proposal.work) {
            let bred = job.proposal.note.strip_prefix(GENERATION).and_then(|number| number.trim().parse().ok());
            if let Some(iteration) = bred.filter(|iteration| *iteration > state.evolution.iteration) {
                state.evolution.iteration = iteration;
                state.evolution.evaluated.clear();
            }
            work.architectures.iter().for_each(|candidate| state.evolution.visit(candidate));
        }
        self.learn(state, job);
        Ok(())
    }

    fn recommend(&self, state: &State, limit: u32) -> Vec<Architecture> {
        let others = state.evolution.parents.architectures().filter(|other| state.finalists.score(other).is_none());
        state.finalists.architectures().chain(others).take(limit as usize).cloned().collect()
    }
}

/// Begins the note of a candidate's job; its number follows.
const GENERATION: &str = "generation ";

impl Spos {
    /// What one weight step is on.
    fn path(&self) -> Result<Architecture, StrategyError> {
        // Where an interval has no path, or only rare ones, any path will do.
        let binned = self.parameters.bins.as_ref().and_then(|bins| space::sample(&[bins.draw()]).ok());
        Ok(binned.map_or_else(|| space::sample(&[]), Ok)?)
    }

    /// Candidates of the present generation, for the free slots.
    fn candidates(&self, state: &mut State, request: &Request) -> Vec<Proposal> {
        let note = format!("{GENERATION}{}", state.evolution.iteration);
        let mut proposals = Vec::new();
        for id in (request.next_id..).take(request.slots as usize) {
            let size = state.evolution.waiting.len().min(self.parameters.candidates_per_job as usize);
            if size == 0 {
                break;
            }
            let proposal = self.evaluation.propose(state.evolution.waiting.drain(..size).collect()).note(&note);
            state.session.hand_out(id, &proposal);
            proposals.push(proposal);
        }
        proposals
    }

    /// The finalists once more, or the end.
    fn finish(&self, state: &mut State, request: &Request) -> Answer {
        let n_finalists = state.evolution.parents.len().min(self.parameters.finalists as usize);
        if state.are_finalists_out || self.evaluation.is_whole() || n_finalists < 2 {
            let (n_evaluated, iteration) = (state.session.evaluated(), state.evolution.iteration);
            return Answer::Finished(format!("{iteration} generations, {n_evaluated} evaluations"));
        }
        state.are_finalists_out = true;
        let finalists = state.evolution.parents.architectures().take(n_finalists).cloned().collect();
        let proposal = self.whole.propose(finalists).note("finalists");
        state.session.hand_out(request.next_id, &proposal);
        Answer::Work(vec![proposal])
    }

    fn learn(&self, state: &mut State, job: &Job) {
        Supernet::chart(job);
        let is_final = self.whole.made(job) && !self.evaluation.is_whole();
        if !is_final && !self.evaluation.made(job) {
            return;
        }
        let scores = sharing::scores(&self.setup, job);
        if is_final {
            state.are_finalists_out = true;
            let parents = &state.evolution.parents;
            let judged: Vec<(f64, f64)> =
                scores.iter().filter_map(|(genes, score)| Some((parents.score(genes)?, *score))).collect();
            if let Some(agreement) = sharing::rank_agreement(&judged) {
                log::chart("rank agreement with whole validation", agreement);
            }
        }
        for (architecture, score) in scores {
            // Of what another strategy evaluated, only what may be proposed becomes a parent.
            if space::check(architecture).is_err() {
                continue;
            }
            let candidate = Candidate { job: job.id, architecture: architecture.clone(), score };
            if is_final {
                state.finalists.join(candidate, self.parameters.finalists as usize);
            } else {
                state.evolution.evaluated.push(candidate.clone());
                state
                    .evolution
                    .parents
                    .join(candidate, self.parameters.parents.max(self.parameters.finalists) as usize);
            }
        }
    }

    /// Charts the generation that has just ended, if one has.
    fn chart_generation(&self, state: &mut State) {
        let evaluated = std::mem::take(&mut state.evolution.evaluated);
        let Some((best, median)) = best_and_median(&evaluated) else {
            return;
        };
        log::chart("generation best", best);
        log::chart("generation median", median);
        let judged = |candidate: &Candidate| {
            let flops = measure(&costs::of(&candidate.architecture).ok()?, "flops")?;
            Some((candidate.score, flops))
        };
        let judged: Vec<(f64, f64)> = evaluated.iter().filter_map(judged).collect();
        if let Some(agreement) = sharing::rank_agreement(&judged) {
            log::chart("rank agreement with flops", agreement);
        }
    }
}

export!(Spos);
