//! The sections of a cell space's file.

use serde::Deserialize;

use crate::operations::{OperationSettings, Order, operation_names};

/// `configs/spaces/*.toml` with `family = "cell"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CellFile {
    pub name: String,
    #[serde(rename = "family")]
    pub _family: String,
    pub task: TaskSection,
    pub cell: CellSection,
    pub stack: StackSection,
    #[serde(default)]
    pub one_shot: OneShotSection,
    #[serde(default)]
    pub count: CountSection,
}

/// What goes in and comes out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TaskSection {
    /// `[channels, height, width]`.
    pub input: [u32; 3],
    pub classes: u32,
}

/// How the wiring is written as decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    /// One operation decision an edge.
    Edges,
    /// Input and operation decisions, `pairs` a node.
    ChosenInputs,
    /// A decision an input and an operation of each node: off or on.
    ChoiceBlocks,
}

/// How a node joins what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Combination {
    /// The sum.
    Add,
    /// One after the other along channels, then ReLU, a 1x1 convolution and batch-norm back to the cell's channels.
    Concat,
}

impl Combination {
    /// As files and decisions call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Concat => "concat",
        }
    }
}

/// What a cell gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Output {
    /// All nodes, concatenated.
    All,
    /// Nodes that no other node reads, concatenated.
    LooseEnds,
    /// The last node.
    Last,
}

/// What is searched.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CellSection {
    pub encoding: Encoding,
    /// Besides the inputs.
    pub nodes: u32,
    pub operations: Vec<String>,
    /// Of `edges`: how many edges into a node differ from `none` in a stand-alone architecture.
    pub edges_per_node: Option<u32>,
    /// Of `chosen-inputs`: inputs a node adds up.
    pub pairs: Option<u32>,
    /// Of `choice-blocks`: fewest and most inputs a node adds up.
    pub inputs_per_node: Option<[u32; 2]>,
    /// Of `choice-blocks`: fewest and most operations on that sum.
    pub operations_per_node: Option<[u32; 2]>,
    /// Of `chosen-inputs`: ways for a node to join its inputs, one of which each node chooses; added if absent.
    pub combinations: Option<Vec<Combination>>,
    pub output: Output,
}

/// How cells become a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Style {
    #[serde(rename = "darts")]
    Darts,
    #[serde(rename = "nas-bench-201")]
    NasBench201,
    /// ENAS's stand-alone networks.
    #[serde(rename = "enas")]
    Enas,
    /// ENAS's shared weights: cells do not stride, and give as many channels as they have.
    #[serde(rename = "enas-search")]
    EnasSearch,
    #[serde(rename = "one-shot")]
    OneShot,
}

/// The network of a stand-alone architecture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StackSection {
    pub style: Style,
    pub channels: u32,
    /// Of `darts`: cells in all; of `enas`: besides the two reductions.
    pub layers: Option<u32>,
    /// Of `nas-bench-201`: cells in each of three stages.
    pub cells_per_stage: Option<u32>,
    /// Of `one-shot`: cells in each stage.
    pub stages: Option<Vec<u32>>,
    /// Before the classifier.
    #[serde(default)]
    pub dropout: f64,
    #[serde(default = "yes")]
    pub affine: bool,
    #[serde(default)]
    pub pool_batch_norm: bool,
    #[serde(default)]
    pub auxiliary: bool,
    #[serde(default)]
    pub drop_path: bool,
}

fn yes() -> bool {
    true
}

/// What differs in the one-shot graph.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct OneShotSection {
    pub style: Option<Style>,
    pub stages: Option<Vec<u32>>,
    pub dropout: Option<f64>,
    pub channels: Option<u32>,
    pub layers: Option<u32>,
    pub cells_per_stage: Option<u32>,
    pub affine: Option<bool>,
    pub pool_batch_norm: Option<bool>,
    pub auxiliary: Option<bool>,
    pub drop_path: Option<bool>,
}

