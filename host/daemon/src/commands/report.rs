//! `nasd report`: a run's report, written anew from its journal.

use std::{path::Path, process::ExitCode};

use nasd_store::RunId;

use super::{block_on, print, print_json};
use crate::{
    cli::{Arguments, Report},
    configuration,
    failure::Failed,
    run::report_again,
    search::Places,
};

/// Run the command.
pub fn run(arguments: &Arguments, report: &Report, data: &Path) -> Result<ExitCode, Failed> {
    let run: RunId = report.run.parse().map_err(Failed::configuration)?;
    let places = Places { state: arguments.state.clone(), data: data.to_owned() };
    let file = report.search.as_deref().map(|path| configuration::read(path, &[])).transpose()?;
    let beside = match (&report.beside, report.search.as_deref().and_then(Path::parent)) {
        (Some(beside), _) => beside.as_path(),
        (None, Some(folder)) => folder,
        (None, None) => Path::new("."),
    };
    let known = file.and_then(|file| file.known_results);
    let path = block_on(report_again(&run, &places, beside, known, report.output.as_deref()))?;
    if arguments.json {
        print_json(&serde_json::json!({ "run": run.to_string(), "report": path }))?;
    } else {
        print(&format!("Report: {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
