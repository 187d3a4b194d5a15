//! The commands, one module each.

mod columns;
pub mod compare;
pub mod data;
pub mod follow;
pub mod fork;
pub mod journal;
pub mod list;
pub mod new_strategy;
pub mod order;
pub mod replay;
pub mod report;
pub mod run;
pub mod serve;
pub mod show;
pub mod space;
pub mod strategy;
pub mod table;
pub mod watch;

use serde::Serialize;

use crate::failure::Failed;

/// A document on stdout. A closed pipe is not an error.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A JSON document on stdout.
fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    print(&serde_json::to_string(value).map_err(Failed::other)?);
    Ok(())
}

/// A runtime for a command's own asynchronous work.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failed::other)?;
    runtime.block_on(work)
}
