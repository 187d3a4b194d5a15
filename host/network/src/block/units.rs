//! The units that blocks choose from, each expanded into primitives.
//!
//! A unit is a kind with settings: `[[unit]] name = "shuffle_5x5", kind = "shuffle", kernel = 5`. A new kind is a case
//! of [`Kind`] and its expansion here. Ids of nodes with weights are part of the format: weights are inherited by
//! them.

use serde::Deserialize;

use crate::builder::{GraphBuilder, Window};
use crate::error::NetworkError;
use crate::graph::{Groups, NodeIdx, Primitive};
use crate::operations::{OperationSettings, Site, operation, operation_names};

/// A unit of a file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct KindUnit {
    pub name: String,
    /// What it is in the one-shot graph, where that differs.
    #[serde(rename = "one-shot")]
    pub one_shot: Option<Kind>,
    #[serde(flatten)]
    pub kind: Kind,
}

/// What a nonlinearity is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Activation {
    #[default]
    Relu,
    Relu6,
    None,
}

/// Where a bottleneck's ReLU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Relu {
    /// Before convolutions.
    Before,
    /// After their batch normalisation.
    After,
}

/// What a bottleneck does after its 1x1 convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Inner {
    Convolution,
    Separable,
    MaxPool,
    AveragePool,
}

/// What a unit is made of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub(crate) enum Kind {
    /// Convolution, batch-norm, nonlinearity.
    Convolution {
        kernel: u32,
        #[serde(default)]
        activation: Activation,
    },
    /// ShuffleNetV2's unit (Ma et al., ECCV 2018) as SPOS has it (Guo et al., 2019, figure 3 and released code).
    Shuffle { kernel: u32 },
    /// SPOS's unit with three depthwise convolutions in its main branch.
    ShuffleXception {
        #[serde(default = "three")]
        kernel: u32,
    },
    /// MobileNetV2's block (Sandler et al., CVPR 2018): 1x1 to `expansion` times as many channels (left out for 1),
    /// depthwise, 1x1 without a nonlinearity; added to its input where the shape stays.
    InvertedResidual {
        kernel: u32,
        expansion: u32,
        /// Of the two 1x1 convolutions; between them channels are shuffled (FBNet).
        #[serde(default = "one")]
        groups: u32,
        #[serde(default = "relu6")]
        activation: Activation,
    },
    /// A 1x1 convolution, then a square one, a depthwise and a 1x1, or a pooling; batch normalisations (ENAS macro).
    Bottleneck { inner: Inner, kernel: u32, relu: Relu },
    /// The input as it is. Not offered by a stage's first block, which changes it.
    Skip,
    /// An operation of the cells' vocabulary.
    Operation { operation: String },
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn relu6() -> Activation {
    Activation::Relu6
}

impl Kind {
    /// Whether it has channels inside whose number is its own affair.
    pub fn has_width(&self) -> bool {
        matches!(self, Self::Shuffle { .. } | Self::ShuffleXception { .. })
    }

    /// What the types do not say.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Convolution { kernel, .. }
            | Self::Shuffle { kernel }
            | Self::ShuffleXception { kernel }
            | Self::InvertedResidual { kernel, .. }
            | Self::Bottleneck { kernel, .. }
                if kernel.is_multiple_of(2) || *kernel > 63 =>
            {
                Err(format!("`kernel` is {kernel}, it is an odd number up to 63"))
            }
            Self::InvertedResidual { expansion: 0, .. } | Self::InvertedResidual { groups: 0, .. } => {
                Err("`expansion` and `groups` are at least 1".into())
            }
            Self::Operation { operation } if !operation_names().any(|known| known == operation) => {
                let known = operation_names().collect::<Vec<_>>().join(", ");
                Err(format!("unknown operation `{operation}`; known are {known}"))
            }
            _ => Ok(()),
        }
    }
}

/// How many channels a unit has inside, as a multiple of what it has by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width<'f> {
    Fixed(f64),
    /// As many as the largest factor gives, of which the decision keeps the first: what a narrower unit with the
    /// first of the same weights computes, in a graph whose shapes do not depend on it (SPOS, section 3.3).
    Masked {
        decision: u32,
        factors: &'f [f64],
    },
}

impl Width<'_> {
    /// Channels of so many.
    fn of(self, channels: u32) -> u32 {
        let most = match self {
            Self::Fixed(factor) => factor,
            Self::Masked { factors, .. } => factors.iter().copied().fold(0.0, f64::max),
        };
        scaled(channels, most)
    }
}

/// A multiple of a number of channels, rounded down, one at least.
fn scaled(channels: u32, factor: f64) -> u32 {
    // What binary fractions lack: 1.4 * 160 is 224.
    (f64::from(channels) * factor + 1e-6).floor().max(1.0) as u32
}

