//! Shapes of a graph's values, and the weights and buffers it needs, by their stable names.
//!
//! In a template every option of a choice point has the same shape, so one inference serves all architectures.
//! `ConcatLooseEnds` counts all its inputs here (see the interpreter for what it does with those left out).

use nasd_network::{Graph, Groups, Node, Primitive};

use crate::error::{Result, TrainError};

/// What a named tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Drawn at random, trained.
    Weight,
    /// Starts at one, trained (batch-norm's scale).
    Scale,
    /// Starts at zero, trained (batch-norm's shift).
    Shift,
    /// A running mean, not trained.
    Mean,
    /// A running variance, not trained.
    Variance,
}

impl ParameterKind {
    /// Whether an optimiser moves it.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::Mean | Self::Variance)
    }
}

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

/// A node's value, without the batch: `[channels, height, width]` or `[features]`.
pub type Shape = Vec<i64>;

/// What a graph needs.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// A shape a node.
    pub shapes: Vec<Shape>,
    /// In node order.
    pub parameters: Vec<Parameter>,
    /// Indices into `parameters`, a list a node, in the order weight, bias, mean, variance as far as there.
    pub of_node: Vec<Vec<usize>>,
}

impl Layout {
    /// Infer it; an error names the node that cannot be.
    pub fn of(graph: &Graph) -> Result<Self> {
        let mut layout = Self::default();
        for (index, node) in graph.nodes.iter().enumerate() {
            let inputs = node
                .inputs
                .iter()
                .map(|&input| {
                    let shape = layout.shapes.get(input as usize);
                    shape.cloned().ok_or_else(|| {
                        TrainError::graph(&node.id, format!("reads node {input}, which is not before {index}"))
                    })
                })
                .collect::<Result<Vec<Shape>>>()?;
            let first_parameter = layout.parameters.len();
            let shape = infer(node, &inputs, &mut layout.parameters)?;
            if shape.iter().any(|&extent| extent <= 0) {
                return Err(TrainError::graph(&node.id, format!("has the empty shape {shape:?}")));
            }
            layout.shapes.push(shape);
            layout.of_node.push((first_parameter..layout.parameters.len()).collect());
        }
        for output in std::iter::once(graph.logits).chain(graph.auxiliary) {
            match layout.shapes.get(output as usize) {
                Some(shape) if shape.len() == 1 => {}
                _ => return Err(TrainError::Unsupported(format!("node {output} does not give class scores"))),
            }
        }
        Ok(layout)
    }
}

