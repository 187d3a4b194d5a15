//! Between the contract's types as bindings and as the space crate's.

use nasd_space as plain;

use crate::{Condition, Decision, Domain, Gene, Role, SearchSpace, WeightedOption};

pub(crate) fn plain_genes(genes: &[Gene]) -> plain::Architecture {
    genes.iter().map(plain_gene).collect()
}

fn plain_gene(gene: &Gene) -> plain::Gene {
    match gene {
        Gene::Inactive => plain::Gene::Inactive,
        Gene::Choice(option) => plain::Gene::Choice(*option),
        Gene::Integer(value) => plain::Gene::Integer(*value),
        Gene::Real(value) => plain::Gene::Real(*value),
        Gene::Mixture(listed) => plain::Gene::Mixture(
            listed.iter().map(|option| plain::WeightedOption { index: option.index, weight: option.weight }).collect(),
        ),
    }
}

pub(crate) fn guest_genes(genes: &[plain::Gene]) -> Vec<Gene> {
    genes
        .iter()
        .map(|gene| match gene {
            plain::Gene::Inactive => Gene::Inactive,
            plain::Gene::Choice(option) => Gene::Choice(*option),
            plain::Gene::Integer(value) => Gene::Integer(*value),
            plain::Gene::Real(value) => Gene::Real(*value),
            plain::Gene::Mixture(listed) => Gene::Mixture(
                listed.iter().map(|option| WeightedOption { index: option.index, weight: option.weight }).collect(),
            ),
        })
        .collect()
}

pub(crate) fn plain_space(space: &SearchSpace) -> plain::SearchSpace {
    plain::SearchSpace {
        name: space.name.clone(),
        decisions: space.decisions.iter().map(plain_decision).collect(),
        counts: space
            .counts
            .iter()
            .map(|rule| plain::CountRule {
                decisions: rule.decisions.clone(),
                options: rule.options.clone(),
                at_least: rule.at_least,
                at_most: rule.at_most,
            })
            .collect(),
        forbidden: space
            .forbidden
            .iter()
            .map(|combination| combination.iter().map(plain_condition).collect())
            .collect(),
    }
}

fn plain_condition(condition: &Condition) -> plain::Condition {
    plain::Condition { decision: condition.decision, options: condition.options.clone() }
}

fn plain_decision(decision: &Decision) -> plain::Decision {
    plain::Decision {
        name: decision.name.clone(),
        role: plain_role(decision.role),
        domain: plain_domain(&decision.domain),
        place: plain::Place { cell: decision.place.cell, node: decision.place.node },
        sources: decision.sources.clone(),
        active_when: decision.active_when.iter().map(plain_condition).collect(),
    }
}

fn plain_domain(domain: &Domain) -> plain::Domain {
    match domain {
        Domain::Choice(options) => plain::Domain::Choice(options.clone()),
        Domain::Levels(levels) => plain::Domain::Levels(levels.clone()),
        Domain::Integer(range) => {
            plain::Domain::Integer(plain::IntegerRange { low: range.low, high: range.high, log_scale: range.log_scale })
        }
        Domain::Real(range) => {
            plain::Domain::Real(plain::RealRange { low: range.low, high: range.high, log_scale: range.log_scale })
        }
    }
}

fn plain_role(role: Role) -> plain::Role {
    match role {
        Role::Operation => plain::Role::Operation,
        Role::Input => plain::Role::Input,
        Role::Skip => plain::Role::Skip,
        Role::Combination => plain::Role::Combination,
        Role::Activation => plain::Role::Activation,
        Role::Width => plain::Role::Width,
        Role::Depth => plain::Role::Depth,
        Role::Kernel => plain::Role::Kernel,
        Role::Stride => plain::Role::Stride,
        Role::Bits => plain::Role::Bits,
        Role::Resolution => plain::Role::Resolution,
        Role::HyperParameter => plain::Role::HyperParameter,
        Role::Other => plain::Role::Other,
    }
}
