//! Efficient neural architecture search (Pham, Guan, Zoph, Le and Dean, ICML 2018).
//!
//! A controller samples architectures that are paths of one set of shared weights. Weights and controller take
//! turns: an epoch of weight steps, each on a freshly sampled path; then a number of the controller's updates by
//! REINFORCE, each along the mean gradient of a few sampled paths. A path's reward is what the first objective
//! says of it on one validation minibatch of its own, plus a little of its entropy; the baseline takes each reward
//! in before its advantage is computed, as in the released code. At the end a few samples are evaluated on the
//! same minibatch and the best is handed out.
//!
//! Cells of chosen inputs are the paper's micro search. Where the space has skip connections (role `skip`) the
//! controller decides them as its macro search does. In other spaces every decision is one softmax.
//!
//! A failed job of the controller counts as an update without an effect, so that a search ends after the same
//! number of jobs whatever fails.

pub mod controller;
mod episodes;
mod parameters;
pub mod plan;

use std::collections::BTreeSet;

use nas_strategy_sdk::math::{Adam, AdamMoments};
use nas_strategy_sdk::sharing::{self, Candidate, Evaluation, Phase, Ranking, Session, Supernet};
use nas_strategy_sdk::{
    About, Answer, Architecture, FailureKind, Features, Job, MixtureGradient, Outcome, Proposal, Request, Setup,
    SharedStep, Split, Strategy, StrategyError, WeightUpdate, Work, about, export, identity, log, space,
};
use serde::{Deserialize, Serialize};

pub use controller::{Controller, Masking};
pub use parameters::Parameters;

/// Samples in a row that may be of no use before the space is sampled instead.
const MAX_TRIES: u32 = 20;

/// Beyond it a reward is no measure of anything.
const LARGEST_REWARD: f64 = 1e6;

/// The strategy.
pub struct Enas {
    setup: Setup,
    parameters: Parameters,
    controller: Controller,
    adam: Adam,
    supernet: Supernet,
    evaluation: Evaluation,
    /// Weight steps of one turn.
    turn: u64,
}

/// What changes during a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    session: Session,
    /// The controller's.
    weights: Vec<f64>,
    moments: AdamMoments,
    /// Average of rewards, from 0.
    baseline: f64,
    /// Of the controller, told, failed ones too.
    updates: u64,
    /// Whether the space refused an architecture that its written rules allow.
    has_unwritten_rules: bool,
    /// Identities of the samples at the end.
    derived: BTreeSet<u64>,
    /// Whether they were handed out.
    is_deriving: bool,
    /// The samples at the end by what they reached.
    ranking: Ranking,
}

impl Strategy for Enas {
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
        let turn = u64::from(sharing::shared_weights(&setup)?.train_batches.max(1));
        let controller = Controller::new(&setup.space, &parameters);
        let adam = parameters.adam();
        Ok(Self { setup, parameters, controller, adam, supernet, evaluation, turn })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        Ok(State {
            session: Session::new(&self.setup),
            weights: self.controller.initial_weights(),
            moments: AdamMoments::new(self.controller.n_weights()),
            ..State::default()
        })
    }

    fn accept(&self, state: &State) -> Result<(), String> {
        let (expected, found) = (self.controller.n_weights(), state.weights.len());
        if expected != found || state.moments.len() != found {
            return Err(format!("the snapshot has {found} weights of the controller, the space needs {expected}"));
        }
        Ok(())
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        state.session.look_around(request);
        if let Some(reason) = state.session.hopeless() {
            return Ok(Answer::Finished(reason));
        }
        if let Some(answer) = self.train(state, request)? {
            return Ok(answer);
        }
        // What follows depends on all that was told.
        if !state.session.is_idle() {
            return Ok(Answer::Wait);
        }
        let may_learn = !state.is_deriving && !self.supernet.is_share_used(request);
        if may_learn && state.updates < self.updates_due(state) {
            return Ok(Answer::Work(vec![self.controller_job(state, request)?]));
        }
        self.derive(state, request)
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
        let best: Vec<Architecture> = state.ranking.architectures().take(limit as usize).cloned().collect();
        if !best.is_empty() {
            return best;
        }
        // Before the end: what the controller likes best.
        let likeliest = self.controller.likeliest(&state.weights, state.masking());
        likeliest.filter(|genes| space::check(genes).is_ok()).into_iter().collect()
    }
}

impl Enas {
    /// Weight steps that may be handed out before the controller's next turn.
    fn steps_due(&self, state: &State) -> u64 {
        let turns = state.updates / u64::from(self.parameters.controller_steps) + 1;
        turns.saturating_mul(self.turn).min(self.supernet.steps())
    }

    /// Updates of the controller for the weight steps made.
    fn updates_due(&self, state: &State) -> u64 {
        let turns = state.session.steps().min(self.supernet.steps()).div_ceil(self.turn);
        turns * u64::from(self.parameters.controller_steps)
    }

