//! The cost a mixture is expected to have: each option's cost times its weight, with gradients.
//!
//! A node belongs to the chain of switch inputs that all its readers share; it counts with the product of their
//! weights. What several options read (a cell's preprocessing) belongs to none of them and counts in full. With
//! nested switches (input, then operation) the product is that of independent decisions.

use std::collections::BTreeMap;

use nasd_space::Gene;

use crate::costs::{Counting, node_costs};
use crate::error::NetworkError;
use crate::graph::{Graph, Primitive};
use crate::liveness::liveness;
use crate::simplify::simplify;

/// Which cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CostMetric {
    /// Trained numbers.
    Params,
    /// Multiply-adds an example.
    Flops,
}

/// A value with its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCost {
    /// The expected cost, auxiliary head included.
    pub value: f64,
    /// Its derivative with respect to each option's weight: a list a decision, in the order of genes; empty where
    /// the template has no such decision.
    pub gradients: Vec<Vec<f64>>,
}

/// Decision and option, outermost first.
type Chain = Vec<(u32, u32)>;

/// A template's costs, gathered by the options they belong to. Made once, asked often.
#[derive(Clone, Debug)]
pub struct ExpectedCosts {
    groups: Vec<(Chain, f64, f64)>,
    n_options: Vec<usize>,
}

impl ExpectedCosts {
    /// Gather the costs of a template. An error where sizes depend on what is chosen.
    pub fn new(template: &Graph, counting: Counting) -> Result<Self, NetworkError> {
        let template = simplify(template);
        if let Some(node) = template.nodes.iter().find(|node| matches!(node.primitive, Primitive::ConcatLooseEnds)) {
            let problem = "the number of loose ends depends on the architecture, and the sizes behind it too".into();
            return Err(NetworkError::NotSeparable { id: node.id.to_string(), problem });
        }
        let costs = node_costs(&template, counting)?;
        let live = liveness(&template, None)?.live;
        let mut chains: Vec<Option<Chain>> = vec![None; template.nodes.len()];
        let mut n_options: Vec<usize> = Vec::new();
        let mut groups: BTreeMap<Chain, (f64, f64)> = BTreeMap::new();
        for end in std::iter::once(template.logits).chain(template.auxiliary) {
            if let Some(chain) = chains.get_mut(end as usize) {
                *chain = Some(Chain::new());
            }
        }
        for (idx, node) in template.nodes.iter().enumerate().rev() {
            let Some(chain) = chains.get_mut(idx).and_then(Option::take).filter(|_| live.get(idx) == Some(&true))
            else {
                continue;
            };
            for (option, &input) in (0u32..).zip(&node.inputs) {
                let mut own = chain.clone();
                if let Primitive::Switch { decision } = node.primitive {
                    if chain.iter().any(|(outer, _)| *outer == decision) {
                        let problem = format!("decision {decision} is within one of its own options");
                        return Err(NetworkError::NotSeparable { id: node.id.to_string(), problem });
                    }
                    own.push((decision, option));
                    let slot = decision as usize;
                    n_options.resize(n_options.len().max(slot + 1), 0);
                    if let Some(count) = n_options.get_mut(slot) {
                        *count = (*count).max(node.inputs.len());
                    }
                }
                if let Some(known) = chains.get_mut(input as usize) {
                    let shared = known.take().map_or_else(|| own.clone(), |other| shared_start(&other, &own));
                    *known = Some(shared);
                }
            }
            if let Some(cost) = costs.get(idx).filter(|cost| cost.params > 0 || cost.flops > 0) {
                let sum = groups.entry(chain).or_default();
                sum.0 += cost.params as f64;
                sum.1 += cost.flops as f64;
            }
        }
        let groups = groups.into_iter().map(|(chain, (params, flops))| (chain, params, flops)).collect();
        Ok(Self { groups, n_options })
    }

    /// The expected cost of these genes; a choice weighs 1.
    pub fn of(&self, genes: &[Gene], metric: CostMetric) -> Result<ExpectedCost, NetworkError> {
        let mut weights: Vec<Vec<f64>> = Vec::with_capacity(self.n_options.len());
        for (decision, &n_options) in self.n_options.iter().enumerate() {
            weights.push(weights_of(decision, genes.get(decision), n_options)?);
        }
        let mut gradients: Vec<Vec<f64>> = self.n_options.iter().map(|&count| vec![0.0; count]).collect();
        gradients.resize(gradients.len().max(genes.len()), Vec::new());
        let weight = |(decision, option): &(u32, u32)| -> f64 {
            weights.get(*decision as usize).and_then(|list| list.get(*option as usize)).copied().unwrap_or_default()
        };
        let mut value = 0.0;
        for (chain, params, flops) in &self.groups {
            let cost = match metric {
                CostMetric::Params => *params,
                CostMetric::Flops => *flops,
            };
            value += cost * chain.iter().map(weight).product::<f64>();
            for (position, (decision, option)) in chain.iter().enumerate() {
                let others = chain.iter().enumerate().filter(|(other, _)| *other != position);
                let others: f64 = others.map(|(_, link)| weight(link)).product();
                let list = gradients.get_mut(*decision as usize);
                if let Some(slot) = list.and_then(|list| list.get_mut(*option as usize)) {
                    *slot += cost * others;
                }
            }
        }
        Ok(ExpectedCost { value, gradients })
    }
}

/// The expected cost of genes on a template; see [`ExpectedCosts`] to ask often.
pub fn expected_cost(
    template: &Graph,
    genes: &[Gene],
    metric: CostMetric,
    counting: Counting,
) -> Result<ExpectedCost, NetworkError> {
    ExpectedCosts::new(template, counting)?.of(genes, metric)
}

fn shared_start(first: &[(u32, u32)], second: &[(u32, u32)]) -> Chain {
    first.iter().zip(second).take_while(|(first, second)| first == second).map(|(link, _)| *link).collect()
}

fn weights_of(decision: usize, gene: Option<&Gene>, n_options: usize) -> Result<Vec<f64>, NetworkError> {
    let wrong = |problem: String| NetworkError::Gene { decision: decision.to_string(), problem };
    let mut weights = vec![0.0; n_options];
    let mut set = |option: u32, weight: f64| match weights.get_mut(option as usize) {
        Some(slot) => {
            *slot = weight;
            Ok(())
        }
        None => Err(wrong(format!("has {n_options} options, there is no option {option}"))),
    };
    match gene {
        _ if n_options == 0 => {}
        Some(Gene::Choice(option)) => set(*option, 1.0)?,
        Some(Gene::Mixture(options)) => {
            for option in options {
                set(option.index, f64::from(option.weight))?;
            }
        }
        Some(Gene::Inactive) => {}
        Some(_) => return Err(wrong("takes the index of an option or a mixture".into())),
        None => return Err(wrong("has no gene".into())),
    }
    Ok(weights)
}
