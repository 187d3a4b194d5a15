//! Reads a CSV into a table, row by row, and refuses what is wrong with it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::Read,
};

use nasd_network::SpaceDefinition;

use crate::{
    complete::{missing, uncountable},
    description::{Column, DataSetColumns, Description, ResultColumns},
    error::TableError,
    lines::{Lines, line_where, quotes},
    parts::Parts,
    table::{Columns, DataSet, ResultTable, Results, Row, key},
};

/// Largest CSV read, unpacked.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// A column of numbers being filled.
struct Filling<'a> {
    /// Position in a record.
    index: usize,
    column: &'a Column,
    /// Whether the search's clock moves by it, which must be forwards.
    is_seconds: bool,
    values: Vec<f64>,
}

impl Filling<'_> {
    /// Take a cell's number, or say what is wrong with it.
    fn take(&mut self, text: &str) -> Result<(), String> {
        let name = self.column.name();
        let number = self.column.number(text);
        let value = number.ok_or_else(|| {
            format!("column `{name}` holds `{text}`, which is no finite number; correct it or remove the row")
        })?;
        if self.is_seconds && value <= 0.0 {
            let problem = "but a training takes more than 0 seconds; correct it or remove the row";
            return Err(format!("column `{name}` holds `{text}`, {problem}"));
        }
        self.values.push(value);
        Ok(())
    }
}

/// Where the columns that a description names are in its CSV.
struct Header<'a> {
    names: csv::ByteRecord,
    line: u64,
    parts: &'a Parts,
}

impl Header<'_> {
    fn position(&self, name: &str) -> Result<usize, TableError> {
        let file = &self.parts.csv_label;
        let mut found = self.names.iter().enumerate().filter(|(_, column)| *column == name.as_bytes());
        let Some((position, _)) = found.next() else {
            let is_it = |line: &str| quotes(line, name) && !line.starts_with("name") && !line.starts_with("file");
            let names: Vec<_> = self.names.iter().map(String::from_utf8_lossy).collect();
            let problem = format!(
                "{file} has no column `{name}`; its columns are {}; name one of these, or rename one there",
                names.join(", ")
            );
            let line = line_where(&self.parts.description, is_it);
            return Err(TableError::at(&self.parts.description_label, line, problem));
        };
        if found.next().is_some() {
            let problem = format!("two columns are named `{name}`; rename one of the two");
            return Err(TableError::at(file, self.line, problem));
        }
        Ok(position)
    }
}

