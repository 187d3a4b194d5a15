//! When two networks are the same: a digest that sees neither ids nor the order of additions.
//!
//! Nodes are numbered by value: equal stateless operations on equal values are one, and sums are kept as linear
//! combinations, so nested and reordered additions coincide. Each value then gets two digests, of everything above
//! it and of everything it is used for; the sorted pairs are the identity. Values with weights of their own stay
//! apart even where they look alike, so sharing a convolution differs from having two.

use std::collections::{BTreeMap, HashMap};

use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};
use crate::simplify::{simplify, stateless};

type Digest = [u8; 32];

/// Values with how often each counts.
type Terms = Vec<(NodeIdx, u64)>;

/// A value: what it is computed by, from which values, how often each.
struct Value {
    primitive: Vec<u8>,
    /// Whether the order of inputs matters.
    ordered: bool,
    inputs: Terms,
}

/// Digest of a network, in hexadecimal.
pub(crate) fn identity(graph: &Graph) -> Result<String, NetworkError> {
    let graph = simplify(graph);
    let (values, numbers) = number(&graph)?;
    let end = |node: NodeIdx, from: &str| {
        let dangling = || NetworkError::Dangling { from: from.to_owned(), index: node };
        numbers.get(node as usize).copied().ok_or_else(dangling)
    };
    let mut uses: Vec<Vec<Digest>> = vec![Vec::new(); values.len()];
    let ends = [("logits", Some(graph.logits)), ("auxiliary", graph.auxiliary)];
    for (name, node) in ends.into_iter().filter_map(|(name, node)| node.map(|node| (name, node))) {
        if let Some(uses) = uses.get_mut(end(node, name)? as usize) {
            uses.push(*blake3::hash(name.as_bytes()).as_bytes());
        }
    }
    let above = digests_above(&values);
    let mut all: Vec<(Digest, Digest)> = Vec::with_capacity(values.len());
    for (number, value) in values.iter().enumerate().rev() {
        let mut used = uses.get_mut(number).map(std::mem::take).unwrap_or_default();
        if used.is_empty() {
            continue;
        }
        used.sort_unstable();
        let below = digest(&value.primitive, used.iter().map(|used| (used, 1)));
        for ((input, times), position) in value.inputs.iter().zip(0u64..) {
            let place = if value.ordered { position } else { 0 };
            // Inputs of one consumer are told apart by where they stand and by what stands beside them.
            let beside = above.get(number).unwrap_or(&below);
            let mark = digest(&place.to_le_bytes(), [(&below, *times), (beside, 1)].into_iter());
            if let Some(uses) = uses.get_mut(*input as usize) {
                uses.push(mark);
            }
        }
        all.push((above.get(number).copied().unwrap_or_default(), below));
    }
    all.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"nasd network 1");
    for (above, below) in &all {
        hasher.update(above).update(below);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn digests_above(values: &[Value]) -> Vec<Digest> {
    let mut above: Vec<Digest> = Vec::with_capacity(values.len());
    for value in values {
        let mut inputs: Vec<(&Digest, u64)> = Vec::with_capacity(value.inputs.len());
        for (input, times) in &value.inputs {
            if let Some(digest) = above.get(*input as usize) {
                inputs.push((digest, *times));
            }
        }
        if !value.ordered {
            inputs.sort_unstable();
        }
        let digest = digest(&value.primitive, inputs.into_iter());
        above.push(digest);
    }
    above
}

fn digest<'d>(title: &[u8], parts: impl Iterator<Item = (&'d Digest, u64)>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(title.len() as u64).to_le_bytes()).update(title);
    for (part, times) in parts {
        hasher.update(part).update(&times.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Values, and each node's value.
fn number(graph: &Graph) -> Result<(Vec<Value>, Vec<NodeIdx>), NetworkError> {
    let mut values: Vec<Value> = Vec::new();
    let mut numbers: Vec<NodeIdx> = Vec::with_capacity(graph.nodes.len());
    let mut known: HashMap<([u32; 8], Terms), NodeIdx> = HashMap::new();
    // The terms of values that are sums.
    let mut sums: HashMap<NodeIdx, Terms> = HashMap::new();
    for node in &graph.nodes {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            let dangling = || NetworkError::Dangling { from: node.id.to_string(), index: input };
            inputs.push((*numbers.get(input as usize).ok_or_else(dangling)?, 1));
        }
        let is_sum = matches!(node.primitive, Primitive::Add);
        if is_sum {
            inputs = combined(&inputs, &sums);
        } else if matches!(node.primitive, Primitive::Multiply) {
            inputs.sort_unstable();
        }
        let key = stateless(&node.primitive).map(|key| (key, inputs.clone()));
        if let Some(&same) = key.as_ref().and_then(|key| known.get(key)) {
            numbers.push(same);
            continue;
        }
        let new = values.len() as NodeIdx;
        if is_sum {
            sums.insert(new, inputs.clone());
        }
        let primitive = serde_json::to_vec(&node.primitive)
            .map_err(|error| NetworkError::node(&node.id, format!("cannot be written: {error}")))?;
        let ordered = !matches!(node.primitive, Primitive::Add | Primitive::Multiply);
        values.push(Value { primitive, ordered, inputs });
        numbers.push(new);
        if let Some(key) = key {
            known.insert(key, new);
        }
    }
    Ok((values, numbers))
}

/// The linear combination that a sum of these values is.
fn combined(inputs: &[(NodeIdx, u64)], sums: &HashMap<NodeIdx, Terms>) -> Terms {
    let mut terms: BTreeMap<NodeIdx, u64> = BTreeMap::new();
    for (input, times) in inputs {
        let own = [(*input, 1)];
        for (term, inner) in sums.get(input).map_or(own.as_slice(), Vec::as_slice) {
            let count = terms.entry(*term).or_insert(0);
            *count = count.wrapping_add(times.wrapping_mul(*inner));
        }
    }
    terms.into_iter().collect()
}
