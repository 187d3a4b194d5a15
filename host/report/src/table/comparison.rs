//! Ours beside published rows.

use serde::{Deserialize, Serialize};

use super::{MISSING, Table, short, significant};

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Measured here: the run's name.
    Ours(String),
    /// Read in a paper: author and year, or the table's file.
    Published(String),
}

/// What a search cost, in the unit its source counts in; amounts of different units are never compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchCost {
    /// How much.
    pub amount: f64,
    /// Of what, such as `GPU days` or `epochs`.
    pub unit: String,
}

/// Hours of devices that a search took, by what for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostParts {
    /// Training of shared weights.
    pub supernet: f64,
    /// Trainings and evaluations of single architectures.
    pub search: f64,
    /// Final trainings.
    pub retraining: f64,
}

/// One method's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// The method, such as `DARTS (second order) + cutout`.
    pub method: String,
    /// Where it comes from.
    pub source: Source,
    /// Mean test error in percent.
    pub error_percent: Option<f64>,
    /// Standard deviation of the error over repetitions, in percentage points.
    pub error_spread: Option<f64>,
    /// Repetitions the error is a mean of.
    pub repetitions: Option<u32>,
    /// Parameters.
    pub params: Option<f64>,
    /// Multiply-adds an example.
    pub flops: Option<f64>,
    /// Of the search, without the final training.
    pub search_cost: Option<SearchCost>,
    /// What it is made of, and the final training beside it.
    pub parts: Option<CostParts>,
    /// Operations chosen among.
    pub operations: Option<u32>,
    /// The strategy's kind, such as `evolution` or `gradient-based`.
    pub strategy: Option<String>,
}

/// Ours beside published results on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonTable {
    /// Above the table, such as `CIFAR-10`.
    pub title: String,
    /// In any order; shown by error.
    pub rows: Vec<ComparisonRow>,
    /// What a reader must know to compare, such as another training recipe.
    pub notes: Vec<String>,
}

impl ComparisonTable {
    /// Best first, rows without an error last; columns nobody fills are left out; ours stand out.
    pub fn table(&self) -> Table {
        let mut rows: Vec<&ComparisonRow> = self.rows.iter().collect();
        let error = |row: &ComparisonRow| row.error_percent.filter(|error| error.is_finite()).unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| error(a).total_cmp(&error(b)));
        let any = |filled: fn(&ComparisonRow) -> bool| rows.iter().any(|row| filled(row));
        let (params, flops) = (any(|row| row.params.is_some()), any(|row| row.flops.is_some()));
        let (cost, strategy) = (any(|row| row.search_cost.is_some()), any(|row| row.strategy.is_some()));
        let (parts, operations) = (any(|row| row.parts.is_some()), any(|row| row.operations.is_some()));
        let mut table = Table::new().text("method").text("source").number("test error (%)");
        let headers = [
            (params, "params"),
            (flops, "FLOPs"),
            (cost, "search cost"),
            (parts, "supernet + search, retraining (h)"),
            (operations, "operations"),
        ];
        for (shown, header) in headers {
            table = if shown { table.number(header) } else { table };
        }
        table = if strategy { table.text("strategy") } else { table };
        for row in rows {
            let (source, is_ours) = match &row.source {
                Source::Ours(run) => (format!("this run, {run}"), true),
                Source::Published(paper) => (paper.clone(), false),
            };
            let count = |value: Option<f64>| value.map_or(MISSING.to_owned(), short);
            let mut cells = vec![row.method.clone(), source, row.error()];
            cells.extend(params.then(|| count(row.params)));
            cells.extend(flops.then(|| count(row.flops)));
            let amount = |cost: &SearchCost| format!("{} {}", short(cost.amount), cost.unit);
            cells.extend(cost.then(|| row.search_cost.as_ref().map_or(MISSING.to_owned(), amount)));
            let hours = |parts: &CostParts| {
                format!("{} + {}, {}", short(parts.supernet), short(parts.search), short(parts.retraining))
            };
            cells.extend(parts.then(|| row.parts.as_ref().map_or(MISSING.to_owned(), hours)));
            let number = |number: u32| number.to_string();
            cells.extend(operations.then(|| row.operations.map_or(MISSING.to_owned(), number)));
            cells.extend(strategy.then(|| row.strategy.clone().unwrap_or(MISSING.to_owned())));
            if is_ours { table.strong_row(cells) } else { table.row(cells) }
        }
        table
    }

    /// Title, table and notes for Markdown, below a heading of this level.
    pub fn markdown(&self, level: usize) -> String {
        let mut out =
            format!("{} {}\n\n{}", "#".repeat(level.clamp(1, 6)), super::escaped(&self.title), self.table().markdown());
        for note in &self.notes {
            out.push_str(&format!("\n- {}", super::escaped(note)));
        }
        out.push_str(if self.notes.is_empty() { "" } else { "\n" });
        out
    }

    /// Title, table and notes for a terminal of so many columns.
    pub fn terminal(&self, width: usize) -> String {
        let notes: String = self.notes.iter().map(|note| format!("- {note}\n")).collect();
        format!("{}\n{}{notes}", self.title, self.table().terminal(width))
    }
}

