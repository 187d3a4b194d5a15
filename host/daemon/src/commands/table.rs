//! `nasd data` of tables of known results: a CSV and the TOML file that says what its columns hold.

use std::path::{Path, PathBuf};

use nasd_table::{Parts, ResultTable, description_beside};

use crate::{
    failure::Failed,
    subject::{TABLE_FILE, find_table, table_names},
};

/// An imported table's space file, beside its description.
const SPACE_FILE: &str = "space.toml";

/// Whether a source is a table's CSV.
pub fn is_table(path: &Path, format: Option<&str>) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    format == Some("table") || format.is_none() && (name.ends_with(".csv") || name.ends_with(".csv.xz"))
}

/// Import a table: checked whole before anything is in its place. `columns` is its description; default: a TOML file
/// of the same name beside the CSV, or the one of nasd's own table of this name. Its space file is imported with it.
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
    let file = csv.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if [TABLE_FILE, SPACE_FILE].contains(&file.as_str()) {
        return Err(Failed::Configuration(format!(
            "{}: a table's CSV cannot have this name; rename it",
            csv.display()
        )));
    }
    let described = description(name, csv, columns)?;
    let text = with_values(&described.text, &described.label, &[("name", name), ("file", file.as_str())])?;
    // Read from where the user has it, so that errors name the user's files.
    let mut parts =
        Parts::gather(text, &described.label, &described.folder, Some(csv)).map_err(Failed::configuration)?;
    if parts.space.is_some() {
        parts.description = with_values(&parts.description, &described.label, &[("space", SPACE_FILE)])?;
    }
    let table = parts.table().map_err(Failed::configuration)?;

    std::fs::create_dir_all(folder).map_err(|error| io(folder, &error))?;
    let new = folder.join(format!(".{name}.new"));
    let _ = std::fs::remove_dir_all(&new);
    let put =
        write(&parts, &file, &new).and_then(|()| put_in_place(&new, &target, &folder.join(format!(".{name}.old"))));
    if put.is_err() {
        let _ = std::fs::remove_dir_all(&new);
    }
    put.map(|()| table)
}

fn io(path: &Path, error: &std::io::Error) -> Failed {
    Failed::Configuration(format!("{}: {error}", path.display()))
}

/// Write a table's files into a new folder.
fn write(parts: &Parts, file: &str, folder: &Path) -> Result<(), Failed> {
    std::fs::create_dir(folder).map_err(|error| io(folder, &error))?;
    let space = parts.space.as_ref().map(|(text, _)| (SPACE_FILE, text.as_bytes()));
    let others = [(file, parts.csv.as_slice()), (TABLE_FILE, parts.description.as_bytes())];
    for (name, bytes) in others.into_iter().chain(space) {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|error| io(&path, &error))?;
    }
    Ok(())
}

/// Rename `new` to `target`. What is there goes to `old` first, back again if the renaming fails, and is deleted last.
fn put_in_place(new: &Path, target: &Path, old: &Path) -> Result<(), Failed> {
    let _ = std::fs::remove_dir_all(old);
    let is_replaced = target.exists();
    if is_replaced {
        std::fs::rename(target, old).map_err(|error| io(target, &error))?;
    }
    if let Err(error) = std::fs::rename(new, target) {
        if is_replaced {
            let _ = std::fs::rename(old, target);
        }
        return Err(io(target, &error));
    }
    let _ = std::fs::remove_dir_all(old);
    Ok(())
}

/// A description's text with other values at its top; its lines stay where they are unless a key was missing.
fn with_values(text: &str, label: &str, values: &[(&str, &str)]) -> Result<String, Failed> {
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failed::Configuration(format!("{label}:{line}: {}", error.message().replace('\n', " ")))
    })?;
    for (key, value) in values {
        // Not `insert` for a key that is there: it drops the comments before it.
        match document.get_mut(key) {
            Some(item) => *item = toml_edit::value(*value),
            None => {
                document.insert(key, toml_edit::value(*value));
            }
        }
    }
    Ok(document.to_string())
}

/// A description as the user gave it.
struct Described {
    text: String,
    /// Its name in errors.
    label: String,
    /// Where its space file is looked for.
    folder: PathBuf,
}

fn description(name: &str, csv: &Path, columns: Option<&Path>) -> Result<Described, Failed> {
    let beside = description_beside(csv);
    let path = match columns {
        Some(path) => path.to_owned(),
        None if beside.is_file() => beside,
        None => {
            let own = ResultTable::embedded_description(name);
            let text = own.ok_or_else(|| {
                Failed::Configuration(format!(
                    "{}: nothing says what its columns hold; write {} or name it by --columns (see configs/tables)",
                    csv.display(),
                    beside.display()
                ))
            })?;
            return Ok(Described { text: text.to_owned(), label: format!("{name}.toml"), folder: PathBuf::new() });
        }
    };
    let text = std::fs::read_to_string(&path).map_err(|error| io(&path, &error))?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(Described { text, label: path.display().to_string(), folder })
}

/// Whether a name is a table's: an imported one, or nasd's own unless something else was imported by this name.
pub fn is_known(name: &str, folder: &Path) -> bool {
    let target = folder.join(name);
    target.join(TABLE_FILE).is_file() || !target.exists() && ResultTable::embedded_description(name).is_some()
}

/// Read a table whole, which checks every row.
pub fn verify(name: &str, folder: &Path) -> Result<ResultTable, Failed> {
    find_table(name, Path::new("."), folder).map_err(Failed::configuration)
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
