//! `cargo xtask bench`: what the parts beside the training cost, each beside its target, in one table.
//!
//! Everything is measured from outside, on the programs that users run: times come from the journal's observed lane,
//! from what `nasd strategy bench` prints, or from the clock around a command. Nothing here passes or fails: a
//! machine that does other work is slower, so the table says on what it was measured.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;
use crate::daemon;
use crate::one_shot;
use crate::progress::Step;
use crate::project::Project;
use crate::work;

/// A line of the table.
pub struct Row {
    what: String,
    measured: String,
    target: &'static str,
}

/// Make one.
pub fn row(what: impl Into<String>, measured: impl Into<String>, target: &'static str) -> Row {
    Row { what: what.into(), measured: measured.into(), target }
}

/// Measures something.
type Measure = fn(&Bench) -> Result<Vec<Row>>;

/// By name, in the order of the table.
const MEASURES: &[(&str, Measure)] = &[
    ("strategy", strategy_calls),
    ("jobs", durable_jobs),
    ("shared", shared_steps),
    ("start", cold_start),
    ("costs", space_costs),
    ("effect", daemon::effect),
    ("builds", daemon::builds),
    ("many-jobs", daemon::many_jobs),
];

/// The programs, and a folder for what they write.
pub struct Bench {
    nasd: PathBuf,
    /// Folder of components.
    pub strategies: PathBuf,
    /// For what is written.
    pub folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Builds, then prints the table: all of it, or the parts named; `kills` is the long test of killed processes,
/// `one-shot` the comparison with PyTorch.
pub fn bench(project: &Project, names: &[OsString]) -> Result<()> {
    if names.iter().any(|name| name == "kills") {
        return kills(project);
    }
    if let Some((first, words)) = names.split_first()
        && first == "one-shot"
    {
        return one_shot::bench(project, words);
    }
    let known = || MEASURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| !MEASURES.iter().any(|(known, _)| name == known)) {
        bail!("there is no speed table {}; there are: {}, kills, one-shot", unknown.display(), known());
    }
    work::build(project)?;
    // On the disk that state folders lie on, not in a memory file system.
    let folder = project.target.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let bench = Bench { nasd: project.binary("nasd"), strategies: project.strategies(), folder };
    let mut rows = Vec::new();
    for (name, measure) in MEASURES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            let usual = if *name == "builds" { "ten minutes" } else { "under a minute" };
            let step = Step::start(&format!("bench {name}"), usual);
            rows.extend(measure(&bench)?);
            step.done();
        }
    }
    println!("{}\n", machine());
    println!("| figure | measured | target |\n|---|--:|--:|");
    for Row { what, measured, target } in rows {
        println!("| {what} | {measured} | {target} |");
    }
    Ok(())
}

/// Twenty real kills each of nasd and of its trainer, in a search by trainings and in one on shared weights.
fn kills(project: &Project) -> Result<()> {
    let environment = work::build_with_tests(project)?;
    let mut cargo = project.cargo();
    cargo.args(["test", "--workspace", "--test", "kills", "--", "--nocapture", "--test-threads", "1"]);
    command::run(cargo.envs(environment).env("NASD_KILLS", "20"))
}

/// What it was measured on.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("processor unknown", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("Measured on {model}, {cores} cores, at a load of {load} (others' work makes times longer).")
}

/// A search whose trainings cost nothing.
pub fn trainings(strategy: &str, slots: u32, jobs: u32) -> String {
    format!(
        r#"
name = "bench"
space = "nas-bench-201"
space-settings = {{ "stack.channels" = 2, "stack.cells-per-stage" = 1 }}
[task]
data = "digits"
fidelity = 1
[strategy]
component = "{strategy}"
[budget]
jobs = {jobs}
[scheduling]
slots = {slots}
"#
    )
}

const SHARED: &str = r#"
name = "bench"
space = "darts-cnn"
space-settings = { "one-shot.channels" = 2, "one-shot.layers" = 3, "stack.channels" = 2, "stack.layers" = 3 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 70
[task.shared-recipe]
batch-size = 64
[strategy]
component = "darts"
"#;

const ENAS: &str = r#"component = "enas"
[strategy.parameters]
steps-per-job = 50
samples = 10"#;

/// A run's events, and when it was started.
struct Run {
    events: Vec<Value>,
    spawned: f64,
}

impl Bench {
    /// The program, in this bench's world.
    pub fn nasd(&self) -> Command {
        let mut command = Command::new(&self.nasd);
        command.current_dir(&self.folder).env("NASD_STRATEGIES", &self.strategies).stdin(Stdio::null());
        command
    }

    /// Run a search to its end in a new state folder.
    fn run(&self, name: &str, search: &str, device: &str) -> Result<Run> {
        let state = self.folder.join(name);
        let file = self.folder.join(format!("{name}.toml"));
        std::fs::write(&file, search).with_context(|| format!("{} cannot be written", file.display()))?;
        let spawned = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let arguments = ["run", "--json", "--device", device, "--state"];
        command::capture(self.nasd().args(arguments).arg(&state).arg(&file))?;
        let journal = command::capture(self.nasd().args(["journal", "print", "bench/1", "--state"]).arg(&state))?;
        let events = journal.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Run { events, spawned })
    }
}

