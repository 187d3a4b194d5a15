//! The command line: words, exit codes, and which command does what.
//!
//! With `--json` a command prints one JSON document (or JSON lines) on stdout; everything for people goes to
//! stderr. Exit codes: 0 done, 1 failed, 2 usage, 64 bad configuration, 130 interrupted.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    commands::{self, order},
    failure::Failed,
    logging,
    serve::views::RunState,
};

/// Neural architecture search with strategies as WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "nasd", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Folder of runs, weights and results.
    #[arg(long, global = true, default_value = "nasd-state", value_name = "DIR")]
    pub state: PathBuf,
    /// Folder of imported data sets; default: `data` in the state folder.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// One JSON document on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log level: error, warn, info, debug, trace; default: warn, of a daemon what its configuration says.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// `nasd report`.
#[derive(Debug, Args)]
pub struct Report {
    /// `name/1`.
    pub run: String,
    /// The search file, if its `[known-results]` are to be looked up: no journal names them.
    #[arg(long, value_name = "FILE")]
    pub search: Option<PathBuf>,
    /// Folder that the space file of its search lies in, if it has one; default: that of the search file.
    #[arg(long, value_name = "DIR")]
    pub beside: Option<PathBuf>,
    /// Where it is written, instead of the run's own folder.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a search in the foreground, or go on with its unfinished run.
    Run(Run),
    /// The daemon: searches by schedule or submitted, and an HTTP API.
    Serve(Serve),
    /// Have a daemon run a search.
    Submit(Submit),
    /// Runs of a daemon, or its searches.
    List(List),
    /// A run of a daemon.
    Show(Show),
    /// Suspend a run of a daemon.
    Pause(OfRun),
    /// Have a suspended run go on.
    Resume(OfRun),
    /// End a run of a daemon; what it found so far is reported.
    Stop(OfRun),
    /// Have a daemon run a search once more.
    Rerun(Rerun),
    /// Have another strategy, or the same with other parameters, take a running search over.
    Swap(Swap),
    /// Return to the strategy before, with its state of then.
    Rollback(OfRun),
    /// Begin a run that shares another's history up to an event.
    Fork(Fork),
    /// What the strategy of a run logs.
    Logs(Logs),
    /// A run's events, as `nasd journal print` writes them.
    Events(Events),
    /// Write a run's report anew from its journal, or that of a run that goes on.
    Report(Report),
    /// Drive a run's strategies anew from its journal and compare.
    Replay {
        /// `name/1`.
        run: String,
        /// Folder that the space file of its search lies in, if it has one.
        #[arg(long, default_value = ".", value_name = "DIR")]
        beside: PathBuf,
    },
    /// Search spaces.
    #[command(subcommand)]
    Space(Space),
    /// Strategies.
    #[command(subcommand)]
    Strategy(Strategy),
    /// Data sets.
    #[command(subcommand)]
    Data(Data),
    /// Journals of runs.
    #[command(subcommand)]
    Journal(Journal),
    /// What `--device null-process` starts.
    #[command(hide = true)]
    NullTrainer(NullTrainer),
}

/// `nasd serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Its configuration; default: `daemon.toml` here, if there is one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, over the configuration's; port 0: any.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
}

/// Which daemon.
#[derive(Debug, Args)]
pub struct At {
    /// Where it listens, `http://127.0.0.1:7878`; default: the daemon of the state folder. `NASD_TOKEN` is its token,
    /// else the one in the state folder.
    #[arg(long, value_name = "URL")]
    pub daemon: Option<String>,
}

