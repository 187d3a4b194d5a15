//! Blocks one after the other, and the classifier behind them.

use super::Block;
use super::file::{BlockFile, Join, StackSection, StageSection};
use super::units::{Kind, Width, unit};
use crate::builder::{GraphBuilder, Window};
use crate::definition::Purpose;
use crate::error::NetworkError;
use crate::graph::{Graph, NodeIdx, Primitive};
use crate::operations::Site;

/// A network under construction.
struct Stack<'f> {
    graph: GraphBuilder,
    file: &'f BlockFile,
    settings: StackSection,
    purpose: Purpose,
    /// What blocks with skips can read, in order; the last is the value they act on.
    values: Vec<NodeIdx>,
}

/// The template.
pub(crate) fn stack(file: &BlockFile, blocks: &[Block], purpose: Purpose) -> Result<Graph, NetworkError> {
    let settings = match purpose {
        Purpose::StandAlone => file.stack,
        Purpose::OneShot => file.stack.one_shot(&file.one_shot),
    };
    let (graph, mut value) = GraphBuilder::new(file.task.input)?;
    let mut stack = Stack { graph, file, settings, purpose, values: Vec::new() };
    for block in blocks {
        let Some(stage) = file.stages.get(block.stage) else { continue };
        value = match stage.skips {
            true => stack.with_skips(block, stage, value)?,
            false => stack.put(block, stage, value, block.stride(stage))?,
        };
    }
    let Stack { mut graph, .. } = stack;
    value = graph.node("head/pool", Primitive::GlobalAveragePool, &[value])?;
    if settings.dropout > 0.0 {
        value = graph.node("head/dropout", Primitive::Dropout { rate: settings.dropout }, &[value])?;
    }
    let classifier = Primitive::Linear { out_features: file.task.classes, bias: settings.classifier_bias };
    let logits = graph.node("head/linear", classifier, &[value])?;
    Ok(graph.finish(logits, None))
}

impl Stack<'_> {
    fn channels(&self, stage: &StageSection) -> u32 {
        let own = match self.purpose {
            Purpose::StandAlone => None,
            Purpose::OneShot => stage.one_shot_channels,
        };
        self.settings.channels(own.unwrap_or(stage.channels))
    }

    /// All units of a block on one value, and the switch between them.
    fn put(
        &mut self,
        block: &Block,
        stage: &StageSection,
        input: NodeIdx,
        stride: u32,
    ) -> Result<NodeIdx, NetworkError> {
        let path = block.path(stage);
        let mut options = Vec::with_capacity(block.units.len());
        for name in &block.units {
            let Some(known) = self.file.unit(name) else { continue };
            let path = format!("{path}/{name}");
            let (channels, settings) = (self.channels(stage), self.settings.settings());
            let kind = match (self.purpose, &known.one_shot) {
                (Purpose::OneShot, Some(kind)) => kind,
                _ => &known.kind,
            };
            let at = Site { path: &path, input, channels, stride, settings };
            options.push(match (block.width, stage.widths.as_deref()) {
                (Some(decision), Some(factors)) => self.of_width(kind, &at, decision, factors)?,
                _ => unit(&mut self.graph, kind, &at, Width::Fixed(1.0))?,
            });
        }
        match (block.decision, options.as_slice()) {
            (Some(decision), _) => self.graph.node(&path, Primitive::Switch { decision }, &options),
            (None, [only]) => Ok(*only),
            (None, _) => Err(NetworkError::node(&path, "has several units and no decision between them")),
        }
    }

    /// A unit as wide as decided: a unit for each width where it stands alone, the widest one where weights are shared.
    fn of_width(
        &mut self,
        kind: &Kind,
        at: &Site<'_>,
        decision: u32,
        factors: &[f64],
    ) -> Result<NodeIdx, NetworkError> {
        if self.purpose == Purpose::OneShot {
            return unit(&mut self.graph, kind, at, Width::Masked { decision, factors });
        }
        let mut options = Vec::with_capacity(factors.len());
        for factor in factors {
            let path = format!("{}/width{factor}", at.path);
            options.push(unit(&mut self.graph, kind, &Site { path: &path, ..*at }, Width::Fixed(*factor))?);
        }
        self.graph.node(at.path, Primitive::Switch { decision }, &options)
    }

    /// A block, and what it chooses to read besides its input (ENAS's macro space).
    fn with_skips(&mut self, block: &Block, stage: &StageSection, input: NodeIdx) -> Result<NodeIdx, NetworkError> {
        let (channels, affine) = (self.channels(stage), self.settings.affine);
        if self.values.is_empty() {
            self.values.push(input);
        }
        if block.number == 0 && stage.stride > 1 {
            for (number, value) in self.values.iter_mut().enumerate() {
                *value = self.graph.halved(&format!("{}/reduce{number}", stage.name), *value, channels, affine)?;
            }
        }
        let input = self.values.last().copied().unwrap_or(input);
        let made = self.put(block, stage, input, 1)?;
        let path = block.path(stage);
        let value = match block.skips.is_empty() {
            true => made,
            false => {
                let mut terms = Vec::with_capacity(block.skips.len() + 1);
                for (source, decision) in block.skips.iter().zip(0..).map(|(decision, source)| (source, *decision)) {
                    let path = format!("{path}/skip{source}");
                    let missing = || NetworkError::node(&path, "reads a value that is not before it");
                    let value = self.values.get::<usize>(source).copied().ok_or_else(missing)?;
                    let zero = Primitive::Zero { out_channels: channels, stride: 1 };
                    let off = self.graph.node(format!("{path}/off"), zero, &[value])?;
                    let on = self.joined(&path, value, channels)?;
                    terms.push(self.graph.node(&path, Primitive::Switch { decision }, &[off, on])?);
                }
                terms.push(self.joined(&format!("{path}/own"), made, channels)?);
                let sum = self.graph.node(format!("{path}/sum"), Primitive::Add, &terms)?;
                self.graph.batch_norm(format!("{path}/bn"), sum, affine)?
            }
        };
        self.values.push(value);
        Ok(value)
    }

    /// A value as the sum takes it.
    fn joined(&mut self, path: &str, value: NodeIdx, channels: u32) -> Result<NodeIdx, NetworkError> {
        match self.settings.skips {
            Join::Sum => Ok(value),
            Join::Project => {
                let value = self.graph.relu(format!("{path}/relu"), value)?;
                self.graph.convolution(format!("{path}/conv"), value, channels, Window::same(1, 1))
            }
        }
    }
}