/// Put a unit into a graph; gives the node with its value.
pub(crate) fn unit(
    graph: &mut GraphBuilder,
    kind: &Kind,
    at: &Site<'_>,
    width: Width<'_>,
) -> Result<NodeIdx, NetworkError> {
    let input = at.input;
    match kind {
        Kind::Convolution { kernel, activation } => {
            let mut chain = Chain { graph, path: at.path, value: input, settings: at.settings };
            chain.convolution("conv", at.channels, Window::same(*kernel, at.stride), 1)?;
            chain.batch_norm("bn")?;
            chain.activation("relu", *activation)?;
            Ok(chain.value)
        }
        Kind::Shuffle { kernel } => shuffled(graph, at, *kernel, |chain, half, channels| {
            chain.pointwise("1", width.of(half), Activation::Relu)?;
            chain.depthwise("2", Window::same(*kernel, at.stride))?;
            chain.masked("2", half, width)?;
            chain.pointwise("3", channels, Activation::Relu)
        }),
        Kind::ShuffleXception { kernel } => shuffled(graph, at, *kernel, |chain, half, channels| {
            let inner = width.of(half);
            for (round, stride, channels) in [(1, at.stride, inner), (2, 1, inner), (3, 1, channels)] {
                chain.depthwise(&(2 * round - 1).to_string(), Window::same(*kernel, stride))?;
                if round > 1 {
                    chain.masked(&(2 * round - 1).to_string(), half, width)?;
                }
                chain.pointwise(&(2 * round).to_string(), channels, Activation::Relu)?;
            }
            Ok(())
        }),
        Kind::InvertedResidual { kernel, expansion, groups, activation } => {
            inverted_residual(graph, at, *kernel, *expansion, *groups, *activation)
        }
        Kind::Bottleneck { inner, kernel, relu } => bottleneck(graph, at, *inner, *kernel, *relu),
        Kind::Skip => graph.node(at.path, Primitive::Identity, &[input]),
        Kind::Operation { operation: name } => operation(graph, name, at),
    }
}

/// A value on its way through convolutions.
struct Chain<'g> {
    graph: &'g mut GraphBuilder,
    path: &'g str,
    value: NodeIdx,
    settings: OperationSettings,
}

impl Chain<'_> {
    fn convolution(&mut self, name: &str, channels: u32, window: Window, groups: u32) -> Result<(), NetworkError> {
        let Window { kernel, stride, padding, dilation } = window;
        let groups = Groups::Count(groups);
        let primitive =
            Primitive::Convolution { out_channels: channels, kernel, stride, padding, dilation, groups, bias: false };
        self.value = self.graph.node(format!("{}/{name}", self.path), primitive, &[self.value])?;
        Ok(())
    }

    fn batch_norm(&mut self, name: &str) -> Result<(), NetworkError> {
        self.value = self.graph.batch_norm(format!("{}/{name}", self.path), self.value, self.settings.affine)?;
        Ok(())
    }

    fn activation(&mut self, name: &str, activation: Activation) -> Result<(), NetworkError> {
        let primitive = match activation {
            Activation::Relu => Primitive::Relu,
            Activation::Relu6 => Primitive::Relu6,
            Activation::None => return Ok(()),
        };
        self.value = self.graph.node(format!("{}/{name}", self.path), primitive, &[self.value])?;
        Ok(())
    }

    /// 1x1 convolution, batch-norm, nonlinearity: `conv<n>`, `bn<n>`, `relu<n>`.
    fn pointwise(&mut self, number: &str, channels: u32, activation: Activation) -> Result<(), NetworkError> {
        self.convolution(&format!("conv{number}"), channels, Window::same(1, 1), 1)?;
        self.batch_norm(&format!("bn{number}"))?;
        self.activation(&format!("relu{number}"), activation)
    }

    /// Zeros in place of the channels that a narrower unit would not have: `mask<n>`.
    fn masked(&mut self, number: &str, channels: u32, width: Width<'_>) -> Result<(), NetworkError> {
        let Width::Masked { decision, factors } = width else { return Ok(()) };
        let (all, value) = (width.of(channels), self.value);
        let path = format!("{}/mask{number}", self.path);
        let mut options = Vec::with_capacity(factors.len());
        for (option, factor) in factors.iter().enumerate() {
            let length = scaled(channels, *factor);
            options.push(if length < all {
                let slice = Primitive::Slice { start: 0, length };
                let zero = Primitive::Zero { out_channels: all - length, stride: 1 };
                let first = self.graph.node(format!("{path}/first{option}"), slice, &[value])?;
                let rest = self.graph.node(format!("{path}/rest{option}"), zero, &[value])?;
                self.graph.node(format!("{path}/both{option}"), Primitive::Concat, &[first, rest])?
            } else {
                value
            });
        }
        self.value = self.graph.node(path, Primitive::Switch { decision }, &options)?;
        Ok(())
    }

    /// Depthwise convolution and batch-norm: `depthwise<n>`, `bn<n>`.
    fn depthwise(&mut self, number: &str, window: Window) -> Result<(), NetworkError> {
        let id = format!("{}/depthwise{number}", self.path);
        self.value = self.graph.depthwise(id, self.value, window)?;
        self.batch_norm(&format!("bn{number}"))
    }
}

