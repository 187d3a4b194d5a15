//! The sections of a block space's file.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::units::{Kind, KindUnit};
use crate::file::{Document, SpaceFileError};
use crate::operations::{OperationSettings, Order};

/// `configs/spaces/*.toml` with `family = "block"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct BlockFile {
    pub name: String,
    #[serde(rename = "family")]
    pub _family: String,
    pub task: TaskSection,
    #[serde(default)]
    pub stack: StackSection,
    #[serde(default)]
    pub one_shot: OneShotSection,
    #[serde(rename = "unit")]
    pub units: Vec<KindUnit>,
    #[serde(rename = "stage")]
    pub stages: Vec<StageSection>,
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

/// What all stages share.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct StackSection {
    /// Multiplies the channels of all stages.
    pub width: f64,
    /// Channels that `width` changed are rounded to a multiple of it.
    pub divisor: u32,
    /// Whether batch normalisations learn a scale and a shift.
    pub affine: bool,
    /// Before the classifier.
    pub dropout: f64,
    /// Whether the classifier has a bias.
    pub classifier_bias: bool,
    /// How blocks with skips join what they read.
    pub skips: Join,
}

/// How a block joins the earlier values it chose with its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Join {
    /// They are added up and normalised.
    #[default]
    Sum,
    /// Each goes through ReLU and a 1x1 convolution of its own; they are added up and normalised. That is a 1x1
    /// convolution of their concatenation.
    Project,
}

impl Default for StackSection {
    fn default() -> Self {
        Self { width: 1.0, divisor: 8, affine: true, dropout: 0.0, classifier_bias: true, skips: Join::Sum }
    }
}

/// What differs in the one-shot graph.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct OneShotSection {
    pub width: Option<f64>,
    pub divisor: Option<u32>,
    pub affine: Option<bool>,
    pub dropout: Option<f64>,
    pub classifier_bias: Option<bool>,
    pub skips: Option<Join>,
}

/// Blocks of one width, one after the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StageSection {
    /// Ids of its nodes and names of its decisions begin with it.
    pub name: String,
    /// Units to choose from in each block, by name; a block with one is fixed.
    pub units: Vec<String>,
    #[serde(default = "one")]
    pub blocks: u32,
    /// Channels its blocks give.
    pub channels: u32,
    /// Channels in the one-shot graph, where they differ.
    pub one_shot_channels: Option<u32>,
    /// Of its first block; the others keep the map's size. With `skips` all values so far are halved before it.
    #[serde(default = "one")]
    pub stride: u32,
    /// Factors of the channels inside its units, of which each block chooses one; ascending. Units of shuffled
    /// channels have such an inside.
    pub widths: Option<Vec<f64>>,
    /// Whether each block decides which values it also reads, of those before the one it acts on: what the first
    /// such stage reads, and the blocks of such stages.
    #[serde(default)]
    pub skips: bool,
}

fn one() -> u32 {
    1
}

/// Conventions of counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CountSection {
    /// Whether a linear layer's bias counts as operations.
    #[serde(default)]
    pub linear_bias: bool,
}

impl StackSection {
    /// With the one-shot graph's differences.
    pub fn one_shot(&self, differences: &OneShotSection) -> Self {
        Self {
            width: differences.width.unwrap_or(self.width),
            divisor: differences.divisor.unwrap_or(self.divisor),
            affine: differences.affine.unwrap_or(self.affine),
            dropout: differences.dropout.unwrap_or(self.dropout),
            skips: differences.skips.unwrap_or(self.skips),
            classifier_bias: differences.classifier_bias.unwrap_or(self.classifier_bias),
        }
    }

    /// As operations want it.
    pub fn settings(&self) -> OperationSettings {
        OperationSettings {
            affine: self.affine,
            pool_batch_norm: false,
            order: Order::ReluConvBn,
            bare_identity: false,
        }
    }

    /// Channels at this width: the nearest multiple of the divisor, one at least; as they are at width 1.
    pub fn channels(&self, channels: u32) -> u32 {
        if self.width == 1.0 {
            return channels;
        }
        let divisor = f64::from(self.divisor);
        ((f64::from(channels) * self.width / divisor).round().max(1.0) * divisor) as u32
    }

