//! `nasd replay`: are a run's strategies what its journal says they were?

use std::{path::Path, process::ExitCode};

use nasd_store::RunId;

use super::{block_on, print, print_json};
use crate::{cli::Arguments, failure::Failed, run::replay, search::Places};

/// Run the command.
pub fn run(arguments: &Arguments, run: &str, beside: &Path, data: &Path) -> Result<ExitCode, Failed> {
    let run: RunId = run.parse().map_err(Failed::configuration)?;
    let places = Places { state: arguments.state.clone(), data: data.to_owned() };
    let report = block_on(replay::replay(&run, &places, beside))?;
    if arguments.json {
        print_json(&report)?;
    } else {
        let (calls, swaps) = (report.calls, report.swaps);
        match &report.difference {
            None => print(&format!("{run}: {calls} calls and {swaps} swaps came out as they did")),
            Some(difference) => print(&format!(
                "{run}: after {calls} calls, record {} ({}) differs, by the {}'s doing\nthen: {}\nnow:  {}",
                difference.sequence, difference.call, difference.by, difference.expected, difference.found
            )),
        }
    }
    Ok(if report.difference.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
