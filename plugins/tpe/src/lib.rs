//! The tree-structured Parzen estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011,
//! section 4): trials are split into the good ones and the rest, both are estimated by kernels, and a value is proposed
//! that is likely among the good ones and unlikely among the rest.
//!
//! Each decision is estimated by itself, over the trials in which it is active; with `multivariate` the decisions that
//! are always active are estimated together. Jobs in flight count among the rest, so that slots asked for at once do not
//! crowd into one place (a constant liar). An architecture that fails by its own fault counts among the rest too; one that fails
//! for the machine's sake counts nowhere.
//!
//! Of several objectives it looks at the first one; constraints are kept to by drawing again.

pub mod axis;
pub mod gauss;
mod joint;
pub mod kernels;
pub mod mixture;
pub mod model;
pub mod proposer;
mod stream;
pub mod transform;
pub mod trials;

use nas_strategy_sdk::{
    About, Answer, Architecture, FailureKind, Job, Outcome, Proposal, Request, Setup, Strategy, StrategyError, Work,
    about, export, fingerprint, history, log, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::model::Split;
use crate::proposer::{Ground, Proposer};
use crate::stream::Stream;
use crate::trials::{State, Trials};

/// Proposals in a row that may be invalid, beyond the constraints or known already before something else is tried.
const MAX_TRIES: usize = 20;
/// Then so many mutations of the last one, and at last so many samples of the space.
const MAX_MUTATIONS: usize = 100;
const MAX_SAMPLES: usize = 1_000;

/// What a search file may set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Whether decisions that are always active are estimated together: sees combinations, costs more time.
    pub multivariate: bool,
    /// Results before the estimates are used; until then architectures are random.
    pub startup: u32,
    /// Candidates drawn for each choice.
    pub candidates: u32,
    /// The share of the results that counts as good, rounded up.
    pub good_fraction: f64,
    /// The largest number of results that count as good.
    pub good_at_most: u32,
    /// Weight of the prior; the newest results have 1 each.
    pub prior_weight: f64,
    /// Whether jobs in flight count among the results that are not good.
    pub impute_in_flight: bool,
    /// Whether to train each network once only, where no decision is a real number.
    pub unique: bool,
    /// Fidelity of every training; the task's highest if absent.
    pub fidelity: Option<u32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            multivariate: false,
            startup: 10,
            candidates: 24,
            good_fraction: 0.1,
            good_at_most: 25,
            prior_weight: 1.0,
            impute_in_flight: true,
            unique: true,
            fidelity: None,
        }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), String> {
        if self.candidates == 0 || self.good_at_most == 0 {
            return Err("candidates and good-at-most are at least 1".to_owned());
        }
        if !(self.good_fraction > 0.0 && self.good_fraction <= 1.0) {
            return Err(format!("good-fraction: {} is not above 0 and up to 1", self.good_fraction));
        }
        if !(self.prior_weight > 0.0 && self.prior_weight.is_finite()) {
            return Err(format!("prior-weight: {} is not above 0", self.prior_weight));
        }
        Ok(())
    }
}

/// The strategy.
pub struct Tpe {
    setup: Setup,
    parameters: Parameters,
    fidelity: u32,
    ground: Ground,
    split: Split,
    /// Whether identities are remembered.
    remembers: bool,
}

