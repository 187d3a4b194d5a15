//! `nasd data` of tables of known results: a CSV and the TOML file that says what its columns hold.

use std::path::{Path, PathBuf};

use nasd_table::ResultTable;

use crate::{
    failure::Failed,
    subject::{TABLE_FILE, find_table, table_names},
};

/// Whether a source is a table's CSV.
pub fn is_table(path: &Path, format: Option<&str>) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    format == Some("table") || format.is_none() && (name.ends_with(".csv") || name.ends_with(".csv.xz"))
}

/// Import a table: checked whole before anything is in its place. `columns` is its description; default: a TOML file
/// of the same name beside the CSV, or the one of nasd's own table of this name.
pub fn import(
    name: &str,
    csv: &Path,
    columns: Option<&Path>,
    replace: bool,
    folder: &Path,
) -> Result<ResultTable, Failed> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(Failed::Configuration(format!("\"{name}\" cannot name a table; use letters, digits, - _ and .")));
    }
    let target = folder.join(name);
    if target.exists() && !replace {
        let problem = "is there already; choose another name, or say that it may be replaced by --replace";
        return Err(Failed::Configuration(format!("{}: {problem}", target.display())));
    }
    let io = |path: &Path, error: std::io::Error| Failed::Configuration(format!("{}: {error}", path.display()));
    let (description, label) = description(name, csv, columns)?;
    let file = csv.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut document: toml_edit::DocumentMut = description
        .parse()
        .map_err(|error: toml_edit::TomlError| Failed::Configuration(format!("{label}: {}", error.message())))?;
    document.insert("name", toml_edit::value(name));
    document.insert("file", toml_edit::value(file.as_str()));
    let text = document.to_string();

    std::fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
    let new = folder.join(format!(".{name}.new"));
    let _ = std::fs::remove_dir_all(&new);
    let written = (|| {
        std::fs::create_dir(&new).map_err(|error| io(&new, error))?;
        std::fs::copy(csv, new.join(&file)).map_err(|error| io(csv, error))?;
        let path = new.join(TABLE_FILE);
        std::fs::write(&path, &text).map_err(|error| io(&path, error))?;
        // Errors name what the user gave, not where it is being put.
        let shown = |error: nasd_table::TableError| {
            let text = error.to_string().replace(&path.display().to_string(), &label);
            Failed::Configuration(text.replace(&new.join(&file).display().to_string(), &csv.display().to_string()))
        };
        let table = ResultTable::read(&path).map_err(shown)?;
        if target.exists() {
            std::fs::remove_dir_all(&target).map_err(|error| io(&target, error))?;
        }
        std::fs::rename(&new, &target).map_err(|error| io(&target, error))?;
        Ok(table)
    })();
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&new);
    }
    written
}

/// A description's text and its name in errors.
fn description(name: &str, csv: &Path, columns: Option<&Path>) -> Result<(String, String), Failed> {
    let text = csv.to_string_lossy();
    let stem = text.trim_end_matches(".xz").trim_end_matches(".csv");
    let beside = PathBuf::from(format!("{stem}.toml"));
    let path = match columns {
        Some(path) => path.to_owned(),
        None if beside.is_file() => beside,
        None => {
            let own = ResultTable::embedded_description(name).map(|text| (text.to_owned(), format!("{name}.toml")));
            return own.ok_or_else(|| {
                Failed::Configuration(format!(
                    "{}: nothing says what its columns hold; write {} or name it by --columns (see configs/tables)",
                    csv.display(),
                    beside.display()
                ))
            });
        }
    };
    let label = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| Failed::Configuration(format!("{label}: {error}")))?;
    Ok((text, label))
}

/// All tables.
pub fn list(folder: &Path) -> Vec<Result<ResultTable, Failed>> {
    let find = |name: &String| find_table(name, Path::new("."), folder).map_err(Failed::configuration);
    table_names(folder).iter().map(find).collect()
}

/// One line about a table.
pub fn line(table: &ResultTable) -> String {
    let sets = table.data_sets().iter().map(|set| {
        let epochs: Vec<_> = set.fidelities().iter().map(u32::to_string).collect();
        format!("{} ({} epochs)", set.name(), epochs.join(", "))
    });
    let sets: Vec<_> = sets.collect();
    let space = &table.space().space().name;
    format!("{}: table of {} architectures of {space}; {}", table.description().name, table.len(), sets.join(", "))
}
