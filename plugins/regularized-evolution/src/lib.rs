//! Regularized evolution (Real et al., "Regularized Evolution for Image Classifier Architecture Search",
//! AAAI 2019, section 3): tournaments choose the parent, one mutation makes the child, and it is the
//! *oldest* of the population that dies, not the worst, so that nothing survives on one lucky training.
//!
//! It runs asynchronously on any number of slots: an individual joins when its result is told, in told
//! order, and age is counted in that order. Failed jobs never join. The first `population` proposals are
//! random samples; those among them that fail are replaced by further ones.

mod groups;
mod population;

use nas_strategy_sdk::{
    About, Answer, Architecture, Job, Proposal, Request, Setup, Strategy, StrategyError, Work, about, export, log,
    random, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use groups::Groups;
pub use population::{Individual, Population};

/// Mutations of one parent that may break the search's constraints before one is proposed all the same.
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
    type State = Population;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        if setup.objectives.is_empty() {
            return Err(StrategyError::UnsupportedSpace("the search has no objective to compare by".to_owned()));
        }
        let groups = if parameters.by_cell_and_kind { Groups::of(&setup.space) } else { Groups::default() };
        Ok(Self { setup, parameters, fidelity, groups })
    }

    fn begin(&self) -> Result<Population, StrategyError> {
        Ok(Population::default())
    }

    fn accept(&self, population: &Population) -> Result<(), String> {
        let n_decisions = self.setup.space.decisions.len();
        match population.individuals().find(|individual| individual.architecture.len() != n_decisions) {
            Some(odd) => {
                Err(format!("job {} has {} genes, the space {n_decisions} decisions", odd.job, odd.architecture.len()))
            }
            None => Ok(()),
        }
    }

    fn ask(&self, population: &mut Population, request: &Request) -> Result<Answer, StrategyError> {
        let wanted = self.parameters.population as usize;
        let living_or_in_flight = population.len() + request.in_flight.len();
        let proposals = (0..request.slots as usize).map(|item| {
            if living_or_in_flight + item < wanted || population.is_empty() {
                Ok(Proposal::train(space::sample(&self.setup.constraints)?, self.fidelity))
            } else {
                self.child(population)
            }
        });
        Ok(Answer::Work(proposals.collect::<Result<_, StrategyError>>()?))
    }

    fn tell(&self, population: &mut Population, job: &Job) -> Result<(), StrategyError> {
        let Work::Train(training) = &job.proposal.work else {
            return Ok(());
        };
        let Some(score) = self.setup.score(job) else {
            return Ok(());
        };
        if training.architecture.len() != self.setup.space.decisions.len() {
            return Ok(());
        }
        let architecture = training.architecture.clone();
        population.join(Individual { job: job.id, architecture, score }, self.parameters.population as usize);
        log::chart("population mean", population.mean_score());
        Ok(())
    }

    fn recommend(&self, population: &Population, limit: u32) -> Vec<Architecture> {
        population.best().take(limit as usize).map(|individual| individual.architecture.clone()).collect()
    }
}

impl RegularizedEvolution {
    /// The tournament's winner, changed once.
    fn child(&self, population: &Population) -> Result<Proposal, StrategyError> {
        let draws = random::below_many(population.len() as u64, self.parameters.sample);
        let Some(parent) = population.winner(&draws) else {
            return Err(StrategyError::Internal("a tournament without an individual".to_owned()));
        };
        let child = if random::next_f64() < self.parameters.identity_probability {
            parent.architecture.clone()
        } else {
            self.mutate_within_constraints(&parent.architecture)?
        };
        Ok(Proposal::train(child, self.fidelity).parents([parent.job]))
    }

    /// A child beyond the search's constraints would only fail as a job.
    fn mutate_within_constraints(&self, parent: &Architecture) -> Result<Architecture, StrategyError> {
        let mut child = self.mutate(parent)?;
        if !self.setup.constraints.is_empty() {
            for _ in 0..MAX_TRIES {
                if space::check(&child).is_ok() {
                    break;
                }
                child = self.mutate(parent)?;
            }
        }
        Ok(child)
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
