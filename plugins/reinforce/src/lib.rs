//! REINFORCE (Williams 1992) as the baseline of NAS-Bench-201 (Dong and Yang, ICLR 2020): no controller
//! network, only one vector of logits for each decision, moved by Adam along the policy's gradient.
//!
//! One result makes one step: `(reward - baseline) * d -ln p / d logits`, the baseline being an average of the
//! rewards that forgets, this reward included. With several slots a result may come from a policy some steps
//! old; it is used as if it came from the present one. Failed jobs and infinite rewards teach nothing.
//!
//! The constants are those of the benchmark's code. Its learning rates differ (0.001 in the first script, 0.5 in
//! the later text, 0.01 in the successor, NATS-Bench); 0.01 is the default because the published accuracy
//! comes out with it and not with 0.5. What it hands out is the best it saw, which the host picks.

mod policy;

use nas_strategy_sdk::math::{Adam, AdamMoments};
use nas_strategy_sdk::{
    About, Answer, Architecture, FailureKind, Job, Proposal, Repetition, Request, Seen, Setup, Strategy, StrategyError,
    Work, about, export, log, random, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use policy::{Masking, Policy, Slope};

/// Samples of the policy that may be of no use before the space is sampled instead, and samples of that.
const MAX_TRIES: u32 = 50;

/// Beyond it a reward is no measure of anything, and its square would not be a number that Adam can use.
const LARGEST_REWARD: f64 = 1e100;

/// What a search file may set. The defaults are the benchmark's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Adam's step size.
    pub learning_rate: f64,
    /// Share of the moving average that each result keeps of it.
    pub baseline_momentum: f64,
    /// Weight of the policy's entropy beside the reward.
    pub entropy_weight: f64,
    /// Deviation of the first logits around zero.
    pub initial_deviation: f64,
    /// Times the objective: rewards of accuracies are percent.
    pub reward_scale: f64,
    /// Logits of a range.
    pub bins: u32,
    /// Whether a network may be proposed again: `allowed`, `not-in-flight` or `never`.
    pub repetition: Repetition,
    /// Fidelity of every training; the task's highest if absent.
    pub fidelity: Option<u32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            baseline_momentum: 0.9,
            entropy_weight: 0.0,
            initial_deviation: 1e-3,
            reward_scale: 100.0,
            bins: 10,
            repetition: Repetition::NotInFlight,
            fidelity: None,
        }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.baseline_momentum) {
            return Err(format!("baseline-momentum: {} is not within 0 to below 1", self.baseline_momentum));
        }
        for (name, value) in [("learning-rate", self.learning_rate), ("reward-scale", self.reward_scale)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name}: {value} is not a number above 0"));
            }
        }
        for (name, value) in [("entropy-weight", self.entropy_weight), ("initial-deviation", self.initial_deviation)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("{name}: {value} is not a number of at least 0"));
            }
        }
        if self.bins == 0 { Err("bins: at least 1".to_owned()) } else { Ok(()) }
    }
}

/// The strategy.
pub struct Reinforce {
    setup: Setup,
    parameters: Parameters,
    fidelity: u32,
    policy: Policy,
    adam: Adam,
}

/// What it learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// As the policy lays them out.
    logits: Vec<f64>,
    moments: AdamMoments,
    /// The moving average is their quotient: of rewards, and of what their weights sum to.
    numerator: f64,
    denominator: f64,
    /// Whether the space refused an architecture that its written rules allow.
    has_unwritten_rules: bool,
    seen: Seen,
}

impl Strategy for Reinforce {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = State;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        if setup.objectives.is_empty() {
            return Err(StrategyError::UnsupportedSpace("the search has no objective to be rewarded by".to_owned()));
        }
        let policy = Policy::new(&setup.space, parameters.bins);
        let adam = Adam { rate: parameters.learning_rate, ..Adam::default() };
        Ok(Self { setup, parameters, fidelity, policy, adam })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        let n_logits = self.policy.n_logits();
        let normals = random::normals(n_logits as u32);
        Ok(State {
            logits: normals.into_iter().map(|normal| self.parameters.initial_deviation * normal).collect(),
            moments: AdamMoments::new(n_logits),
            numerator: 0.0,
            denominator: 0.0,
            has_unwritten_rules: false,
            seen: Seen::default(),
        })
    }

    fn accept(&self, state: &State) -> Result<(), String> {
        let (expected, found) = (self.policy.n_logits(), state.logits.len());
        if expected != found || state.moments.len() != found {
            return Err(format!("the snapshot has {found} logits, the space needs {expected}"));
        }
        Ok(())
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        state.seen.look_around(self.parameters.repetition, request)?;
        let mut proposals = Vec::new();
        for id in (request.next_id..).take(request.slots as usize) {
            let Some(architecture) = self.architecture(state, id)? else { break };
            proposals.push(Proposal::train(architecture, self.fidelity));
        }
        Ok(match (proposals.is_empty(), request.in_flight.is_empty()) {
            (false, _) => Answer::Work(proposals),
            (true, false) => Answer::Wait,
            (true, true) => Answer::Finished(format!("{MAX_TRIES} samples in a row were known already")),
        })
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.seen.told(self.parameters.repetition, job);
        let Some(score) = self.setup.score(job) else {
            return Ok(());
        };
        let reward = self.parameters.reward_scale * score;
        if let (true, Work::Train(training)) = (reward.abs() <= LARGEST_REWARD, &job.proposal.work)
            && let Some(slope) = self.policy.slope(&state.logits, &training.architecture, state.masking())
        {
            self.learn(state, reward, slope);
        }
        Ok(())
    }
}

impl Reinforce {
    /// A sample to train as job `id`; none if all tries gave what may not be repeated.
    fn architecture(&self, state: &mut State, id: u64) -> Result<Option<Architecture>, StrategyError> {
        for _ in 0..MAX_TRIES {
            let sampled = self.policy.sample(&state.logits, state.masking())?;
            match space::check(&sampled) {
                Ok(()) => {}
                Err(failure) => {
                    state.has_unwritten_rules |= failure.kind == FailureKind::InvalidArchitecture;
                    continue;
                }
            }
            if state.seen.admit(self.parameters.repetition, id, &sampled)? {
                return Ok(Some(sampled));
            }
        }
        // The policy has settled on what is in flight, or beyond the constraints: look elsewhere.
        for _ in 0..MAX_TRIES {
            let sampled = space::sample(&self.setup.constraints)?;
            if state.seen.admit(self.parameters.repetition, id, &sampled)? {
                return Ok(Some(sampled));
            }
        }
        Ok(None)
    }

    fn learn(&self, state: &mut State, reward: f64, slope: Slope) {
        let momentum = self.parameters.baseline_momentum;
        state.numerator = momentum * state.numerator + (1.0 - momentum) * reward;
        state.denominator = momentum * state.denominator + (1.0 - momentum);
        let baseline = state.numerator / state.denominator;
        let (advantage, weight) = (reward - baseline, self.parameters.entropy_weight);
        let mut gradient = slope.gradient;
        for (gradient, order) in gradient.iter_mut().zip(&slope.order) {
            *gradient = advantage * *gradient + weight * order;
        }
        self.adam.step(&mut state.logits, &gradient, &mut state.moments);
        log::chart("baseline", baseline / self.parameters.reward_scale);
        log::chart("policy entropy", slope.entropy);
    }
}

impl State {
    fn masking(&self) -> Masking {
        if self.has_unwritten_rules { Masking::All } else { Masking::Named }
    }

    /// The logits, as the policy lays them out.
    pub fn logits(&self) -> &[f64] {
        &self.logits
    }
}

export!(Reinforce);