fn infer(node: &Node, inputs: &[Shape], parameters: &mut Vec<Parameter>) -> Result<Shape> {
    let bad = |reason: String| TrainError::graph(&node.id, reason);
    let first = || inputs.first().cloned().ok_or_else(|| bad("reads nothing".into()));
    let map = || -> Result<[i64; 3]> {
        let shape = first()?;
        <[i64; 3]>::try_from(shape).map_err(|shape| bad(format!("needs a feature map, not {shape:?}")))
    };
    let same = || -> Result<Shape> {
        let shape = first()?;
        match inputs.iter().find(|other| **other != shape) {
            Some(other) => Err(bad(format!("reads different shapes, {shape:?} and {other:?}"))),
            None => Ok(shape),
        }
    };
    let mut add = |suffix: &str, shape: Vec<i64>, kind, fan_in| {
        parameters.push(Parameter { name: format!("{}.{suffix}", node.id), shape, kind, fan_in });
    };
    Ok(match &node.primitive {
        Primitive::Input { shape } => shape.iter().map(|&extent| i64::from(extent)).collect(),
        Primitive::Convolution { out_channels, kernel, stride, padding, dilation, groups, bias } => {
            let [channels, height, width] = map()?;
            let out = if *out_channels == 0 { channels } else { i64::from(*out_channels) };
            let groups = n_groups(*groups, channels);
            if groups < 1 || channels % groups != 0 || out % groups != 0 {
                return Err(bad(format!("cannot divide {channels} and {out} channels into {groups} groups")));
            }
            let [kernel_h, kernel_w] = pair(*kernel);
            let fan_in = channels / groups * kernel_h * kernel_w;
            let shape = vec![out, channels / groups, kernel_h, kernel_w];
            add("weight", shape, ParameterKind::Weight, fan_in);
            if *bias {
                add("bias", vec![out], ParameterKind::Weight, fan_in);
            }
            let [height, width] = windows([height, width], *kernel, *stride, *padding, *dilation);
            vec![out, height, width]
        }
        Primitive::BatchNorm { affine, .. } => {
            let shape = first()?;
            let channels = shape.first().copied().unwrap_or_default();
            if *affine {
                add("weight", vec![channels], ParameterKind::Scale, channels);
                add("bias", vec![channels], ParameterKind::Shift, channels);
            }
            add("running_mean", vec![channels], ParameterKind::Mean, channels);
            add("running_var", vec![channels], ParameterKind::Variance, channels);
            shape
        }
        Primitive::MaxPool { kernel, stride, padding } | Primitive::AveragePool { kernel, stride, padding, .. } => {
            let [channels, height, width] = map()?;
            let [height, width] = windows([height, width], *kernel, *stride, *padding, [1, 1]);
            vec![channels, height, width]
        }
        Primitive::GlobalAveragePool => vec![map()?[0]],
        Primitive::Add | Primitive::Multiply | Primitive::Switch { .. } => same()?,
        Primitive::Concat | Primitive::ConcatLooseEnds => {
            let mut shape = first()?;
            if let Some(other) = inputs.iter().find(|other| other.get(1..) != shape.get(1..)) {
                return Err(bad(format!("cannot concatenate {shape:?} and {other:?}")));
            }
            if let Some(channels) = shape.first_mut() {
                *channels = inputs.iter().filter_map(|input| input.first()).sum();
            }
            shape
        }
        Primitive::Slice { start, length } => {
            let mut shape = first()?;
            let end = i64::from(*start) + i64::from(*length);
            match shape.first_mut() {
                Some(channels) if end <= *channels => *channels = i64::from(*length),
                _ => return Err(bad(format!("takes channels up to {end} of {shape:?}"))),
            }
            shape
        }
        Primitive::ChannelShuffle { groups } => {
            let [channels, height, width] = map()?;
            if *groups == 0 || channels % i64::from(*groups) != 0 {
                return Err(bad(format!("cannot shuffle {channels} channels in {groups} groups")));
            }
            vec![channels, height, width]
        }
        Primitive::Crop { top, left } => {
            let [channels, height, width] = map()?;
            vec![channels, height - i64::from(*top), width - i64::from(*left)]
        }
        Primitive::Linear { out_features, bias } => {
            let inputs: i64 = first()?.iter().product();
            let out = i64::from(*out_features);
            add("weight", vec![out, inputs], ParameterKind::Weight, inputs);
            if *bias {
                add("bias", vec![out], ParameterKind::Weight, inputs);
            }
            vec![out]
        }
        Primitive::Zero { out_channels, stride } => {
            let [channels, height, width] = map()?;
            let out = if *out_channels == 0 { channels } else { i64::from(*out_channels) };
            let stride = i64::from((*stride).max(1));
            vec![out, (height + stride - 1) / stride, (width + stride - 1) / stride]
        }
        Primitive::Relu
        | Primitive::Relu6
        | Primitive::Sigmoid
        | Primitive::Tanh
        | Primitive::Dropout { .. }
        | Primitive::DropPath
        | Primitive::Identity => first()?,
    })
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

/// Output extents of a sliding window.
fn windows(extents: [i64; 2], kernel: [u32; 2], stride: [u32; 2], padding: [u32; 2], dilation: [u32; 2]) -> [i64; 2] {
    let along = |axis: usize| -> i64 {
        let value = |pair: [u32; 2]| pair.get(axis).copied().map_or(0, i64::from);
        let extent = extents.get(axis).copied().unwrap_or_default();
        let span = value(dilation) * (value(kernel) - 1) + 1;
        let room = extent + 2 * value(padding) - span;
        if room < 0 { 0 } else { room / value(stride).max(1) + 1 }
    };
    [along(0), along(1)]
}
