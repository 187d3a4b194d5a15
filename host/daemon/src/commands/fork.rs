//! `nasd fork`: a new run that shares another's history up to an event, so that two ways to go on can be compared.
//!
//! The new run's journal is a copy of the other's beginning. What was under way at that event happens again, as after
//! a crash there.

use std::{path::Path, process::ExitCode};

use nasd_protocol::{Event, Record};
use nasd_store::{Journal, RealFiles, RunId, StateFolder};
use serde_json::json;

use super::{print, print_json};
use crate::{
    failure::Failed,
    run::{open_state, read_records},
};

/// Run the command.
pub fn run(run: &str, at: u64, state: &Path, is_json: bool) -> Result<ExitCode, Failed> {
    let run: RunId = run.parse().map_err(Failed::configuration)?;
    let state = open_state(RealFiles::shared(), state)?;
    let shared = history(&state, &run, at)?;
    let forked = state.create_run(run.name()).map_err(Failed::other)?;
    let mut journal = Journal::create(state.files().clone(), &state.journal_path(&forked)).map_err(Failed::other)?;
    for record in &shared {
        journal.append_record(record).map_err(Failed::other)?;
    }
    journal
        .append(Event::Forked { run: run.to_string(), at }, std::collections::BTreeMap::new())
        .map_err(Failed::other)?;
    journal.sync().map_err(Failed::other)?;
    if is_json {
        print_json(&json!({ "run": forked.to_string(), "of": run.to_string(), "at": at }))?;
    } else {
        print(&format!(
            "{forked} shares the history of {run} up to event {at}; `nasd run` of its search goes on with it"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A run's records up to one within its search.
pub fn history(state: &StateFolder, run: &RunId, at: u64) -> Result<Vec<Record>, Failed> {
    let mut records = read_records(state, run)?;
    let last = records.last().map_or(0, |record| record.sequence);
    records.retain(|record| record.sequence <= at);
    if records.last().is_none_or(|record| record.sequence != at) {
        return Err(Failed::Configuration(format!("{run} has no event {at}: its last is {last}")));
    }
    let is_done = |event: &Event| matches!(event, Event::Recommended { .. } | Event::Ended { .. });
    if let Some(done) = records.iter().find(|record| is_done(&record.event)) {
        let sequence = done.sequence;
        return Err(Failed::Configuration(format!(
            "at event {at} the search of {run} is over; fork it before event {sequence}"
        )));
    }
    Ok(records)
}
