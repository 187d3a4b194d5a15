//! `cargo xtask bench one-shot`: DARTS's search iteration in the trainer beside eager PyTorch.
//!
//! Both run at the same time as processes that wait for a line, and are asked in turn, so that whatever else the machine
//! does falls on both alike. The processor time is shown beside the clock's: on a busy machine it is the steadier. It
//! is not part of the usual table, because it needs the full PyTorch (see `peers.rs`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::peers;
use crate::progress::Step;
use crate::project::Project;
use crate::work;

/// Shapes, threads, minibatch, iterations a round, rounds.
const SIZES: [(&str, u32, u32, u32, usize); 4] =
    [("digits", 1, 64, 5, 5), ("digits", 2, 64, 5, 5), ("paper", 1, 64, 1, 3), ("paper", 2, 64, 1, 3)];

/// A process that answers a number of iterations with the seconds they took.
struct Side {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Side {
    fn start(command: &mut Command, threads: u32) -> Result<Self> {
        // As the daemon starts its trainers.
        command.env("OMP_NUM_THREADS", threads.to_string()).env("OMP_WAIT_POLICY", "passive");
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        let input = child.stdin.take().context("no channel to a benchmark")?;
        let output = BufReader::new(child.stdout.take().context("no channel from a benchmark")?);
        Ok(Self { child, input, output })
    }

    /// Seconds an iteration: by the clock, of processor time.
    fn ask(&mut self, iterations: u32) -> Result<[f64; 2]> {
        writeln!(self.input, "{iterations}").context("a benchmark ended")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map(str::parse::<f64>);
        let mut next =
            || numbers.next().and_then(Result::ok).context("a benchmark did not answer; see its message above");
        Ok([next()? / f64::from(iterations), next()? / f64::from(iterations)])
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds, makes the peers' environment, measures, prints a table.
pub fn bench(project: &Project) -> Result<()> {
    let python = peers::python(project)?;
    work::build_with_tests(project)?;
    let ours = project.target.join("debug/examples/one_shot_speed");
    let theirs = project.root.join("tests/peers/speed_darts_one_shot.py");
    let mut lines = Vec::new();
    for (shapes, threads, batch, iterations, rounds) in SIZES {
        let step = Step::start(&format!("bench one-shot, {shapes}, {threads} threads"), "a few minutes");
        let arguments = [shapes.to_owned(), threads.to_string(), batch.to_string()];
        let mut ours = Side::start(Command::new(&ours).args(&arguments), threads)?;
        let mut theirs = Side::start(Command::new(&python).arg("-B").arg(&theirs).args(&arguments), threads)?;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        // The first round warms up.
        for _ in 0..=rounds {
            first.push(ours.ask(iterations)?);
            second.push(theirs.ask(iterations)?);
        }
        for (kind, name) in ["clock", "processor"].iter().enumerate() {
            let of = |side: &[[f64; 2]]| -> Vec<f64> {
                side.iter().skip(1).filter_map(|seconds| seconds.get(kind).copied()).collect()
            };
            let (first, second) = (of(&first), of(&second));
            let ratios = first.iter().zip(&second).map(|(ours, theirs)| ours / theirs).collect();
            let [first, second, ratio] = [first, second, ratios].map(median);
            lines.push(format!("| {shapes} | {threads} | {name} | {first:.3} | {second:.3} | {ratio:.2} |"));
        }
        step.done();
    }
    println!("| shapes | threads | seconds by | nasd | eager PyTorch | median ratio (target: at most 1) |");
    println!("|---|--:|---|--:|--:|--:|\n{}", lines.join("\n"));
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
