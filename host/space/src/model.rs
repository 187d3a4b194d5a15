//! The words of the contract (`wit/strategy.wit`, interface `types`) as plain host types.
//!
//! They serialise with serde (field names are part of the journal's format) and carry no behaviour beyond
//! what their shape implies; checking and sampling live in their own modules.

use serde::{Deserialize, Serialize};

/// A range of whole numbers, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct IntegerRange {
    /// Smallest value.
    pub low: i64,
    /// Largest value.
    pub high: i64,
    /// Whether distances are judged on a logarithmic scale.
    #[serde(default)]
    pub log_scale: bool,
}

/// A range of real numbers, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RealRange {
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
    /// Whether distances are judged on a logarithmic scale.
    #[serde(default)]
    pub log_scale: bool,
}

/// What values a decision can take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Named options without an order; a gene holds the index.
    Choice(Vec<String>),
    /// Numbers in ascending order; a gene holds the index.
    Levels(Vec<f64>),
    /// Whole numbers.
    Integer(IntegerRange),
    /// Real numbers.
    Real(RealRange),
}

impl Domain {
    /// Number of options of a `choice` or `levels` domain; `None` for ranges.
    pub fn n_options(&self) -> Option<usize> {
        match self {
            Domain::Choice(options) => Some(options.len()),
            Domain::Levels(levels) => Some(levels.len()),
            Domain::Integer(_) | Domain::Real(_) => None,
        }
    }
}

/// What a decision decides. Generic strategies may ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Role {
    Operation,
    Input,
    Skip,
    Combination,
    Activation,
    Width,
    Depth,
    Kernel,
    Stride,
    Bits,
    Resolution,
    HyperParameter,
    Other,
}

/// Where in the template a decision sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// Cell, stage or motif, in template order; 0 where there is only one.
    pub cell: u32,
    /// Node, layer or block within it; a cell's inputs come first (DARTS: 0 and 1).
    pub node: u32,
}

/// Holds while decision `decision` is active and its gene is one of `options`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Condition {
    /// Index of a `choice` or `levels` decision.
    pub decision: u32,
    /// Indices of its options.
    pub options: Vec<u32>,
}

/// One thing to decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decision {
    /// Unique and stable, for example `normal/node2/input0`.
    pub name: String,
    /// What it decides.
    pub role: Role,
    /// Its values.
    pub domain: Domain,
    /// Where it sits.
    pub place: Place,
    /// For `input`: the node each option reads. For `skip` and an operation on an edge: the node the edge
    /// leaves. Otherwise empty.
    #[serde(default)]
    pub sources: Vec<u32>,
    /// Active while all of these hold; each names an earlier decision.
    #[serde(default)]
    pub active_when: Vec<Condition>,
}

/// The number of `decisions` whose gene is one of `options` lies within the two limits in every stand-alone
/// architecture (DARTS: two edges a node). Shared work is exempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CountRule {
    /// Indices of the decisions counted.
    pub decisions: Vec<u32>,
    /// Options that count.
    pub options: Vec<u32>,
    /// Lower limit, inclusive.
    pub at_least: u32,
    /// Upper limit, inclusive.
    pub at_most: u32,
}

/// A search space. Its digest is [`crate::SearchSpace::digest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SearchSpace {
    /// For people.
    pub name: String,
    /// In order; genes align with it.
    pub decisions: Vec<Decision>,
    /// Counting rules of stand-alone architectures.
    #[serde(default)]
    pub counts: Vec<CountRule>,
    /// No stand-alone architecture fulfils all conditions of one of these.
    #[serde(default)]
    pub forbidden: Vec<Vec<Condition>>,
}

/// An option with its weight in a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WeightedOption {
    /// Index of the option.
    pub index: u32,
    /// Its weight. Never NaN.
    pub weight: f32,
}

/// The value of one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gene {
    /// The decision is not active.
    Inactive,
    /// Index of an option of `choice` and `levels`.
    Choice(u32),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Real(f64),
    /// For shared work only: a sum of weight x option's output over the options listed (ascending, none
    /// twice). Unlisted options are not computed. An option listed with weight 0 is computed only where a
    /// gradient is asked.
    Mixture(Vec<WeightedOption>),
}

/// One gene per decision, in the space's order.
pub type Architecture = Vec<Gene>;