/// A unit that keeps a part of its channels. Stride 1: channels are shuffled, the even ones kept and the odd ones sent
/// through the main branch. Otherwise all go through the main branch, and beside it through a depthwise and a 1x1
/// convolution. Main branches are told half of the unit's channels, which they have inside, and give what lacks.
fn shuffled(
    graph: &mut GraphBuilder,
    at: &Site<'_>,
    kernel: u32,
    main: impl Fn(&mut Chain<'_>, u32, u32) -> Result<(), NetworkError>,
) -> Result<NodeIdx, NetworkError> {
    let channels = graph.shape(at.input)?.channels();
    let wrong = |problem: String| Err(NetworkError::node(at.path, problem));
    let (kept, through, n_kept) = if at.stride == 1 {
        if !channels.is_multiple_of(2) {
            return wrong(format!("halves {channels} channels; use an even number"));
        }
        let half = channels / 2;
        let shuffle = Primitive::ChannelShuffle { groups: half.max(1) };
        let shuffled = graph.node(format!("{}/shuffle", at.path), shuffle, &[at.input])?;
        let slice = |start| Primitive::Slice { start, length: half };
        let kept = graph.node(format!("{}/kept", at.path), slice(0), &[shuffled])?;
        (kept, graph.node(format!("{}/rest", at.path), slice(half), &[shuffled])?, half)
    } else {
        let path = format!("{}/short", at.path);
        let mut short = Chain { graph, path: &path, value: at.input, settings: at.settings };
        short.depthwise("1", Window::same(kernel, at.stride))?;
        short.pointwise("2", channels, Activation::Relu)?;
        (short.value, at.input, channels)
    };
    if at.channels <= n_kept {
        let problem = format!("keeps {n_kept} of its input's channels and has to give {}; use more", at.channels);
        return wrong(problem);
    }
    let path = format!("{}/main", at.path);
    let mut chain = Chain { graph, path: &path, value: through, settings: at.settings };
    main(&mut chain, (at.channels / 2).max(1), at.channels - n_kept)?;
    let made = chain.value;
    graph.node(format!("{}/output", at.path), Primitive::Concat, &[kept, made])
}

fn inverted_residual(
    graph: &mut GraphBuilder,
    at: &Site<'_>,
    kernel: u32,
    expansion: u32,
    groups: u32,
    activation: Activation,
) -> Result<NodeIdx, NetworkError> {
    let before = graph.shape(at.input)?;
    let inner = before.channels().saturating_mul(expansion);
    let mut chain = Chain { graph, path: at.path, value: at.input, settings: at.settings };
    if expansion > 1 || groups > 1 {
        chain.convolution("expand/conv", inner, Window::same(1, 1), groups)?;
        chain.batch_norm("expand/bn")?;
        chain.activation("expand/relu", activation)?;
    }
    if groups > 1 {
        let shuffle = Primitive::ChannelShuffle { groups };
        chain.value = chain.graph.node(format!("{}/shuffle", at.path), shuffle, &[chain.value])?;
    }
    chain.depthwise("", Window::same(kernel, at.stride))?;
    chain.activation("relu", activation)?;
    chain.convolution("project/conv", at.channels, Window::same(1, 1), groups)?;
    chain.batch_norm("project/bn")?;
    let made = chain.value;
    if graph.shape(made)? == before {
        graph.node(format!("{}/output", at.path), Primitive::Add, &[at.input, made])
    } else {
        Ok(made)
    }
}

fn bottleneck(
    graph: &mut GraphBuilder,
    at: &Site<'_>,
    inner: Inner,
    kernel: u32,
    relu: Relu,
) -> Result<NodeIdx, NetworkError> {
    let (before, after) = match relu {
        Relu::Before => (Activation::Relu, Activation::None),
        Relu::After => (Activation::None, Activation::Relu),
    };
    let window = Window::same(kernel, at.stride);
    let Window { kernel, stride, padding, .. } = window;
    let mut chain = Chain { graph, path: at.path, value: at.input, settings: at.settings };
    chain.activation("relu1", before)?;
    chain.pointwise("1", at.channels, after)?;
    let pool = match inner {
        Inner::MaxPool => Primitive::MaxPool { kernel, stride, padding },
        Inner::AveragePool => Primitive::AveragePool { kernel, stride, padding, count_padding: false },
        Inner::Convolution | Inner::Separable => {
            chain.activation("relu2", before)?;
            match inner {
                Inner::Separable => {
                    let id = format!("{}/depthwise2", at.path);
                    chain.value = chain.graph.depthwise(id, chain.value, window)?;
                    chain.convolution("conv2", at.channels, Window::same(1, 1), 1)?;
                }
                _ => chain.convolution("conv2", at.channels, window, 1)?,
            }
            chain.batch_norm("bn2")?;
            chain.activation("relu2", after)?;
            return Ok(chain.value);
        }
    };
    chain.graph.node(format!("{}/pool", at.path), pool, &[chain.value])
}