    fn check(&self, at: &'static str) -> Result<(), Fault> {
        let wrong = |problem: String| Err(Fault { key: at, element: None, problem });
        if !(self.width > 0.0 && self.width <= 64.0) {
            return wrong(format!("`width` is {}, it is above 0 and at most 64", self.width));
        }
        if self.divisor == 0 {
            return wrong("`divisor` is 0, it is at least 1".into());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong(format!("`dropout` is {}, it is from 0 to below 1", self.dropout));
        }
        Ok(())
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// A section or a list.
    pub key: &'static str,
    /// The list's element by name.
    pub element: Option<String>,
    /// What, and the remedy.
    pub problem: String,
}

impl Fault {
    /// As an error of the file.
    pub fn of(&self, document: &Document) -> SpaceFileError {
        match &self.element {
            Some(name) => document.error_in(self.key, name, &self.problem),
            None => document.error(self.key, &self.problem),
        }
    }
}

/// Blocks of a stage, and stages and units of a file; more are mistakes.
const MOST: usize = 1_000;

impl BlockFile {
    /// What the types do not say: the key at fault, and what is wrong with it.
    pub fn check(&self) -> Result<(), Fault> {
        let wrong = |key: &'static str, problem: String| Err(Fault { key, element: None, problem });
        let wrong_in = |key: &'static str, name: &str, problem: String| {
            Err(Fault { key, element: Some(name.to_owned()), problem })
        };
        if self.task.classes == 0 || self.task.input.contains(&0) {
            return wrong("task", "`classes` and `input` are at least 1".into());
        }
        self.stack.check("stack")?;
        self.stack.one_shot(&self.one_shot).check("one-shot")?;
        let mut names = BTreeSet::new();
        for unit in &self.units {
            if !names.insert(unit.name.as_str()) {
                return wrong_in("unit", &unit.name, "is there twice; remove one".into());
            }
            is_a_name("unit", &unit.name)?;
            if let Err(problem) = unit.kind.check().and_then(|()| unit.one_shot.as_ref().map_or(Ok(()), Kind::check)) {
                return wrong_in("unit", &unit.name, problem);
            }
        }
        if self.stages.is_empty() || self.stages.len() > MOST || self.units.len() > MOST {
            return wrong("stage", format!("a space has 1 to {MOST} stages and units"));
        }
        let mut stages = BTreeSet::new();
        for stage in &self.stages {
            if !stages.insert(stage.name.as_str()) || ["head", "input"].contains(&stage.name.as_str()) {
                let problem = "is there twice, or one of the names `head` and `input`, which are taken";
                return wrong_in("stage", &stage.name, format!("{problem}; rename it"));
            }
            is_a_name("stage", &stage.name)?;
            if let (Some(_), Some(unit)) = (&stage.widths, self.options(stage, 1).find(|unit| !unit.kind.has_width())) {
                return wrong_in(
                    "stage",
                    &stage.name,
                    format!("`{}` has no inside that `widths` could change", unit.name),
                );
            }
            stage.check(&names).or_else(|problem| wrong_in("stage", &stage.name, problem))?;
        }
        Ok(())
    }

    /// A unit by name.
    pub fn unit(&self, name: &str) -> Option<&KindUnit> {
        self.units.iter().find(|unit| unit.name == name)
    }

    /// The units that block `block` of a stage chooses from: all, less identities where it changes the map.
    pub fn options<'f>(&'f self, stage: &'f StageSection, block: u32) -> impl Iterator<Item = &'f KindUnit> {
        let units = stage.units.iter().filter_map(|name| self.unit(name));
        units.filter(move |unit| block > 0 || unit.kind != Kind::Skip)
    }
}

impl StageSection {
    fn check(&self, known: &BTreeSet<&str>) -> Result<(), String> {
        if self.units.is_empty() {
            return Err("`units` is empty; name at least one".into());
        }
        for (idx, name) in self.units.iter().enumerate() {
            if !known.contains(name.as_str()) {
                let known = known.iter().copied().collect::<Vec<_>>().join(", ");
                return Err(format!("unknown unit `{name}`; the file has {known}"));
            }
            if self.units.iter().skip(idx + 1).any(|other| other == name) {
                return Err(format!("unit `{name}` is there twice; remove one"));
            }
        }
        if self.blocks == 0 || self.blocks as usize > MOST {
            return Err(format!("`blocks` is {}, it is 1 to {MOST}", self.blocks));
        }
        if self.channels == 0 || self.channels > 65_536 {
            return Err(format!("`channels` is {}, it is 1 to 65536", self.channels));
        }
        if self.one_shot_channels.is_some_and(|channels| channels == 0 || channels > 65_536) {
            return Err("`one-shot-channels` is 1 to 65536".into());
        }
        let widths = self.widths.as_deref().unwrap_or(&[1.0]);
        let fits = |width: &f64| *width > 0.0 && *width <= 16.0;
        if widths.is_empty() || !widths.iter().all(fits) || !widths.is_sorted_by(|a, b| a < b) {
            return Err("`widths` are factors above 0 and up to 16, ascending".into());
        }
        if self.skips && self.stride > 2 {
            return Err(format!("`stride` is {}; with `skips` it is 1 or 2", self.stride));
        }
        if self.stride == 0 || self.stride > 16 {
            return Err(format!("`stride` is {}, it is 1 to 16", self.stride));
        }
        Ok(())
    }
}

/// Names become parts of ids.
fn is_a_name(key: &'static str, name: &str) -> Result<(), Fault> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ['_', '-'].contains(&letter);
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(());
    }
    let problem = "is no name; use letters, digits, `_` and `-`".to_owned();
    Err(Fault { key, element: Some(name.to_owned()), problem })
}
