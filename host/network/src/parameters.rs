//! The tensors a graph needs, by their stable names: `<node id>.weight` and so on.

use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};
use crate::shapes::{Shape, gather, group_count, shapes};

/// What a named tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Of a convolution or linear layer, trained.
    Weight,
    /// Of a convolution or linear layer, trained.
    Bias,
    /// Batch-norm's `weight`, trained.
    Scale,
    /// Batch-norm's `bias`, trained.
    Shift,
    /// A buffer.
    RunningMean,
    /// A buffer.
    RunningVariance,
}

impl ParameterKind {
    /// Whether an optimiser moves it; buffers are not counted as parameters.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVariance)
    }
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// `<node id>.weight`, `.bias`, `.running_mean` or `.running_var`.
    pub name: String,
    /// Convolution `[out, in / groups, kernel_h, kernel_w]`, linear `[out, in]`, else `[channels]`.
    pub shape: Vec<u32>,
    /// What it is.
    pub kind: ParameterKind,
    /// The node it belongs to.
    pub node: NodeIdx,
}

impl ParameterSpec {
    /// Numbers in it.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&extent| u64::from(extent)).product()
    }
}

/// All tensors of a graph, in node order.
pub fn parameters(graph: &Graph) -> Result<Vec<ParameterSpec>, NetworkError> {
    let shapes = shapes(graph)?;
    let mut parameters = Vec::new();
    let mut inputs = Vec::new();
    for (idx, node) in graph.nodes.iter().enumerate() {
        gather(&node.id, &node.inputs, &shapes, &mut inputs)?;
        for (suffix, shape, kind) in of_primitive(&node.primitive, inputs.first().copied()) {
            parameters.push(ParameterSpec { name: format!("{}.{suffix}", node.id), shape, kind, node: idx as NodeIdx });
        }
    }
    Ok(parameters)
}

/// Suffix, shape and kind of each tensor of a primitive that reads a value of this shape.
fn of_primitive(primitive: &Primitive, input: Option<Shape>) -> Vec<(&'static str, Vec<u32>, ParameterKind)> {
    let Some(input) = input else { return Vec::new() };
    match primitive {
        Primitive::Convolution { out_channels, kernel: [kernel_h, kernel_w], groups, bias, .. } => {
            let channels = input.channels();
            let out = if *out_channels == 0 { channels } else { *out_channels };
            let inner = channels / group_count(*groups, channels).max(1);
            let mut all = vec![("weight", vec![out, inner, *kernel_h, *kernel_w], ParameterKind::Weight)];
            if *bias {
                all.push(("bias", vec![out], ParameterKind::Bias));
            }
            all
        }
        Primitive::Linear { out_features, bias } => {
            let inner = u32::try_from(input.elements()).unwrap_or(u32::MAX);
            let mut all = vec![("weight", vec![*out_features, inner], ParameterKind::Weight)];
            if *bias {
                all.push(("bias", vec![*out_features], ParameterKind::Bias));
            }
            all
        }
        Primitive::BatchNorm { affine, .. } => {
            let channels = || vec![input.channels()];
            let mut all = Vec::new();
            if *affine {
                all.push(("weight", channels(), ParameterKind::Scale));
                all.push(("bias", channels(), ParameterKind::Shift));
            }
            all.push(("running_mean", channels(), ParameterKind::RunningMean));
            all.push(("running_var", channels(), ParameterKind::RunningVariance));
            all
        }
        _ => Vec::new(),
    }
}
