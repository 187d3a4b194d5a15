//! Cells stacked to a network, in the styles of the literature; ENAS's and One-Shot's have files of their own.

use super::file::{StackSection, Style, TaskSection};
use super::template::{CellSite, cell};
use super::wiring::Wiring;
use super::{enas, one_shot};
use crate::builder::{GraphBuilder, Window};
use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};

/// The template.
pub(crate) fn stack(wiring: &Wiring, stack: &StackSection, task: &TaskSection) -> Result<Graph, NetworkError> {
    match stack.style {
        Style::Darts => darts(wiring, stack, task),
        Style::NasBench201 => nas_bench_201(wiring, stack, task),
        Style::Enas => enas::stack(wiring, stack, task),
        Style::EnasSearch => enas::search_stack(wiring, stack, task),
        Style::OneShot => one_shot::stack(wiring, stack, task),
    }
}

/// Mean over the map, dropout where the stack has it, linear classifier.
pub(crate) fn head(
    graph: &mut GraphBuilder,
    input: NodeIdx,
    stack: &StackSection,
    classes: u32,
    bias: bool,
) -> Result<NodeIdx, NetworkError> {
    let mut value = graph.node("head/pool", Primitive::GlobalAveragePool, &[input])?;
    if stack.dropout > 0.0 {
        value = graph.node("head/dropout", Primitive::Dropout { rate: stack.dropout }, &[value])?;
    }
    graph.node("head/linear", Primitive::Linear { out_features: classes, bias }, &[value])
}

/// DARTS: every cell reads the two before it through 1x1 convolutions; the cells at a third and two thirds are
/// reductions and double the channels (Liu et al., ICLR 2019, section 3.1 and released code).
fn darts(wiring: &Wiring, stack: &StackSection, task: &TaskSection) -> Result<Graph, NetworkError> {
    let settings = stack.settings();
    let (mut graph, input) = GraphBuilder::new(task.input)?;
    let stem = graph.convolution("stem/conv", input, 3 * stack.channels, Window::same(3, 1))?;
    let stem = graph.batch_norm("stem/bn", stem, true)?;
    let n_layers = stack.layers.unwrap_or(1);
    let reductions = [n_layers / 3, 2 * n_layers / 3];
    let (mut before, mut last) = (stem, stem);
    let mut channels = stack.channels;
    let mut reduced_before = false;
    let mut auxiliary = None;
    for layer in 0..n_layers {
        let reduction = reductions.contains(&layer);
        if reduction {
            channels = channels.saturating_mul(2);
        }
        let path = format!("cell{layer}");
        let (path0, path1) = (format!("{path}/input0"), format!("{path}/input1"));
        let input0 = if reduced_before {
            graph.factorized_reduce(&path0, before, channels, settings.affine)?
        } else {
            graph.relu_conv_bn(&path0, before, channels, Window::same(1, 1), settings.affine)?
        };
        let input1 = graph.relu_conv_bn(&path1, last, channels, Window::same(1, 1), settings.affine)?;
        let inputs = [input0, input1];
        let site = CellSite { path: &path, inputs: &inputs, channels, reduction, settings, drop_path: stack.drop_path };
        let nodes = wiring.cells.get(usize::from(reduction)).map(Vec::as_slice).unwrap_or_default();
        let output = cell(&mut graph, wiring, nodes, &site)?;
        (before, last, reduced_before) = (last, output, reduction);
        if stack.auxiliary && reductions.last() == Some(&layer) {
            auxiliary = Some(auxiliary_head(&mut graph, last, task.classes, true)?);
        }
    }
    let logits = head(&mut graph, last, stack, task.classes, true)?;
    Ok(graph.finish(logits, auxiliary))
}

