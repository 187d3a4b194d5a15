//! What is kept: the journal (truth), weights files named by digest, and the result store (an index that can be
//! made again), in one state folder with one writer.
//!
//! The crate knows the journal's events but not what a search does with them: to take a run up again from its
//! records is the engine's. Nothing is durable before the call that says so has returned.

#![deny(clippy::indexing_slicing)]

pub mod fault;
pub mod files;
pub mod journal;
pub mod quarantine;
pub mod record;
pub mod results;
pub mod rows;
mod scan;
pub mod state;
mod table;
pub mod weights;

pub use files::{FileSystem, Files, RealFiles, write_whole};
pub use journal::{Journal, JournalError, JournalReader, TornTail};
pub use quarantine::{Quarantine, Quarantined};
pub use record::{RunDigest, digest};
pub use results::{Opened, ResultStore, ResultsError};
pub use rows::{Applied, ChangeRow, CurveSummary, FinalRow, JobKind, JobProvenance, JobRow, JobState, RunRow};
pub use scan::{Fault, Span};
pub use state::{RunId, StateError, StateFolder};
pub use table::TableError;
pub use weights::{WeightsError, WeightsFolder};
