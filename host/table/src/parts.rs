//! The files of a table, in memory, with the names that errors give them.
//!
//! Whoever imports a table reads it from where the user has it and writes it elsewhere; errors name the user's files.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    description::Description,
    error::TableError,
    lines::line_where,
    read::{self, MAX_BYTES},
    table::ResultTable,
};

/// What a table is read from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The description's text.
    pub description: String,
    /// Its name in errors.
    pub description_label: String,
    /// The CSV, plain or `.xz`.
    pub csv: Vec<u8>,
    /// Its name in errors.
    pub csv_label: String,
    /// The space file's text and its name in errors; none for a preset.
    pub space: Option<(String, String)>,
}

impl Parts {
    /// Read what a description's text names. A space file is relative to `folder`, and so is the CSV unless `csv` says
    /// where it is.
    pub fn gather(description: String, label: &str, folder: &Path, csv: Option<&Path>) -> Result<Self, TableError> {
        let described = Description::parse(&description, label)?;
        let csv_path = csv.map_or_else(|| folder.join(&described.file), Path::to_path_buf);
        let space = match described.space.ends_with(".toml") {
            false => None,
            true => {
                let path = folder.join(&described.space);
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    let line = line_where(&description, |line| line.starts_with("space"));
                    let remedy = "put the space file there, or name one of nasd's spaces";
                    TableError::at(label, line, format!("{}: {error}; {remedy}", path.display()))
                })?;
                Some((text, path.display().to_string()))
            }
        };
        let csv_label = csv_path.display().to_string();
        let csv = bounded(&csv_path).map_err(|error| unreadable(&csv_path, &error))?;
        Ok(Self { description, description_label: label.to_owned(), csv, csv_label, space })
    }

    /// The parts of the table that a TOML file describes; its CSV lies beside it.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::gather(text, &path.display().to_string(), folder, None)
    }

    /// The table, every row checked.
    pub fn table(&self) -> Result<ResultTable, TableError> {
        read::table(self)
    }
}

/// Where the description of a CSV lies: `Y.toml` beside `Y.csv`, `Y.csv.xz`, `Y.CSV`.
pub fn description_beside(csv: &Path) -> PathBuf {
    let has = |path: &Path, suffix: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(suffix));
    let packed = if has(csv, "xz") { csv.with_extension("") } else { csv.to_owned() };
    let stem = if has(&packed, "csv") { packed.with_extension("") } else { packed };
    let mut name = stem.into_os_string();
    name.push(".toml");
    name.into()
}

/// A file, and of one too large no more than shows it.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(file: &Path, error: &std::io::Error) -> TableError {
    TableError::Unreadable {
        file: file.display().to_string(),
        reason: format!("{error}; a table is a TOML file with its CSV beside it"),
    }
}