impl Strategy for Tpe {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = State;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        if setup.objectives.is_empty() {
            return Err(StrategyError::UnsupportedSpace("the search has no objective to compare by".to_owned()));
        }
        let candidates = parameters.candidates as usize;
        let ground = Ground::new(setup.space.clone(), candidates, parameters.prior_weight, parameters.multivariate);
        let split = Split { fraction: parameters.good_fraction, at_most: parameters.good_at_most as usize };
        let remembers = parameters.unique && !ground.axes.iter().any(|axis| matches!(axis, Axis::Real(_)));
        Ok(Self { setup, parameters, fidelity, ground, split, remembers })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        Ok(State { trials: Trials::new(&self.ground.axes), ..State::default() })
    }

    fn accept(&self, state: &State) -> Result<(), String> {
        state.trials.check(&self.ground.axes)
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        state.in_flight.retain(|id, _| request.in_flight.contains(id));
        state.model.catch_up(&state.trials, &self.ground.axes, self.split);
        let mut proposals = Vec::new();
        if self.parameters.impute_in_flight && self.is_informed(state) {
            self.impute(state, request);
        }
        let mut stream = Stream::new(self.ground.axes.len() * self.ground.candidates);
        for id in (request.next_id..).take(request.slots as usize) {
            let Some(architecture) = self.architecture(state, &mut stream)? else { break };
            proposals.push(Proposal::train(architecture.clone(), self.fidelity));
            if self.parameters.impute_in_flight && self.is_informed(state) && proposals.len() < request.slots as usize {
                state.model.fly(architecture.clone(), &self.ground.axes);
            }
            state.in_flight.insert(id, architecture);
        }
        state.model.land(&self.ground.axes);
        if proposals.is_empty() {
            return Ok(Answer::Finished(format!(
                "{MAX_SAMPLES} samples in a row were known: the space is searched through"
            )));
        }
        Ok(Answer::Work(proposals))
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.in_flight.remove(&job.id);
        let Work::Train(training) = &job.proposal.work else { return Ok(()) };
        if !self.ground.accepts(&training.architecture) {
            return Ok(());
        }
        // Its own are known since they were proposed; this is for those of a strategy before it.
        if self.remembers
            && let Ok(identity) = identity(&training.architecture)
        {
            state.known.insert(identity);
        }
        match (self.setup.score(job), &job.outcome) {
            (Some(score), _) => state.trials.push(&training.architecture, Some(score)),
            (None, Some(Outcome::Failed(failure))) if is_own_fault(failure.kind) => {
                state.trials.push(&training.architecture, None);
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn recommend(&self, state: &State, limit: u32) -> Vec<Architecture> {
        let mut best: Vec<Architecture> = Vec::new();
        for trial in state.trials.best_first() {
            if best.len() >= limit as usize {
                break;
            }
            let architecture = state.trials.architecture(trial);
            if !best.contains(&architecture) {
                best.push(architecture);
            }
        }
        best
    }
}

/// Whether a failure says something of the architecture, not of the machine.
fn is_own_fault(kind: FailureKind) -> bool {
    use FailureKind::*;
    match kind {
        InvalidArchitecture | Unsupported | OverConstraint | OutOfMemory | Diverged | TimedOut => true,
        MissingWeights | Infrastructure | Cancelled => false,
    }
}

impl Tpe {
    fn is_informed(&self, state: &State) -> bool {
        state.model.n_scored() >= self.parameters.startup.max(1) as usize
    }

    /// Counts what is in flight among the rest; another strategy's jobs are looked up.
    fn impute(&self, state: &mut State, request: &Request) {
        for id in &request.in_flight {
            let architecture = match state.in_flight.get(id) {
                Some(architecture) => Some(architecture.clone()),
                None => history::get(*id).and_then(|job| match job.proposal.work {
                    Work::Train(training) => Some(training.architecture),
                    _ => None,
                }),
            };
            if let Some(architecture) = architecture.filter(|genes| self.ground.accepts(genes)) {
                state.model.fly(architecture, &self.ground.axes);
            }
        }
    }

    /// Something new and valid; none if the space seems searched through.
    fn architecture(&self, state: &mut State, stream: &mut Stream) -> Result<Option<Architecture>, StrategyError> {
        let State { trials, known, model, .. } = state;
        let mut is_new = |architecture: &Architecture| -> Result<bool, StrategyError> {
            Ok(!self.remembers || known.insert(identity(architecture)?))
        };
        if model.n_scored() >= self.parameters.startup.max(1) as usize {
            let mut proposer = Proposer::new(&self.ground, trials, model, stream);
            let mut last = None;
            for _ in 0..MAX_TRIES {
                let mut genes = proposer.propose()?;
                if space::check(&genes).is_err() {
                    genes = space::repair(&genes)?;
                    if space::check(&genes).is_err() {
                        continue; // beyond the constraints
                    }
                }
                if is_new(&genes)? {
                    return Ok(Some(genes));
                }
                last = Some(genes);
            }
            if let Some(last) = last {
                for _ in 0..MAX_MUTATIONS {
                    match space::mutate(&last, 1, &[]) {
                        Ok(genes) if space::check(&genes).is_ok() && is_new(&genes)? => return Ok(Some(genes)),
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
            }
            log::debug("nothing new where good results are; sampling");
        }
        for _ in 0..MAX_SAMPLES {
            let genes = space::sample(&self.setup.constraints)?;
            if is_new(&genes)? {
                return Ok(Some(genes));
            }
        }
        Ok(None)
    }
}

/// 64 bits of an architecture's identity.
fn identity(architecture: &Architecture) -> Result<u64, StrategyError> {
    Ok(fingerprint(space::identity(architecture)?.as_bytes()))
}

export!(Tpe);
