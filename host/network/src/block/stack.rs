//! Blocks one after the other, and the classifier behind them.

use super::Block;
use super::file::{BlockFile, StackSection};
use super::units::unit;
use crate::builder::GraphBuilder;
use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};
use crate::operations::Site;

/// The template.
pub(crate) fn stack(file: &BlockFile, blocks: &[Block], settings: &StackSection) -> Result<Graph, NetworkError> {
    let (mut graph, mut value) = GraphBuilder::new(file.task.input)?;
    for block in blocks {
        value = put(&mut graph, file, block, value, settings)?;
    }
    let mut value = graph.node("head/pool", Primitive::GlobalAveragePool, &[value])?;
    if settings.dropout > 0.0 {
        value = graph.node("head/dropout", Primitive::Dropout { rate: settings.dropout }, &[value])?;
    }
    let classifier = Primitive::Linear { out_features: file.task.classes, bias: settings.classifier_bias };
    let logits = graph.node("head/linear", classifier, &[value])?;
    Ok(graph.finish(logits, None))
}

/// All units of a block on one value, and the switch between them.
fn put(
    graph: &mut GraphBuilder,
    file: &BlockFile,
    block: &Block,
    input: NodeIdx,
    settings: &StackSection,
) -> Result<NodeIdx, NetworkError> {
    let Some(stage) = file.stages.get(block.stage) else { return Ok(input) };
    let path = block.path(stage);
    let mut options = Vec::with_capacity(block.units.len());
    for name in &block.units {
        let Some(known) = file.unit(name) else { continue };
        let path = format!("{path}/{name}");
        let at = Site {
            path: &path,
            input,
            channels: settings.channels(stage.channels),
            stride: block.stride(stage),
            settings: settings.settings(),
        };
        options.push(unit(graph, &known.kind, &at)?);
    }
    match (block.decision, options.as_slice()) {
        (Some(decision), _) => graph.node(&path, Primitive::Switch { decision }, &options),
        (None, [only]) => Ok(*only),
        (None, _) => Err(NetworkError::node(&path, "has several units and no decision between them")),
    }
}
