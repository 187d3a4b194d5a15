//! Shapes of a graph's values, inferred from the input's. The batch is left out.
//!
//! In a template every option of a choice point has the same shape, so one inference serves all architectures;
//! `ConcatLooseEnds` counts all its inputs there.

use std::fmt;

use crate::error::NetworkError;
use crate::graph::{Graph, Groups, NodeIdx, Primitive};

/// A value's shape, without the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `[channels, height, width]`.
    Map([u32; 3]),
    /// `[features]`.
    Features(u32),
}

impl Shape {
    /// Channels or features.
    pub fn channels(self) -> u32 {
        match self {
            Self::Map([channels, _, _]) | Self::Features(channels) => channels,
        }
    }

    /// `[height, width]`; `[1, 1]` of a vector.
    pub fn extent(self) -> [u32; 2] {
        match self {
            Self::Map([_, height, width]) => [height, width],
            Self::Features(_) => [1, 1],
        }
    }

    /// Values an example.
    pub fn elements(self) -> u64 {
        let [height, width] = self.extent();
        u64::from(self.channels()) * u64::from(height) * u64::from(width)
    }

    fn with_channels(self, channels: u32) -> Self {
        match self {
            Self::Map([_, height, width]) => Self::Map([channels, height, width]),
            Self::Features(_) => Self::Features(channels),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map([channels, height, width]) => write!(formatter, "{channels}x{height}x{width}"),
            Self::Features(features) => write!(formatter, "{features}"),
        }
    }
}

/// The shape of every node's value, in node order. Errors name the node.
pub fn shapes(graph: &Graph) -> Result<Vec<Shape>, NetworkError> {
    let mut shapes: Vec<Shape> = Vec::with_capacity(graph.nodes.len());
    let mut inputs = Vec::new();
    for node in &graph.nodes {
        gather(&node.id, &node.inputs, &shapes, &mut inputs)?;
        let shape = infer(&node.primitive, &inputs).map_err(|problem| NetworkError::node(&node.id, problem))?;
        shapes.push(shape);
    }
    let ends = [("logits", Some(graph.logits)), ("auxiliary", graph.auxiliary)];
    for (from, end) in ends.into_iter().filter_map(|(from, end)| end.map(|end| (from, end))) {
        match shapes.get(end as usize) {
            None => return Err(NetworkError::Dangling { from: from.into(), index: end }),
            Some(Shape::Features(_)) => {}
            Some(shape) => return Err(NetworkError::node(from, format!("must be class scores, is a map {shape}"))),
        }
    }
    Ok(shapes)
}

/// Shapes of a node's inputs into `into`.
pub(crate) fn gather(
    id: &str,
    inputs: &[NodeIdx],
    shapes: &[Shape],
    into: &mut Vec<Shape>,
) -> Result<(), NetworkError> {
    into.clear();
    for &input in inputs {
        match shapes.get(input as usize) {
            Some(shape) => into.push(*shape),
            None => return Err(NetworkError::Dangling { from: id.to_owned(), index: input }),
        }
    }
    Ok(())
}