/// DARTS's auxiliary head for maps of 8x8; its classifier may have a bias.
pub(crate) fn auxiliary_head(
    graph: &mut GraphBuilder,
    input: NodeIdx,
    classes: u32,
    bias: bool,
) -> Result<NodeIdx, NetworkError> {
    let shape = graph.shape(input)?;
    if shape.extent().iter().any(|&extent| extent < 8) {
        let problem = format!("takes maps of 8x8 or more, not {shape}; set `auxiliary = false` or use a larger input");
        return Err(NetworkError::node("auxiliary", problem));
    }
    let pool = Primitive::AveragePool { kernel: [5; 2], stride: [3; 2], padding: [0; 2], count_padding: false };
    let last = Window { kernel: [2; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] };
    let value = graph.relu("auxiliary/relu0", input)?;
    let value = graph.node("auxiliary/pool", pool, &[value])?;
    let value = graph.convolution("auxiliary/conv1", value, 128, Window::same(1, 1))?;
    let value = graph.batch_norm("auxiliary/bn1", value, true)?;
    let value = graph.relu("auxiliary/relu1", value)?;
    let value = graph.convolution("auxiliary/conv2", value, 768, last)?;
    let value = graph.batch_norm("auxiliary/bn2", value, true)?;
    let value = graph.relu("auxiliary/relu2", value)?;
    graph.node("auxiliary/linear", Primitive::Linear { out_features: classes, bias }, &[value])
}

/// NAS-Bench-201: three stages of cells at C, 2C and 4C channels with residual reduction blocks between them
/// (Dong and Yang, ICLR 2020, figure 1).
fn nas_bench_201(wiring: &Wiring, stack: &StackSection, task: &TaskSection) -> Result<Graph, NetworkError> {
    let (mut graph, input) = GraphBuilder::new(task.input)?;
    let stem = graph.convolution("stem/conv", input, stack.channels, Window::same(3, 1))?;
    let mut value = graph.batch_norm("stem/bn", stem, true)?;
    let mut channels = stack.channels;
    let mut number = 0;
    let nodes = wiring.cells.first().map(Vec::as_slice).unwrap_or_default();
    for stage in 0..3 {
        if stage > 0 {
            channels = channels.saturating_mul(2);
            value = residual_reduction(&mut graph, &format!("cell{number}"), value, channels)?;
            number += 1;
        }
        for _ in 0..stack.cells_per_stage.unwrap_or(1) {
            let path = format!("cell{number}");
            let inputs = [value];
            let site = CellSite {
                path: &path,
                inputs: &inputs,
                channels,
                reduction: false,
                settings: stack.settings(),
                drop_path: stack.drop_path,
            };
            value = cell(&mut graph, wiring, nodes, &site)?;
            number += 1;
        }
    }
    let value = graph.batch_norm("head/bn", value, true)?;
    let value = graph.relu("head/relu", value)?;
    let logits = head(&mut graph, value, stack, task.classes, true)?;
    Ok(graph.finish(logits, None))
}

/// Two convolutions beside a pooled 1x1 convolution; halves the map.
fn residual_reduction(
    graph: &mut GraphBuilder,
    path: &str,
    input: NodeIdx,
    channels: u32,
) -> Result<NodeIdx, NetworkError> {
    let shape = graph.shape(input)?;
    if shape.extent().iter().any(|extent| !extent.is_multiple_of(2)) {
        let problem = format!("cannot halve {shape}; it takes an even height and width: use another input size");
        return Err(NetworkError::node(path, problem));
    }
    let value = graph.relu_conv_bn(&format!("{path}/conv_a"), input, channels, Window::same(3, 2), true)?;
    let value = graph.relu_conv_bn(&format!("{path}/conv_b"), value, channels, Window::same(3, 1), true)?;
    let pool = Primitive::AveragePool { kernel: [2; 2], stride: [2; 2], padding: [0; 2], count_padding: false };
    let short = graph.node(format!("{path}/shortcut/pool"), pool, &[input])?;
    let short = graph.convolution(format!("{path}/shortcut/conv"), short, channels, Window::same(1, 1))?;
    graph.node(format!("{path}/output"), Primitive::Add, &[short, value])
}
