//! Whether a description is a search space at all.

use std::collections::BTreeSet;

use crate::{
    error::SpaceError,
    model::{Condition, Decision, Domain, Role, SearchSpace},
    prepared::Prepared,
};

fn fault(at: impl Into<String>, problem: impl Into<String>) -> Result<(), SpaceError> {
    Err(SpaceError::Malformed { at: at.into(), problem: problem.into() })
}

fn has_repeats<T: Ord>(list: &[T]) -> bool {
    list.iter().collect::<BTreeSet<_>>().len() < list.len()
}

impl SearchSpace {
    /// Whether the space is sound: names unique, domains not empty and in order, conditions about earlier
    /// decisions with options, options in range, sources aligned, count rules possible, and at least one
    /// architecture.
    pub fn validate(&self) -> Result<(), SpaceError> {
        if self.decisions.is_empty() {
            return fault(format!("space {}", self.name), "there is nothing to decide");
        }
        let mut names = BTreeSet::new();
        for (idx, decision) in self.decisions.iter().enumerate() {
            if decision.name.is_empty() {
                return fault(format!("decision {idx}"), "its name is empty");
            }
            if !names.insert(decision.name.as_str()) {
                return fault(&decision.name, "another decision has this name");
            }
            validate_domain(decision)?;
            validate_sources(decision)?;
            for condition in &decision.active_when {
                self.validate_condition(&decision.name, condition, idx)?;
            }
        }
        for (rule, count) in self.counts.iter().enumerate() {
            let at = format!("count rule {rule}");
            if count.decisions.is_empty() || has_repeats(&count.decisions) {
                return fault(at, "it must count at least one decision, none twice");
            }
            if count.options.is_empty() || has_repeats(&count.options) {
                return fault(at, "it must count at least one option, none twice");
            }
            let mut most_options = 0;
            for decision in &count.decisions {
                let Some(n_options) = self.n_options(*decision) else {
                    return fault(at, format!("decision {decision} does not exist or has no options"));
                };
                most_options = most_options.max(n_options);
            }
            if let Some(option) = count.options.iter().find(|option| **option as usize >= most_options) {
                return fault(at, format!("none of its decisions has an option {option}, counted from 0"));
            }
            if count.at_least > count.at_most {
                return fault(at, format!("at-least {} is more than at-most {}", count.at_least, count.at_most));
            }
            if count.at_least as usize > count.decisions.len() {
                let n = count.decisions.len();
                return fault(at, format!("at-least {} is more than its {n} decisions", count.at_least));
            }
        }
        for (rule, conditions) in self.forbidden.iter().enumerate() {
            let at = format!("forbidden combination {rule}");
            if conditions.is_empty() {
                return fault(at, "without conditions it would forbid everything");
            }
            for condition in conditions {
                self.validate_condition(&at, condition, self.decisions.len())?;
            }
        }
        let prepared = Prepared::new(self)?;
        let mut trial = prepared.trial();
        for component in &prepared.tables().components {
            if component.is_ruled() && !trial.completes(component, 0)? {
                let decisions = self.names(prepared.tables().members(component).iter().copied());
                return Err(SpaceError::NoArchitecture { decisions });
            }
        }
        Ok(())
    }

    fn n_options(&self, decision: u32) -> Option<usize> {
        self.decisions.get(decision as usize)?.domain.n_options()
    }

    fn validate_condition(&self, at: &str, condition: &Condition, before: usize) -> Result<(), SpaceError> {
        let decision = condition.decision;
        if decision as usize >= before {
            let what = if before == self.decisions.len() { "does not exist" } else { "is not an earlier one" };
            return fault(at, format!("its condition names decision {decision}, which {what}"));
        }
        let Some(n_options) = self.n_options(decision) else {
            return fault(at, format!("its condition names decision {decision}, which has no options"));
        };
        if condition.options.is_empty() || has_repeats(&condition.options) {
            return fault(at, "a condition must name at least one option, none twice");
        }
        if let Some(option) = condition.options.iter().find(|option| **option as usize >= n_options) {
            let name = self.decisions.get(decision as usize).map_or("", |decision| decision.name.as_str());
            return fault(at, format!("its condition names option {option} of {name}, which has {n_options}"));
        }
        Ok(())
    }
}

fn validate_domain(decision: &Decision) -> Result<(), SpaceError> {
    let at = decision.name.as_str();
    match &decision.domain {
        Domain::Choice(options) if options.is_empty() => fault(at, "a choice needs at least one option"),
        Domain::Choice(options) if has_repeats(options) => fault(at, "two of its options have the same name"),
        Domain::Levels(levels) if levels.is_empty() => fault(at, "levels need at least one number"),
        Domain::Levels(levels) if levels.iter().any(|level| !level.is_finite()) => {
            fault(at, "a level is not a finite number")
        }
        Domain::Levels(levels) if !levels.is_sorted_by(|a, b| a < b) => fault(at, "levels must ascend, none twice"),
        Domain::Integer(range) if range.low > range.high => {
            fault(at, format!("low {} is more than high {}", range.low, range.high))
        }
        Domain::Integer(range) if range.log_scale && range.low < 1 => {
            fault(at, "a logarithmic scale needs a low of at least 1")
        }
        Domain::Real(range) if !(range.low.is_finite() && range.high.is_finite()) => {
            fault(at, "low and high must be finite numbers")
        }
        Domain::Real(range) if range.low > range.high => {
            fault(at, format!("low {} is more than high {}", range.low, range.high))
        }
        Domain::Real(range) if range.log_scale && range.low <= 0.0 => {
            fault(at, "a logarithmic scale needs a low above 0")
        }
        _ => Ok(()),
    }
}

fn validate_sources(decision: &Decision) -> Result<(), SpaceError> {
    let n_sources = decision.sources.len();
    let n_options = decision.domain.n_options().unwrap_or(0);
    match decision.role {
        Role::Input if n_sources != n_options => {
            fault(&decision.name, format!("an input decision has one source an option: {n_sources} for {n_options}"))
        }
        Role::Skip | Role::Operation if n_sources > 1 => {
            fault(&decision.name, format!("an edge leaves one node, not {n_sources}"))
        }
        Role::Input | Role::Skip | Role::Operation => Ok(()),
        _ if n_sources > 0 => fault(&decision.name, "only inputs, skips and operations on edges have sources"),
        _ => Ok(()),
    }
}
