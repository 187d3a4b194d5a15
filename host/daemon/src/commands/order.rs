//! What is ordered of a daemon: searches and runs to begin, to suspend, to end, to give to another strategy.

use std::{env, fs, path::Path, process::ExitCode};

use serde::Serialize;
use serde_json::Value;

use super::{columns::short, list::state_name, print};
use crate::{
    cli::{Arguments, Fork, OfRun, Rerun, Submit, Swap},
    client::Client,
    configuration,
    failure::Failed,
    serve::views::{ForkOrder, PlainOrder, RerunOrder, RunView, SearchView, Submission, SwapOrderView, SwapView},
};

/// What an order of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// `nasd pause`.
    Pause,
    /// `nasd resume`.
    Resume,
    /// `nasd stop`.
    Stop,
}

/// Who orders.
fn by() -> Option<String> {
    let mut names = ["USER", "LOGNAME"].into_iter().filter_map(|name| env::var(name).ok());
    let named = names.find(|name| !name.is_empty());
    Some(named.unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw())))
}

/// `nasd submit`.
pub fn submit(arguments: &Arguments, submit: &Submit) -> Result<ExitCode, Failed> {
    let text = configuration::read_text(&submit.file, "name a search file")?;
    let text = configuration::with_settings(&text, &submit.settings)?;
    // What is wrong is better said with the file's name.
    configuration::parse(&text, &submit.file.display().to_string(), &[])?;
    let file = std::path::absolute(&submit.file).map_err(Failed::configuration)?;
    let beside = file.parent().map(|folder| folder.display().to_string());
    let client = Client::find(&arguments.state, submit.at.daemon.as_deref())?;
    let answer = client.post_text("/v1/searches", &Submission { text, beside, by: by() })?;
    if arguments.json {
        print(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let view: SearchView = client.read(&answer)?;
    let next = match (&view.last_run, &view.next_start) {
        (_, Some(next)) => format!("its next run starts at {next}"),
        (Some(run), None) => format!("its latest run is {run}; `nasd show {run} --follow` watches it"),
        (None, None) => "its run starts at once".to_owned(),
    };
    print(&format!("{} is submitted; {next}", view.name));
    Ok(ExitCode::SUCCESS)
}

/// `nasd rerun`.
pub fn rerun(arguments: &Arguments, rerun: &Rerun) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, rerun.at.daemon.as_deref())?;
    let name = rerun.search.split('/').next().unwrap_or_default();
    nasd_store::RunId::new(name, 0).map_err(Failed::configuration)?;
    let order = RerunOrder { seed: rerun.seed, by: by() };
    say_run(arguments, &client, &format!("/v1/searches/{name}/runs"), &order, "begins")
}

/// `nasd pause`, `resume`, `stop`.
pub fn plain(arguments: &Arguments, of: &OfRun, plain: Plain) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, of.at.daemon.as_deref())?;
    let run = client.run(&of.run)?;
    let (word, what) = match plain {
        Plain::Pause => ("pause", "waits from now on; `nasd resume` has it go on"),
        Plain::Resume => ("resume", "goes on"),
        Plain::Stop => ("stop", "ends; what it found is reported"),
    };
    say_run(arguments, &client, &format!("/v1/runs/{run}/{word}"), &PlainOrder { by: by() }, what)
}

fn say_run(
    arguments: &Arguments,
    client: &Client,
    path: &str,
    order: &impl Serialize,
    what: &str,
) -> Result<ExitCode, Failed> {
    let answer = client.post_text(path, order)?;
    if arguments.json {
        print(&answer);
    } else {
        let view: RunView = client.read(&answer)?;
        let reason = view.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        print(&format!("{} {what} ({}{reason})", view.run, state_name(view.state)));
    }
    Ok(ExitCode::SUCCESS)
}

/// `nasd swap`.
pub fn swap(arguments: &Arguments, swap: &Swap) -> Result<ExitCode, Failed> {
    let order = SwapOrderView {
        strategy: swap.strategy.as_deref().map(component).transpose()?,
        parameters: parameters(swap.parameters.as_deref())?,
        dry_run: swap.dry_run,
        by: by(),
    };
    let client = Client::find(&arguments.state, swap.at.daemon.as_deref())?;
    let run = client.run(&swap.run)?;
    let answer = client.post_text(&format!("/v1/runs/{run}/swap"), &order)?;
    say_swap(arguments, &client, &run, &answer)
}

/// `nasd rollback`.
pub fn roll_back(arguments: &Arguments, of: &OfRun) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, of.at.daemon.as_deref())?;
    let run = client.run(&of.run)?;
    let answer = client.post_text(&format!("/v1/runs/{run}/rollback"), &PlainOrder { by: by() })?;
    say_swap(arguments, &client, &run, &answer)
}

fn say_swap(arguments: &Arguments, client: &Client, run: &str, answer: &str) -> Result<ExitCode, Failed> {
    if arguments.json {
        print(answer);
        return Ok(ExitCode::SUCCESS);
    }
    let view: SwapView = client.read(answer)?;
    let who = format!("{} {} ({})", view.to.name, view.to.version, short(&view.to.digest));
    let verb = if view.dry_run { "would have" } else { "has" };
    let how = match view.via.as_str() {
        "restore" => "from the state of the one before".to_owned(),
        _ => format!("from its start, shown {} jobs", view.jobs),
    };
    let checks = match view.checks.len() {
        0 => String::new(),
        n => format!("; it kept {n} promises of the contract"),
    };
    print(&format!("{who} {verb} {run}, {how} ({:.1} s{checks})", view.seconds));
    Ok(ExitCode::SUCCESS)
}

/// `nasd fork`: by the daemon of the state folder, else on the folder itself.
pub fn fork(arguments: &Arguments, fork: &Fork) -> Result<ExitCode, Failed> {
    let client = match &fork.daemon.daemon {
        Some(url) => Some(Client::find(&arguments.state, Some(url))?),
        None => Client::of_state(&arguments.state),
    };
    let Some(client) = client else {
        if fork.strategy.is_some() || fork.parameters.is_some() {
            let problem = "--strategy and --parameters are for runs of a daemon; without one fork, then \
                           `nasd run --take-over STRATEGY`";
            return Err(Failed::Configuration(problem.to_owned()));
        }
        return super::fork::run(&fork.run, fork.at, &arguments.state, arguments.json);
    };
    let run = client.run(&fork.run)?;
    let order = ForkOrder {
        at: fork.at,
        strategy: fork.strategy.as_deref().map(component).transpose()?,
        parameters: parameters(fork.parameters.as_deref())?,
        by: by(),
    };
    let what = format!("shares the history of {run} up to event {}, and goes on", fork.at);
    say_run(arguments, &client, &format!("/v1/runs/{run}/fork"), &order, &what)
}

/// A strategy as the daemon can find it: a file by its whole path.
fn component(strategy: &str) -> Result<String, Failed> {
    let is_file = strategy.contains('/') || Path::new(strategy).extension().is_some_and(|end| end == "wasm");
    if !is_file {
        return Ok(strategy.to_owned());
    }
    let path = fs::canonicalize(strategy).map_err(|error| Failed::Configuration(format!("{strategy}: {error}")))?;
    Ok(path.display().to_string())
}

fn parameters(text: Option<&str>) -> Result<Option<Value>, Failed> {
    let parse = |text: &str| {
        serde_json::from_str(text)
            .map_err(|error| Failed::Configuration(format!("--parameters {text}: {error}; write them as JSON")))
    };
    text.map(parse).transpose()
}