/// A run of a daemon.
#[derive(Debug, Args)]
pub struct OfRun {
    /// `name/1`; a name alone: its latest run.
    pub run: String,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// The search file; paths in it start from its folder.
    #[arg(value_name = "SEARCH.toml")]
    pub file: PathBuf,
    /// A setting over the file's.
    #[arg(long = "set", value_name = "key.path=value")]
    pub settings: Vec<String>,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd list`.
#[derive(Debug, Args)]
pub struct List {
    /// Searches instead of runs.
    #[arg(long, conflicts_with = "state_of")]
    pub searches: bool,
    /// Runs in this state only: starting, running, paused, waiting, ended, foreign.
    #[arg(long, value_name = "STATE", value_parser = run_state)]
    pub state_of: Option<RunState>,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

fn run_state(text: &str) -> Result<RunState, String> {
    let known = "starting, running, paused, waiting, ended, foreign";
    serde_json::from_value(text.into()).map_err(|_| format!("write one of {known}"))
}

/// `nasd show`.
#[derive(Debug, Args)]
pub struct Show {
    /// `name/1`; a name alone: its latest run.
    pub run: String,
    /// Until it is over.
    #[arg(long)]
    pub follow: bool,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd rerun`.
#[derive(Debug, Args)]
pub struct Rerun {
    /// The search's name.
    pub search: String,
    /// Seed instead of the file's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd swap`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["strategy", "parameters"])))]
pub struct Swap {
    /// `name/1`; a name alone: its latest run.
    pub run: String,
    /// A strategy's name, a component's file, or the digest of one that was used before.
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Option<String>,
    /// Its parameters, as JSON; default: as they are.
    #[arg(long, value_name = "JSON")]
    pub parameters: Option<String>,
    /// Only say what would happen.
    #[arg(long)]
    pub dry_run: bool,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd fork`.
#[derive(Debug, Args)]
pub struct Fork {
    /// `name/1`.
    pub run: String,
    /// The last event shared; `nasd journal print` numbers them.
    #[arg(long, value_name = "EVENT")]
    pub at: u64,
    /// Another strategy for the new run: a name, a file, or a digest.
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Option<String>,
    /// Its parameters, as JSON.
    #[arg(long, value_name = "JSON")]
    pub parameters: Option<String>,
    /// Which daemon; without one on the state folder the fork is made there, and `nasd run` goes on with it.
    #[command(flatten)]
    pub daemon: At,
}

/// `nasd logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// `name/1`; a name alone: its latest run.
    pub run: String,
    /// The last so many lines.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub last: u32,
    /// And those to come, until the run is over.
    #[arg(long)]
    pub follow: bool,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd events`.
#[derive(Debug, Args)]
pub struct Events {
    /// `name/1`; a name alone: its latest run.
    pub run: String,
    /// After this event.
    #[arg(long, value_name = "EVENT")]
    pub after: Option<u64>,
    /// Of these kinds only, separated by commas: `told,swapped,logged`.
    #[arg(long, value_name = "KINDS")]
    pub kinds: Option<String>,
    /// And those to come, until the run is over.
    #[arg(long)]
    pub follow: bool,
    /// Which daemon.
    #[command(flatten)]
    pub at: At,
}

/// `nasd null-trainer`: a trainer's command line.
#[derive(Debug, Args)]
pub struct NullTrainer {
    /// The descriptor of the socket: standard input.
    #[arg(long)]
    pub channel: u32,
    /// `null`.
    #[arg(long)]
    pub device: String,
    /// Of no effect.
    #[arg(long)]
    pub threads: u32,
    /// Folder of weights.
    #[arg(long)]
    pub weights: PathBuf,
}

/// `nasd run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Search files, run one after the other; of several repeated ones the first is the baseline.
    #[arg(required = true, value_name = "SEARCH.toml")]
    pub files: Vec<PathBuf>,
    /// Seed instead of the file's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A setting over the file's.
    #[arg(long = "set", value_name = "key.path=value")]
    pub settings: Vec<String>,
    /// Where networks are trained: `cpu`, `cuda:N`, or `null` (no training: results are made up from the network;
    /// `null:20`: after 20 ms each; `null-process`: in a child process).
    #[arg(long, default_value = "cpu", value_parser = device)]
    pub device: String,
    /// Trainers; default: one a core, at most one a slot.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub trainers: Option<u32>,
    /// Let new builds of the strategy's component take over while the search runs.
    #[arg(long, conflicts_with = "repeat")]
    pub reload: bool,
    /// Let another strategy take the run over: it goes on from the state of the one before if it reads that, else
    /// it is shown all jobs so far.
    #[arg(long, value_name = "STRATEGY", conflicts_with_all = ["reload", "repeat"])]
    pub take_over: Option<String>,
    /// Parameters of the strategy that takes over, as JSON; default: those of the one before.
    #[arg(long, value_name = "JSON")]
    pub take_over_parameters: Option<String>,
    /// Run each search so many times, with seeds that follow from its own, and compare: means, deviations, tests.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub repeat: u64,
    /// Repetitions at a time, of tables and test functions; default: one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub parallel: Option<u32>,
    /// Keep every repetition as a run of its own, and take it from there when the command is given again. Those of
    /// networks and programs always are.
    #[arg(long)]
    pub keep_journals: bool,
}

/// Whether a device can be named so.
pub fn device(text: &str) -> Result<String, String> {
    let is_numbered = |prefix| text.strip_prefix(prefix).is_some_and(|number: &str| number.parse::<u32>().is_ok());
    if is_numbered("cuda:") || is_numbered("null:") || ["cpu", "null", "null-process"].contains(&text) {
        return Ok(text.to_owned());
    }
    Err("write cpu, cuda:0 (or another number) or null".into())
}

/// A space with settings.
#[derive(Debug, Args)]
pub struct SpaceChoice {
    /// A preset's name or a TOML file.
    pub space: String,
    /// A setting over the file's, `stack.channels=16`.
    #[arg(long = "set", value_name = "key.path=value")]
    pub settings: Vec<String>,
}

/// `nasd space`.
#[derive(Debug, Subcommand)]
pub enum Space {
    /// Names of the presets.
    List,
    /// Decisions, size, and an architecture's network.
    Show {
        /// Which space.
        #[command(flatten)]
        space: SpaceChoice,
        /// Notation, `@FILE` or `sample:SEED`.
        #[arg(long, value_name = "ARCH")]
        architecture: Option<String>,
        /// Draw the architecture into this file, or all options where none is given; as PNG where it ends in `.png`.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Random architectures, one a line.
    Sample {
        /// Which space.
        #[command(flatten)]
        space: SpaceChoice,
        /// Of the first.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: u64,
    },
    /// Parameters and FLOPs: one architecture a line in, one JSON line out.
    Cost {
        /// Which space.
        #[command(flatten)]
        space: SpaceChoice,
        /// File of architectures; `-`: standard input.
        #[arg(long, required_unless_present = "one_shot", value_name = "FILE")]
        from: Option<PathBuf>,
        /// Of the one-shot graph.
        #[arg(long)]
        one_shot: bool,
    },
}

/// `nasd strategy`.
#[derive(Debug, Subcommand)]
pub enum Strategy {
    /// Components found.
    List,
    /// What a component says of itself.
    Inspect {
        /// A component's path or name.
        component: String,
    },
    /// The conformance suite.
    Check {
        /// A component's path or name.
        component: String,
        /// Its parameters as JSON.
        #[arg(long, default_value = "{}")]
        parameters: String,
    },
    /// Write the crate of a new strategy.
    New {
        /// Its name.
        name: String,
        /// The crate's folder; default: `plugins/NAME` in a checkout of nasd, else `NAME`.
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// The SDK's folder, for crates outside a checkout.
        #[arg(long, value_name = "DIR")]
        sdk: Option<PathBuf>,
    },
    /// Build, check and compare a strategy with a search's own, each time it changes.
    Watch {
        /// A component, or a crate's folder.
        strategy: PathBuf,
        /// The search: of a table or a test function.
        #[arg(value_name = "SEARCH.toml")]
        search: PathBuf,
        /// A setting over the search's.
        #[arg(long = "set", value_name = "key.path=value")]
        settings: Vec<String>,
        /// The strategy's parameters: `{ population = 10 }`, or JSON.
        #[arg(long)]
        parameters: Option<String>,
        /// Seeds.
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=100_000))]
        repeat: u64,
        /// Look once, do not wait for changes.
        #[arg(long)]
        once: bool,
    },
    /// Components that failed in a run and are kept out of all others.
    Quarantine,
    /// Let a component out of quarantine.
    Release {
        /// Its digest.
        digest: String,
    },
    /// What its calls cost.
    Bench {
        /// A component's path or name.
        component: String,
        /// Its parameters as JSON.
        #[arg(long, default_value = "{}")]
        parameters: String,
    },
}

