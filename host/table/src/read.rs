//! Reads a CSV into a table, row by row, and refuses what is wrong with it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::Read,
    path::Path,
};

use nasd_network::SpaceDefinition;
use nasd_space::{Architecture, Domain, Gene};

use crate::{
    description::{Column, DataSetColumns, Description, ResultColumns},
    error::TableError,
    table::{Columns, DataSet, ResultTable, Results, Row, key},
};

/// Larger spaces are not searched for a row that is missing.
const MAX_ENUMERATED: f64 = 1e6;
/// Largest CSV read, unpacked.
const MAX_BYTES: u64 = 1 << 30;

/// A column of numbers being filled.
struct Filling<'a> {
    /// Position in a record.
    index: usize,
    column: &'a Column,
    values: Vec<f64>,
}

/// Read a table; `folder` is where a space file lies.
pub(crate) fn table(
    description: Description,
    text: &str,
    packed: &[u8],
    folder: &Path,
) -> Result<ResultTable, TableError> {
    let file = description.file.clone();
    let space = space(&description, folder)?;
    let csv = unpacked(&file, packed)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_ref());
    let header = reader.byte_headers().map_err(|error| csv_error(&file, &error))?.clone();
    let position = |name: &str| {
        let known = || {
            let names: Vec<_> = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            names.join(", ")
        };
        header.iter().position(|column| column == name.as_bytes()).ok_or_else(|| {
            let line = text.lines().position(|line| line.contains(&format!("\"{name}\""))).unwrap_or(0);
            let problem = format!("{file} has no column `{name}`; its columns are {}", known());
            TableError::at(&format!("{}.toml", description.name), line as u64 + 1, problem)
        })
    };
    let architecture_column = position(&description.architecture)?;
    let mut fillings: Vec<Filling<'_>> = Vec::new();
    for column in columns(&description) {
        fillings.push(Filling { index: position(column.name())?, column, values: Vec::new() });
    }
    let seconds: Vec<Column> =
        description.data_set.iter().map(|data_set| Column::Plain(data_set.seconds.column.clone())).collect();
    for column in &seconds {
        fillings.push(Filling { index: position(column.name())?, column, values: Vec::new() });
    }

    let mut rows: HashMap<_, Row> = HashMap::new();
    let mut lines: Vec<u64> = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(&file, &error))? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |index: usize| String::from_utf8_lossy(record.get(index).unwrap_or_default());
        let written = cell(architecture_column);
        let architecture = space.parse_architecture(&written).map_err(|error| {
            TableError::at(&file, line, format!("{error}; it is no architecture of the space {}", description.space))
        })?;
        let row = Row::try_from(lines.len()).unwrap_or(Row::MAX);
        if let Some(earlier) = rows.insert(key(&architecture), row) {
            let earlier = lines.get(earlier as usize).copied().unwrap_or_default();
            let problem = format!("`{written}` has a row already, at line {earlier}; remove one of the two");
            return Err(TableError::at(&file, line, problem));
        }
        lines.push(line);
        for filling in &mut fillings {
            let text = cell(filling.index);
            let value = filling.column.number(&text).ok_or_else(|| {
                let problem = format!(
                    "column `{}` holds `{text}`, which is no finite number; correct it or remove the row",
                    filling.column.name()
                );
                TableError::at(&file, line, problem)
            })?;
            filling.values.push(value);
        }
    }
    if description.complete
        && let Some(missing) = missing(&space, &rows)
    {
        let line = text.lines().position(|line| line.trim_start().starts_with("complete")).unwrap_or(0) as u64 + 1;
        let problem = format!(
            "{file} has {} rows and none for `{}`; add it, or set `complete = false`",
            rows.len(),
            space.notation(&missing)
        );
        return Err(TableError::at(&format!("{}.toml", description.name), line, problem));
    }
    let mut values = fillings.into_iter().map(|filling| filling.values);
    let mut data_sets: Vec<DataSet> =
        description.data_set.iter().map(|columns| data_set(columns, &mut values)).collect();
    for (data_set, seconds) in data_sets.iter_mut().zip(values) {
        data_set.seconds = seconds;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes()).update(packed);
    Ok(ResultTable { digest: hasher.finalize().to_hex().to_string(), description, space, rows, data_sets })
}

