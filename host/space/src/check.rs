//! Whether an architecture obeys the space, and if not, which rule it breaks.
//!
//! Works on the description alone, in one pass, without allocation unless something is wrong.

use crate::{
    error::{BrokenRule, Violation},
    model::{Architecture, Condition, Decision, Domain, Gene, SearchSpace},
};

/// What a gene may be.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    StandAlone,
    Shared,
}

fn holds(condition: &Condition, genes: &[Gene]) -> bool {
    match genes.get(condition.decision as usize) {
        Some(Gene::Choice(option)) => condition.options.contains(option),
        Some(Gene::Mixture(listed)) => listed.iter().any(|option| condition.options.contains(&option.index)),
        _ => false,
    }
}

/// Whether a gene is a legal value of an active decision in a stand-alone architecture.
pub(crate) fn is_legal(domain: &Domain, gene: &Gene) -> bool {
    gene_fault(domain, gene, Use::StandAlone).is_none()
}

fn gene_fault(domain: &Domain, gene: &Gene, used: Use) -> Option<BrokenRule> {
    let expected = match domain {
        Domain::Choice(_) | Domain::Levels(_) if used == Use::Shared => "a choice or a mixture",
        Domain::Choice(_) | Domain::Levels(_) => "a choice",
        Domain::Integer(_) => "a whole number",
        Domain::Real(_) => "a real number",
    };
    let n_options = domain.n_options().unwrap_or(0);
    let beyond = |allowed: String| Some(BrokenRule::OutOfRange { allowed });
    match (domain, gene) {
        (_, Gene::Inactive) => Some(BrokenRule::Missing),
        (Domain::Choice(_) | Domain::Levels(_), Gene::Choice(option)) => {
            if (*option as usize) < n_options {
                None
            } else {
                beyond(format!("options 0 to {}", n_options.saturating_sub(1)))
            }
        }
        (Domain::Choice(_) | Domain::Levels(_), Gene::Mixture(listed)) if used == Use::Shared => {
            let mut previous = None;
            for option in listed {
                if option.index as usize >= n_options {
                    return beyond(format!("options 0 to {}", n_options.saturating_sub(1)));
                }
                if let Some(previous) = previous
                    && option.index <= previous
                {
                    return Some(BrokenRule::MixtureOrder { previous, index: option.index });
                }
                if !option.weight.is_finite() {
                    return Some(BrokenRule::MixtureWeight { index: option.index, weight: option.weight });
                }
                previous = Some(option.index);
            }
            None
        }
        (Domain::Integer(range), Gene::Integer(value)) => {
            if (range.low..=range.high).contains(value) {
                None
            } else {
                beyond(format!("{} to {}", range.low, range.high))
            }
        }
        // A NaN is in no range.
        (Domain::Real(range), Gene::Real(value)) => {
            if (range.low..=range.high).contains(value) {
                None
            } else {
                beyond(format!("{} to {}", range.low, range.high))
            }
        }
        _ => Some(BrokenRule::Kind { expected }),
    }
}

fn at(decision: &Decision, gene: &Gene, rule: BrokenRule) -> Violation {
    Violation { decision: Some(decision.name.clone()), gene: Some(decision.describe(gene)), rule }
}

impl SearchSpace {
    /// Whether decision `decision` is active given the genes before it (of a valid architecture or prefix; in
    /// shared work a mixture stands for the options it lists). `false` if there is no such decision.
    pub fn is_active(&self, decision: usize, genes: &[Gene]) -> bool {
        self.decisions
            .get(decision)
            .is_some_and(|decision| decision.active_when.iter().all(|condition| holds(condition, genes)))
    }

    /// Check the genes of the first decisions by themselves: kinds, ranges and conditions, not count rules.
    pub(crate) fn check_genes(&self, genes: &[Gene]) -> Result<(), Violation> {
        self.check_genes_as(genes, Use::StandAlone)
    }

    fn check_genes_as(&self, genes: &[Gene], used: Use) -> Result<(), Violation> {
        for (idx, (decision, gene)) in self.decisions.iter().zip(genes).enumerate() {
            let fault = if self.is_active(idx, genes) {
                gene_fault(&decision.domain, gene, used)
            } else if *gene == Gene::Inactive {
                None
            } else {
                Some(BrokenRule::NotActive)
            };
            if let Some(rule) = fault {
                return Err(at(decision, gene, rule));
            }
        }
        Ok(())
    }

    fn check_length(&self, architecture: &Architecture) -> Result<(), Violation> {
        let (expected, found) = (self.decisions.len(), architecture.len());
        if expected == found {
            return Ok(());
        }
        Err(Violation { decision: None, gene: None, rule: BrokenRule::Length { expected, found } })
    }

    /// Whether a stand-alone architecture is valid; if not, the first rule it breaks: genes in order, then
    /// count rules, then forbidden combinations.
    pub fn check(&self, architecture: &Architecture) -> Result<(), Violation> {
        self.check_length(architecture)?;
        self.check_genes(architecture)?;
        for (rule, count) in self.counts.iter().enumerate() {
            let counts = |decision: &&u32| matches!(architecture.get(**decision as usize), Some(Gene::Choice(option)) if count.options.contains(option));
            let found = count.decisions.iter().filter(counts).count() as u32;
            if !(count.at_least..=count.at_most).contains(&found) {
                let decisions = self.names(count.decisions.iter().copied());
                let (at_least, at_most) = (count.at_least, count.at_most);
                let rule = BrokenRule::Count { rule, decisions, found, at_least, at_most };
                return Err(Violation { decision: None, gene: None, rule });
            }
        }
        for (rule, conditions) in self.forbidden.iter().enumerate() {
            if conditions.iter().all(|condition| holds(condition, architecture)) {
                let parts = conditions.iter().filter_map(|condition| {
                    let decision = self.decisions.get(condition.decision as usize)?;
                    let gene = architecture.get(condition.decision as usize)?;
                    Some(format!("{} = {}", decision.name, decision.describe(gene)))
                });
                let combination = parts.collect::<Vec<_>>().join(", ");
                let rule = BrokenRule::Forbidden { rule, combination };
                return Err(Violation { decision: None, gene: None, rule });
            }
        }
        Ok(())
    }

    /// Whether an architecture can be used in shared work: genes may be mixtures (options ascending, in range,
    /// none twice, weights finite), a condition holds where a mixture lists one of its options, and count
    /// rules and forbidden combinations do not apply. A mixture may list nothing: nothing is computed then.
    pub fn check_shared(&self, architecture: &Architecture) -> Result<(), Violation> {
        self.check_length(architecture)?;
        self.check_genes_as(architecture, Use::Shared)
    }

    /// Names of decisions for a message, at most eight.
    pub(crate) fn names(&self, decisions: impl Iterator<Item = u32>) -> String {
        let mut names: Vec<&str> = decisions
            .filter_map(|idx| self.decisions.get(idx as usize).map(|decision| decision.name.as_str()))
            .collect();
        let more = names.len().saturating_sub(8);
        names.truncate(8);
        let list = names.join(", ");
        if more == 0 { list } else { format!("{list} and {more} more") }
    }
}
