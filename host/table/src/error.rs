//! What can be wrong with a table: the file, the line, what to do.

/// Why a table cannot be used. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A file cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Something in a file is wrong.
    #[error("{file}:{line}: {problem}")]
    At {
        /// The file.
        file: String,
        /// From 1.
        line: u64,
        /// What, and the remedy.
        problem: String,
    },
    /// Its space file is wrong.
    #[error("{place}")]
    Space {
        /// File, line, what and the remedy.
        place: String,
    },
    /// No table of that name.
    #[error("there is no table `{name}`; there are: {known}; import one by `nasd data import {name} FILE.csv`")]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A table has no such data set.
    #[error("table `{table}` has no data set `{name}`; it has: {known}")]
    UnknownDataSet {
        /// The table.
        table: String,
        /// The name.
        name: String,
        /// Those it has.
        known: String,
    },
}

impl TableError {
    /// An error at a line.
    pub(crate) fn at(file: &str, line: u64, problem: impl Into<String>) -> Self {
        Self::At { file: file.to_owned(), line, problem: problem.into() }
    }
}
