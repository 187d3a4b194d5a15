//! Graphs under construction: every node's shape is known at once, so mistakes are found where they are made.

use crate::error::NetworkError;
use crate::graph::{Graph, Groups, Node, NodeIdx, Primitive};
use crate::shapes::{Shape, gather, infer};

/// Added to the variance by batch normalisation (PyTorch's default, which the papers' released code uses).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;
/// Share of the new batch in batch normalisation's running statistics (PyTorch's default).
pub const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Larger graphs are mistakes in a space file, not networks: DARTS's template of 20 cells has 9,000 nodes.
const MAX_NODES: usize = 2_000_000;

/// A convolution's geometry. No bias: a batch normalisation follows all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `[height, width]`.
    pub kernel: [u32; 2],
    /// `[height, width]`.
    pub stride: [u32; 2],
    /// `[height, width]`.
    pub padding: [u32; 2],
    /// `[height, width]`.
    pub dilation: [u32; 2],
}

impl Window {
    /// A square window padded so that stride 1 keeps the extent.
    pub fn same(kernel: u32, stride: u32) -> Self {
        let padding = kernel.saturating_sub(1) / 2;
        Self { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], dilation: [1; 2] }
    }

    /// The same window with holes; padded so that stride 1 keeps the extent.
    pub fn dilated(self, dilation: u32) -> Self {
        let padding = self.kernel.map(|kernel| dilation * kernel.saturating_sub(1) / 2);
        Self { padding, dilation: [dilation; 2], ..self }
    }
}

/// A graph under construction.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    gathered: Vec<Shape>,
}

impl GraphBuilder {
    /// A graph that reads `[channels, height, width]`, and its input's index.
    pub fn new(input: [u32; 3]) -> Result<(Self, NodeIdx), NetworkError> {
        let mut builder = Self::default();
        let input = builder.node("input", Primitive::Input { shape: input }, &[])?;
        Ok((builder, input))
    }

    /// Add a node.
    pub fn node(
        &mut self,
        id: impl AsRef<str>,
        primitive: Primitive,
        inputs: &[NodeIdx],
    ) -> Result<NodeIdx, NetworkError> {
        let id = id.as_ref();
        if self.nodes.len() >= MAX_NODES {
            let problem = format!("the graph would have over {MAX_NODES} nodes; use fewer layers, nodes or operations");
            return Err(NetworkError::node(id, problem));
        }
        gather(id, inputs, &self.shapes, &mut self.gathered)?;
        let shape = infer(&primitive, &self.gathered).map_err(|problem| NetworkError::node(id, problem))?;
        let idx = self.nodes.len() as NodeIdx;
        self.nodes.push(Node { id: id.into(), primitive, inputs: inputs.to_vec() });
        self.shapes.push(shape);
        Ok(idx)
    }

    /// Shape of a node's value.
    pub fn shape(&self, node: NodeIdx) -> Result<Shape, NetworkError> {
        let missing = || NetworkError::Dangling { from: "builder".into(), index: node };
        self.shapes.get(node as usize).copied().ok_or_else(missing)
    }

    /// What a node computes.
    pub fn primitive(&self, node: NodeIdx) -> Option<&Primitive> {
        self.nodes.get(node as usize).map(|node| &node.primitive)
    }

    /// max(0, x).
    pub fn relu(&mut self, id: impl AsRef<str>, input: NodeIdx) -> Result<NodeIdx, NetworkError> {
        self.node(id, Primitive::Relu, &[input])
    }

    /// An ordinary convolution without bias.
    pub fn convolution(
        &mut self,
        id: impl AsRef<str>,
        input: NodeIdx,
        out_channels: u32,
        window: Window,
    ) -> Result<NodeIdx, NetworkError> {
        self.grouped(id, input, out_channels, window, Groups::Count(1))
    }

    /// A convolution of each channel by itself, without bias.
    pub fn depthwise(&mut self, id: impl AsRef<str>, input: NodeIdx, window: Window) -> Result<NodeIdx, NetworkError> {
        self.grouped(id, input, 0, window, Groups::Depthwise)
    }

    fn grouped(
        &mut self,
        id: impl AsRef<str>,
        input: NodeIdx,
        out_channels: u32,
        Window { kernel, stride, padding, dilation }: Window,
        groups: Groups,
    ) -> Result<NodeIdx, NetworkError> {
        let convolution =
            Primitive::Convolution { out_channels, kernel, stride, padding, dilation, groups, bias: false };
        self.node(id, convolution, &[input])
    }

    /// Batch normalisation with the usual constants.
    pub fn batch_norm(&mut self, id: impl AsRef<str>, input: NodeIdx, affine: bool) -> Result<NodeIdx, NetworkError> {
        let primitive = Primitive::BatchNorm { affine, epsilon: BATCH_NORM_EPSILON, momentum: BATCH_NORM_MOMENTUM };
        self.node(id, primitive, &[input])
    }

    /// A linear layer with bias.
    pub fn linear(&mut self, id: impl AsRef<str>, input: NodeIdx, out: u32) -> Result<NodeIdx, NetworkError> {
        self.node(id, Primitive::Linear { out_features: out, bias: true }, &[input])
    }

    /// `<path>/relu`, `<path>/conv`, `<path>/bn`, one after the other.
    pub fn relu_conv_bn(
        &mut self,
        path: &str,
        input: NodeIdx,
        out_channels: u32,
        window: Window,
        affine: bool,
    ) -> Result<NodeIdx, NetworkError> {
        let value = self.relu(format!("{path}/relu"), input)?;
        let value = self.convolution(format!("{path}/conv"), value, out_channels, window)?;
        self.batch_norm(format!("{path}/bn"), value, affine)
    }

    /// Halve a map without losing a pixel's influence: ReLU, then two 1x1 convolutions of stride 2, one of them
    /// shifted by a pixel, concatenated and normalised (DARTS). Ids `<path>/conv1`, `conv2`, `bn`.
    pub fn factorized_reduce(
        &mut self,
        path: &str,
        input: NodeIdx,
        out_channels: u32,
        affine: bool,
    ) -> Result<NodeIdx, NetworkError> {
        let value = self.relu(format!("{path}/relu"), input)?;
        self.halved(path, value, out_channels, affine)
    }

    /// The same without the ReLU (ENAS).
    pub fn halved(
        &mut self,
        path: &str,
        value: NodeIdx,
        out_channels: u32,
        affine: bool,
    ) -> Result<NodeIdx, NetworkError> {
        let shape = self.shape(value)?;
        if shape.extent().iter().any(|extent| !extent.is_multiple_of(2)) || out_channels < 2 {
            let problem = format!(
                "cannot halve {shape} to {out_channels} channels; it takes an even height and width and two \
                 channels: use a larger input or fewer reductions"
            );
            return Err(NetworkError::node(path, problem));
        }
        let half = Window::same(1, 2);
        let first = self.convolution(format!("{path}/conv1"), value, out_channels / 2, half)?;
        let shifted = self.node(format!("{path}/crop"), Primitive::Crop { top: 1, left: 1 }, &[value])?;
        let second = self.convolution(format!("{path}/conv2"), shifted, out_channels - out_channels / 2, half)?;
        let both = self.node(format!("{path}/concat"), Primitive::Concat, &[first, second])?;
        self.batch_norm(format!("{path}/bn"), both, affine)
    }

    /// The finished graph.
    pub fn finish(self, logits: NodeIdx, auxiliary: Option<NodeIdx>) -> Graph {
        Graph { nodes: self.nodes, logits, auxiliary }
    }
}
