//! What a table's columns hold: the TOML file beside its CSV.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::TableError;

/// A table's description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Description {
    /// As searches name it.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub summary: String,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// What allows its use.
    #[serde(default)]
    pub licence: String,
    /// The space its architectures belong to: a preset, or a space file beside this one.
    pub space: String,
    /// The CSV beside this file, plain or `.xz`.
    pub file: String,
    /// The column of architectures, in the space's notation.
    pub architecture: String,
    /// Whether every architecture of the space has a row.
    #[serde(default)]
    pub complete: bool,
    /// Results on each data set.
    pub data_set: Vec<DataSetColumns>,
}

/// Columns of one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DataSetColumns {
    /// As searches name it.
    pub name: String,
    /// Costs of an architecture: `params`, `flops`, `latency` ...
    #[serde(default)]
    pub costs: BTreeMap<String, Column>,
    /// How long a training takes.
    pub seconds: Seconds,
    /// Results after so many epochs, ascending.
    pub result: Vec<ResultColumns>,
}

/// How long a training takes: a shorter one takes its share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Seconds {
    /// The column.
    pub column: String,
    /// Epochs of the training that it timed.
    pub epochs: u32,
}

/// Columns of trainings of one length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ResultColumns {
    /// Epochs.
    pub epochs: u32,
    /// What a strategy sees.
    pub validation: BTreeMap<String, Column>,
    /// What it never sees.
    #[serde(default)]
    pub test: BTreeMap<String, Column>,
}

/// A column, and how its text becomes a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// A number as it stands.
    Plain(String),
    /// With changes.
    Changed(ChangedColumn),
}

/// A column whose values are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChangedColumn {
    /// The column.
    pub column: String,
    /// Factor.
    #[serde(default = "one")]
    pub scale: f64,
    /// The text between several numbers, whose mean it is.
    #[serde(default)]
    pub separator: Option<String>,
}

fn one() -> f64 {
    1.0
}

impl Column {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Plain(name) => name,
            Self::Changed(changed) => &changed.column,
        }
    }

    /// The number a cell of it holds, which is finite.
    pub fn number(&self, text: &str) -> Option<f64> {
        let finite = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        match self {
            Self::Plain(_) => finite(text),
            Self::Changed(changed) => {
                let mean = match changed.separator.as_deref() {
                    None | Some("") => finite(text)?,
                    Some(separator) => {
                        let values = text.split(separator).map(finite).collect::<Option<Vec<f64>>>()?;
                        values.iter().sum::<f64>() / values.len() as f64
                    }
                };
                Some(mean * changed.scale)
            }
        }
    }
}

impl Description {
    /// Read a description's text; `label` names it in errors.
    pub fn parse(text: &str, label: &str) -> Result<Self, TableError> {
        let description: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            TableError::at(label, before.matches('\n').count() as u64 + 1, message)
        })?;
        let wrong = |key: &str, problem: String| {
            let is_there = |line: &&str| line.trim_start().starts_with(key);
            let line = text.lines().enumerate().find(|(_, line)| is_there(line)).map_or(0, |(line, _)| line);
            TableError::at(label, line as u64 + 1, problem)
        };
        if description.data_set.is_empty() {
            return Err(wrong("data-set", "a table has at least one [[data-set]]".into()));
        }
        for data_set in &description.data_set {
            let epochs: Vec<u32> = data_set.result.iter().map(|result| result.epochs).collect();
            if epochs.is_empty() || epochs.contains(&0) || !epochs.is_sorted_by(|a, b| a < b) {
                let problem = format!("results of `{}` are not at ascending epochs: {epochs:?}", data_set.name);
                return Err(wrong("[[data-set.result]]", problem));
            }
            if data_set.seconds.epochs == 0 {
                return Err(wrong("seconds", format!("`{}`: seconds of 0 epochs", data_set.name)));
            }
        }
        Ok(description)
    }
}
