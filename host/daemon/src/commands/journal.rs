//! `nasd journal`: reads beside a running search.

use std::{path::Path, process::ExitCode};

use nasd_protocol::Record;
use nasd_store::{JournalReader, RunId, StateFolder};

use super::print;
use crate::{cli::Journal, failure::Failed};

/// Run the command.
pub fn run(command: &Journal, state: &Path) -> Result<ExitCode, Failed> {
    let (Journal::Print { run } | Journal::Digest { run }) = command;
    let run: RunId = run.parse().map_err(Failed::configuration)?;
    let state = StateFolder::read_only(state).map_err(Failed::configuration)?;
    if !state.files().exists(&state.journal_path(&run)) {
        let runs = state.runs().map_err(Failed::configuration)?;
        let known = match runs.as_slice() {
            [] => "there are none".to_owned(),
            runs => format!("there are {}", runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        return Err(Failed::Configuration(format!("there is no run {run} in {}; {known}", state.root().display())));
    }
    let reader = JournalReader::open(state.files(), &state.journal_path(&run)).map_err(Failed::configuration)?;
    let records: Vec<Record> = reader.collect::<Result<_, _>>().map_err(Failed::other)?;
    match command {
        Journal::Print { .. } => {
            // A closed pipe is not an error.
            let _ = nasd_store::record::print(&records, &mut std::io::stdout().lock());
        }
        Journal::Digest { .. } => print(&nasd_store::digest(&records).map_err(Failed::other)?),
    }
    Ok(ExitCode::SUCCESS)
}
