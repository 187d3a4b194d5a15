//! `cargo xtask bench one-shot`: steps of the trainer beside eager PyTorch's, and beside each other.
//!
//! Two sides run at the same time as processes that wait for a line, and are asked in turn, so that whatever else the
//! machine does falls on both alike; two, because eager PyTorch takes 12 GB of the paper's step. The processor time is shown beside the clock's: on a busy machine it is the steadier.
//! Peak memory is each process's own. Both get the allocator's settings that the daemon gives its trainers. It is not part
//! of the usual table, because it needs the full PyTorch (see `peers.rs`).

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::peers;
use crate::progress::Step;
use crate::project::Project;
use crate::work;

/// Beside PyTorch: shapes, threads, kind of step, steps a round, rounds.
const BESIDE_PYTORCH: [(&str, u32, &str, u32, usize); 9] = [
    ("paper", 1, "weights", 1, 3),
    ("paper", 1, "mixtures", 1, 3),
    ("paper", 2, "weights", 1, 3),
    ("paper", 2, "mixtures", 1, 3),
    ("paper", 2, "iteration", 1, 3),
    ("darts-v2", 1, "weights", 2, 5),
    ("darts-v2", 2, "weights", 2, 5),
    ("digits", 1, "iteration", 5, 5),
    ("digits", 2, "iteration", 5, 5),
];

/// The trainer beside itself, one thread: shapes and kind of step, twice; steps a round, rounds.
const BESIDE_ITSELF: [([&str; 2], [&str; 2], u32, usize); 7] = [
    (["darts-1", "darts-alone"], ["weights", "weights"], 2, 7),
    (["darts-2", "darts-all"], ["weights", "weights"], 1, 5),
    (["darts-1", "darts-all"], ["weights", "weights"], 1, 5),
    (["spos-1", "spos-alone"], ["weights", "weights"], 5, 7),
    (["spos-1", "spos-all"], ["weights", "weights"], 5, 7),
    (["paper", "paper"], ["unrolled", "mixtures"], 1, 3),
    (["paper", "paper"], ["unrolled-iteration", "iteration"], 1, 3),
];

const BATCH: u32 = 64;

/// A process that answers a number of iterations with the seconds they took.
struct Side {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Memory that it held before it made what is measured, in GB; only the trainer's side says so.
    held: f64,
}

impl Side {
    fn start(command: &mut Command, threads: u32) -> Result<Self> {
        // As the daemon starts its trainers.
        command.env("OMP_NUM_THREADS", threads.to_string()).env("OMP_WAIT_POLICY", "passive");
        command
            .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
            .env("MALLOC_MMAP_MAX_", "0")
            .env("MALLOC_TRIM_THRESHOLD_", i64::MAX.to_string());
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        let input = child.stdin.take().context("no channel to a benchmark")?;
        let output = BufReader::new(child.stdout.take().context("no channel from a benchmark")?);
        Ok(Self { child, input, output, held: 0.0 })
    }

    /// Seconds a step: by the clock, of processor time.
    fn ask(&mut self, kind: &str, steps: u32) -> Result<[f64; 2]> {
        writeln!(self.input, "{kind} {steps}").context("a benchmark ended")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map(str::parse::<f64>);
        let mut next =
            || numbers.next().and_then(Result::ok).context("a benchmark did not answer; see its message above");
        let seconds = [next()? / f64::from(steps), next()? / f64::from(steps)];
        self.held = next().unwrap_or_default();
        Ok(seconds)
    }

