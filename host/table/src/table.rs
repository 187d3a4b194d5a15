//! A table in memory, and its look-ups.

use std::{collections::HashMap, path::Path};

use nasd_network::SpaceDefinition;
use nasd_protocol::Measure;
use nasd_space::{Architecture, Gene};

use crate::{description::Description, error::TableError, parts::Parts};

/// Tables that travel with nasd: description and CSV.
const EMBEDDED: &[(&str, &[u8])] = &[(
    include_str!("../../../configs/tables/nas-bench-201.toml"),
    include_bytes!("../../../configs/tables/nas-bench-201.csv.xz"),
)];

/// Number of a row, from 0.
pub type Row = u32;

/// Named columns, one value a row.
pub(crate) type Columns = Vec<(String, Vec<f64>)>;

/// Results of trainings of one length.
#[derive(Debug)]
pub(crate) struct Results {
    pub epochs: u32,
    pub validation: Columns,
    pub test: Columns,
}

/// Results on one data set.
#[derive(Debug)]
pub struct DataSet {
    pub(crate) name: String,
    pub(crate) costs: Columns,
    /// Of a training of `seconds_epochs` epochs.
    pub(crate) seconds: Vec<f64>,
    pub(crate) seconds_epochs: u32,
    pub(crate) results: Vec<Results>,
}

/// A table of known results.
#[derive(Debug)]
pub struct ResultTable {
    pub(crate) description: Description,
    pub(crate) digest: String,
    pub(crate) space: SpaceDefinition,
    pub(crate) rows: HashMap<Key, Row>,
    pub(crate) data_sets: Vec<DataSet>,
}

/// An architecture as a map's key.
pub(crate) type Key = Box<[u64]>;

/// Distinct for distinct architectures without mixtures.
pub(crate) fn key(architecture: &Architecture) -> Key {
    let word = |gene: &Gene| match gene {
        Gene::Inactive | Gene::Mixture(_) => u64::MAX,
        Gene::Choice(option) => u64::from(*option),
        Gene::Integer(value) => value.cast_unsigned(),
        Gene::Real(value) => value.to_bits(),
    };
    architecture.iter().map(word).collect()
}

impl ResultTable {
    /// Names of the tables that travel with nasd.
    pub fn embedded_names() -> Vec<String> {
        let names = EMBEDDED.iter().filter_map(|(text, _)| Description::parse(text, "embedded").ok());
        names.map(|description| description.name).collect()
    }

    /// The description of a table that travels with nasd.
    pub fn embedded_description(name: &str) -> Option<&'static str> {
        let named = |text: &str| Description::parse(text, name).is_ok_and(|description| description.name == name);
        EMBEDDED.iter().map(|(text, _)| *text).find(|text| named(text))
    }

    /// A table that travels with nasd.
    pub fn embedded(name: &str) -> Option<Result<Self, TableError>> {
        EMBEDDED.iter().find_map(|(text, csv)| {
            let description = match Description::parse(text, &format!("{name}.toml")) {
                Ok(description) => description,
                Err(error) => return Some(Err(error)),
            };
            let parts = || Parts {
                description: (*text).to_owned(),
                description_label: format!("{name}.toml"),
                csv: csv.to_vec(),
                csv_label: description.file.clone(),
                space: None,
            };
            (description.name == name).then(|| parts().table())
        })
    }

    /// The table that a TOML file describes; its CSV lies beside it.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        Parts::read(path)?.table()
    }

    /// What its columns hold.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// BLAKE3 of description, CSV and space file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The space of its architectures.
    pub fn space(&self) -> &SpaceDefinition {
        &self.space
    }

    /// Number of architectures.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of an architecture.
    pub fn row(&self, architecture: &Architecture) -> Option<Row> {
        self.rows.get(&key(architecture)).copied()
    }

    /// All data sets.
    pub fn data_sets(&self) -> &[DataSet] {
        &self.data_sets
    }

    /// A data set by name.
    pub fn data_set(&self, name: &str) -> Result<&DataSet, TableError> {
        self.data_sets.iter().find(|set| set.name == name).ok_or_else(|| TableError::UnknownDataSet {
            table: self.description.name.clone(),
            name: name.to_owned(),
            known: self.data_sets.iter().map(DataSet::name).collect::<Vec<_>>().join(", "),
        })
    }
}

fn values(columns: &Columns, row: Row) -> Vec<Measure> {
    let value = |values: &Vec<f64>| values.get(row as usize).copied();
    columns.iter().filter_map(|(name, values)| Some(Measure::new(name, value(values)?))).collect()
}

impl DataSet {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lengths of the trainings it knows, in epochs, ascending.
    pub fn fidelities(&self) -> Vec<u32> {
        self.results.iter().map(|results| results.epochs).collect()
    }

    /// Seconds of a training of so many epochs.
    pub fn seconds(&self, row: Row, epochs: u32) -> f64 {
        let whole = self.seconds.get(row as usize).copied().unwrap_or_default();
        whole * f64::from(epochs) / f64::from(self.seconds_epochs)
    }

    /// Costs of an architecture: `params`, `flops` ...
    pub fn costs(&self, row: Row) -> Vec<Measure> {
        values(&self.costs, row)
    }

    /// Validation results of a training of so many epochs.
    pub fn validation(&self, row: Row, epochs: u32) -> Option<Vec<Measure>> {
        let results = self.results.iter().find(|results| results.epochs == epochs)?;
        Some(values(&results.validation, row))
    }

    /// Test results of a training of so many epochs. Not for strategies.
    pub fn test(&self, row: Row, epochs: u32) -> Option<Vec<Measure>> {
        let results = self.results.iter().find(|results| results.epochs == epochs)?;
        Some(values(&results.test, row))
    }

    /// Test results of all rows for trainings of so many epochs. Not for strategies.
    pub fn test_values(&self, epochs: u32, metric: &str) -> impl Iterator<Item = f64> {
        let results = self.results.iter().find(|results| results.epochs == epochs);
        let column = results.and_then(|results| results.test.iter().find(|(name, _)| name == metric));
        column.into_iter().flat_map(|(_, values)| values.iter().copied())
    }

    /// The best value that any row has, by validation or test results of the longest trainings. For regret.
    pub fn optimum(&self, metric: &str, is_test: bool, maximize: bool) -> Option<f64> {
        let results = self.results.last()?;
        let columns = if is_test { &results.test } else { &results.validation };
        let (_, values) = columns.iter().find(|(name, _)| name == metric)?;
        let pick = if maximize { f64::max } else { f64::min };
        values.iter().copied().reduce(pick)
    }
}
