//! What a table's columns hold: the TOML file beside its CSV.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::TableError,
    lines::{line_where, quotes},
};

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
                Some(mean * changed.scale).filter(|value| value.is_finite())
            }
        }
    }
}

impl DataSetColumns {
    /// All columns of numbers but the seconds: costs, then validation and test of each length.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        let results = self.result.iter().flat_map(|result| result.validation.values().chain(result.test.values()));
        self.costs.values().chain(results)
    }
}

/// The line of a key in the data set of this number, from 0.
fn data_set_line(text: &str, index: usize, key: &str) -> u64 {
    let starts = text.lines().zip(1u64..).filter(|(line, _)| line.trim().starts_with("[[data-set]]"));
    let start = starts.map(|(_, number)| number).nth(index).unwrap_or(1);
    let mut lines = text.lines().zip(1u64..).filter(|(line, number)| *number >= start && line.trim().starts_with(key));
    lines.next().map_or(start, |(_, number)| number)
}

impl Description {
    /// Read a description's text; `label` names it in errors.
    pub fn parse(text: &str, label: &str) -> Result<Self, TableError> {
        let description: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            TableError::at(label, before.matches('\n').count() as u64 + 1, message)
        })?;
        let wrong =
            |key: &str, problem: String| TableError::at(label, line_where(text, |line| line.starts_with(key)), problem);
        if description.data_set.is_empty() {
            return Err(wrong("data-set", "a table has at least one [[data-set]]".into()));
        }
        for (index, data_set) in description.data_set.iter().enumerate() {
            let name = &data_set.name;
            if description.data_set.iter().take(index).any(|earlier| earlier.name == *name) {
                let problem = format!("two [[data-set]] are named `{name}`; rename or remove one of the two");
                return Err(TableError::at(label, data_set_line(text, index, "name"), problem));
            }
            for column in data_set.columns() {
                if let Column::Changed(changed) = column
                    && !changed.scale.is_finite()
                {
                    let line = line_where(text, |line| line.contains("scale") && quotes(line, &changed.column));
                    let problem =
                        format!("scale = {} of `{}`; a factor is a finite number", changed.scale, changed.column);
                    return Err(TableError::at(label, line, problem));
                }
            }
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
