//! Real `kill -9` of nasd's process and of its trainers' while a search trains on the digits: the same command goes
//! on, and the end has the journal digest and the held-out accuracy of the run that nobody killed.
//!
//! A few kills by default; as many as `tests/RESULTS.md` reports by
//! `NASD_KILLS=20 cargo test --workspace --test kills -- --nocapture`. Without `nasd-trainer` beside nasd (`cargo xtask
//! build`) nothing is tested, and it is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/killing.rs"]
mod killing;
mod support;

use std::{
    process::{Child, Output, Stdio},
    time::Duration,
};

use killing::{Moments, SHARED, children, has_trainer, is_there, n_kills};
use support::{Bench, built, signal, summary, wait_until};

const TRAININGS: &str = r#"
name = "test"
space = "nas-bench-201"
seed = 3
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 4
[task.recipe]
batch-size = 64
learning-rate = 0.1
[strategy]
component = "strategy.wasm"
[budget]
jobs = 12
[scheduling]
slots = 1
savepoint-every = 5
max-attempts = 1000
[final]
fidelity = 3
repetitions = 2
save-every = 1
"#;

/// A supernet, then an evolution by evaluations with recalibration: two phases of about the same length.
const EVOLUTION: &str = r#"
name = "test"
space = "nas-bench-201"
seed = 3
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 4
[task.shared-recipe]
batch-size = 64
schedule = "linear"
schedule-step = "update"
decay = "matrices"
ghost-batch = 32
[strategy]
component = "strategy.wasm"
[strategy.parameters]
steps-per-job = 8
population = 10
iterations = 6
crossovers = 5
mutations = 5
parents = 4
candidates-per-job = 4
validation-batches = 4
recalibration-batches = 4
finalists = 3
[[constraints]]
metric = "flops"
at-most = 4e5
[scheduling]
savepoint-every = 3
max-attempts = 1000
[final]
fidelity = 2
"#;

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Nasd,
    Trainer,
}

/// A search and where it trains.
struct Killed<'a> {
    bench: &'a Bench,
    device: &'a str,
}

impl Killed<'_> {
    fn start(&self, state: &str) -> Child {
        let mut command = self.bench.command(state, &["--device", self.device]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Run the search in a state folder, killing until `limit` kills are done; gives how many were and what the run
    /// said at its end.
    fn run(&self, state: &str, victim: Victim, limit: u32, moments: &mut Moments) -> (u32, Output) {
        let mut n_killed = 0;
        let mut child = self.start(state);
        loop {
            let is_over = n_killed < limit && wait_until(moments.next(), || child.try_wait().unwrap().is_some());
            if is_over || n_killed >= limit {
                let output = child.wait_with_output().unwrap();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                if output.status.code() == Some(1) && error.contains("the same command goes on") {
                    child = self.start(state); // too many trainers lost in a row
                    continue;
                }
                return (n_killed, output);
            }
            let trainers = children(child.id());
            match victim {
                Victim::Nasd => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    n_killed += 1;
                    // Nobody wants what they compute.
                    for trainer in trainers {
                        let ends = wait_until(Duration::from_secs(60), || !is_there(trainer));
                        assert!(ends, "trainer {trainer} lives on");
                    }
                    child = self.start(state);
                }
                Victim::Trainer => {
                    n_killed += u32::from(!trainers.is_empty());
                    trainers.into_iter().for_each(|trainer| signal("KILL", trainer));
                }
            }
        }
    }
}

fn check(name: &str, search: &str, component: &[u8], device: &str, longest: u64) {
    let bench = Bench::new(search, "well-behaved");
    std::fs::write(bench.path("strategy.wasm"), component).unwrap();
    let killed = Killed { bench: &bench, device };
    let whole = summary(&killed.start("whole").wait_with_output().unwrap());
    assert_eq!(whole["failed"], 0);
    let mut moments = Moments::up_to(longest);
    for victim in [Victim::Nasd, Victim::Trainer] {
        let (mut n_killed, mut n_runs, mut n_resumed) = (0, 0, 0);
        while n_killed < n_kills() {
            let state = format!("{victim:?}{n_runs}");
            let (n, output) = killed.run(&state, victim, n_kills() - n_killed, &mut moments);
            (n_killed, n_runs) = (n_killed + n, n_runs + 1);
            n_resumed += bench.n_of(&state, "resumed");
            let ended = summary(&output);
            // Killed when all was done but its own end, it is followed by another run.
            assert!(ended["run"] == "test/1" || ended["run"] == "test/2", "{}", ended["run"]);
            assert_eq!(bench.journal(&state, "digest").trim(), whole["digest"], "{victim:?} killed {n} times");
            assert_eq!(ended["digest"], whole["digest"], "{victim:?} killed {n} times");
            assert_eq!((&ended["jobs"], &ended["failed"]), (&whole["jobs"], &whole["failed"]));
            assert_eq!(ended["finals"], whole["finals"], "{victim:?} killed {n} times");
            assert!(n_runs < 100, "{n_killed} kills in {n_runs} runs");
        }
        println!(
            "{name}: {victim:?} killed {n_killed} times in {n_runs} runs, {n_resumed} resumptions: digest {} and {} as \
             in the run that nobody killed",
            whole["digest"], whole["finals"][0]["test"]
        );
    }
}

#[test]
fn a_session_lost_again_and_again_goes_back_to_its_savepoint_by_itself() {
    let Some(darts) = built("darts") else { return };
    // Between two jobs as well as during one: the null trainer's take less time than what lies between them.
    let search = SHARED.replace("shared-epochs = 4", "shared-epochs = 60");
    check("null trainer in a process", &search, &darts, "null-process", 300);
}

#[test]
fn a_search_on_the_digits_survives_kills_of_nasd_and_of_its_trainer() {
    let Some(evolution) = built("regularized-evolution").filter(|_| has_trainer()) else { return };
    let search = TRAININGS.replace("[budget]", "[strategy.parameters]\npopulation = 4\nsample = 2\n[budget]");
    check("trainings", &search, &evolution, "cpu", 3_000);
}

#[test]
fn a_search_on_shared_weights_survives_kills_of_nasd_and_of_its_trainer() {
    let Some(darts) = built("darts").filter(|_| has_trainer()) else { return };
    check("shared weights", SHARED, &darts, "cpu", 3_000);
}

#[test]
fn a_second_order_search_survives_kills_of_nasd_and_of_its_trainer() {
    let Some(darts) = built("darts").filter(|_| has_trainer()) else { return };
    let search = SHARED.replace("[scheduling]", "[strategy.parameters]\norder = 2\n[scheduling]");
    check("second-order DARTS", &search, &darts, "cpu", 3_000);
}

#[test]
fn an_evolution_on_shared_weights_survives_kills_while_it_trains_and_while_it_evaluates() {
    let Some(spos) = built("spos").filter(|_| has_trainer()) else { return };
    check("evolution on shared weights", EVOLUTION, &spos, "cpu", 3_000);
}
