//! From a template to one architecture's network.

use nasd_space::Gene;

use crate::error::NetworkError;
use crate::graph::{Graph, Node, NodeIdx, Primitive};
use crate::liveness::{liveness, selected};

/// The network of a stand-alone architecture: switches give way to the chosen branch, what nobody needs
/// vanishes, loose ends become a plain concatenation. `Zero` keeps its input (see [`crate::simplify`]).
pub fn specialize(template: &Graph, genes: &[Gene]) -> Result<Graph, NetworkError> {
    is_stand_alone(genes)?;
    let walk = liveness(template, Some(genes))?;
    let n_live = walk.live.iter().filter(|live| **live).count();
    let mut nodes: Vec<Node> = Vec::with_capacity(n_live);
    let mut moved: Vec<NodeIdx> = vec![NodeIdx::MAX; template.nodes.len()];
    let place = |moved: &[NodeIdx], old: NodeIdx, from: &str| match moved.get(old as usize) {
        Some(&new) if new != NodeIdx::MAX => Ok(new),
        _ => Err(NetworkError::Dangling { from: from.to_owned(), index: old }),
    };
    for ((node, live), idx) in template.nodes.iter().zip(&walk.live).zip(0..) {
        if !live {
            continue;
        }
        let new = if let Primitive::Switch { decision } = node.primitive {
            let chosen = selected(decision, &node.inputs, genes)?.next().unwrap_or(NodeIdx::MAX);
            place(&moved, chosen, &node.id)?
        } else {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            let ends = matches!(node.primitive, Primitive::ConcatLooseEnds);
            for &input in &node.inputs {
                if ends && walk.loose.get(input as usize) != Some(&true) {
                    continue;
                }
                inputs.push(place(&moved, input, &node.id)?);
            }
            let primitive = if ends { Primitive::Concat } else { node.primitive.clone() };
            nodes.push(Node { id: node.id.clone(), primitive, inputs });
            nodes.len() as NodeIdx - 1
        };
        if let Some(slot) = moved.get_mut::<usize>(idx) {
            *slot = new;
        }
    }
    let logits = place(&moved, template.logits, "logits")?;
    let auxiliary = template.auxiliary.map(|node| place(&moved, node, "auxiliary")).transpose()?;
    Ok(Graph { nodes, logits, auxiliary })
}

/// An error where a gene is a mixture.
pub(crate) fn is_stand_alone(genes: &[Gene]) -> Result<(), NetworkError> {
    match genes.iter().position(|gene| matches!(gene, Gene::Mixture(_))) {
        None => Ok(()),
        Some(decision) => {
            let problem = "a mixture has no stand-alone network; choose one option".to_owned();
            Err(NetworkError::Gene { decision: decision.to_string(), problem })
        }
    }
}

/// Options that a gene passes on: the chosen one, or those its mixture lists, whatever their weights.
pub fn mixture_support(gene: &Gene) -> Vec<u32> {
    match gene {
        Gene::Choice(option) => vec![*option],
        Gene::Mixture(options) => options.iter().map(|option| option.index).collect(),
        Gene::Inactive | Gene::Integer(_) | Gene::Real(_) => Vec::new(),
    }
}

/// For each node of a template, whether these genes compute with it: of a mixture, the options it lists.
pub fn active_nodes(template: &Graph, genes: &[Gene]) -> Result<Vec<bool>, NetworkError> {
    liveness(template, Some(genes)).map(|walk| walk.live)
}
