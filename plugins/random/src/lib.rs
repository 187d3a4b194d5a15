//! Random search: the baseline every other strategy is measured against.
//!
//! Every architecture is sampled by the space's own rules, within the search's constraints, and trained by itself. By default none is trained
//! twice: what was proposed is remembered by its identity, so two encodings of one network count as one.

use std::collections::BTreeSet;

use nas_strategy_sdk::{
    About, Answer, Architecture, Bound, Job, Proposal, Request, Setup, Strategy, StrategyError, Work, about, export,
    fingerprint, space,
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

/// The strategy. Its state is what was proposed so far, as 64-bit fingerprints of identities.
pub struct Random {
    fidelity: u32,
    unique: bool,
    constraints: Vec<Bound>,
}

impl Strategy for Random {
    const ABOUT: About = about!();
    type Parameters = Parameters;
    type State = BTreeSet<u64>;

    fn new(setup: Setup, parameters: Parameters) -> Result<Self, StrategyError> {
        let fidelity = setup.fidelity(parameters.fidelity).map_err(StrategyError::InvalidParameters)?;
        Ok(Self { fidelity, unique: parameters.unique, constraints: setup.constraints })
    }

    fn begin(&self) -> Result<BTreeSet<u64>, StrategyError> {
        Ok(BTreeSet::new())
    }

    fn ask(&self, known: &mut BTreeSet<u64>, request: &Request) -> Result<Answer, StrategyError> {
        let mut proposals = Vec::new();
        while proposals.len() < request.slots as usize {
            let Some(architecture) = self.sample(known)? else {
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

    fn tell(&self, known: &mut BTreeSet<u64>, job: &Job) -> Result<(), StrategyError> {
        // Its own are known since they were proposed; this is for those of a strategy before it.
        // What the space cannot identify it will not sample either.
        if let (true, Work::Train(training)) = (self.unique, &job.proposal.work)
            && let Ok(identity) = identity(&training.architecture)
        {
            known.insert(identity);
        }
        Ok(())
    }
}

impl Random {
    /// A sample not known yet; none if the tries are used up.
    fn sample(&self, known: &mut BTreeSet<u64>) -> Result<Option<Architecture>, StrategyError> {
        for _ in 0..MAX_TRIES {
            let architecture = space::sample(&self.constraints)?;
            if !self.unique || known.insert(identity(&architecture)?) {
                return Ok(Some(architecture));
            }
        }
        Ok(None)
    }
}

/// 64 bits of an architecture's identity: that two of a million networks share them has odds of 1 to 37 million.
fn identity(architecture: &Architecture) -> Result<u64, StrategyError> {
    Ok(fingerprint(space::identity(architecture)?.as_bytes()))
}

export!(Random);
