//! `nasd strategy`: what components there are, what they are, whether they keep the contract, what they cost.

use std::{path::Path, process::ExitCode};

use nasd_store::StateFolder;
use nasd_strategy::{
    Component, Limits, Runtime, RuntimeOptions,
    benchmark::{BenchOptions, measure},
    conformance::{CheckOptions, check},
};

use super::{block_on, new_strategy, print, print_json, run::interruption, watch::Watching};
use crate::{cli::Strategy, failure::Failed, run::compiled_cache, search::Places, strategies};

/// Run the command.
pub fn run(command: &Strategy, state: &Path, data: &Path, is_json: bool) -> Result<ExitCode, Failed> {
    let folders = strategies::folders(state);
    let load = |component: &str| -> Result<(Runtime, Component), Failed> {
        let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
        let bytes = strategies::find(component, Path::new("."), &folders)?;
        let component = runtime.load(&bytes).map_err(Failed::configuration)?;
        Ok((runtime, component))
    };
    match command {
        Strategy::List => {
            let known = strategies::list(&folders);
            if is_json {
                print_json(&known)?;
            } else {
                known.iter().for_each(|(name, path)| print(&format!("{name}  {}", path.display())));
            }
        }
        Strategy::Quarantine => {
            let entries = StateFolder::read_only(state).map_err(Failed::configuration)?.quarantine().list();
            if is_json {
                print_json(&entries)?;
            } else {
                for entry in &entries {
                    print(&format!("{}  {}: {}: {}", entry.digest, entry.name, entry.run, entry.message));
                }
            }
        }
        Strategy::Release { digest } => {
            let state = StateFolder::read_only(state).map_err(Failed::configuration)?;
            if !state.quarantine().release(digest).map_err(Failed::other)? {
                return Err(Failed::Configuration(format!(
                    "{digest} is not in quarantine; `nasd strategy quarantine` lists what is"
                )));
            }
        }
        Strategy::Inspect { component } => {
            let (_, component) = load(component)?;
            let descriptor = block_on(async { component.describe(&Limits::default()).await.map_err(Failed::other) })?;
            if is_json {
                print_json(&descriptor)?;
            } else {
                print(&format!("{} {}: {}", descriptor.name, descriptor.version, descriptor.summary));
                print(&format!("digest {}", component.digest()));
                print(&format!("imports {}", component.imports().join(", ")));
                print(&format!("parameters {}", descriptor.parameters_schema.as_deref().unwrap_or("none")));
            }
        }
        Strategy::Check { component, parameters } => {
            let (runtime, component) = load(component)?;
            let options = CheckOptions { parameters: parameters.clone(), ..CheckOptions::default() };
            let report = block_on(async { Ok(check(&runtime, &component, options).await) })?;
            if is_json {
                print_json(&report)?;
            } else {
                for check in &report.checks {
                    let mark = if check.passed { "passed" } else { "FAILED" };
                    let detail = if check.detail.is_empty() { String::new() } else { format!(": {}", check.detail) };
                    print(&format!("{mark}  {}{detail}", check.name));
                }
            }
            if !report.passed() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Strategy::New { name, folder, sdk } => {
            let folder = new_strategy::create(name, folder.as_deref(), sdk.as_deref())?;
            let shown = folder.display();
            print(&format!("{shown} is a strategy; change {shown}/src/lib.rs and see what it does:"));
            print(&format!("  nasd strategy watch {shown} configs/searches/nas-bench-201-random.toml"));
        }
        Strategy::Watch { strategy, search, settings, parameters, repeat, once } => {
            let watching = Watching {
                strategy: strategy.clone(),
                search: search.clone(),
                settings: settings.clone(),
                parameters: parameters.clone(),
                repetitions: usize::try_from(*repeat).unwrap_or(usize::MAX),
                places: Places { state: state.to_owned(), data: data.to_owned() },
                once: *once,
            };
            block_on(async { watching.run(interruption()?).await })?;
        }
        Strategy::Bench { component, parameters } => {
            let (_, component) = load(component)?;
            let options = BenchOptions { parameters: parameters.clone(), ..BenchOptions::default() };
            let report = block_on(async { measure(&component, &options).await.map_err(Failed::other) })?;
            print_json(&report)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
