//! The papers' vocabulary of operations, each expanded into primitives.
//!
//! A new operation is a line of [`OPERATIONS`]. Ids of nodes with weights are part of the format: weights are
//! inherited by them.

use crate::builder::{GraphBuilder, Window};
use crate::error::NetworkError;
use crate::graph::{NodeIdx, Primitive};

/// Where batch normalisation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// ReLU, convolution, batch-norm (NASNet, DARTS, ENAS).
    #[default]
    ReluConvBn,
    /// Batch-norm, ReLU, convolution (Bender et al., 2018); an asymmetric pair has it before both.
    BnReluConv,
}

/// How a stack wants its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationSettings {
    /// Whether batch normalisations learn a scale and a shift.
    pub affine: bool,
    /// Whether a batch normalisation follows each pooling (DARTS's search).
    pub pool_batch_norm: bool,
    /// Where convolutions have their batch normalisation.
    pub order: Order,
    /// Whether an identity that strides has no ReLU before it, and nothing drops its path (ENAS).
    pub bare_identity: bool,
}

/// Where an operation is to be put.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Its nodes' ids begin with this.
    pub path: &'a str,
    /// What it reads.
    pub input: NodeIdx,
    /// Channels it gives.
    pub channels: u32,
    /// Stride in both directions.
    pub stride: u32,
    /// The stack's wishes.
    pub settings: OperationSettings,
}

impl Site<'_> {
    fn id(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// What comes before a convolution: `<path>/bn<suffix>` if that is the order, `<path>/relu<suffix>`.
    fn before(&self, graph: &mut GraphBuilder, suffix: &str, input: NodeIdx) -> Result<NodeIdx, NetworkError> {
        let value = match self.settings.order {
            Order::ReluConvBn => input,
            Order::BnReluConv => graph.batch_norm(self.id(&format!("bn{suffix}")), input, self.settings.affine)?,
        };
        graph.relu(self.id(&format!("relu{suffix}")), value)
    }

    /// What comes after it: `<path>/bn<suffix>` if that is the order.
    fn after(&self, graph: &mut GraphBuilder, suffix: &str, input: NodeIdx) -> Result<NodeIdx, NetworkError> {
        match self.settings.order {
            Order::ReluConvBn => graph.batch_norm(self.id(&format!("bn{suffix}")), input, self.settings.affine),
            Order::BnReluConv => Ok(input),
        }
    }
}

type Expand = fn(&mut GraphBuilder, &Site<'_>) -> Result<NodeIdx, NetworkError>;

/// Every operation by name.
const OPERATIONS: &[(&str, Expand)] = &[
    ("none", |graph, at| {
        let zero = Primitive::Zero { out_channels: at.channels, stride: at.stride };
        graph.node(at.path, zero, &[at.input])
    }),
    ("skip_connect", skip_connect),
    ("nor_conv_1x1", |graph, at| conv(graph, at, 1)),
    ("nor_conv_3x3", |graph, at| conv(graph, at, 3)),
    ("conv_1x1", |graph, at| conv(graph, at, 1)),
    ("conv_3x3", |graph, at| conv(graph, at, 3)),
    ("conv_3x1_1x3", |graph, at| asymmetric(graph, at, 3)),
    ("conv_7x1_1x7", |graph, at| asymmetric(graph, at, 7)),
    ("avg_pool_3x3", average_pool),
    ("max_pool_3x3", |graph, at| max_pool(graph, at, 3)),
    ("max_pool_5x5", |graph, at| max_pool(graph, at, 5)),
    ("max_pool_7x7", |graph, at| max_pool(graph, at, 7)),
    ("sep_conv_3x3", |graph, at| separable(graph, at, 3)),
    ("sep_conv_5x5", |graph, at| separable(graph, at, 5)),
    ("sep_conv_7x7", |graph, at| separable(graph, at, 7)),
    ("dil_conv_3x3", |graph, at| dilated(graph, at, 3)),
    ("dil_conv_5x5", |graph, at| dilated(graph, at, 5)),
];

/// Names of all operations.
pub fn operation_names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|(name, _)| *name)
}

/// Put operation `name` into a graph; gives the node with its value.
pub fn operation(graph: &mut GraphBuilder, name: &str, at: &Site<'_>) -> Result<NodeIdx, NetworkError> {
    match OPERATIONS.iter().find(|(known, _)| *known == name) {
        Some((_, expand)) => expand(graph, at),
        None => Err(unknown_operation(name)),
    }
}

/// The error for a name that is not there.
pub(crate) fn unknown_operation(name: &str) -> NetworkError {
    NetworkError::Operation { name: name.to_owned(), known: operation_names().collect::<Vec<_>>().join(", ") }
}

