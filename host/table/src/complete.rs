//! Whether a table has a row for every architecture of its space.

use std::collections::HashMap;

use nasd_network::SpaceDefinition;
use nasd_space::{Architecture, Domain, Gene};

use crate::table::{Row, key};

/// Larger spaces are not searched for a row that is missing.
const MAX_ENUMERATED: f64 = 1e6;

fn size(space: &SpaceDefinition) -> f64 {
    10f64.powf(space.space().log10_size())
}

/// Why nobody can tell whether a table of this space is complete, if so.
pub(crate) fn uncountable(space: &SpaceDefinition) -> Option<String> {
    let decisions = &space.space().decisions;
    if let Some(real) = decisions.iter().find(|decision| matches!(decision.domain, Domain::Real(_))) {
        return Some(format!("`{}` is a real number, so no table has all its values", real.name));
    }
    let size = size(space);
    // Not a number where the rules are too entangled to count.
    let is_small = size < MAX_ENUMERATED + 0.5;
    (!is_small).then(|| format!("its space is too large to look for missing rows (at most {MAX_ENUMERATED})"))
}

/// An architecture of the space without a row, if there is one.
pub(crate) fn missing(space: &SpaceDefinition, rows: &HashMap<Box<[u64]>, Row>) -> Option<Architecture> {
    if (rows.len() as f64 - size(space)).abs() < 0.5 {
        return None;
    }
    let prepared = space.space().prepare().ok()?;
    let decisions = &space.space().decisions;
    // Depth first, options in order.
    let mut open: Vec<Architecture> = vec![Vec::new()];
    while let Some(prefix) = open.pop() {
        if prefix.len() == decisions.len() {
            if !rows.contains_key(&key(&prefix)) {
                return Some(prefix);
            }
            continue;
        }
        let decision = decisions.get(prefix.len())?;
        let genes: Vec<Gene> = match &decision.domain {
            _ if !space.space().is_active(prefix.len(), &prefix) => vec![Gene::Inactive],
            Domain::Integer(range) => (range.low..=range.high).map(Gene::Integer).collect(),
            Domain::Real(_) => return None,
            Domain::Choice(_) | Domain::Levels(_) => {
                prepared.open_options(&prefix).ok()?.into_iter().map(Gene::Choice).collect()
            }
        };
        for gene in genes.into_iter().rev() {
            open.push(prefix.iter().cloned().chain([gene]).collect());
        }
    }
    None
}