/// Read a table.
pub(crate) fn table(parts: &Parts) -> Result<ResultTable, TableError> {
    let description = Description::parse(&parts.description, &parts.description_label)?;
    let file = parts.csv_label.as_str();
    let wrong = |key: &str, problem: String| {
        let line = line_where(&parts.description, |line| line.starts_with(key));
        TableError::at(&parts.description_label, line, problem)
    };
    let space = match &parts.space {
        Some((text, label)) => {
            SpaceDefinition::parse(text, label).map_err(|error| TableError::Space { place: error.to_string() })?
        }
        None => SpaceDefinition::preset(&description.space).map_err(|error| wrong("space", error.to_string()))?,
    };
    if description.complete
        && let Some(reason) = uncountable(&space)
    {
        return Err(wrong("complete", format!("this cannot be checked: {reason}; set `complete = false`")));
    }
    let csv = unpacked(file, &parts.csv, MAX_BYTES)?;
    let mut lines = Lines::new(&csv);
    // Records of another length than the header are refused below, in our own words.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(csv.as_ref());
    let names = reader.byte_headers().map_err(|error| csv_error(file, &error))?.clone();
    let header = Header { names, line: lines.at(0), parts };
    let architecture_column = header.position(&description.architecture)?;
    let seconds: Vec<Column> =
        description.data_set.iter().map(|data_set| Column::Plain(data_set.seconds.column.clone())).collect();
    let mut fillings: Vec<Filling<'_>> = Vec::new();
    let numbers = columns(&description).map(|column| (column, false));
    for (column, is_seconds) in numbers.chain(seconds.iter().map(|column| (column, true))) {
        let index = header.position(column.name())?;
        fillings.push(Filling { index, column, is_seconds, values: Vec::new() });
    }

    let mut rows: HashMap<_, Row> = HashMap::new();
    let mut row_lines: Vec<u64> = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(file, &error))? {
        let offset = record.position().map_or(0, csv::Position::byte);
        let line = lines.at(usize::try_from(offset).unwrap_or(usize::MAX));
        let refuse = |problem: String| Err(TableError::at(file, line, problem));
        if record.len() != header.names.len() {
            return refuse(format!(
                "the row has {} cells and the header {}; add or remove cells, or put a cell with a comma in quotes",
                record.len(),
                header.names.len()
            ));
        }
        let cell = |index: usize| String::from_utf8_lossy(record.get(index).unwrap_or_default());
        let written = cell(architecture_column);
        let architecture = match space.parse_architecture(&written) {
            Ok(architecture) => architecture,
            Err(error) => {
                let name = &space.space().name;
                let remedy = "correct it, remove the row, or name another `space`";
                return refuse(format!("{error}; it is no architecture of the space {name}: {remedy}"));
            }
        };
        let row = Row::try_from(row_lines.len()).unwrap_or(Row::MAX);
        if let Some(earlier) = rows.insert(key(&architecture), row) {
            let earlier = row_lines.get(earlier as usize).copied().unwrap_or_default();
            return refuse(format!("`{written}` has a row already, at line {earlier}; remove one of the two"));
        }
        row_lines.push(line);
        for filling in &mut fillings {
            if let Err(problem) = filling.take(&cell(filling.index)) {
                return refuse(problem);
            }
        }
    }
    if description.complete
        && let Some(missing) = missing(&space, &rows)
    {
        let notation = space.notation(&missing);
        let problem =
            format!("{file} has {} rows and none for `{notation}`; add it, or set `complete = false`", rows.len());
        return Err(wrong("complete", problem));
    }
    let mut values = fillings.into_iter().map(|filling| filling.values);
    let mut data_sets: Vec<DataSet> =
        description.data_set.iter().map(|columns| data_set(columns, &mut values)).collect();
    for (data_set, seconds) in data_sets.iter_mut().zip(values) {
        data_set.seconds = seconds;
    }
    Ok(ResultTable { digest: digest(parts), description, space, rows, data_sets })
}

/// BLAKE3 of description, CSV and, if there is a space file, of its digest.
fn digest(parts: &Parts) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(parts.description.as_bytes()).update(&parts.csv);
    if let Some((text, _)) = &parts.space {
        hasher.update(blake3::hash(text.as_bytes()).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// All columns of numbers but the seconds, in the order that [`data_set`] takes them.
fn columns(description: &Description) -> impl Iterator<Item = &Column> {
    description.data_set.iter().flat_map(DataSetColumns::columns)
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

fn unpacked<'a>(file: &str, packed: &'a [u8], limit: u64) -> Result<Cow<'a, [u8]>, TableError> {
    let unreadable = |reason: String| TableError::Unreadable { file: file.to_owned(), reason };
    let bytes = match packed.starts_with(b"\xfd7zXZ\0") {
        false => Cow::Borrowed(packed),
        true => {
            let mut bytes = Vec::new();
            // One byte more than is allowed tells a file that is too large from one that just fits.
            let mut reader = lzma_rust2::XzReader::new(packed, true).take(limit.saturating_add(1));
            reader
                .read_to_end(&mut bytes)
                .map_err(|error| unreadable(format!("{error}; the packed file is damaged: fetch it again")))?;
            Cow::Owned(bytes)
        }
    };
    if bytes.len() as u64 > limit {
        let problem = format!("a table's CSV has at most {limit} bytes, unpacked; remove columns that are not used");
        return Err(unreadable(problem));
    }
    Ok(bytes)
}

fn csv_error(file: &str, error: &csv::Error) -> TableError {
    let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    TableError::Unreadable { file: file.to_owned(), reason: format!("{reason}; a table is a CSV with a header") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::unpacked;

    /// `0123456789`, packed.
    const PACKED: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\
        \x09\x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x00\x00\x00\xc6\xc7\x84\xa6\x00\x01\x1e\x0a\xea\x63\x12\x14\
        \x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";

    #[test]
    fn a_csv_over_the_limit_is_refused_and_never_cut() {
        for bytes in [&b"0123456789"[..], PACKED] {
            assert_eq!(unpacked("a.csv", bytes, 10).unwrap().as_ref(), b"0123456789");
            let error = unpacked("a.csv", bytes, 9).unwrap_err().to_string();
            assert!(error.starts_with("a.csv: a table's CSV has at most 9 bytes, unpacked; remove"), "{error}");
        }
    }
}