    /// Weight steps, or waiting for them; none where it is not their turn.
    fn train(&self, state: &mut State, request: &Request) -> Result<Option<Answer>, StrategyError> {
        if state.is_deriving {
            return Ok(None);
        }
        let supernet = self.supernet.up_to(self.steps_due(state));
        // All at once: what they have in common is computed once.
        let left = self.steps_due(state).saturating_sub(state.session.steps_planned());
        let wanted = left.min(u64::from(self.parameters.steps_per_job) * u64::from(request.slots));
        let mut paths = Vec::new();
        if wanted > 0 && !state.session.is_stopped() {
            paths = self.sample(state, wanted as usize)?;
            paths.reverse();
        }
        let path = |_| paths.pop().map_or_else(|| Ok(space::sample(&self.setup.constraints)?), Ok);
        Ok(match supernet.ask(&mut state.session, request, path)? {
            Phase::Work(proposals) => Some(Answer::Work(proposals)),
            Phase::InFlight => Some(Answer::Wait),
            Phase::Over => None,
        })
    }

    fn controller_job(&self, state: &mut State, request: &Request) -> Result<Proposal, StrategyError> {
        let architectures = self.sample(state, self.parameters.aggregate as usize)?;
        let proposal = Proposal::train_shared(architectures.into_iter().map(reward_step).collect()).note("controller");
        state.session.hand_out(request.next_id, &proposal);
        Ok(proposal)
    }

    /// The samples at the end, or the end.
    fn derive(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        if state.is_deriving {
            let reason = format!("{} samples of the controller were evaluated", state.derived.len());
            return Ok(Answer::Finished(reason));
        }
        state.is_deriving = true;
        let mut candidates = Vec::new();
        for sample in self.sample(state, self.parameters.samples as usize)? {
            if state.derived.insert(identity(&sample)?) {
                candidates.push(sample);
            }
        }
        let proposal = self.evaluation.propose(candidates).note("samples");
        state.session.hand_out(request.next_id, &proposal);
        Ok(Answer::Work(vec![proposal]))
    }

    /// So many architectures within rules and constraints, by the controller as far as it finds them.
    fn sample(&self, state: &mut State, wanted: usize) -> Result<Vec<Architecture>, StrategyError> {
        let mut sampled: Vec<Architecture> = Vec::with_capacity(wanted);
        for _ in 0..MAX_TRIES {
            let missing = wanted - sampled.len();
            if missing == 0 {
                break;
            }
            for sample in self.controller.sample(&state.weights, missing, state.masking())? {
                match space::check(&sample) {
                    Ok(()) => sampled.push(sample),
                    Err(failure) => state.has_unwritten_rules |= failure.kind == FailureKind::InvalidArchitecture,
                }
            }
        }
        // The controller has settled beyond the constraints.
        while sampled.len() < wanted {
            sampled.push(space::sample(&self.setup.constraints)?);
        }
        Ok(sampled)
    }

    fn learn(&self, state: &mut State, job: &Job) {
        Supernet::chart(job);
        match &job.proposal.work {
            Work::TrainShared(steps) if !steps.is_empty() && steps.iter().all(is_reward_step) => {
                state.updates += 1;
                self.update(state, job, steps);
            }
            Work::EvaluateShared(_) if self.evaluation.made(job) && job.proposal.note == "samples" => {
                state.is_deriving = true;
                for (sample, score) in sharing::scores(&self.setup, job) {
                    let candidate = Candidate { job: job.id, architecture: sample.clone(), score };
                    state.ranking.join(candidate, self.parameters.samples as usize);
                }
                state.ranking.best().first().into_iter().for_each(|best| log::chart("best sample", best.score));
            }
            _ => {}
        }
    }

    /// One step of the controller's weights.
    fn update(&self, state: &mut State, job: &Job, steps: &[SharedStep]) {
        let (Some(objective), Some(Outcome::SharedSteps(results))) = (self.setup.objectives.first(), &job.outcome)
        else {
            return;
        };
        let (mut baseline, masking) = (state.baseline, state.masking());
        let (mut rewards, mut entropies) = (Vec::new(), Vec::new());
        let architectures = steps.iter().map(|step| &step.architecture);
        let gradient = self.controller.gradient(&state.weights, architectures, masking, |idx, episode| {
            let reward =
                objective.score(&results.get(idx)?.measures).filter(|reward| reward.abs() <= LARGEST_REWARD)?;
            rewards.push(reward);
            entropies.push(episode.entropy);
            let reward = reward + self.parameters.entropy_weight * episode.entropy;
            baseline -= (1.0 - self.parameters.baseline_decay) * (baseline - reward);
            Some(reward - baseline)
        });
        let Some(gradient) = gradient.filter(|gradient| gradient.iter().all(|slope| slope.is_finite())) else {
            return;
        };
        state.baseline = baseline;
        self.adam.step(&mut state.weights, &gradient, &mut state.moments);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        log::chart("controller entropy", mean(&entropies));
        log::chart("baseline", baseline);
        log::chart("mean reward", mean(&rewards));
    }
}

impl State {
    fn masking(&self) -> Masking {
        if self.has_unwritten_rules { Masking::All } else { Masking::Written }
    }

    /// The controller's weights.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }
}

/// A path on the next validation minibatch, for its reward alone.
fn reward_step(architecture: Architecture) -> SharedStep {
    SharedStep::mixtures(architecture, MixtureGradient::None)
}

fn is_reward_step(step: &SharedStep) -> bool {
    step.split == Split::Validation
        && step.update == WeightUpdate::None
        && step.gradient == MixtureGradient::None
        && !step.same_minibatch
}

export!(Enas);
