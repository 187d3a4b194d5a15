//! ENAS's micro cells stacked (Pham et al., ICML 2018, section 2.4 and released code): stand-alone networks, and the
//! graph of shared weights, which differs in where cells shrink.
//!
//! Both have two reductions among `layers` normal cells, after `layers / 3` of each kind; classifiers have no bias.

use super::file::{StackSection, TaskSection};
use super::stack::{auxiliary_head, head};
use super::template::{CellSite, cell};
use super::wiring::Wiring;
use crate::builder::{GraphBuilder, Window};
use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx};

/// Positions of the two reductions.
fn reductions(layers: u32) -> [u32; 2] {
    let distance = layers / 3;
    [distance, 2 * distance + 1]
}

/// A network under construction.
struct Stack<'a> {
    graph: GraphBuilder,
    wiring: &'a Wiring,
    section: &'a StackSection,
    /// Channels of the next cell.
    channels: u32,
}

impl<'a> Stack<'a> {
    fn new(wiring: &'a Wiring, section: &'a StackSection, task: &TaskSection) -> Result<(Self, NodeIdx), NetworkError> {
        let (mut graph, input) = GraphBuilder::new(task.input)?;
        let stem = graph.convolution("stem/conv", input, section.channels.saturating_mul(3), Window::same(3, 1))?;
        let stem = graph.batch_norm("stem/bn", stem, true)?;
        Ok((Self { graph, wiring, section, channels: section.channels }, stem))
    }

    /// Both inputs at the cell's channels and the second one's size. What fits is taken as it is.
    fn calibrated(&mut self, path: &str, before: NodeIdx, last: NodeIdx) -> Result<[NodeIdx; 2], NetworkError> {
        let (channels, affine) = (self.channels, self.section.affine);
        let extent = self.graph.shape(last)?.extent();
        let mut all = [before, last];
        for (number, value) in all.iter_mut().enumerate() {
            let shape = self.graph.shape(*value)?;
            let path = format!("{path}/calibrate{number}");
            if shape.extent() != extent {
                *value = self.graph.factorized_reduce(&path, *value, channels, affine)?;
            } else if shape.channels() != channels {
                *value = self.graph.relu_conv_bn(&path, *value, channels, Window::same(1, 1), affine)?;
            }
        }
        Ok(all)
    }

    /// The wiring of one kind of cell on two inputs.
    fn cell(&mut self, path: &str, inputs: [NodeIdx; 2], kind: bool, strides: bool) -> Result<NodeIdx, NetworkError> {
        let site = CellSite {
            path,
            inputs: &inputs,
            channels: self.channels,
            reduction: strides,
            settings: self.section.settings(),
            drop_path: self.section.drop_path,
        };
        let nodes = self.wiring.cells.get(usize::from(kind)).map(Vec::as_slice).unwrap_or_default();
        cell(&mut self.graph, self.wiring, nodes, &site)
    }
}

/// Stand-alone networks. The second input of every cell goes through one more 1x1 convolution; reductions double the
/// channels and stride where they read their inputs; the auxiliary head reads the cell after the second one.
pub(crate) fn stack(wiring: &Wiring, section: &StackSection, task: &TaskSection) -> Result<Graph, NetworkError> {
    let (mut stack, stem) = Stack::new(wiring, section, task)?;
    let (mut before, mut last) = (stem, stem);
    let layers = section.layers.unwrap_or(1);
    let reductions = reductions(layers);
    let mut auxiliary = None;
    for layer in 0..layers + 2 {
        let reduction = reductions.contains(&layer);
        if reduction {
            stack.channels = stack.channels.saturating_mul(2);
        }
        let path = format!("cell{layer}");
        let [input0, input1] = stack.calibrated(&path, before, last)?;
        let base = format!("{path}/input1");
        let input1 = stack.graph.relu_conv_bn(&base, input1, stack.channels, Window::same(1, 1), section.affine)?;
        let output = stack.cell(&path, [input0, input1], reduction, reduction)?;
        (before, last) = (last, output);
        if section.auxiliary && reductions.last().is_some_and(|second| layer == second + 1) {
            auxiliary = Some(auxiliary_head(&mut stack.graph, last, task.classes, false)?);
        }
    }
    let value = stack.graph.relu("head/relu", last)?;
    let logits = head(&mut stack.graph, value, section, task.classes, false)?;
    Ok(stack.graph.finish(logits, auxiliary))
}

/// Shared weights. A factorized reduction stands before a reduction cell, whose operations then do not stride, and a
/// 1x1 convolution brings a cell's loose ends back to its channels, so that what fits one cell fits the next.
pub(crate) fn search_stack(wiring: &Wiring, section: &StackSection, task: &TaskSection) -> Result<Graph, NetworkError> {
    let (mut stack, stem) = Stack::new(wiring, section, task)?;
    let (mut before, mut last) = (stem, stem);
    let layers = section.layers.unwrap_or(1);
    let reductions = reductions(layers);
    for layer in 0..layers + 2 {
        let reduction = reductions.contains(&layer);
        let path = format!("cell{layer}");
        if reduction {
            stack.channels = stack.channels.saturating_mul(2);
            let reduced = format!("{path}/reduce");
            let reduced = stack.graph.halved(&reduced, last, stack.channels, section.affine)?;
            (before, last) = (last, reduced);
        }
        let inputs = stack.calibrated(&path, before, last)?;
        let output = stack.cell(&path, inputs, reduction, false)?;
        let path = format!("{path}/final");
        let output = stack.graph.relu_conv_bn(&path, output, stack.channels, Window::same(1, 1), section.affine)?;
        (before, last) = (last, output);
    }
    let value = stack.graph.relu("head/relu", last)?;
    let logits = head(&mut stack.graph, value, section, task.classes, false)?;
    Ok(stack.graph.finish(logits, None))
}
