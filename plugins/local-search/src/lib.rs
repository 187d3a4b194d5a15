//! Local search (White, Nolen and Savani, "Exploring the loss landscape in neural architecture search", UAI 2021;
//! first as "Local search is state of the art for NAS benchmarks", 2020): from a random architecture to the best
//! of its neighbours, from there on in the same way, and at a local optimum anew from another random architecture.
//!
//! Nothing is trained twice: neighbours that are known, whoever trained them, are passed over, in the order of
//! told results. With several slots a neighbourhood is trained side by side; where its last results are out the
//! free slots wait for them, because the next move depends on all. Failed jobs are neighbours that are not better.
//!
//! A strategy that takes over goes on from the best it is told instead of a random architecture.

mod climb;
mod neighbourhood;

use nas_strategy_sdk::{
    About, Answer, Architecture, Job, JobId, Proposal, Repetition, Request, Setup, Strategy, StrategyError, Work,
    about, export, log, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use climb::{Climb, Position, Turn};
pub use neighbourhood::{along_ranges, around};

/// Random architectures in a row that may be known before the space counts as searched through.
const MAX_TRIES: u32 = 1_000;

/// When a climb moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// After all neighbours, to the best of them.
    #[default]
    AllNeighbours,
    /// As soon as one neighbour is better, to it.
    FirstImprovement,
}

/// What a search file may set. The defaults are the paper's simplest form.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// When a climb moves: `all-neighbours` or `first-improvement`.
    pub variant: Variant,
    /// Random architectures of which the best is a climb's start.
    pub starts: u32,
    /// Step along ranges, as a share of their scale.
    pub step: f64,
    /// Fidelity of every training; the task's highest if absent.
    pub fidelity: Option<u32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { variant: Variant::AllNeighbours, starts: 1, step: 0.1, fidelity: None }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), String> {
        if self.starts == 0 {
            return Err("starts: at least 1".to_owned());
        }
        if !(self.step > 0.0 && self.step <= 1.0) {
            return Err(format!("step: {} is not above 0 and at most 1", self.step));
        }
        Ok(())
    }
}

/// The strategy.
pub struct LocalSearch {
    setup: Setup,
    parameters: Parameters,
    fidelity: u32,
}

/// What comes next within a round.
enum Next {
    Propose(Proposal),
    /// The round has nothing left to propose.
    RoundIsOut,
    /// All random architectures were known.
    SpaceIsOut,
}

impl Strategy for LocalSearch {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = Climb;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        if setup.objectives.is_empty() {
            return Err(StrategyError::UnsupportedSpace("the search has no objective to compare by".to_owned()));
        }
        Ok(Self { setup, parameters, fidelity })
    }

    fn begin(&self) -> Result<Climb, StrategyError> {
        Ok(Climb::default())
    }

    fn accept(&self, climb: &Climb) -> Result<(), String> {
        let n_decisions = self.setup.space.decisions.len();
        match climb.architectures().find(|genes| genes.len() != n_decisions) {
            Some(odd) => Err(format!("an architecture has {} genes, the space {n_decisions} decisions", odd.len())),
            None => Ok(()),
        }
    }

    fn ask(&self, climb: &mut Climb, request: &Request) -> Result<Answer, StrategyError> {
        climb.seen.look_around(Repetition::Never, request)?;
        // What the host does not name any more it will not tell.
        climb.round.retain(|id| request.in_flight.contains(id));
        let mut proposals = Vec::new();
        while proposals.len() < request.slots as usize {
            let id = request.next_id + proposals.len() as u64;
            match self.next(climb, id)? {
                Next::Propose(proposal) => {
                    climb.round.insert(id);
                    proposals.push(proposal);
                }
                // The next move depends on the rest of the round.
                Next::RoundIsOut if !climb.round.is_empty() => break,
                Next::RoundIsOut => self.turn(climb)?,
                Next::SpaceIsOut => break,
            }
        }
        Ok(match (proposals.is_empty(), request.in_flight.is_empty()) {
            (false, _) => Answer::Work(proposals),
            (true, false) => Answer::Wait,
            (true, true) => Answer::Finished(format!(
                "{MAX_TRIES} samples in a row were known: the space is searched through, with {} local optima",
                climb.optima
            )),
        })
    }

    fn tell(&self, climb: &mut Climb, job: &Job) -> Result<(), StrategyError> {
        // Late results of a round cut short improve the climb they came from, but are no start of another.
        let is_of_round = climb.round.remove(&job.id);
        self.learn(climb, job, is_of_round || climb.current.is_some());
        if self.parameters.variant == Variant::FirstImprovement && climb.has_improved() {
            climb.cut_short();
        }
        Ok(())
    }

    fn replay(&self, climb: &mut Climb, job: &Job) -> Result<(), StrategyError> {
        self.learn(climb, job, true);
        Ok(())
    }
}

impl LocalSearch {
    fn learn(&self, climb: &mut Climb, job: &Job, counts: bool) {
        climb.seen.told(Repetition::Never, job);
        let Work::Train(training) = &job.proposal.work else { return };
        if let (true, Some(score)) = (counts, self.setup.score(job))
            && training.architecture.len() == self.setup.space.decisions.len()
        {
            climb.offer(Position { job: job.id, architecture: training.architecture.clone(), score });
        }
    }

    /// The next architecture of the round, to be job `id`.
    fn next(&self, climb: &mut Climb, id: JobId) -> Result<Next, StrategyError> {
        while let Some(neighbour) = climb.to_visit.pop() {
            // One beyond the search's constraints would only fail as a job.
            let is_feasible = self.setup.constraints.is_empty() || space::check(&neighbour).is_ok();
            if is_feasible && climb.seen.admit(Repetition::Never, id, &neighbour)? {
                let parent = climb.current.as_ref().map(|current| current.job);
                return Ok(Next::Propose(self.train(neighbour).parents(parent)));
            }
        }
        if climb.starts_left == 0 {
            return Ok(Next::RoundIsOut);
        }
        for _ in 0..MAX_TRIES {
            let sampled = space::sample(&self.setup.constraints)?;
            if climb.seen.admit(Repetition::Never, id, &sampled)? {
                climb.starts_left -= 1;
                return Ok(Next::Propose(self.train(sampled)));
            }
        }
        Ok(Next::SpaceIsOut)
    }

    fn train(&self, architecture: Architecture) -> Proposal {
        Proposal::train(architecture, self.fidelity)
    }

    /// Moves the climb, or lets another begin.
    fn turn(&self, climb: &mut Climb) -> Result<(), StrategyError> {
        match (climb.turn(), &climb.current) {
            (Turn::Moved, Some(current)) => {
                log::chart("climb", current.score);
                climb.to_visit = around(&self.setup.space, &current.architecture, self.parameters.step)?;
            }
            _ => climb.starts_left = self.parameters.starts,
        }
        Ok(())
    }
}

export!(LocalSearch);
