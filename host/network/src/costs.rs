//! What a network costs.
//!
//! FLOPs are multiply-adds of convolutions and linear layers for one example. Batch normalisation, pooling and
//! additions are not counted; batch normalisation's scale and shift are counted as parameters.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::error::NetworkError;
use crate::graph::{Graph, Primitive};
use crate::liveness::{liveness, reach};
use crate::shapes::{Shape, gather, group_count, shapes};
use crate::simplify::simplify;

/// How to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counting {
    /// Whether a linear layer's bias counts as operations (NAS-Bench-201).
    pub linear_bias: bool,
    /// Whether structure that only zeros read counts (NAS-Bench-201).
    pub unused: bool,
}

/// Costs of a network; what only the auxiliary head needs is apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// Trained numbers.
    pub params: u64,
    /// Multiply-adds an example.
    pub flops: u64,
    /// Trained numbers of the auxiliary head.
    pub auxiliary_params: u64,
    /// Multiply-adds of the auxiliary head.
    pub auxiliary_flops: u64,
}

/// A node's costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCost {
    /// Trained numbers.
    pub params: u64,
    /// Multiply-adds an example.
    pub flops: u64,
}

impl AddAssign for NodeCost {
    fn add_assign(&mut self, other: Self) {
        self.params = self.params.saturating_add(other.params);
        self.flops = self.flops.saturating_add(other.flops);
    }
}

/// Count a network. In a template every option counts once.
pub fn costs(graph: &Graph, counting: Counting) -> Result<Costs, NetworkError> {
    let simpler;
    let graph = if counting.unused {
        graph
    } else {
        simpler = simplify(graph);
        &simpler
    };
    let of_nodes = node_costs(graph, counting)?;
    let all = liveness(graph, None)?.live;
    let main = reach(graph, None, [("logits", Some(graph.logits)), ("auxiliary", None)])?.live;
    let (mut network, mut head) = (NodeCost::default(), NodeCost::default());
    for ((cost, live), main) in of_nodes.into_iter().zip(all).zip(main) {
        if main {
            network += cost;
        } else if live {
            head += cost;
        }
    }
    Ok(Costs {
        params: network.params,
        flops: network.flops,
        auxiliary_params: head.params,
        auxiliary_flops: head.flops,
    })
}

/// Each node's costs, in node order, needed or not: the breakdown of [`costs`].
pub fn node_costs(graph: &Graph, counting: Counting) -> Result<Vec<NodeCost>, NetworkError> {
    let shapes = shapes(graph)?;
    let mut inputs = Vec::new();
    let mut costs = Vec::with_capacity(graph.nodes.len());
    for (node, shape) in graph.nodes.iter().zip(&shapes) {
        gather(&node.id, &node.inputs, &shapes, &mut inputs)?;
        costs.push(
            inputs.first().map_or_else(NodeCost::default, |input| cost(&node.primitive, *input, *shape, counting)),
        );
    }
    Ok(costs)
}

fn cost(primitive: &Primitive, input: Shape, output: Shape, counting: Counting) -> NodeCost {
    match primitive {
        Primitive::Convolution { kernel: [kernel_h, kernel_w], groups, bias, .. } => {
            let inner = u64::from(input.channels() / group_count(*groups, input.channels()).max(1));
            let per_output = inner * u64::from(*kernel_h) * u64::from(*kernel_w);
            let out = u64::from(output.channels());
            let params = per_output.saturating_mul(out) + if *bias { out } else { 0 };
            NodeCost { params, flops: per_output.saturating_mul(output.elements()) }
        }
        Primitive::Linear { out_features, bias } => {
            let out = u64::from(*out_features);
            let products = input.elements().saturating_mul(out);
            let shift = if *bias { out } else { 0 };
            NodeCost { params: products + shift, flops: products + if counting.linear_bias { shift } else { 0 } }
        }
        Primitive::BatchNorm { affine: true, .. } => NodeCost { params: 2 * u64::from(input.channels()), flops: 0 },
        _ => NodeCost::default(),
    }
}
