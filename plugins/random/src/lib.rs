//! Random search: the baseline every other strategy is measured against.
//!
//! Every architecture is sampled by the space's own rules, within the search's constraints, and trained by
//! itself. By default none is trained twice: what was proposed is remembered by its identity, so two encodings
//! of one network count as one.

use nas_strategy_sdk::{
    About, Answer, Architecture, Bound, Job, JobId, Proposal, Repetition, Request, Seen, Setup, Strategy,
    StrategyError, about, export, space,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Samples in a row that may be known already before the space counts as searched through.
const MAX_TRIES: u32 = 1_000;

/// What a search file may set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Fidelity of every training; the task's highest if absent.
    pub fidelity: Option<u32>,
    /// Whether to train each network once only.
    pub unique: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { fidelity: None, unique: true }
    }
}

/// The strategy. Its state is what was proposed so far.
pub struct Random {
    fidelity: u32,
    repetition: Repetition,
    constraints: Vec<Bound>,
}

impl Strategy for Random {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = Seen;
    const SNAPSHOT_VERSION: u32 = 2;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        let repetition = if parameters.unique { Repetition::Never } else { Repetition::Allowed };
        Ok(Self { fidelity, repetition, constraints: setup.constraints })
    }

    fn begin(&self) -> Result<Seen, StrategyError> {
        Ok(Seen::default())
    }

    fn ask(&self, seen: &mut Seen, request: &Request) -> Result<Answer, StrategyError> {
        seen.look_around(self.repetition, request)?;
        let mut proposals = Vec::with_capacity(request.slots as usize);
        for id in (request.next_id..).take(request.slots as usize) {
            let Some(architecture) = self.sample(seen, id)? else {
                break;
            };
            proposals.push(Proposal::train(architecture, self.fidelity));
        }
        if proposals.is_empty() {
            return Ok(Answer::Finished(format!(
                "{MAX_TRIES} samples in a row were known: the space is searched through"
            )));
        }
        Ok(Answer::Work(proposals))
    }

    fn tell(&self, seen: &mut Seen, job: &Job) -> Result<(), StrategyError> {
        seen.told(self.repetition, job);
        Ok(())
    }
}

impl Random {
    /// A sample to train as job `id`; none if the tries are used up.
    fn sample(&self, seen: &mut Seen, id: JobId) -> Result<Option<Architecture>, StrategyError> {
        for _ in 0..MAX_TRIES {
            let architecture = space::sample(&self.constraints)?;
            if seen.admit(self.repetition, id, &architecture)? {
                return Ok(Some(architecture));
            }
        }
        Ok(None)
    }
}

export!(Random);