/// Identity where nothing changes, a 1x1 convolution where channels do, a factorized reduction where size does.
fn skip_connect(graph: &mut GraphBuilder, at: &Site<'_>) -> Result<NodeIdx, NetworkError> {
    if at.stride != 1 && at.settings.bare_identity {
        graph.halved(at.path, at.input, at.channels, at.settings.affine)
    } else if at.stride != 1 {
        graph.factorized_reduce(at.path, at.input, at.channels, at.settings.affine)
    } else if graph.shape(at.input)?.channels() == at.channels {
        graph.node(at.path, Primitive::Identity, &[at.input])
    } else {
        conv(graph, at, 1)
    }
}

/// ReLU, convolution, batch-norm, in the stack's order.
pub(crate) fn conv(graph: &mut GraphBuilder, at: &Site<'_>, kernel: u32) -> Result<NodeIdx, NetworkError> {
    let value = at.before(graph, "", at.input)?;
    let value = graph.convolution(at.id("conv"), value, at.channels, Window::same(kernel, at.stride))?;
    at.after(graph, "", value)
}

/// ReLU, a 1 x k and a k x 1 convolution, batch-norm; each strides along its own axis.
fn asymmetric(graph: &mut GraphBuilder, at: &Site<'_>, kernel: u32) -> Result<NodeIdx, NetworkError> {
    let padding = kernel / 2;
    let row = Window { kernel: [1, kernel], stride: [1, at.stride], padding: [0, padding], dilation: [1; 2] };
    let column = Window { kernel: [kernel, 1], stride: [at.stride, 1], padding: [padding, 0], dilation: [1; 2] };
    let mut value = at.before(graph, "", at.input)?;
    value = graph.convolution(at.id("conv1"), value, at.channels, row)?;
    if at.settings.order == Order::BnReluConv {
        value = at.before(graph, "2", value)?;
    }
    value = graph.convolution(at.id("conv2"), value, at.channels, column)?;
    at.after(graph, "", value)
}

fn average_pool(graph: &mut GraphBuilder, at: &Site<'_>) -> Result<NodeIdx, NetworkError> {
    let (kernel, stride, padding) = ([3; 2], [at.stride; 2], [1; 2]);
    pool(graph, at, Primitive::AveragePool { kernel, stride, padding, count_padding: false })
}

fn max_pool(graph: &mut GraphBuilder, at: &Site<'_>, kernel: u32) -> Result<NodeIdx, NetworkError> {
    let pooling = Primitive::MaxPool { kernel: [kernel; 2], stride: [at.stride; 2], padding: [kernel / 2; 2] };
    pool(graph, at, pooling)
}

/// The pooling; a 1x1 convolution before it where channels change. Its batch-norm never learns a scale (DARTS).
fn pool(graph: &mut GraphBuilder, at: &Site<'_>, pooling: Primitive) -> Result<NodeIdx, NetworkError> {
    let mut value = at.input;
    if graph.shape(value)?.channels() != at.channels {
        value = conv(graph, &Site { path: &at.id("input"), stride: 1, ..*at }, 1)?;
    }
    let pooled = graph.node(at.id("pool"), pooling, &[value])?;
    if at.settings.pool_batch_norm { graph.batch_norm(at.id("bn"), pooled, false) } else { Ok(pooled) }
}

/// Twice: ReLU, depthwise, pointwise, batch-norm. The first depthwise has the stride (DARTS; NASNet too).
fn separable(graph: &mut GraphBuilder, at: &Site<'_>, kernel: u32) -> Result<NodeIdx, NetworkError> {
    let mut value = at.input;
    let inner = graph.shape(value)?.channels();
    for (round, stride, channels) in [(1, at.stride, inner), (2, 1, at.channels)] {
        let number = round.to_string();
        value = at.before(graph, &number, value)?;
        value = graph.depthwise(at.id(&format!("depthwise{round}")), value, Window::same(kernel, stride))?;
        value = graph.convolution(at.id(&format!("pointwise{round}")), value, channels, Window::same(1, 1))?;
        value = at.after(graph, &number, value)?;
    }
    Ok(value)
}

/// ReLU, depthwise with holes, pointwise, batch-norm.
fn dilated(graph: &mut GraphBuilder, at: &Site<'_>, kernel: u32) -> Result<NodeIdx, NetworkError> {
    let value = at.before(graph, "", at.input)?;
    let value = graph.depthwise(at.id("depthwise"), value, Window::same(kernel, at.stride).dilated(2))?;
    let value = graph.convolution(at.id("pointwise"), value, at.channels, Window::same(1, 1))?;
    at.after(graph, "", value)
}
