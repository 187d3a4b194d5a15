//! Which nodes of a template an architecture computes with.
//!
//! One walk from the outputs back. Readers come after what they read, so when the walk reaches a node it knows
//! whether anybody reads it: that settles loose ends too.

use nasd_space::Gene;

use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};

/// The walk's answer.
pub(crate) struct Liveness {
    /// Computed, a flag a node.
    pub live: Vec<bool>,
    /// Live, but read by a `ConcatLooseEnds` alone.
    pub loose: Vec<bool>,
}

/// Inputs of a switch that a gene selects.
pub(crate) fn selected<'g>(
    decision: u32,
    inputs: &'g [NodeIdx],
    genes: &'g [Gene],
) -> Result<Box<dyn Iterator<Item = NodeIdx> + 'g>, NetworkError> {
    let wrong = |problem: String| NetworkError::Gene { decision: decision.to_string(), problem };
    let outside = |option: u32| wrong(format!("has {} options, there is no option {option}", inputs.len()));
    match genes.get(decision as usize) {
        None => Err(wrong(format!("the architecture has {} genes only", genes.len()))),
        Some(Gene::Choice(option)) => match inputs.get(*option as usize) {
            Some(&input) => Ok(Box::new(std::iter::once(input))),
            None => Err(outside(*option)),
        },
        Some(Gene::Mixture(options)) => {
            if let Some(wild) = options.iter().find(|option| option.index as usize >= inputs.len()) {
                return Err(outside(wild.index));
            }
            Ok(Box::new(options.iter().filter_map(|option| inputs.get(option.index as usize).copied())))
        }
        Some(Gene::Inactive) => Err(wrong("its gene is inactive where the network needs it".into())),
        Some(Gene::Integer(_) | Gene::Real(_)) => Err(wrong("takes the index of an option".into())),
    }
}

/// The nodes that logits and auxiliary head need. Without genes every option counts.
pub(crate) fn liveness(graph: &Graph, genes: Option<&[Gene]>) -> Result<Liveness, NetworkError> {
    reach(graph, genes, [("logits", Some(graph.logits)), ("auxiliary", graph.auxiliary)])
}

/// As [`liveness`], from these outputs.
pub(crate) fn reach(
    graph: &Graph,
    genes: Option<&[Gene]>,
    ends: [(&str, Option<NodeIdx>); 2],
) -> Result<Liveness, NetworkError> {
    let n_nodes = graph.nodes.len();
    let mut walk = Liveness { live: vec![false; n_nodes], loose: vec![false; n_nodes] };
    let mut candidates = vec![false; n_nodes];
    for (from, end) in ends {
        if let Some(index) = end {
            mark(&mut walk.live, index, n_nodes, from)?;
        }
    }
    for (idx, node) in graph.nodes.iter().enumerate().rev() {
        let (Some(live), Some(loose)) = (walk.live.get_mut(idx), walk.loose.get_mut(idx)) else { continue };
        if !*live && candidates.get(idx) == Some(&true) {
            (*live, *loose) = (true, true);
        }
        if !*live {
            continue;
        }
        match (&node.primitive, genes) {
            (Primitive::Switch { decision }, Some(genes)) => {
                for input in selected(*decision, &node.inputs, genes)? {
                    mark(&mut walk.live, input, idx, &node.id)?;
                }
            }
            (Primitive::ConcatLooseEnds, Some(_)) => {
                for &input in &node.inputs {
                    mark(&mut candidates, input, idx, &node.id)?;
                }
            }
            _ => {
                for &input in &node.inputs {
                    mark(&mut walk.live, input, idx, &node.id)?;
                }
            }
        }
    }
    Ok(walk)
}

/// Flag a node which must lie before `limit`.
fn mark(flags: &mut [bool], node: NodeIdx, limit: usize, from: &str) -> Result<(), NetworkError> {
    match flags.get_mut(node as usize) {
        Some(flag) if (node as usize) < limit => {
            *flag = true;
            Ok(())
        }
        _ => Err(NetworkError::Dangling { from: from.to_owned(), index: node }),
    }
}
