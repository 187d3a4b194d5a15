//! What strategies on shared weights have in common: the training of those weights by sampled paths, the
//! evaluation of candidates with them, and the order of candidates that comes out.
//!
//! A search of this kind has phases. First [`Supernet`] hands out weight steps until the task's schedule is
//! done; then candidates are evaluated in jobs, all by the same [`Evaluation`], and [`Ranking`] keeps the best;
//! [`Selection`] does that for searches that only sample.
//! [`Session`] counts what is handed out and what is told, failures included, so that a search ends after the
//! same number of jobs whatever fails. What a path is and which candidates are worth an evaluation is the
//! strategy's own.

mod evaluation;
mod ranking;
mod selection;
mod session;
mod supernet;

pub use evaluation::{Evaluation, Normalization, scores};
pub use ranking::{Candidate, Ranking, rank_agreement};
pub use selection::{Selected, Selection};
pub use session::Session;
pub use supernet::{Phase, Supernet};

use crate::{Domain, Role, Setup, SharedWeights, StrategyError};

/// The task's shared weights; an error where it has none.
pub fn shared_weights(setup: &Setup) -> Result<&SharedWeights, StrategyError> {
    let missing = || StrategyError::UnsupportedSpace("the task has no shared weights".to_owned());
    setup.shared_weights.as_ref().ok_or_else(missing)
}

/// Whether every decision is a choice within the network, as shared weights need it; an error names one that is not.
pub fn check_choices(setup: &Setup) -> Result<(), StrategyError> {
    if setup.space.decisions.is_empty() {
        return Err(StrategyError::UnsupportedSpace("the space has no decisions".to_owned()));
    }
    let odd = setup.space.decisions.iter().find(|decision| {
        decision.role == Role::HyperParameter || !matches!(decision.domain, Domain::Choice(_) | Domain::Levels(_))
    });
    match odd {
        Some(decision) => Err(StrategyError::UnsupportedSpace(format!(
            "decision {} cannot be shared: only choices of the network can",
            decision.name
        ))),
        None => Ok(()),
    }
}

/// Whether the search has something to compare candidates by.
pub fn check_objective(setup: &Setup) -> Result<(), StrategyError> {
    if setup.objectives.is_empty() {
        return Err(StrategyError::UnsupportedSpace("the search has no objective to compare by".to_owned()));
    }
    Ok(())
}
