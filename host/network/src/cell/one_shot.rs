//! One-Shot's cells stacked (Bender et al., ICML 2018): stages of equal cells, each of which reads the two before it.
//!
//! The paper leaves open how many cells each stage has, how maps shrink between stages and how a cell's blocks come
//! together. Here maps are halved by a mean and a 1x1 convolution that doubles the channels, on both values that the
//! next cell reads; a 1x1 convolution brings a cell's blocks, concatenated, back to its channels.

use super::file::{StackSection, TaskSection};
use super::stack::head;
use super::template::{CellSite, cell};
use super::wiring::Wiring;
use crate::builder::{GraphBuilder, Window};
use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};
use crate::operations::{Site, conv};

/// The template.
pub(crate) fn stack(wiring: &Wiring, stack: &StackSection, task: &TaskSection) -> Result<Graph, NetworkError> {
    let (mut graph, input) = GraphBuilder::new(task.input)?;
    let stem = graph.convolution("stem/conv", input, stack.channels, Window::same(3, 1))?;
    let (mut before, mut last) = (stem, stem);
    let (mut channels, mut number) = (stack.channels, 0);
    let nodes = wiring.cells.first().map(Vec::as_slice).unwrap_or_default();
    for (stage, cells) in stack.stages.iter().flatten().enumerate() {
        if stage > 0 {
            channels = channels.saturating_mul(2);
            let second = before != last;
            last = halved(&mut graph, &format!("stage{stage}/input1"), last, channels, stack)?;
            before = match second {
                true => halved(&mut graph, &format!("stage{stage}/input0"), before, channels, stack)?,
                false => last,
            };
        }
        for _ in 0..*cells {
            let path = format!("cell{number}");
            let inputs = [before, last];
            let site = CellSite {
                path: &path,
                inputs: &inputs,
                channels,
                reduction: false,
                settings: stack.settings(),
                drop_path: stack.drop_path,
            };
            let blocks = cell(&mut graph, wiring, nodes, &site)?;
            let path = format!("{path}/final");
            let at = Site { path: &path, input: blocks, channels, stride: 1, settings: stack.settings() };
            (before, last) = (last, conv(&mut graph, &at, 1)?);
            number += 1;
        }
    }
    let value = graph.batch_norm("head/bn", last, stack.affine)?;
    let value = graph.relu("head/relu", value)?;
    let logits = head(&mut graph, value, stack, task.classes, true)?;
    Ok(graph.finish(logits, None))
}

/// Half the height and width, other channels.
fn halved(
    graph: &mut GraphBuilder,
    path: &str,
    input: NodeIdx,
    channels: u32,
    stack: &StackSection,
) -> Result<NodeIdx, NetworkError> {
    let shape = graph.shape(input)?;
    if shape.extent().iter().any(|extent| !extent.is_multiple_of(2)) {
        let problem = format!("cannot halve {shape}; use an even height and width, or fewer stages");
        return Err(NetworkError::node(path, problem));
    }
    let pool = Primitive::AveragePool { kernel: [2; 2], stride: [2; 2], padding: [0; 2], count_padding: false };
    let input = graph.node(format!("{path}/pool"), pool, &[input])?;
    conv(graph, &Site { path, input, channels, stride: 1, settings: stack.settings() }, 1)
}
