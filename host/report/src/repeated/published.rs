//! Published results of repeated searches: `configs/references/*.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RepeatedSearches;
use crate::{
    statistics::{mean, standard_deviation},
    table::{MISSING, Table},
};

/// References that travel with nasd.
const EMBEDDED: &[(&str, &str)] =
    &[("nas-bench-201", include_str!("../../../../configs/references/nas-bench-201.toml"))];

/// A reference file is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct ReferenceError {
    /// The file.
    pub name: String,
    /// What is wrong.
    pub message: String,
}

/// Published rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Published {
    /// What they are of.
    pub title: String,
    /// Author and year.
    pub source: String,
    /// What was searched, and how far: results of another protocol are not shown beside these.
    pub protocol: Protocol,
    /// The rows.
    pub row: Vec<PublishedRow>,
}

/// How published searches were done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Protocol {
    /// The data set searched by.
    pub data_set: String,
    /// Epochs of its trainings.
    pub epochs: u32,
    /// The budget.
    pub simulated_seconds: f64,
}

/// One published row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedRow {
    /// As the paper calls it.
    pub method: String,
    /// Repetitions behind its means.
    #[serde(default)]
    pub runs: Option<u32>,
    /// By data set.
    #[serde(flatten)]
    pub data_sets: BTreeMap<String, PublishedResult>,
}

/// Mean and standard deviation, in percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedResult {
    /// Validation accuracy.
    pub validation: Vec<f64>,
    /// Test accuracy.
    pub test: Vec<f64>,
}

impl Published {
    /// The reference of this name that travels with nasd.
    pub fn embedded(name: &str) -> Result<Option<Self>, ReferenceError> {
        let Some((_, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) else { return Ok(None) };
        let parsed = toml::from_str(text);
        parsed.map(Some).map_err(|error| ReferenceError { name: name.to_owned(), message: error.message().to_owned() })
    }

    /// Ours and theirs, in order of the first data set's test accuracy.
    pub(super) fn table(&self, ours: &RepeatedSearches) -> Table {
        let mut names: Vec<&str> = Vec::new();
        for name in self.row.iter().flat_map(|row| row.data_sets.keys()) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let mut table = Table::new().text("method").text("source").number("runs");
        for name in &names {
            table = table.number(format!("{name} validation")).number(format!("{name} test"));
        }
        let shown = |values: &[f64]| match values {
            [mean, deviation, ..] => format!("{mean:.2} ± {deviation:.2}"),
            [mean] => format!("{mean:.2}"),
            [] => MISSING.to_owned(),
        };
        // The value sorted by, whether it is ours, the cells.
        let mut rows: Vec<(f64, bool, Vec<String>)> = Vec::new();
        for row in &self.row {
            let runs = row.runs.map_or_else(|| MISSING.to_owned(), |runs| runs.to_string());
            let mut cells = vec![row.method.clone(), self.source.clone(), runs];
            for name in &names {
                let result = row.data_sets.get(*name);
                cells.push(result.map_or_else(|| MISSING.to_owned(), |result| shown(&result.validation)));
                cells.push(result.map_or_else(|| MISSING.to_owned(), |result| shown(&result.test)));
            }
            let first = names.first().and_then(|name| row.data_sets.get(*name)?.test.first());
            rows.push((first.copied().unwrap_or(f64::NEG_INFINITY), false, cells));
        }
        for search in &ours.searches {
            let mut cells = vec![search.strategy.clone(), search.name.clone(), search.repetitions.len().to_string()];
            let mut first = f64::NEG_INFINITY;
            for (place, name) in names.iter().enumerate() {
                let measure = format!("{name}/{}", ours.objective.name);
                let value = |measures: &[(String, f64)]| super::find(measures, &measure).map(|value| value * 100.0);
                let validation = search.values(|one| value(&one.validation));
                let test = search.values(|one| value(&one.test));
                for values in [&validation, &test] {
                    let summary: Vec<f64> = mean(values).into_iter().chain(standard_deviation(values)).collect();
                    cells.push(shown(&summary));
                }
                if place == 0 {
                    first = mean(&test).unwrap_or(f64::NEG_INFINITY);
                }
            }
            rows.push((first, true, cells));
        }
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, is_ours, cells) in rows {
            if is_ours { table.strong_row(cells) } else { table.row(cells) }
        }
        table
    }
}
