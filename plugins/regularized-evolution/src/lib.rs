//! Regularized evolution (Real et al., "Regularized Evolution for Image Classifier Architecture Search",
//! AAAI 2019, section 3): tournaments choose the parent, one mutation makes the child, and it is the
//! *oldest* of the population that dies, not the worst, so that nothing survives on one lucky training.
//!
//! It runs asynchronously on any number of slots: an individual joins when its result is told, in told
//! order, and age is counted in that order. Failed jobs never join. The first `population` proposals are
//! random samples; those among them that fail are replaced by further ones. On one slot a network may be
//! trained again, as in the paper; on several it is not proposed while it is in flight, unless asked for.
//!
//! The state is the living, the best and what is in flight: neither it nor a call grows with the search,
//! except that `repetition = "never"` remembers 64 bits of every network.

mod groups;
mod population;

use nas_strategy_sdk::{
    About, Answer, Architecture, Job, JobId, Proposal, Repetition, Request, Seen, Setup, Strategy, StrategyError, Work,
    about, export, log, random, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use groups::Groups;
pub use population::{Individual, Population};

/// Children that may break the search's constraints or repeat a network before a random sample takes their
/// place, and samples that may repeat one before there is nothing to propose.
const MAX_TRIES: u32 = 100;

/// What a search file may set. The defaults are the paper's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Individuals alive.
    pub population: u32,
    /// Individuals drawn for a tournament, with replacement.
    pub sample: u32,
    /// Probability that a child equals its parent and is only trained anew.
    pub identity_probability: f64,
    /// Decisions that a mutation changes.
    pub changes: u32,
    /// Fidelity of every training; the task's highest if absent.
    pub fidelity: Option<u32>,
    /// Whether a mutation first picks a cell, then a kind of decision (operations or inputs), then a decision, as in the paper; otherwise it picks among all decisions alike.
    pub by_cell_and_kind: bool,
    /// Whether a network may be proposed again: `allowed`, `not-in-flight` or `never`.
    pub repetition: Repetition,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            population: 100,
            sample: 25,
            identity_probability: 0.05,
            changes: 1,
            fidelity: None,
            by_cell_and_kind: true,
            repetition: Repetition::NotInFlight,
        }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), String> {
        if self.population == 0 || self.sample == 0 || self.changes == 0 {
            return Err("population, sample and changes are at least 1".to_owned());
        }
        if !(0.0..=1.0).contains(&self.identity_probability) {
            return Err(format!("identity-probability: {} is not within 0 to 1", self.identity_probability));
        }
        Ok(())
    }
}

/// What changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    population: Population,
    seen: Seen,
}

/// The strategy.
pub struct RegularizedEvolution {
    setup: Setup,
    parameters: Parameters,
    fidelity: u32,
    groups: Groups,
}

impl Strategy for RegularizedEvolution {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = State;
    const SNAPSHOT_VERSION: u32 = 2;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        if setup.objectives.is_empty() {
            return Err(StrategyError::UnsupportedSpace("the search has no objective to compare by".to_owned()));
        }
        let groups = if parameters.by_cell_and_kind { Groups::of(&setup.space) } else { Groups::default() };
        Ok(Self { setup, parameters, fidelity, groups })
    }

    fn begin(&self) -> Result<State, StrategyError> {
        Ok(State::default())
    }

    fn accept(&self, state: &State) -> Result<(), String> {
        let n_decisions = self.setup.space.decisions.len();
        match state.population.individuals().find(|individual| individual.architecture.len() != n_decisions) {
            Some(odd) => {
                Err(format!("job {} has {} genes, the space {n_decisions} decisions", odd.job, odd.architecture.len()))
            }
            None => Ok(()),
        }
    }

    fn ask(&self, state: &mut State, request: &Request) -> Result<Answer, StrategyError> {
        state.seen.look_around(self.parameters.repetition, request)?;
        let wanted = self.parameters.population as usize;
        let living_or_in_flight = state.population.len() + request.in_flight.len();
        let mut proposals = Vec::with_capacity(request.slots as usize);
        for (item, id) in (request.next_id..).take(request.slots as usize).enumerate() {
            let is_random = living_or_in_flight + item < wanted || state.population.is_empty();
            let child = if is_random { None } else { self.child(state, id)? };
            let Some(proposal) = child.map_or_else(|| self.sample(state, id), |child| Ok(Some(child)))? else { break };
            proposals.push(proposal);
        }
        Ok(match (proposals.is_empty(), request.in_flight.is_empty()) {
            (false, _) => Answer::Work(proposals),
            (true, false) => Answer::Wait,
            (true, true) => Answer::Finished(format!("{MAX_TRIES} samples in a row were known already")),
        })
    }

    fn tell(&self, state: &mut State, job: &Job) -> Result<(), StrategyError> {
        state.seen.told(self.parameters.repetition, job);
        let Work::Train(training) = &job.proposal.work else {
            return Ok(());
        };
        let Some(score) = self.setup.score(job) else {
            return Ok(());
        };
        if training.architecture.len() != self.setup.space.decisions.len() {
            return Ok(());
        }
        let individual = Individual { job: job.id, architecture: training.architecture.clone(), score };
        state.population.join(individual, self.parameters.population as usize);
        log::chart("population mean", state.population.mean_score());
        Ok(())
    }

    fn recommend(&self, state: &State, limit: u32) -> Vec<Architecture> {
        state.population.best().take(limit as usize).map(|individual| individual.architecture.clone()).collect()
    }
}

impl RegularizedEvolution {
    /// A random architecture to train as job `id`; none if all tries gave what may not be repeated.
    fn sample(&self, state: &mut State, id: JobId) -> Result<Option<Proposal>, StrategyError> {
        for _ in 0..MAX_TRIES {
            let sampled = space::sample(&self.setup.constraints)?;
            if state.seen.admit(self.parameters.repetition, id, &sampled)? {
                return Ok(Some(Proposal::train(sampled, self.fidelity)));
            }
        }
        Ok(None)
    }

    /// The winner of a tournament, changed once, to train as job `id`. None if its children are known or lie
    /// beyond the search's constraints: such a job would only fail.
    fn child(&self, state: &mut State, id: JobId) -> Result<Option<Proposal>, StrategyError> {
        let State { population, seen } = state;
        let draws = random::below_many(population.len() as u64, self.parameters.sample);
        let Some(parent) = population.winner(&draws) else {
            return Err(StrategyError::Internal("a tournament without an individual".to_owned()));
        };
        let mut is_copy = random::next_f64() < self.parameters.identity_probability;
        for _ in 0..MAX_TRIES {
            let child = if is_copy { parent.architecture.clone() } else { self.mutate(&parent.architecture)? };
            is_copy = false;
            let is_feasible = self.setup.constraints.is_empty() || space::check(&child).is_ok();
            if is_feasible && seen.admit(self.parameters.repetition, id, &child)? {
                return Ok(Some(Proposal::train(child, self.fidelity).parents([parent.job])));
            }
        }
        Ok(None)
    }

    fn mutate(&self, parent: &Architecture) -> Result<Architecture, StrategyError> {
        let changes = self.parameters.changes;
        let among = self.groups.draw(parent);
        // The group may have no decision that can change (its rules leave one option): then any may.
        match space::mutate(parent, changes, among) {
            Err(_) if !among.is_empty() => Ok(space::mutate(parent, changes, &[])?),
            mutated => Ok(mutated?),
        }
    }
}

export!(RegularizedEvolution);