/// `nasd data`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Data sets known.
    List,
    /// Import a data set; the format is recognised.
    Import {
        /// Its name here.
        name: String,
        /// File or folder.
        path: PathBuf,
        /// `cifar-10`, `cifar-100`, `idx`, `class-folders`, `table`.
        #[arg(long)]
        format: Option<String>,
        /// Training part, relative to PATH.
        #[arg(long)]
        train: Option<PathBuf>,
        /// Test part, relative to PATH.
        #[arg(long)]
        test: Option<PathBuf>,
        /// Side that images are resized and cropped to.
        #[arg(long)]
        size: Option<usize>,
        /// Of a table: the TOML file that says what its columns hold.
        #[arg(long, value_name = "FILE")]
        columns: Option<PathBuf>,
        /// Replace a set of this name.
        #[arg(long)]
        replace: bool,
    },
    /// Compare a data set with its manifest.
    Verify {
        /// Its name.
        name: String,
    },
}

/// `nasd journal`.
#[derive(Debug, Subcommand)]
pub enum Journal {
    /// As JSON lines.
    Print {
        /// `name/1`.
        run: String,
    },
    /// What "the same run" means: the digest of the deterministic lane.
    Digest {
        /// `name/1`.
        run: String,
    },
}

/// Log lines go to stderr; a daemon sets up its own.
pub fn set_up_logging(arguments: &Arguments) {
    if matches!(arguments.command, Command::Serve(_)) {
        return;
    }
    let filter = logging::filter(arguments.log.as_deref().unwrap_or("warn"));
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

/// Run a command.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failed> {
    let data = arguments.data.clone().unwrap_or_else(|| arguments.state.join("data"));
    match &arguments.command {
        Command::Run(run) => commands::run::run(&arguments, run, &data),
        Command::Serve(serve) => commands::serve::run(&arguments, serve, &data),
        Command::Submit(submit) => order::submit(&arguments, submit),
        Command::List(list) => commands::list::run(&arguments, list),
        Command::Show(show) => commands::show::run(&arguments, show),
        Command::Pause(run) => order::plain(&arguments, run, order::Plain::Pause),
        Command::Resume(run) => order::plain(&arguments, run, order::Plain::Resume),
        Command::Stop(run) => order::plain(&arguments, run, order::Plain::Stop),
        Command::Rerun(rerun) => order::rerun(&arguments, rerun),
        Command::Swap(swap) => order::swap(&arguments, swap),
        Command::Rollback(run) => order::roll_back(&arguments, run),
        Command::Fork(fork) => order::fork(&arguments, fork),
        Command::Logs(logs) => commands::follow::logs(&arguments, logs),
        Command::Events(events) => commands::follow::events(&arguments, events),
        Command::Report(report) => commands::report::run(&arguments, report, &data),
        Command::Replay { run, beside } => commands::replay::run(&arguments, run, beside, &data),
        Command::Space(space) => commands::space::run(space, arguments.json),
        Command::Strategy(strategy) => commands::strategy::run(strategy, &arguments.state, &data, arguments.json),
        Command::Data(command) => commands::data::run(command, &data, arguments.json),
        Command::Journal(journal) => commands::journal::run(journal, &arguments.state),
        Command::NullTrainer(trainer) => {
            commands::block_on(crate::trainers::serve_null(&trainer.weights))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
