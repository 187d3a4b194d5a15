//! The primitive graph: what the trainer runs, what costs count, what drawings draw.
//!
//! Nodes are in topological order: a node's inputs have smaller indices. Values are feature maps
//! `[batch, channels, height, width]` or vectors `[batch, features]`; shapes are inferred, never stored, so
//! a channel count that depends on the architecture needs no special case.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Position of a node in [`Graph::nodes`].
pub type NodeIdx = u32;

/// Groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// So many groups; 1 is an ordinary convolution.
    Count(u32),
    /// One group an input channel.
    Depthwise,
}

/// The operations a trainer has to know. Named operations of the papers are expanded into these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Primitive {
    /// The data: `[channels, height, width]` an example.
    Input {
        /// `[channels, height, width]`.
        shape: [u32; 3],
    },
    /// 2-d convolution. Weight `[out, in / groups, kernel_h, kernel_w]`, name `<id>.weight` (and `<id>.bias`).
    Convolution {
        /// Output channels; 0: as many as come in.
        out_channels: u32,
        /// `[height, width]`.
        kernel: [u32; 2],
        /// `[height, width]`.
        stride: [u32; 2],
        /// `[height, width]`, zeros on both sides.
        padding: [u32; 2],
        /// `[height, width]`.
        dilation: [u32; 2],
        /// Groups.
        groups: Groups,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Batch normalisation over channels. Buffers `<id>.running_mean`, `<id>.running_var`; with `affine` also
    /// `<id>.weight`, `<id>.bias`.
    BatchNorm {
        /// Whether a scale and a shift are learnt.
        affine: bool,
        /// Added to the variance.
        epsilon: f64,
        /// Share of the new batch in the running statistics.
        momentum: f64,
    },
    /// max(0, x).
    Relu,
    /// min(max(0, x), 6).
    Relu6,
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Maximum over windows, padding never wins.
    MaxPool {
        /// `[height, width]`.
        kernel: [u32; 2],
        /// `[height, width]`.
        stride: [u32; 2],
        /// `[height, width]`.
        padding: [u32; 2],
    },
    /// Mean over windows.
    AveragePool {
        /// `[height, width]`.
        kernel: [u32; 2],
        /// `[height, width]`.
        stride: [u32; 2],
        /// `[height, width]`.
        padding: [u32; 2],
        /// Whether padding counts as zeros in the mean.
        count_padding: bool,
    },
    /// Mean over height and width: `[batch, channels, h, w]` to `[batch, channels]`.
    GlobalAveragePool,
    /// Sum of all inputs, which have one shape.
    Add,
    /// Product of all inputs, which have one shape.
    Multiply,
    /// Inputs one after the other along channels.
    Concat,
    /// As `Concat`, but only of those inputs which no other computed node reads (loose ends).
    ConcatLooseEnds,
    /// Channels `start .. start + length`.
    Slice {
        /// First channel.
        start: u32,
        /// Number of channels.
        length: u32,
    },
    /// Channels seen as `[groups, channels / groups]` and transposed (ShuffleNet).
    ChannelShuffle {
        /// Groups.
        groups: u32,
    },
    /// Rows and columns from `top`, `left` on.
    Crop {
        /// Rows left out.
        top: u32,
        /// Columns left out.
        left: u32,
    },
    /// `[batch, anything]` to `[batch, out]`; inputs of more dimensions are flattened. `<id>.weight`
    /// `[out, in]`, `<id>.bias`.
    Linear {
        /// Output features.
        out_features: u32,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Zeroes elements with probability `rate` while training.
    Dropout {
        /// Probability.
        rate: f64,
    },
    /// Zeroes whole examples with the recipe's current drop-path rate while training.
    DropPath,
    /// The input unchanged.
    Identity,
    /// Zeros of the shape a stride-`stride` operation with `out_channels` (0: as many as come in) would give.
    /// It reads its input for its shape alone.
    Zero {
        /// Output channels; 0: as many as come in.
        out_channels: u32,
        /// Stride in both directions.
        stride: u32,
    },
    /// A choice point: input `k` is what option `k` of `decision` computes. A `choice` gene passes one input
    /// on; a `mixture` gives the weighted sum of those listed. Specialising removes it.
    Switch {
        /// Index of the decision.
        decision: u32,
    },
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Stable and unique, for example `cell3/node2/edge0/sep_conv_3x3/depthwise1`; weights are named after it.
    pub id: Arc<str>,
    /// What it computes.
    pub primitive: Primitive,
    /// Nodes it reads; each smaller than its own index.
    pub inputs: Vec<NodeIdx>,
}

/// A network, or a template if it has switches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// In topological order; node 0 is the input.
    pub nodes: Vec<Node>,
    /// The node whose value are the class scores `[batch, classes]`.
    pub logits: NodeIdx,
    /// Class scores of the auxiliary head, in training only.
    pub auxiliary: Option<NodeIdx>,
}
