//! Space files: TOML with errors of one line that say where, what and what to do.
//!
//! Settings (`stack.layers`, `8`) are edits of the text that keep its layout, so that an error names either the
//! setting at fault or a line of the file as its author wrote it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

/// Settings by another name: what a network reads and gives is a matter of its stack to whoever counts it.
const ALIASES: &[(&str, &str)] = &[("stack.input", "task.input"), ("stack.classes", "task.classes")];

/// What is wrong with a space file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{label}{at}: {problem}", at = if *line == 0 { String::new() } else { format!(":{line}") })]
pub struct SpaceFileError {
    /// The file or whatever the text came from; the setting where that is at fault.
    pub label: String,
    /// From 1; 0 where no line is at fault.
    pub line: usize,
    /// What, and the remedy, in one line.
    pub problem: String,
}

/// One value that was set.
#[derive(Clone, Debug)]
struct Setting {
    /// Full key, for example `task.classes`.
    key: String,
    /// As it was asked for: `stack.classes = 100`.
    shown: String,
}

/// A document with its text, which can be changed key by key.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    label: String,
    /// As written.
    original: String,
    /// With settings.
    text: String,
    settings: Vec<Setting>,
}

impl Document {
    pub fn new(text: &str, label: &str) -> Self {
        Self { label: label.to_owned(), original: text.to_owned(), text: text.to_owned(), settings: Vec::new() }
    }

    /// The document as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SpaceFileError> {
        let document = toml::Deserializer::parse(&self.text).map_err(|error| self.toml_error(&error, ""))?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            self.toml_error(error.inner(), if path == "." { "" } else { &path })
        })
    }

    /// The document as a table.
    pub fn table(&self) -> Result<toml::Table, SpaceFileError> {
        self.read()
    }

    fn toml_error(&self, error: &toml::de::Error, path: &str) -> SpaceFileError {
        let start = error.span().map(|span| span.start);
        let before = start.and_then(|start| self.text.get(..start));
        let line = before.map_or(0, |before| before.matches('\n').count() + 1);
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        let remedy = if message.contains("unknown field") {
            "; remove it or correct its name"
        } else if message.contains("missing field") {
            "; add it"
        } else {
            ""
        };
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        self.located(line, format!("{path}{message}{remedy}"))
    }

    /// An error about a key, `section.key` or `section`.
    pub fn error(&self, key: &str, problem: impl std::fmt::Display) -> SpaceFileError {
        let line = line_of(&self.text, key).or_else(|| line_of(&self.text, key.split('.').next()?)).unwrap_or(0);
        self.located(line, format!("{key}: {problem}"))
    }

    /// An error about the element of a list of tables (`[[parameter]]`) that is called `name`.
    pub fn error_in(&self, list: &str, name: &str, problem: impl std::fmt::Display) -> SpaceFileError {
        let is_its_name = |line: &str| {
            let value = line.split_once('=').filter(|(key, _)| key.trim() == "name").map(|(_, value)| value.trim());
            value.is_some_and(|value| value.trim_matches(['"', '\'']) == name)
        };
        let line = keys(&self.text).find_map(|(number, key)| {
            let within = key.strip_prefix(list).is_some_and(|rest| rest.starts_with('.'));
            self.text.lines().nth(number - 1).filter(|line| within && is_its_name(line)).map(|_| number)
        });
        self.located(line.unwrap_or(0), format!("{list} `{name}`: {problem}"))
    }

    /// An error at a line of the text with settings.
    fn located(&self, line: usize, problem: String) -> SpaceFileError {
        let key = keys(&self.text).take_while(|(number, _)| *number <= line).last().map(|(_, key)| key);
        let (label, line) = match key {
            _ if self.settings.is_empty() => (&self.label, line),
            Some(key) => {
                // A section that the file does not have was made by a setting in it.
                let line = line_of(&self.original, &key);
                let section = format!("{key}.");
                // An element of a list is known by its name: what is wrong with it may be any of its keys.
                let element = key.strip_suffix("name").filter(|section| section.split('.').count() == 3);
                let is_meant = |setting: &&Setting| {
                    setting.key == key
                        || line.is_none() && setting.key.starts_with(&section)
                        || element.is_some_and(|section| setting.key.starts_with(section))
                };
                match self.settings.iter().rev().find(is_meant) {
                    Some(setting) => (&setting.shown, 0),
                    None => (&self.label, line.unwrap_or(0)),
                }
            }
            None => (&self.label, 0),
        };
        SpaceFileError { label: label.clone(), line, problem }
    }

    /// With one value changed or added: `stack.layers`, `8`. An element of a list of tables goes by its `name` or
    /// its position from 0: `stage.stem.stride`, `1`. A value that is no TOML is taken as text, but `3x32x32` is a
    /// list of numbers.
    pub fn with(&self, path: &str, value: &str) -> Result<Self, SpaceFileError> {
        let shown = format!("{path} = {value}");
        let wrong = |problem: String| SpaceFileError { label: shown.clone(), line: 0, problem };
        let key = ALIASES.iter().find(|(alias, _)| *alias == path).map_or(path, |(_, key)| *key);
        let mut keys: Vec<&str> = key.split('.').map(str::trim).collect();
        let last = keys.pop().filter(|last| !last.is_empty() && !keys.contains(&""));
        let last = last.ok_or_else(|| wrong("the path is incomplete; write section.key".into()))?;
        let mut document: toml_edit::DocumentMut =
            self.text.parse().map_err(|error: toml_edit::TomlError| wrong(error.message().to_owned()))?;
        let mut inner: &mut dyn toml_edit::TableLike = document.as_table_mut();
        let mut full = Vec::with_capacity(keys.len() + 1);
        let mut keys = keys.into_iter();
        while let Some(section) = keys.next() {
            full.push(section.to_owned());
            let entry = inner.entry(section).or_insert_with(toml_edit::table);
            inner = match entry {
                toml_edit::Item::ArrayOfTables(list) => {
                    let element = keys.next().ok_or_else(|| wrong(format!("name an element of `{section}`")))?;
                    let position = position(list, element);
                    let position = position.ok_or_else(|| wrong(format!("`{section}` has no element `{element}`")))?;
                    full.push(position.to_string());
                    list.get_mut(position).ok_or_else(|| wrong(format!("`{section}` has no element `{element}`")))?
                }
                entry => {
                    let table = entry.as_table_like_mut();
                    table.ok_or_else(|| wrong(format!("`{section}` is not a section")))?
                }
            };
        }
        full.push(last.to_owned());
        inner.insert(last, toml_edit::Item::Value(parsed(value)));
        let mut settings = self.settings.clone();
        settings.push(Setting { key: full.join("."), shown });
        Ok(Self { text: document.to_string(), settings, ..self.clone() })
    }
}

