//! What a graph needs of libtorch: shapes of its values, and its weights and buffers by their stable names.
//!
//! Both are [`nasd_network`]'s, which counts and names for everybody; here they get the form that libtorch takes (64-bit
//! extents) and what initialisation needs. In a template every option of a choice point has the same shape, so one
//! inference serves all architectures. `ConcatLooseEnds` counts all its inputs here (see the interpreter for what it
//! does with those left out).

use nasd_network::{Graph, Groups, Shape, parameters, shapes};

use crate::error::Result;

pub use nasd_network::ParameterKind;

/// A named tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `<node id>.weight` and so on.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// What it is.
    pub kind: ParameterKind,
    /// Inputs of one output unit; uniform initial values have the bound `1 / sqrt(fan_in)`.
    pub fan_in: i64,
}

/// What a graph needs.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// A node's value, without the batch: `[channels, height, width]` or `[features]`.
    pub shapes: Vec<Vec<i64>>,
    /// In node order.
    pub parameters: Vec<Parameter>,
    /// Indices into `parameters`, a list a node, in the order weight, bias, mean, variance as far as there.
    pub of_node: Vec<Vec<usize>>,
}

impl Layout {
    /// Infer it; an error names the node that cannot be.
    pub fn of(graph: &Graph) -> Result<Self> {
        let mut layout = Self { of_node: vec![Vec::new(); graph.nodes.len()], ..Self::default() };
        for shape in shapes(graph)? {
            layout.shapes.push(match shape {
                Shape::Map(map) => map.map(i64::from).to_vec(),
                Shape::Features(features) => vec![i64::from(features)],
            });
        }
        let mut fan_in = 1;
        for spec in parameters(graph)? {
            let shape: Vec<i64> = spec.shape.iter().map(|&extent| i64::from(extent)).collect();
            if spec.kind == ParameterKind::Weight {
                // A bias comes after its weight and has the same fan-in.
                fan_in = shape.iter().skip(1).product();
            }
            if let Some(of_node) = layout.of_node.get_mut(spec.node as usize) {
                of_node.push(layout.parameters.len());
            }
            layout.parameters.push(Parameter { name: spec.name, shape, kind: spec.kind, fan_in });
        }
        Ok(layout)
    }
}

/// Groups as libtorch counts them.
pub fn n_groups(groups: Groups, channels: i64) -> i64 {
    match groups {
        Groups::Count(count) => i64::from(count),
        Groups::Depthwise => channels,
    }
}

/// `[height, width]` as libtorch takes it.
pub fn pair(values: [u32; 2]) -> [i64; 2] {
    values.map(i64::from)
}