    /// Most memory it ever had, in GB.
    fn peak(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak memory in proc")?;
        let kilobytes = line.split_whitespace().next().context("no number of kilobytes")?;
        Ok(kilobytes.parse::<f64>()? * 1024.0 / 1e9)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds, makes the peers' environment, measures, prints two tables; of both the rows that have all the words: shapes,
/// kinds of steps, numbers of threads.
pub fn bench(project: &Project, words: &[OsString]) -> Result<()> {
    let is_wanted = |has: &[&str]| words.iter().all(|word| has.iter().any(|has| word == has));
    let python = peers::python(project)?;
    work::build_with_tests(project)?;
    let ours = project.target.join("debug/examples/one_shot_speed");
    let theirs = project.root.join("tests/peers/speed_darts_one_shot.py");
    let mut lines = Vec::new();
    for (shapes, threads, kind, steps, rounds) in BESIDE_PYTORCH {
        if !is_wanted(&[shapes, kind, &threads.to_string()]) {
            continue;
        }
        let step = Step::start(&format!("bench one-shot, {shapes}, {kind}, {threads} threads"), "a few minutes");
        let arguments = [shapes.to_owned(), threads.to_string(), BATCH.to_string()];
        for layout in ["default", "channels-last"] {
            let mut command = Command::new(&python);
            let mut sides = [
                Side::start(Command::new(&ours).args(&arguments), threads)?,
                Side::start(command.arg("-B").arg(&theirs).args(&arguments).arg(layout), threads)?,
            ];
            let (seconds, peaks) = rounds_of(&mut sides, &[kind; 2], steps, rounds)?;
            let cells = row(&seconds) + &cells(&peaks, 2);
            lines.push(format!("| {shapes} | {kind} | {threads} | {layout} |{cells} |"));
        }
        step.done();
    }
    println!("Seconds a step by the clock (processor time); how many times nasd's PyTorch's are.");
    println!("| shapes | step | threads | PyTorch's layout | nasd | PyTorch | times | nasd's peak GB | PyTorch's |");
    println!("|---|---|--:|---|--:|--:|--:|--:|--:|\n{}", lines.join("\n"));
    lines.clear();
    for (shapes, kinds, steps, rounds) in BESIDE_ITSELF {
        if !is_wanted(&[shapes[0], shapes[1], kinds[0], kinds[1], "1"]) {
            continue;
        }
        let step = Step::start(&format!("bench one-shot, {shapes:?}, {kinds:?}"), "a minute");
        let start = |shapes: &str| Side::start(Command::new(&ours).args([shapes, "1", &BATCH.to_string()]), 1);
        let mut sides = [start(shapes[0])?, start(shapes[1])?];
        let (seconds, peaks) = rounds_of(&mut sides, &kinds, steps, rounds)?;
        let [first, second] = [0, 1].map(|side| format!("{} of {}", kinds[side], shapes[side]));
        // The second is what the first is measured by.
        let swapped: Vec<_> = seconds.into_iter().rev().collect();
        let of_step: Vec<f64> = sides.iter().zip(&peaks).map(|(side, peak)| peak - side.held).collect();
        let memory = [&peaks, &of_step].map(|peaks| cells(peaks, 2) + &ratio(peaks)).join(" |");
        lines.push(format!("| {first} | {second} |{}{memory} |", row(&swapped)));
        step.done();
    }
    println!(
        "The trainer beside itself: the second's seconds, the first's, how many times the second's; peak GB of both processes \
         and their ratio; the same less what each held before it made its graph."
    );
    println!("| first | second | second | first | times | peak GB | | ratio | step's GB | | ratio |");
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    println!("{}", lines.join("\n"));
    Ok(())
}

/// For each side its rounds' seconds a step, by the clock and of processor time; and its peak memory. The first round
/// warms up and does not count.
#[allow(clippy::type_complexity)]
fn rounds_of(sides: &mut [Side], kinds: &[&str], steps: u32, rounds: usize) -> Result<(Vec<Vec<[f64; 2]>>, Vec<f64>)> {
    let mut seconds = vec![Vec::new(); sides.len()];
    for round in 0..=rounds {
        for ((side, kind), seconds) in sides.iter_mut().zip(kinds).zip(&mut seconds) {
            let found = side.ask(kind, steps)?;
            if round > 0 {
                seconds.push(found);
            }
        }
    }
    let peaks = sides.iter().map(Side::peak).collect::<Result<Vec<f64>>>()?;
    Ok((seconds, peaks))
}

/// Medians of all sides, each but the first followed by its median ratio to the first, round by round.
fn row(seconds: &[Vec<[f64; 2]>]) -> String {
    let of = |side: &[[f64; 2]], kind: usize| -> Vec<f64> {
        side.iter().filter_map(|seconds| seconds.get(kind).copied()).collect()
    };
    let mut row = String::new();
    for (number, side) in seconds.iter().enumerate() {
        row += &format!(" {:.3} ({:.3}) |", median(of(side, 0)), median(of(side, 1)));
        if let (Some(first), true) = (seconds.first(), number > 0) {
            let [clock, processor] = [0, 1].map(|kind| {
                let ratios = of(side, kind).into_iter().zip(of(first, kind)).map(|(side, first)| side / first);
                median(ratios.collect())
            });
            row += &format!(" {clock:.2} ({processor:.2}) |");
        }
    }
    row
}

/// The first's share of the second.
fn ratio(pair: &[f64]) -> String {
    match pair {
        [first, second] => format!(" | {:.2}", first / second),
        _ => String::new(),
    }
}

fn cells(numbers: &[f64], digits: usize) -> String {
    numbers.iter().map(|number| format!(" {number:.digits$}")).collect::<Vec<_>>().join(" |")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
