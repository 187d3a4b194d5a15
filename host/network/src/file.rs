//! Space files: TOML with errors of one line that say where, what and what to do.

use serde::de::DeserializeOwned;

/// What is wrong with a space file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{label}:{line}: {problem}")]
pub struct SpaceFileError {
    /// The file or whatever the text came from.
    pub label: String,
    /// From 1; 0 where no line is at fault.
    pub line: usize,
    /// What, and the remedy, in one line.
    pub problem: String,
}

/// A document with its text, which can be changed key by key.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    label: String,
    text: String,
}

impl Document {
    pub fn new(text: &str, label: &str) -> Self {
        Self { label: label.to_owned(), text: text.to_owned() }
    }

    /// The document as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SpaceFileError> {
        toml::from_str(&self.text).map_err(|error| self.toml_error(&error))
    }

    /// The document as a table.
    pub fn table(&self) -> Result<toml::Table, SpaceFileError> {
        self.read()
    }

    fn toml_error(&self, error: &toml::de::Error) -> SpaceFileError {
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
        SpaceFileError { label: self.label.clone(), line, problem: format!("{message}{remedy}") }
    }

    /// An error about a key, `section.key` or `section`.
    pub fn error(&self, key: &str, problem: impl std::fmt::Display) -> SpaceFileError {
        let line = self.line_of(key).or_else(|| self.line_of(key.split('.').next()?)).unwrap_or(0);
        SpaceFileError { label: self.label.clone(), line, problem: format!("{key}: {problem}") }
    }

    /// Line of a key or a section's heading.
    fn line_of(&self, key: &str) -> Option<usize> {
        let mut section = String::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            let line = line.trim();
            if let Some(heading) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                section = heading.trim().to_owned();
                if section == key {
                    return Some(number);
                }
            } else if let Some((name, _)) = line.split_once('=') {
                let name = name.trim();
                let dotted = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
                if dotted == key {
                    return Some(number);
                }
            }
        }
        None
    }

    /// With one value changed or added: `stack.layers`, `8`. A value that is no TOML is taken as text.
    pub fn with(&self, path: &str, value: &str) -> Result<Self, SpaceFileError> {
        let wrong = |problem: String| SpaceFileError { label: format!("{path} = {value}"), line: 0, problem };
        let value = parsed(value);
        let mut table = self.table()?;
        let mut keys: Vec<&str> = path.split('.').map(str::trim).collect();
        let last = keys.pop().filter(|last| !last.is_empty());
        let last = last.ok_or_else(|| wrong("the path is empty; write section.key".into()))?;
        let mut inner = &mut table;
        for key in keys {
            let entry = inner.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            inner = entry.as_table_mut().ok_or_else(|| wrong(format!("`{key}` is not a section")))?;
        }
        inner.insert(last.to_owned(), value);
        let text = toml::to_string(&table).map_err(|error| wrong(error.to_string()))?;
        let label = match self.label.split_once(" with ") {
            Some(_) => format!("{}, {path}", self.label),
            None => format!("{} with {path}", self.label),
        };
        Ok(Self { label, text })
    }
}

fn parsed(value: &str) -> toml::Value {
    let read: Option<toml::Table> = toml::from_str(&format!("value = {value}")).ok();
    let found = read.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    found.unwrap_or_else(|| toml::Value::String(value.to_owned()))
}
