//! Smaller graphs that compute the same.

use std::collections::HashMap;

use crate::graph::{Graph, Node, NodeIdx, Primitive};
use crate::liveness::liveness;

/// An equal graph without zeros in sums, identities, sums and concatenations of one value, repeated stateless
/// operations on one value, and nodes nobody needs. What remains keeps its id. Works on templates: a switch
/// keeps all its inputs, zeros among them. A graph that is not well-formed comes back as it is.
pub fn simplify(graph: &Graph) -> Graph {
    simplified(graph).unwrap_or_else(|| graph.clone())
}

fn simplified(graph: &Graph) -> Option<Graph> {
    let live = liveness(graph, None).ok()?.live;
    let kept_as_end = loose_end_candidates(graph);
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    let mut is_zero: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    let mut moved: Vec<NodeIdx> = Vec::with_capacity(graph.nodes.len());
    let mut known: HashMap<([u32; 8], Vec<NodeIdx>), NodeIdx> = HashMap::new();
    for ((node, live), end) in graph.nodes.iter().zip(&live).zip(kept_as_end) {
        if !live {
            moved.push(NodeIdx::MAX);
            continue;
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            inputs.push(*moved.get(input as usize)?);
        }
        let zero = |input: &NodeIdx| is_zero.get(*input as usize) == Some(&true);
        let all_zero = !inputs.is_empty() && inputs.iter().all(zero);
        if matches!(node.primitive, Primitive::Add) {
            if all_zero {
                inputs.truncate(1);
            } else {
                inputs.retain(|input| !zero(input));
            }
        }
        let passes_on = match node.primitive {
            Primitive::Identity => true,
            Primitive::Add | Primitive::Multiply | Primitive::Concat => inputs.len() == 1,
            _ => false,
        };
        let key = stateless(&node.primitive).map(|key| (key, inputs.clone()));
        let same = if passes_on { inputs.first() } else { key.as_ref().and_then(|key| known.get(key)) };
        if let (Some(&same), false) = (same, end) {
            moved.push(same);
            continue;
        }
        let zero = match node.primitive {
            Primitive::Zero { .. } => true,
            Primitive::Multiply => inputs.iter().any(zero),
            _ => all_zero && keeps_zero(&node.primitive),
        };
        let new = nodes.len() as NodeIdx;
        nodes.push(Node { id: node.id.clone(), primitive: node.primitive.clone(), inputs });
        is_zero.push(zero);
        moved.push(new);
        if let Some(key) = key {
            known.entry(key).or_insert(new);
        }
    }
    let logits = *moved.get(graph.logits as usize)?;
    let auxiliary = match graph.auxiliary {
        Some(node) => Some(*moved.get(node as usize)?),
        None => None,
    };
    swept(Graph { nodes, logits, auxiliary })
}

/// Without dead nodes.
fn swept(graph: Graph) -> Option<Graph> {
    let live = liveness(&graph, None).ok()?.live;
    let mut moved: Vec<NodeIdx> = Vec::with_capacity(live.len());
    let mut count = 0;
    for &live in &live {
        moved.push(count);
        count += NodeIdx::from(live);
    }
    let mut nodes = graph.nodes;
    let mut flags = live.into_iter();
    nodes.retain(|_| flags.next() == Some(true));
    for input in nodes.iter_mut().flat_map(|node| node.inputs.iter_mut()) {
        *input = *moved.get(*input as usize)?;
    }
    let auxiliary = match graph.auxiliary {
        Some(node) => Some(*moved.get(node as usize)?),
        None => None,
    };
    Some(Graph { nodes, logits: *moved.get(graph.logits as usize)?, auxiliary })
}

/// Who is read decides which of these are concatenated, so they stay nodes of their own.
fn loose_end_candidates(graph: &Graph) -> Vec<bool> {
    let mut flags = vec![false; graph.nodes.len()];
    for node in graph.nodes.iter().filter(|node| matches!(node.primitive, Primitive::ConcatLooseEnds)) {
        for &input in &node.inputs {
            if let Some(flag) = flags.get_mut(input as usize) {
                *flag = true;
            }
        }
    }
    flags
}

/// Whether zeros in give zeros out. Convolutions are not among them: their weights are part of the network.
pub(crate) fn keeps_zero(primitive: &Primitive) -> bool {
    matches!(
        primitive,
        Primitive::Relu
            | Primitive::Relu6
            | Primitive::Tanh
            | Primitive::MaxPool { .. }
            | Primitive::AveragePool { .. }
            | Primitive::GlobalAveragePool
            | Primitive::Add
            | Primitive::Concat
            | Primitive::Slice { .. }
            | Primitive::ChannelShuffle { .. }
            | Primitive::Crop { .. }
            | Primitive::Dropout { .. }
            | Primitive::DropPath
            | Primitive::Identity
            | Primitive::Switch { .. }
    )
}

/// A key for operations that always give the same value for the same inputs.
pub(crate) fn stateless(primitive: &Primitive) -> Option<[u32; 8]> {
    let key = |tag: u32, values: &[u32]| {
        let mut key = [0; 8];
        let mut slots = key.iter_mut();
        for (slot, value) in slots.by_ref().zip(std::iter::once(&tag).chain(values)) {
            *slot = *value;
        }
        Some(key)
    };
    match primitive {
        Primitive::Relu => key(1, &[]),
        Primitive::Relu6 => key(2, &[]),
        Primitive::Sigmoid => key(3, &[]),
        Primitive::Tanh => key(4, &[]),
        Primitive::MaxPool { kernel: [a, b], stride: [c, d], padding: [e, f] } => key(5, &[*a, *b, *c, *d, *e, *f]),
        Primitive::AveragePool { kernel: [a, b], stride: [c, d], padding: [e, f], count_padding } => {
            key(6, &[*a, *b, *c, *d, *e, *f, u32::from(*count_padding)])
        }
        Primitive::GlobalAveragePool => key(7, &[]),
        Primitive::Add => key(8, &[]),
        Primitive::Multiply => key(9, &[]),
        Primitive::Concat => key(10, &[]),
        Primitive::Slice { start, length } => key(11, &[*start, *length]),
        Primitive::ChannelShuffle { groups } => key(12, &[*groups]),
        Primitive::Crop { top, left } => key(13, &[*top, *left]),
        Primitive::Identity => key(14, &[]),
        Primitive::Zero { out_channels, stride } => key(15, &[*out_channels, *stride]),
        Primitive::Input { .. }
        | Primitive::Convolution { .. }
        | Primitive::BatchNorm { .. }
        | Primitive::ConcatLooseEnds
        | Primitive::Linear { .. }
        | Primitive::Dropout { .. }
        | Primitive::DropPath
        | Primitive::Switch { .. } => None,
    }
}
