//! Tables of known results: architectures that somebody has trained already.
//!
//! A table is a CSV with one architecture a row and a TOML file that says what its columns hold. It answers what
//! a training would have given, on which data set, after how many epochs, and how long it took, in microseconds.
//! Validation and test results are kept apart: whoever searches is given the first alone.
//!
//! NAS-Bench-201 travels with nasd ([`ResultTable::embedded`]). Every row is checked when a table is read, so a
//! look-up cannot fail but for an architecture or a length that the table does not have.

mod complete;
mod description;
mod error;
mod lines;
mod parts;
mod read;
mod table;

pub use description::{ChangedColumn, Column, DataSetColumns, Description, ResultColumns, Seconds};
pub use error::TableError;
pub use parts::{Parts, description_beside};
pub use table::{DataSet, ResultTable, Row};
