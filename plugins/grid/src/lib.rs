//! Grid search: every valid architecture of the space once, in order.
//!
//! Decisions are enumerated in the space's order, the last one fastest; real ranges stand for a few levels of
//! their scale. `stride` and `offset` give a search every so-manieth architecture, so that several searches
//! share a grid without speaking to each other: with stride 3 and offsets 0, 1 and 2 they cover it together.
//! The search ends when the grid does.
//!
//! What another strategy trained before this one took over is not trained again. Of its own results it needs
//! none: a failed job is not tried anew.

mod odometer;
mod values;

use std::collections::BTreeSet;

use nas_strategy_sdk::{
    About, Answer, Architecture, Domain, Gene, Job, JobId, Proposal, Request, Setup, Strategy, StrategyError, Work,
    about, export, fingerprint, history, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use odometer::Odometer;

/// Steps of the enumeration in one call; a stride or a constraint may need more than one call for an item.
const STEPS_A_CALL: u32 = 2_000;

/// The largest grid of whole numbers that one decision may have.
const MOST_INTEGERS: u64 = 100_000;

/// What a search file may set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Train every so-manieth architecture only.
    pub stride: u64,
    /// Number of the first architecture, below `stride`.
    pub offset: u64,
    /// Values that a range of real numbers gives, evenly spaced on its scale, both ends among them.
    pub levels: u32,
    /// Values that a range of whole numbers gives at most; all if absent.
    pub integer_levels: Option<u32>,
    /// Fidelity of every training; the task's highest if absent.
    pub fidelity: Option<u32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { stride: 1, offset: 0, levels: 5, integer_levels: None, fidelity: None }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), String> {
        if self.stride == 0 || self.levels == 0 || self.integer_levels == Some(0) {
            return Err("stride, levels and integer-levels are at least 1".to_owned());
        }
        if self.offset >= self.stride {
            return Err(format!("offset: {} is not below the stride, {}", self.offset, self.stride));
        }
        Ok(())
    }
}

/// The strategy.
pub struct Grid {
    setup: Setup,
    stride: u64,
    offset: u64,
    fidelity: u32,
    /// For each decision its values on the grid; empty where the space opens its options.
    ranges: Vec<Vec<Gene>>,
}

/// Where the search stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    odometer: Odometer,
    /// Architectures asked for.
    asked: u64,
    /// The first job of its own.
    first_own: Option<JobId>,
    /// Architectures of other strategies that may still come, as fingerprints.
    taken: BTreeSet<u64>,
}

impl Strategy for Grid {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = Place;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        parameters.check().map_err(StrategyError::InvalidParameters)?;
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        let mut ranges = Vec::with_capacity(setup.space.decisions.len());
        for decision in &setup.space.decisions {
            if let Domain::Integer(range) = &decision.domain {
                let wanted = parameters.integer_levels.map_or(u64::MAX, u64::from);
                if range.n_values().min(wanted) > MOST_INTEGERS {
                    let message = format!(
                        "integer-levels: {} has {} values; take at most {MOST_INTEGERS} of them",
                        decision.name,
                        range.n_values()
                    );
                    return Err(StrategyError::InvalidParameters(message));
                }
            }
            ranges.push(values::of(decision, parameters.levels, parameters.integer_levels));
        }
        Ok(Self { setup, stride: parameters.stride, offset: parameters.offset, fidelity, ranges })
    }

    fn begin(&self) -> Result<Place, StrategyError> {
        Ok(Place::default())
    }

    fn accept(&self, place: &Place) -> Result<(), String> {
        let (wheels, decisions) = (place.odometer.n_wheels(), self.ranges.len());
        if wheels != 0 && wheels != decisions {
            return Err(format!("the snapshot stands at {wheels} decisions, the space has {decisions}"));
        }
        if !place.odometer.is_sound() {
            return Err("the snapshot stands beyond the values of a decision".to_owned());
        }
        Ok(())
    }

    fn ask(&self, place: &mut Place, request: &Request) -> Result<Answer, StrategyError> {
        self.look_around(place, request);
        let mut proposals = Vec::new();
        let mut steps = 0;
        while proposals.len() < request.slots as usize && steps < STEPS_A_CALL {
            steps += 1;
            let number = place.odometer.next_number();
            let skip = (self.offset + self.stride - number % self.stride) % self.stride;
            let Some(skipped) = place.odometer.advance(&self.setup.space, &self.ranges, skip)? else {
                break;
            };
            let is_mine = skipped == skip;
            if is_mine && !self.is_taken(place) && self.is_feasible(place.odometer.last()) {
                proposals.push(Proposal::train(place.odometer.last().to_vec(), self.fidelity));
            }
        }
        place.asked = place.asked.saturating_add(proposals.len() as u64);
        if !proposals.is_empty() {
            return Ok(Answer::Work(proposals));
        }
        if place.odometer.has_ended() {
            return Ok(Answer::Finished(format!(
                "the grid of {} architectures is searched through: {} were trained here",
                place.odometer.next_number(),
                place.asked
            )));
        }
        Ok(Answer::Busy)
    }

    fn tell(&self, place: &mut Place, job: &Job) -> Result<(), StrategyError> {
        if place.first_own.is_none_or(|first| job.id < first) {
            take(place, job);
        }
        Ok(())
    }
}

impl Grid {
    /// Before its first own job: what is in flight is of another strategy.
    fn look_around(&self, place: &mut Place, request: &Request) {
        if place.first_own.is_none() {
            for job in request.in_flight.iter().filter_map(|id| history::get(*id)) {
                take(place, &job);
            }
            place.first_own = Some(request.next_id);
        }
    }

    fn is_taken(&self, place: &mut Place) -> bool {
        !place.taken.is_empty() && place.taken.remove(&genes_fingerprint(place.odometer.last()))
    }

    /// An architecture beyond the search's constraints would only fail as a job.
    fn is_feasible(&self, genes: &Architecture) -> bool {
        self.setup.constraints.is_empty() || space::check(genes).is_ok()
    }
}

fn take(place: &mut Place, job: &Job) {
    if let Work::Train(training) = &job.proposal.work {
        place.taken.insert(genes_fingerprint(&training.architecture));
    }
}

/// Of the genes alone: the grid has every encoding once, even where two build one network.
fn genes_fingerprint(genes: &[Gene]) -> u64 {
    let mut bytes = Vec::with_capacity(genes.len() * 9);
    for gene in genes {
        let (kind, word) = match gene {
            Gene::Inactive | Gene::Mixture(_) => (0u8, 0),
            Gene::Choice(option) => (1, u64::from(*option)),
            Gene::Integer(value) => (2, *value as u64),
            Gene::Real(value) => (3, value.to_bits()),
        };
        bytes.push(kind);
        bytes.extend(word.to_le_bytes());
    }
    fingerprint(&bytes)
}

export!(Grid);
