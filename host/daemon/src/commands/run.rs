//! `nasd run`.

use std::{path::Path, process::ExitCode};

use nasd_report::repeated::RepeatedSearch;
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    block_on,
    compare::{self, Comparison},
    print, print_json,
};
use crate::{
    cli::{Arguments, Run},
    failure::Failed,
    run::{Changes, Options, Summary, repetition, run as run_search},
    search::{Places, Search},
};

/// Run the searches, one after the other. What fails is said at once; the others go on, and the first failure's exit
/// code is the command's.
pub fn run(arguments: &Arguments, run: &Run, data: &Path) -> Result<ExitCode, Failed> {
    if run.repeat > 1 {
        return repeat(arguments, run, data);
    }
    let mut first_failure = None;
    let mut finished: Vec<(Search, RepeatedSearch)> = Vec::new();
    let (summaries, documents) = block_on(async {
        let interrupt = interruption()?;
        let mut summaries: Vec<Summary> = Vec::new();
        let mut documents = Vec::new();
        for file in &run.files {
            let mut settings = run.settings.clone();
            settings.extend(run.seed.map(|seed| format!("seed={seed}")));
            let options = Options {
                file: file.clone(),
                settings,
                places: Places { state: arguments.state.clone(), data: data.to_owned() },
                device: run.device.clone(),
                trainers: run.trainers,
                is_silent: arguments.json,
                draws: true,
                reuses: false,
                changes: changes(run),
            };
            let failed = match run_search(options, interrupt.clone()).await {
                Ok((search, summary)) => {
                    documents.push(serde_json::to_value(&summary).map_err(Failed::other)?);
                    let failure = summary.failure.as_ref();
                    let failed = failure.map(|reason| Failed::Other(format!("{}: {reason}", summary.run)));
                    if failed.is_none() {
                        let repetition = repetition(&search, &arguments.state, &summary.run)?;
                        let (name, strategy) = (summary.run.clone(), summary.strategy.clone());
                        finished.push((search, RepeatedSearch { name, strategy, repetitions: vec![repetition] }));
                    }
                    summaries.push(summary);
                    failed
                }
                Err(interrupted @ Failed::Interrupted(_)) => return Err(interrupted),
                Err(failed) => {
                    documents.push(json!({ "search": file, "failure": failed.to_string() }));
                    Some(failed)
                }
            };
            if let Some(failed) = failed {
                eprintln!("nasd: error: {failed}");
                first_failure.get_or_insert(failed.exit_code());
            }
        }
        Ok((summaries, documents))
    })?;
    if arguments.json {
        match documents.as_slice() {
            // A search that could not be begun has no document.
            [_] if summaries.is_empty() => {}
            [one] => print_json(one)?,
            several => print_json(&several)?,
        }
    } else {
        for summary in &summaries {
            print(&summary.markdown());
            print(&format!("Report: {}", arguments.state.join("runs").join(&summary.run).join("report.md").display()));
        }
    }
    compare_finished(finished, &arguments.state, arguments.json)?;
    Ok(first_failure.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Several searches that are about the same are also shown together.
fn compare_finished(finished: Vec<(Search, RepeatedSearch)>, state: &Path, is_json: bool) -> Result<(), Failed> {
    let Some(((first, _), others)) = finished.split_first() else { return Ok(()) };
    if others.is_empty() || others.iter().any(|(other, _)| compare::difference(first, other).is_some()) {
        return Ok(());
    }
    let (searches, rows): (Vec<Search>, Vec<RepeatedSearch>) = finished.into_iter().unzip();
    let compared = compare::compared(&searches.iter().collect::<Vec<_>>(), rows)?;
    let shown = compare::show(&compared, state)?;
    if !is_json {
        print(&format!("\n{shown}"));
    }
    Ok(())
}

/// Repeat the searches and compare them.
fn repeat(arguments: &Arguments, run: &Run, data: &Path) -> Result<ExitCode, Failed> {
    let mut settings = run.settings.clone();
    settings.extend(run.seed.map(|seed| format!("seed={seed}")));
    let comparison = Comparison {
        files: &run.files,
        settings: &settings,
        places: Places { state: arguments.state.clone(), data: data.to_owned() },
        device: &run.device,
        trainers: run.trainers,
        repetitions: run.repeat,
        parallel: run.parallel.map_or_else(cores, |parallel| parallel.max(1) as usize),
        keeps_journals: run.keep_journals,
        is_json: arguments.json,
    };
    block_on(async { comparison.run(interruption()?).await })?;
    Ok(ExitCode::SUCCESS)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// SIGXFSZ: a file would exceed the process's limit.
const FILE_TOO_LARGE: i32 = 25;

/// Becomes true on SIGINT (Ctrl-C) or SIGTERM; the second one ends the process at once.
pub fn interruption() -> Result<watch::Receiver<bool>, Failed> {
    // Where files may not grow further, a write is to fail as on a full disk, not to kill the process.
    drop(signal(SignalKind::from_raw(FILE_TOO_LARGE)).map_err(Failed::other)?);
    let (interrupting, interrupt) = watch::channel(false);
    let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
    let interrupting = std::sync::Arc::new(interrupting);
    for kind in kinds {
        let mut signals = signal(kind).map_err(Failed::other)?;
        let interrupting = interrupting.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if interrupting.send_replace(true) {
                    std::process::exit(130);
                }
            }
        });
    }
    Ok(interrupt)
}

/// What may take over from the search's strategy.
fn changes(run: &Run) -> Changes {
    match &run.take_over {
        Some(component) => {
            Changes::Strategy { component: component.clone(), parameters: run.take_over_parameters.clone() }
        }
        None if run.reload => Changes::Builds,
        None => Changes::None,
    }
}
