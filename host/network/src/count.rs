//! Costs of many architectures: one walk of the template each, without building the network.
//!
//! Where no size depends on what is chosen, every node of a template costs the same in every network it is part
//! of. What is left to find is which nodes those are. It agrees with [`costs`](crate::costs()) of the
//! specialised network; where sizes do depend on the choice (loose ends) that is asked instead.

use nasd_space::Gene;

use crate::costs::{Costs, Counting, NodeCost, node_costs};
use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};
use crate::liveness::selected;
use crate::simplify::keeps_zero;
use crate::specialize::{is_stand_alone, specialize};

/// Needed for the class scores.
const NETWORK: u8 = 1;
/// Needed for the auxiliary head.
const AUXILIARY: u8 = 2;

/// A template made ready to be counted.
#[derive(Clone, Debug)]
pub(crate) struct TemplateCosts {
    counting: Counting,
    /// Empty where sizes depend on the choice.
    of_nodes: Vec<NodeCost>,
    /// Nodes that can be zeros, in order; none where unused structure counts.
    may_be_zero: Vec<NodeIdx>,
}

impl TemplateCosts {
    /// Infer a template's shapes and costs.
    pub fn new(template: &Graph, counting: Counting) -> Result<Self, NetworkError> {
        let of_nodes = node_costs(template, counting)?;
        let varies = template.nodes.iter().any(|node| matches!(node.primitive, Primitive::ConcatLooseEnds));
        let of_nodes = if varies { Vec::new() } else { of_nodes };
        let mut flags = vec![false; template.nodes.len()];
        let mut may_be_zero = Vec::new();
        for (idx, node) in (0u32..).zip(&template.nodes) {
            let zero = |input: &NodeIdx| flags.get(*input as usize) == Some(&true);
            let may = match node.primitive {
                Primitive::Zero { .. } => true,
                Primitive::Switch { .. } | Primitive::Multiply => node.inputs.iter().any(zero),
                _ => keeps_zero(&node.primitive) && node.inputs.iter().all(zero) && !node.inputs.is_empty(),
            };
            if may && !counting.unused {
                may_be_zero.push(idx);
            }
            if let Some(flag) = flags.get_mut(idx as usize) {
                *flag = may;
            }
        }
        Ok(Self { counting, of_nodes, may_be_zero })
    }

    /// Costs of an architecture's network.
    pub fn of(&self, template: &Graph, genes: &[Gene]) -> Result<Costs, NetworkError> {
        if self.of_nodes.is_empty() {
            return crate::costs::costs(&specialize(template, genes)?, self.counting);
        }
        is_stand_alone(genes)?;
        let zeros = self.zeros(template, genes);
        let is_zero = |node: NodeIdx| zeros.get(node as usize) == Some(&true);
        let mut needed = vec![0u8; template.nodes.len()];
        need(&mut needed, template.logits, NETWORK);
        if let Some(auxiliary) = template.auxiliary {
            need(&mut needed, auxiliary, AUXILIARY);
        }
        let (mut network, mut head) = (NodeCost::default(), NodeCost::default());
        for (idx, (node, cost)) in template.nodes.iter().zip(&self.of_nodes).enumerate().rev() {
            let ends = needed.get(idx).copied().unwrap_or_default();
            if ends == 0 {
                continue;
            }
            if ends & NETWORK == 0 {
                head += *cost;
            } else {
                network += *cost;
            }
            match node.primitive {
                Primitive::Switch { decision } => {
                    selected(decision, &node.inputs, genes)?.for_each(|input| need(&mut needed, input, ends));
                }
                Primitive::Add if node.inputs.iter().all(|input| is_zero(*input)) => {
                    node.inputs.iter().take(1).for_each(|input| need(&mut needed, *input, ends));
                }
                Primitive::Add => {
                    let added = node.inputs.iter().filter(|input| !is_zero(**input));
                    added.for_each(|input| need(&mut needed, *input, ends));
                }
                _ => node.inputs.iter().for_each(|input| need(&mut needed, *input, ends)),
            }
        }
        Ok(Costs {
            params: network.params,
            flops: network.flops,
            auxiliary_params: head.params,
            auxiliary_flops: head.flops,
        })
    }

    /// Which nodes are zeros for these genes, as simplifying sees it.
    fn zeros(&self, template: &Graph, genes: &[Gene]) -> Vec<bool> {
        let mut zeros = vec![false; if self.may_be_zero.is_empty() { 0 } else { template.nodes.len() }];
        for &idx in &self.may_be_zero {
            let Some(node) = template.nodes.get(idx as usize) else { continue };
            let zero = |input: &NodeIdx| zeros.get(*input as usize) == Some(&true);
            let found = match node.primitive {
                Primitive::Zero { .. } => true,
                Primitive::Multiply => node.inputs.iter().any(zero),
                Primitive::Switch { decision } => match genes.get(decision as usize) {
                    Some(Gene::Choice(option)) => node.inputs.get(*option as usize).is_some_and(zero),
                    _ => false,
                },
                _ => node.inputs.iter().all(zero),
            };
            if let Some(slot) = zeros.get_mut(idx as usize) {
                *slot = found;
            }
        }
        zeros
    }
}

fn need(needed: &mut [u8], node: NodeIdx, ends: u8) {
    if let Some(flags) = needed.get_mut(node as usize) {
        *flags |= ends;
    }
}