/// All columns of numbers but the seconds, in the order that [`data_set`] takes them.
fn columns(description: &Description) -> impl Iterator<Item = &Column> {
    description.data_set.iter().flat_map(|data_set| {
        let results = data_set.result.iter().flat_map(|result| result.validation.values().chain(result.test.values()));
        data_set.costs.values().chain(results)
    })
}

fn data_set(columns: &DataSetColumns, values: &mut impl Iterator<Item = Vec<f64>>) -> DataSet {
    let mut take = |named: &BTreeMap<String, Column>| -> Columns {
        named.keys().map(|name| (name.clone(), values.next().unwrap_or_default())).collect()
    };
    let costs = take(&columns.costs);
    let result = |result: &ResultColumns| Results {
        epochs: result.epochs,
        validation: take(&result.validation),
        test: take(&result.test),
    };
    DataSet {
        name: columns.name.clone(),
        costs,
        seconds: Vec::new(),
        seconds_epochs: columns.seconds.epochs,
        results: columns.result.iter().map(result).collect(),
    }
}

fn space(description: &Description, folder: &Path) -> Result<SpaceDefinition, TableError> {
    let wrong = |error: &dyn std::fmt::Display| TableError::Unreadable {
        file: format!("{}.toml", description.name),
        reason: error.to_string(),
    };
    if !description.space.ends_with(".toml") {
        return SpaceDefinition::preset(&description.space).map_err(|error| wrong(&error));
    }
    let path = folder.join(&description.space);
    let label = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| TableError::Unreadable { file: label.clone(), reason: error.to_string() })?;
    SpaceDefinition::parse(&text, &label).map_err(|error| wrong(&error))
}

fn unpacked<'a>(file: &str, packed: &'a [u8]) -> Result<Cow<'a, [u8]>, TableError> {
    if !packed.starts_with(b"\xfd7zXZ\0") {
        return Ok(Cow::Borrowed(packed));
    }
    let mut bytes = Vec::new();
    let mut reader = lzma_rust2::XzReader::new(packed, true).take(MAX_BYTES);
    reader.read_to_end(&mut bytes).map_err(|error| TableError::Unreadable {
        file: file.to_owned(),
        reason: format!("{error}; the packed file is damaged: fetch it again"),
    })?;
    Ok(Cow::Owned(bytes))
}

fn csv_error(file: &str, error: &csv::Error) -> TableError {
    let line = error.position().map_or(1, csv::Position::line);
    TableError::at(file, line, error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// An architecture of the space without a row, if there is one and the space is small enough to say.
fn missing(space: &SpaceDefinition, rows: &HashMap<Box<[u64]>, Row>) -> Option<Architecture> {
    let size = 10f64.powf(space.space().log10_size());
    if size > MAX_ENUMERATED || (rows.len() as f64 - size).abs() < 0.5 {
        return None;
    }
    let prepared = space.space().prepare().ok()?;
    let decisions = &space.space().decisions;
    // Depth first, options in order.
    let mut open: Vec<Architecture> = vec![Vec::new()];
    while let Some(prefix) = open.pop() {
        if prefix.len() == decisions.len() {
            if !rows.contains_key(&key(&prefix)) {
                return Some(prefix);
            }
            continue;
        }
        let decision = decisions.get(prefix.len())?;
        let genes: Vec<Gene> = match &decision.domain {
            _ if !space.space().is_active(prefix.len(), &prefix) => vec![Gene::Inactive],
            Domain::Integer(range) => (range.low..=range.high).map(Gene::Integer).collect(),
            Domain::Real(_) => return None,
            Domain::Choice(_) | Domain::Levels(_) => {
                prepared.open_options(&prefix).ok()?.into_iter().map(Gene::Choice).collect()
            }
        };
        for gene in genes.into_iter().rev() {
            open.push(prefix.iter().cloned().chain([gene]).collect());
        }
    }
    None
}
