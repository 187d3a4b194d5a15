//! Differentiable architecture search (Liu, Simonyan and Yang, "DARTS", ICLR 2019, section 2).
//!
//! Every `choice` of the space becomes a mixture, the softmax of one logit (*alpha*) per option. Each
//! iteration takes the gradient with respect to the mixtures on a validation minibatch, moves the logits by
//! Adam, and lets the shared weights take a step on a training minibatch. Weight step and the next
//! iteration's gradient see the same mixtures, so they travel as one job: one round trip an iteration.
//!
//! With `order = 2` the gradient is the unrolled one: the host takes it through one virtual weight step on
//! the minibatch of the next training step, which is the first step of the next job.
//!
//! Left alone for long, skip connections tend to take over. With `stop-at-skips` the search ends with the first epoch
//! after which the first cell's genotype has so many (DARTS+ ends at 2); charts show their number and the mean weight
//! of each operation.
//!
//! A failed job used up its minibatches: it counts as an iteration without an effect, so that a search ends
//! after the same number of jobs whatever fails. Too many failures in a row end it.

mod derive;
mod mixtures;
mod parameters;
mod state;

use nas_strategy_sdk::math::{self, Adam};
use nas_strategy_sdk::{
    About, Answer, Architecture, Features, Gene, Job, MixtureGradient, Outcome, Proposal, Request, Setup, SharedStep,
    Split, StepResult, Strategy, StrategyError, WeightUpdate, Work, about, export, log, measure,
};

pub use derive::derive;
pub use mixtures::Mixtures;
pub use parameters::{Initial, Parameters};
pub use state::State;

/// Failures in a row after which the search ends.
const MAX_FAILURES: u32 = 20;

/// Weight steps of one job while the mixtures do not change.
const WARM_UP_STEPS: u64 = 32;

/// The strategy.
pub struct Darts {
    setup: Setup,
    parameters: Parameters,
    mixtures: Mixtures,
    adam: Adam,
    /// Weight steps in all.
    steps: u64,
    /// Weight steps before the mixtures begin to move.
    warm_up_steps: u64,
    /// Minibatches of an epoch of training.
    epoch: u64,
}

impl Strategy for Darts {
    const ABOUT: About = about!();
    const NEEDS: Features = Features::SHARED_WEIGHTS.union(Features::MIXTURES).union(Features::GRADIENTS);
    type Parameters = Parameters;
    type State = State;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check(setup.offers).map_err(StrategyError::InvalidParameters)?;
        let mixtures = Mixtures::of(&setup.space).map_err(StrategyError::UnsupportedSpace)?;
        let Some(shared) = &setup.shared_weights else {
            return Err(StrategyError::UnsupportedSpace("the task has no shared weights".to_owned()));
        };
        let steps = parameters.steps.unwrap_or(shared.scheduled_steps);
        let warm_up_steps = u64::from(parameters.warm_up_epochs) * u64::from(shared.train_batches);
        let epoch = u64::from(shared.train_batches.max(1));
        let adam = parameters.adam();
        Ok(Self { setup, parameters, mixtures, adam, steps, warm_up_steps, epoch })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        let logits = self.parameters.initial.logits(self.mixtures.n_logits());
        let steps_done = self.setup.shared_weights.as_ref().map_or(0, |shared| shared.steps_done);
        Ok(State::new(logits, steps_done))
    }

    fn accept(&self, state: &State) -> Result<(), String> {
        let (expected, found) = (self.mixtures.n_logits(), state.logits.len());
        if expected != found || state.moments.len() != found {
            return Err(format!("the snapshot has {found} logits, the space {expected} options"));
        }
        Ok(())
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        if state.failures >= MAX_FAILURES {
            let reason = format!("{MAX_FAILURES} jobs in a row failed, the last one: {}", state.last_failure);
            return Ok(Answer::Finished(reason));
        }
        // Every job depends on the one before it.
        if !request.in_flight.is_empty() {
            return Ok(Answer::Wait);
        }
        if let Some(n_skips) = state.collapsed {
            let reason = format!("{n_skips} skip connections in the first cell: the search stops before it collapses");
            return Ok(Answer::Finished(reason));
        }
        let left = self.steps.saturating_sub(state.steps);
        if left == 0 {
            return Ok(Answer::Finished(format!("all {} weight steps are done", self.steps)));
        }
        let genes = self.mixtures.genes(&state.logits);
        let cold = self.warm_up_steps.saturating_sub(state.steps).min(left);
        if cold > 0 {
            let steps = vec![SharedStep::weights(genes); cold.min(WARM_UP_STEPS) as usize];
            return Ok(Answer::Work(vec![Proposal::train_shared(steps)]));
        }
        let mut steps = Vec::with_capacity(2);
        if state.weights_are_due {
            steps.push(SharedStep::weights(genes.clone()));
        }
        // After the last weight step no gradient is of use.
        if !state.weights_are_due || left > 1 {
            steps.push(SharedStep::mixtures(genes, self.gradient()));
        }
        Ok(Answer::Work(vec![Proposal::train_shared(steps)]))
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.steps += weight_steps(job);
        self.learn(state, job);
        Ok(())
    }

    /// The setup's `steps_done` counts these jobs' weight steps already.
    fn replay(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        self.learn(state, job);
        Ok(())
    }

    fn recommend(&self, state: &State, _limit: u32) -> Vec<Architecture> {
        let shares = self.mixtures.shares(&state.logits);
        vec![derive(&self.setup.space, &shares, self.parameters.allow_none)]
    }
}