/// Conventions of counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CountSection {
    /// Whether a linear layer's bias counts as operations.
    #[serde(default)]
    pub linear_bias: bool,
    /// Whether structure behind zeros counts.
    #[serde(default)]
    pub unused: bool,
}

impl StackSection {
    /// With the one-shot graph's differences.
    pub fn one_shot(&self, differences: &OneShotSection) -> Self {
        Self {
            style: differences.style.unwrap_or(self.style),
            stages: differences.stages.clone().or_else(|| self.stages.clone()),
            dropout: differences.dropout.unwrap_or(self.dropout),
            channels: differences.channels.unwrap_or(self.channels),
            layers: differences.layers.or(self.layers),
            cells_per_stage: differences.cells_per_stage.or(self.cells_per_stage),
            affine: differences.affine.unwrap_or(self.affine),
            pool_batch_norm: differences.pool_batch_norm.unwrap_or(self.pool_batch_norm),
            auxiliary: differences.auxiliary.unwrap_or(self.auxiliary),
            drop_path: differences.drop_path.unwrap_or(self.drop_path),
        }
    }

    /// As operations want it.
    pub fn settings(&self) -> OperationSettings {
        let order = if self.style == Style::OneShot { Order::BnReluConv } else { Order::ReluConvBn };
        let bare_identity = matches!(self.style, Style::Enas | Style::EnasSearch);
        OperationSettings { affine: self.affine, pool_batch_norm: self.pool_batch_norm, order, bare_identity }
    }

    fn check(&self, at: &'static str) -> Result<(), (&'static str, String)> {
        let takes = match self.style {
            Style::Darts | Style::Enas | Style::EnasSearch => "layers",
            Style::NasBench201 => "cells-per-stage",
            Style::OneShot => "stages",
        };
        let stages = self.stages.as_ref().map(|stages| stages.iter().copied().fold(0, u32::saturating_add));
        for (key, given) in [("layers", self.layers), ("cells-per-stage", self.cells_per_stage), ("stages", stages)] {
            match given {
                Some(_) if key != takes => {
                    return Err((at, format!("this style has no `{key}`, remove it; it takes `{takes}`")));
                }
                None if key == takes => return Err((at, format!("this style needs `{takes}`"))),
                Some(0) => return Err((at, format!("`{takes}` is 0, it is at least 1"))),
                Some(count) if count > 1_000 => {
                    return Err((at, format!("`{takes}` is {count}, at most 1000 are built")));
                }
                _ => {}
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err((at, format!("`dropout` is {}, it is from 0 to below 1", self.dropout)));
        }
        if self.channels == 0 || self.channels > 65_536 {
            return Err((at, format!("`channels` is {}, it is 1 to 65536", self.channels)));
        }
        if self.auxiliary && !matches!(self.style, Style::Darts | Style::Enas) {
            return Err((at, "this style has no auxiliary head; remove `auxiliary`".into()));
        }
        Ok(())
    }
}

impl CellFile {
    /// What the types do not say: the key at fault, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let cell = &self.cell;
        if cell.nodes == 0 || cell.nodes > 64 {
            return Err(("cell.nodes", format!("{} nodes; it is 1 to 64", cell.nodes)));
        }
        if cell.operations.is_empty() {
            return Err(("cell.operations", "is empty; name at least one operation".into()));
        }
        for (idx, name) in cell.operations.iter().enumerate() {
            if !operation_names().any(|known| known == name) {
                let known = operation_names().collect::<Vec<_>>().join(", ");
                return Err(("cell.operations", format!("unknown operation `{name}`; known are {known}")));
            }
            if cell.operations.iter().skip(idx + 1).any(|other| other == name) {
                return Err(("cell.operations", format!("`{name}` is there twice; remove one")));
            }
        }
        match (cell.encoding, cell.edges_per_node, cell.pairs) {
            (Encoding::Edges | Encoding::ChoiceBlocks, _, Some(_)) => {
                return Err(("cell.pairs", "belongs to chosen inputs; remove it or set `encoding`".into()));
            }
            (Encoding::ChosenInputs | Encoding::ChoiceBlocks, Some(_), _) => {
                return Err(("cell.edges-per-node", "belongs to edges; remove it or set `encoding`".into()));
            }
            (Encoding::ChosenInputs, None, None | Some(0)) => {
                return Err(("cell.pairs", "chosen inputs need `pairs`, at least 1".into()));
            }
            (Encoding::Edges, Some(count), None) => {
                let inputs = self.n_inputs();
                if count == 0 || count > inputs {
                    let problem = format!("is {count}, but the first node has {inputs} edges; it is 1 to {inputs}");
                    return Err(("cell.edges-per-node", problem));
                }
                if !cell.operations.iter().any(|name| name == "none") {
                    return Err(("cell.operations", "`edges-per-node` needs the operation `none`; add it".into()));
                }
            }
            _ => {}
        }
        if let Some(combinations) = &cell.combinations {
            if cell.encoding != Encoding::ChosenInputs {
                return Err(("cell.combinations", "belongs to chosen inputs; remove it or set `encoding`".into()));
            }
            let repeated = combinations
                .iter()
                .enumerate()
                .any(|(idx, one)| combinations.iter().skip(idx + 1).any(|other| other == one));
            if combinations.is_empty() || repeated {
                return Err(("cell.combinations", "names `add` and `concat` at most once, and one of them".into()));
            }
        }
        self.check_choice_blocks()?;
        if self.cell.output == Output::LooseEnds && cell.encoding != Encoding::ChosenInputs {
            return Err(("cell.output", "loose ends need chosen inputs; take `all` or `last`".into()));
        }
        if matches!(self.stack.style, Style::NasBench201) && cell.output != Output::Last {
            return Err(("cell.output", "this style's cells keep their channels; take `last`".into()));
        }
        if self.task.classes == 0 || self.task.input.contains(&0) {
            return Err(("task", "`classes` and `input` are at least 1".into()));
        }
        self.stack.check("stack")?;
        let shared = self.stack.one_shot(&self.one_shot);
        let is_enas = |style| matches!(style, Style::Enas | Style::EnasSearch);
        if shared.style != self.stack.style && !(is_enas(shared.style) && is_enas(self.stack.style)) {
            return Err(("one-shot", "`style` has other cells than the stack's; only `enas` has a second one".into()));
        }
        shared.check("one-shot")
    }

