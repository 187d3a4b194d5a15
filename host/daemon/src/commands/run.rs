//! `nasd run`.

use std::{path::Path, process::ExitCode};

use tokio::sync::watch;

use super::{block_on, print, print_json};
use crate::{
    cli::{Arguments, Run},
    failure::Failed,
    run::{Options, Summary, run as run_search},
    search::Places,
};

/// Run the searches, one after the other.
pub fn run(arguments: &Arguments, run: &Run, data: &Path) -> Result<ExitCode, Failed> {
    let summaries = block_on(async {
        let (interrupting, interrupt) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = interrupting.send(true);
                // A second time means it.
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(130);
                }
            }
        });
        let mut summaries: Vec<Summary> = Vec::new();
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
            };
            summaries.push(run_search(options, interrupt.clone()).await?);
        }
        Ok(summaries)
    })?;
    if arguments.json {
        match summaries.as_slice() {
            [one] => print_json(one)?,
            several => print_json(&several)?,
        }
    } else {
        for summary in &summaries {
            print(&summary.markdown());
            print(&format!("Report: {}", arguments.state.join("runs").join(&summary.run).join("report.md").display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