/// The shape of one primitive's value.
pub(crate) fn infer(primitive: &Primitive, inputs: &[Shape]) -> Result<Shape, String> {
    if let Primitive::Input { shape } = primitive {
        return if shape.contains(&0) { Err("the input is empty".into()) } else { Ok(Shape::Map(*shape)) };
    }
    let first = *inputs.first().ok_or("reads nothing")?;
    let map = || match first {
        Shape::Map(map) => Ok(map),
        Shape::Features(_) => Err(format!("needs a feature map, not {first} features")),
    };
    match primitive {
        Primitive::Convolution { out_channels, kernel, stride, padding, dilation, groups, .. } => {
            let [channels, height, width] = map()?;
            let out = if *out_channels == 0 { channels } else { *out_channels };
            let groups = group_count(*groups, channels);
            if groups == 0 || !channels.is_multiple_of(groups) || !out.is_multiple_of(groups) {
                return Err(format!("{channels} channels in and {out} out do not divide into {groups} groups"));
            }
            let [height, width] = windows([height, width], *kernel, *stride, *padding, *dilation)?;
            Ok(Shape::Map([out, height, width]))
        }
        Primitive::MaxPool { kernel, stride, padding } | Primitive::AveragePool { kernel, stride, padding, .. } => {
            let [channels, height, width] = map()?;
            let [height, width] = windows([height, width], *kernel, *stride, *padding, [1, 1])?;
            Ok(Shape::Map([channels, height, width]))
        }
        Primitive::GlobalAveragePool => map().map(|[channels, _, _]| Shape::Features(channels)),
        Primitive::Add | Primitive::Multiply | Primitive::Switch { .. } => {
            match inputs.iter().find(|other| **other != first) {
                Some(other) => Err(format!("reads values of different shapes, {first} and {other}")),
                None => Ok(first),
            }
        }
        Primitive::Concat | Primitive::ConcatLooseEnds => {
            if let Some(other) = inputs.iter().find(|other| other.with_channels(0) != first.with_channels(0)) {
                return Err(format!("cannot concatenate {first} and {other} along channels"));
            }
            let sum: u64 = inputs.iter().map(|input| u64::from(input.channels())).sum();
            Ok(first.with_channels(u32::try_from(sum).map_err(|_| "has too many channels")?))
        }
        Primitive::Slice { start, length } => {
            let end = start.checked_add(*length).filter(|end| *end <= first.channels() && *length > 0);
            end.map(|_| first.with_channels(*length))
                .ok_or_else(|| format!("takes channels {start} to {start}+{length} of {}", first.channels()))
        }
        Primitive::ChannelShuffle { groups } => {
            let [channels, ..] = map()?;
            let fits = *groups > 0 && channels.is_multiple_of(*groups);
            if fits { Ok(first) } else { Err(format!("cannot shuffle {channels} channels in {groups} groups")) }
        }
        Primitive::Crop { top, left } => {
            let [channels, height, width] = map()?;
            if *top >= height || *left >= width {
                return Err(format!("nothing is left of a {height}x{width} map without {top} rows, {left} columns"));
            }
            Ok(Shape::Map([channels, height - top, width - left]))
        }
        Primitive::Linear { out_features: 0, .. } => Err("gives no features".into()),
        Primitive::Linear { out_features, .. } => Ok(Shape::Features(*out_features)),
        Primitive::Zero { out_channels, stride } => {
            let [channels, height, width] = map()?;
            let out = if *out_channels == 0 { channels } else { *out_channels };
            let stride = (*stride).max(1);
            Ok(Shape::Map([out, height.div_ceil(stride), width.div_ceil(stride)]))
        }
        Primitive::Input { .. }
        | Primitive::BatchNorm { .. }
        | Primitive::Relu
        | Primitive::Relu6
        | Primitive::Sigmoid
        | Primitive::Tanh
        | Primitive::Dropout { .. }
        | Primitive::DropPath
        | Primitive::Identity => Ok(first),
    }
}

/// Groups of a convolution that reads so many channels.
pub(crate) fn group_count(groups: Groups, channels: u32) -> u32 {
    match groups {
        Groups::Count(count) => count,
        Groups::Depthwise => channels,
    }
}

/// Output extents of a sliding window.
fn windows(
    [height, width]: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 2],
    dilation: [u32; 2],
) -> Result<[u32; 2], String> {
    let along = |extent: u32, axis: usize| -> Option<u32> {
        let of = |pair: [u32; 2]| pair.get(axis).copied().map(u64::from);
        let span = of(dilation)? * of(kernel)?.checked_sub(1)? + 1;
        let room = (u64::from(extent) + 2 * of(padding)?).checked_sub(span)?;
        u32::try_from(room.checked_div(of(stride)?)? + 1).ok()
    };
    match (along(height, 0), along(width, 1)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => {
            let [kernel_h, kernel_w] = kernel;
            Err(format!(
                "a {height}x{width} map is too small for a {kernel_h}x{kernel_w} window; use a larger input or fewer reductions"
            ))
        }
    }
}
