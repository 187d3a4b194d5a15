//! Published rows of single searches: `configs/references/*.toml`, one file a data set.

use serde::{Deserialize, Serialize};

use super::{ComparisonRow, ComparisonTable, SearchCost, Source};

/// References that travel with nasd.
const EMBEDDED: &[&str] = &[include_str!("../../../../configs/references/cifar10.toml")];

/// Published results on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PublishedTable {
    /// What they are on.
    pub title: String,
    /// Names that the data set goes by.
    pub data: Vec<String>,
    /// What a reader must know to compare.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The rows.
    pub row: Vec<PublishedMethod>,
}

/// A method's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PublishedMethod {
    /// As its paper calls it.
    pub method: String,
    /// Author and year.
    pub source: String,
    /// Test error in percent: the mean, and the standard deviation where one is given.
    pub error: Vec<f64>,
    /// Parameters.
    #[serde(default)]
    pub params: Option<f64>,
    /// Of the search.
    #[serde(default)]
    pub search_cost: Option<SearchCost>,
    /// Operations it chose among.
    #[serde(default)]
    pub operations: Option<u32>,
    /// The strategy's kind.
    #[serde(default)]
    pub strategy: Option<String>,
}

impl PublishedTable {
    /// The reference on the data set of this name that travels with nasd. A file that cannot be read is none: that it
    /// can is a test.
    pub fn embedded(data: &str) -> Option<Self> {
        let tables = EMBEDDED.iter().filter_map(|text| toml::from_str::<Self>(text).ok());
        tables.into_iter().find(|table| table.data.iter().any(|name| name == data))
    }

    /// Ours among theirs.
    pub fn beside(self, ours: Vec<ComparisonRow>) -> ComparisonTable {
        let rows = self.row.into_iter().map(ComparisonRow::from).chain(ours).collect();
        ComparisonTable { title: self.title, rows, notes: self.notes }
    }
}

impl From<PublishedMethod> for ComparisonRow {
    fn from(row: PublishedMethod) -> Self {
        let mut error = row.error.into_iter();
        Self {
            method: row.method,
            source: Source::Published(row.source),
            error_percent: error.next(),
            error_spread: error.next(),
            repetitions: None,
            params: row.params,
            flops: None,
            search_cost: row.search_cost,
            parts: None,
            operations: row.operations,
            strategy: row.strategy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_that_travels_along_can_be_read() {
        for text in EMBEDDED {
            let table: PublishedTable = toml::from_str(text).unwrap();
            for row in &table.row {
                assert!((1..=2).contains(&row.error.len()) && row.error[0] > 0.0, "{}", row.method);
            }
        }
        let cifar = PublishedTable::embedded("cifar10").unwrap();
        let darts = cifar.row.iter().find(|row| row.method == "DARTS (second order) + cutout").unwrap();
        assert_eq!(
            (darts.error.as_slice(), darts.params, darts.operations),
            ([2.76, 0.09].as_slice(), Some(3.3e6), Some(7))
        );
        assert!(PublishedTable::embedded("digits").is_none());
    }
}