    /// What the encoding `choice-blocks` has of its own.
    fn check_choice_blocks(&self) -> Result<(), (&'static str, String)> {
        let cell = &self.cell;
        let limits = [
            ("cell.inputs-per-node", cell.inputs_per_node, self.n_inputs()),
            ("cell.operations-per-node", cell.operations_per_node, cell.operations.len() as u32),
        ];
        for (key, given, most) in limits {
            match (cell.encoding, given) {
                (Encoding::ChoiceBlocks, None) => {
                    return Err((key, "choice blocks need it: `[fewest, most]`".into()));
                }
                (Encoding::ChoiceBlocks, Some([low, high])) if low > high || low > most || high == 0 => {
                    let problem = format!("is [{low}, {high}]; it is fewest and most, of {most} in the first node");
                    return Err((key, problem));
                }
                (Encoding::Edges | Encoding::ChosenInputs, Some(_)) => {
                    return Err((key, "belongs to choice blocks; remove it or set `encoding`".into()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Inputs of a cell.
    pub fn n_inputs(&self) -> u32 {
        match self.stack.style {
            Style::Darts | Style::Enas | Style::EnasSearch | Style::OneShot => 2,
            Style::NasBench201 => 1,
        }
    }

    /// Names of the cells searched.
    pub fn kinds(&self) -> &'static [&'static str] {
        match self.stack.style {
            Style::Darts | Style::Enas | Style::EnasSearch => &["normal", "reduce"],
            Style::NasBench201 | Style::OneShot => &["normal"],
        }
    }
}