impl Darts {
    fn gradient(&self) -> MixtureGradient {
        if self.parameters.order == 2 { MixtureGradient::Unrolled } else { MixtureGradient::Direct }
    }

    fn learn(&self, state: &mut State, job: &Job) {
        let Work::TrainShared(steps) = &job.proposal.work else {
            return;
        };
        match &job.outcome {
            Some(Outcome::SharedSteps(results)) => {
                state.failures = 0;
                for (step, result) in steps.iter().zip(results) {
                    self.learn_from_step(state, step, result);
                }
            }
            Some(Outcome::Failed(failure)) => {
                state.failures += 1;
                state.last_failure = failure.message.clone();
                for step in steps {
                    state.passed(step);
                }
            }
            _ => {}
        }
    }

    fn learn_from_step(&self, state: &mut State, step: &SharedStep, result: &StepResult) {
        state.passed(step);
        let loss = measure(&result.measures, "loss");
        match (step.split, loss) {
            (Split::Train, Some(loss)) => log::chart("loss train", loss),
            (Split::Validation, Some(loss)) => log::chart("loss validation", loss),
            _ => {}
        }
        // A gradient that is not a number would stay in the logits for ever.
        let gradient = self.mixtures.logit_gradient(&step.architecture, &result.gradients);
        if let Some(gradient) = gradient.filter(|gradient| gradient.iter().all(|slope| slope.is_finite())) {
            self.adam.step(&mut state.logits, &gradient, &mut state.moments);
            state.gradients += 1;
            let shares = self.mixtures.shares(&state.logits);
            let derived = derive::by_rules(&self.setup.space, &shares, self.parameters.allow_none);
            self.chart(&shares, &derived);
            if state.gradients.is_multiple_of(self.epoch) {
                self.end_epoch(state, &shares, &derived);
            }
        }
    }

    fn chart(&self, shares: &[Vec<f64>], derived: &[Gene]) {
        let mixed = shares.iter().filter(|shares| !shares.is_empty());
        let (n_mixtures, entropy) = mixed.fold((0u32, 0.0), |(n, sum), shares| (n + 1, sum + math::entropy(shares)));
        log::chart("mixture entropy", entropy / f64::from(n_mixtures.max(1)));
        log::chart("skip connections derived", f64::from(self.mixtures.n_skips(derived)));
    }

    /// Once an epoch: how much each operation weighs, and whether skip connections take over (Liang et al.,
    /// "DARTS+: Improved Differentiable Architecture Search with Early Stopping", 2019, criterion 1).
    fn end_epoch(&self, state: &mut State, shares: &[Vec<f64>], derived: &[Gene]) {
        for (operation, share) in self.mixtures.mean_shares(shares) {
            log::chart(&format!("weight of {operation}"), share);
        }
        let first_cell = self.setup.space.decisions.first().map_or(0, |decision| decision.place.cell);
        let is_in_first = self.setup.space.decisions.iter().map(|decision| decision.place.cell == first_cell);
        let first: Vec<Gene> = derived
            .iter()
            .zip(is_in_first)
            .map(|(gene, is_in_first)| if is_in_first { gene.clone() } else { Gene::Inactive })
            .collect();
        let n_skips = self.mixtures.n_skips(&first);
        if self.parameters.stop_at_skips.is_some_and(|limit| n_skips >= limit) {
            state.collapsed = Some(n_skips);
        }
    }
}

fn weight_steps(job: &Job) -> u64 {
    match &job.proposal.work {
        Work::TrainShared(steps) => steps.iter().filter(|step| step.update == WeightUpdate::Apply).count() as u64,
        _ => 0,
    }
}

export!(Darts);