/// Position of a list's element by name, or by its number from 0.
fn position(list: &toml_edit::ArrayOfTables, element: &str) -> Option<usize> {
    let named = list.iter().position(|table| table.get("name").and_then(toml_edit::Item::as_str) == Some(element));
    named.or_else(|| element.parse().ok().filter(|position| *position < list.len()))
}

/// Lines with a key or a section's heading: line number and full key. Elements of a list of tables have their
/// position in their keys: `stage.0.name`.
fn keys(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut section = String::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let line = line.trim();
        if let Some(heading) = line.strip_prefix('[').and_then(|rest| rest.trim_start_matches('[').split(']').next()) {
            section = heading.trim().to_owned();
            if line.starts_with("[[") {
                let count = counts.entry(section.clone()).or_default();
                section = format!("{section}.{count}");
                *count += 1;
            }
            return Some((number, section.clone()));
        }
        let name = line.split_once('=').filter(|_| !line.starts_with('#'))?.0.trim();
        Some((number, if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }))
    })
}

/// Line of a key, or of the first one in a section or list of this name.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let within = |known: &str| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let exact = keys(text).find(|(_, known)| known == key);
    exact.or_else(|| keys(text).find(|(_, known)| within(known))).map(|(number, _)| number)
}

fn parsed(value: &str) -> toml_edit::Value {
    let value = value.trim();
    if let Ok(value) = value.parse() {
        return value;
    }
    let extents: Result<toml_edit::Array, _> = value.split('x').map(str::parse::<i64>).collect();
    match extents {
        Ok(extents) => toml_edit::Value::Array(extents),
        Err(_) => toml_edit::Value::from(value),
    }
}