impl ComparisonRow {
    /// `2.76 ± 0.09 (4 runs)`: as exact as its spread.
    fn error(&self) -> String {
        let Some(error) = self.error_percent.filter(|error| error.is_finite()) else { return MISSING.to_owned() };
        let mut text = format!("{error:.2}");
        if let Some(spread) = self.error_spread.filter(|spread| spread.is_finite()) {
            text.push_str(&format!(
                " ± {}",
                if spread >= 0.1 { format!("{spread:.2}") } else { significant(spread, 1) }
            ));
        }
        if let Some(repetitions) = self.repetitions.filter(|count| *count > 1) {
            text.push_str(&format!(" ({repetitions} runs)"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(method: &str, source: Source, error: Option<f64>) -> ComparisonRow {
        ComparisonRow {
            method: method.into(),
            source,
            error_percent: error,
            error_spread: None,
            repetitions: None,
            params: None,
            flops: None,
            search_cost: None,
            parts: None,
            operations: None,
            strategy: None,
        }
    }

    #[test]
    fn ours_stand_out_among_published_rows_in_order_of_their_error() {
        let published = |method, error| row(method, Source::Published("Liu et al. 2019".into()), error);
        let mut darts = published("DARTS (second order) + cutout", Some(2.76));
        darts.error_spread = Some(0.09);
        darts.params = Some(3.3e6);
        darts.search_cost = Some(SearchCost { amount: 4.0, unit: "GPU days".into() });
        let mut ours = row("evolution", Source::Ours("cifar10-evolution/1".into()), Some(6.1234));
        ours.search_cost = Some(SearchCost { amount: 12_480.0, unit: "epochs".into() });
        let rows = vec![ours, published("no error known", None), darts];
        let table = ComparisonTable { title: "CIFAR-10".into(), rows, notes: vec!["Another recipe.".into()] };
        assert_eq!(
            table.terminal(120),
            "CIFAR-10\n\
             \x20 method                         source                         test error (%)  params   search cost\n\
             \x20 DARTS (second order) + cutout  Liu et al. 2019                   2.76 ± 0.09    3.3M    4 GPU days\n\
             * evolution                      this run, cifar10-evolution/1            6.12       –  12.5k epochs\n\
             \x20 no error known                 Liu et al. 2019                             –       –             –\n\
             - Another recipe.\n"
        );
    }

    #[test]
    fn what_a_search_took_is_told_by_its_parts() {
        let mut ours = row("darts", Source::Ours("darts/1".into()), Some(7.5));
        ours.search_cost = Some(SearchCost { amount: 1.75, unit: "device hours".into() });
        ours.parts = Some(CostParts { supernet: 1.5, search: 0.25, retraining: 3.0 });
        ours.operations = Some(7);
        let table = ComparisonTable { title: "CIFAR-10".into(), rows: vec![ours], notes: Vec::new() };
        assert_eq!(
            table.table().markdown(),
            "| method | source | test error (%) | search cost | supernet + search, retraining (h) | operations |\n\
             | :-- | :-- | --: | --: | --: | --: |\n\
             | **darts** | **this run, darts/1** | **7.50** | **1.75 device hours** | **1.5 + 0.25, 3** | **7** |\n"
        );
    }
}