impl Run {
    fn of<'a>(&'a self, event: &str) -> impl Iterator<Item = f64> + 'a {
        let event = event.to_owned();
        let wanted = move |record: &&Value| record.get("event").and_then(Value::as_str) == Some(event.as_str());
        self.events.iter().filter(wanted).filter_map(|record| record.get("observed")?.get("time")?.as_f64())
    }

    /// Steps on shared weights that were asked for.
    fn shared_steps(&self) -> usize {
        fn count(value: &Value) -> usize {
            match value {
                Value::Object(object) => {
                    let steps = object.get("train-shared").and_then(Value::as_array).map_or(0, Vec::len);
                    steps
                        + object
                            .iter()
                            .filter(|(key, _)| *key != "train-shared")
                            .map(|(_, value)| count(value))
                            .sum::<usize>()
                }
                Value::Array(values) => values.iter().map(count).sum(),
                _ => 0,
            }
        }
        let asked = self.events.iter().filter(|event| event.get("event").and_then(Value::as_str) == Some("asked"));
        asked.map(count).sum()
    }

    /// Seconds from the strategy's start to its recommendation.
    fn seconds(&self) -> Result<f64> {
        let (begun, ended) = (self.of("started").next(), self.of("recommended").last());
        Ok(ended.context("the run has no end")? - begun.context("the run has no beginning")?)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn strategy_calls(bench: &Bench) -> Result<Vec<Row>> {
    let component = bench.strategies.join("random.wasm");
    let mut rows = Vec::new();
    for (parameters, name) in [("{}", "each network once"), (r#"{"unique": false}"#, "repetition allowed")] {
        let mut command = bench.nasd();
        command.args(["strategy", "bench"]).arg(&component).args(["--parameters", parameters]);
        let report: Value = serde_json::from_str(&command::capture(&mut command)?)?;
        let of = |key: &str| report.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        for (call, key) in [("ask", "ask_us"), ("tell", "tell_us")] {
            let what = format!("`{call}` of `random` through its component, 30 genes, {name}");
            rows.push(row(what, format!("{:.1} us", of(key)), "below 3 us"));
        }
    }
    Ok(rows)
}

fn durable_jobs(bench: &Bench) -> Result<Vec<Row>> {
    const JOBS: u32 = 10_000;
    let run = bench.run("jobs", &trainings("random", 64, JOBS).replace("[budget]", NOT_UNIQUE), "null")?;
    let rate = f64::from(JOBS) / run.seconds()?;
    let what = "durable jobs a second, null trainer, 64 slots, group commit on disk";
    Ok(vec![row(what, format!("{rate:.0}"), "above 1,000")])
}

/// Fifteen thousand networks are soon searched through.
const NOT_UNIQUE: &str = "[strategy.parameters]\nunique = false\n[budget]";

fn shared_steps(bench: &Bench) -> Result<Vec<Row>> {
    // The digits are too small for the auxiliary head of its stand-alone networks.
    let enas = SHARED.replace("darts-cnn", "enas-micro").replace(r#"component = "darts""#, ENAS);
    let enas = enas.replace(r#""stack.layers" = 3"#, r#""stack.layers" = 3, "stack.auxiliary" = false"#);
    let mut rows = Vec::new();
    // With minibatches of two an epoch is as long as CIFAR-10's at the released code's size: 359 weight steps in jobs of
    // 50 paths, then 300 rewards in the controller's jobs of ten. With 64 nearly all is the controller's learning.
    let epochs = enas.replace("batch-size = 64", "batch-size = 2").replace("shared-epochs = 70", "shared-epochs = 10");
    for (name, search, who) in [
        ("darts", SHARED, "DARTS, a step of each kind a job"),
        ("enas", &epochs, "ENAS, 50 paths a job, its controller's updates in the released code's proportion"),
        ("enas-updates", &enas, "ENAS, nearly all of them rewards that its controller learns from"),
    ] {
        let run = bench.run(name, search, "null-process")?;
        let n_steps = run.shared_steps();
        let each = run.seconds()? / n_steps as f64 * 1e3;
        let what =
            format!("host, strategy and transport a shared step, {who}, null trainer in a process, {n_steps} steps");
        rows.push(row(what, format!("{each:.2} ms"), "below 1 ms"));
    }
    Ok(rows)
}

fn cold_start(bench: &Bench) -> Result<Vec<Row>> {
    let search = trainings("random", 1, 1);
    let mut times = Vec::new();
    // The first compiles the component, where the user's cache has not got it.
    for number in 0..6 {
        let run = bench.run(&format!("start{number}"), &search, "null")?;
        times.push(run.of("asked").next().context("the strategy was not asked")? - run.spawned);
    }
    let (first, warm) = times.split_first().context("nothing was run")?;
    let what = format!("start of `nasd run` to the first answer, warm cache, median of 5 (first: {first:.2} s)");
    Ok(vec![row(what, format!("{:.2} s", median(warm.to_vec())), "below 0.5 s")])
}

fn space_costs(bench: &Bench) -> Result<Vec<Row>> {
    const GENOTYPES: u32 = 20_000;
    let file = bench.folder.join("genotypes");
    let count = GENOTYPES.to_string();
    let genotypes = command::capture(bench.nasd().args(["space", "sample", "darts-cnn", "--count", &count]))?;
    std::fs::write(&file, genotypes).with_context(|| format!("{} cannot be written", file.display()))?;
    let times = (0..3).map(|_| timed(bench, &file)).collect::<Result<Vec<_>>>()?;
    let rate = f64::from(GENOTYPES) / median(times);
    let what = format!("`nasd space cost darts-cnn`, genotypes a second, the whole command on {GENOTYPES}");
    Ok(vec![row(what, format!("{rate:.0}"), "above 2,000")])
}

fn timed(bench: &Bench, file: &Path) -> Result<f64> {
    let begin = Instant::now();
    let lines = command::capture(bench.nasd().args(["space", "cost", "darts-cnn", "--from"]).arg(file))?;
    if lines.lines().next().is_none() {
        bail!("`nasd space cost` printed nothing");
    }
    Ok(begin.elapsed().as_secs_f64())
}
