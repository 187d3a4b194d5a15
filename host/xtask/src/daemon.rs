//! What a daemon costs: new builds of a strategy while a run goes on, lists and pages of many jobs, starting on them.
//! Measured from outside, over its API, on the disk.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::bench::{Bench, Row, row};

/// New builds made.
const BUILDS: usize = 1000;
/// New builds made for how soon they take effect.
const EFFECTS: usize = 30;
/// Builds after which memory is looked at: as what must hold says, and once caches and allocators are full.
const WARM: [usize; 2] = [100, 400];
/// Jobs of the long run.
const JOBS: u64 = 100_000;

/// A daemon at work.
struct Daemon {
    child: Child,
    state: PathBuf,
    address: String,
    token: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// On a folder with `daemon.toml`; gives how long it took until it answered.
    fn start(bench: &Bench, folder: &Path) -> Result<(Self, Duration)> {
        let state = folder.join("state");
        let _ = std::fs::remove_file(state.join("address"));
        let begun = Instant::now();
        let child = bench
            .nasd()
            .args(["serve", "--config", "daemon.toml", "--state", "state"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut daemon = Self { child, state, address: String::new(), token: String::new() };
        loop {
            if begun.elapsed() > Duration::from_secs(120) || daemon.child.try_wait()?.is_some() {
                bail!("the daemon does not start");
            }
            std::thread::sleep(Duration::from_millis(5));
            let Ok(address) = std::fs::read_to_string(daemon.state.join("address")) else { continue };
            let address = address.trim();
            daemon.address = address.strip_prefix("http://").unwrap_or(address).to_owned();
            daemon.token = std::fs::read_to_string(daemon.state.join("token"))?.trim().to_owned();
            if daemon.get("/v1/runs?limit=1").is_ok() {
                return Ok((daemon, begun.elapsed()));
            }
        }
    }

    fn text(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            self.address, self.token
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{path}: {}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }

    fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(path)?)?)
    }

    /// Resident memory, in MiB.
    fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().next().context("no VmRSS")?.parse::<f64>()? / 1024.0)
    }

    /// The run, in short, once it is there.
    fn run(&self) -> Result<Value> {
        let page = self.get("/v1/runs?search=bench")?;
        Ok(page["runs"][0].clone())
    }
}

fn folder(bench: &Bench, name: &str, device: &str, search: &str) -> Result<PathBuf> {
    let folder = bench.folder.join(name);
    std::fs::create_dir_all(folder.join("searches"))?;
    let daemon = format!("listen = \"127.0.0.1:0\"\n[[device]]\nkind = \"{device}\"\ntrainers = 4\n");
    std::fs::write(folder.join("daemon.toml"), daemon)?;
    std::fs::write(folder.join("searches/bench.toml"), search)?;
    Ok(folder)
}

/// A component with another custom section: another build, which no cache has seen.
fn another_build(component: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let mut bytes = component.to_vec();
    bytes.extend([0, 22, 5]);
    bytes.extend(b"build");
    bytes.extend(now.to_le_bytes());
    bytes
}

/// A run whose strategy gets new builds.
struct Building {
    daemon: Daemon,
    component: Vec<u8>,
    path: PathBuf,
    folder: PathBuf,
    /// Who has the run.
    digest: String,
    /// When each build was saved, Unix seconds.
    saved: Vec<f64>,
}

impl Building {
    /// With jobs that take so many milliseconds.
    fn start(bench: &Bench, name: &str, pause: u32) -> Result<Self> {
        let search = crate::bench::trainings("strategy.wasm", 4, 100_000_000);
        let folder = folder(bench, name, &format!("null:{pause}"), &search)?;
        let component = std::fs::read(bench.strategies.join("random.wasm"))?;
        let path = folder.join("searches/strategy.wasm");
        std::fs::write(&path, &component)?;
        let (daemon, _) = Daemon::start(bench, &folder)?;
        let mut building = Self { daemon, component, path, folder, digest: String::new(), saved: Vec::new() };
        building.wait("the run does not begin")?;
        Ok(building)
    }

    /// Until another strategy has the run.
    fn wait(&mut self, otherwise: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let run = self.daemon.run()?;
            let digest = run["strategy"]["digest"].as_str().unwrap_or_default();
            if !digest.is_empty() && digest != self.digest {
                digest.clone_into(&mut self.digest);
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("{otherwise}: {run}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Save another build and wait until it has the run.
    fn build(&mut self) -> Result<()> {
        let number = self.saved.len() + 1;
        let unfinished = self.path.with_extension("tmp");
        std::fs::write(&unfinished, another_build(&self.component))?;
        self.saved.push(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64());
        std::fs::rename(&unfinished, &self.path)?;
        self.wait(&format!("build {number} neither took over nor was there a reason in a minute"))
    }

    /// End the daemon and read the journal.
    fn end(self, bench: &Bench) -> Result<Told> {
        drop(self.daemon);
        let mut print = bench.nasd();
        let printed = print.args(["journal", "print", "bench/1", "--state"]).arg(self.folder.join("state")).output()?;
        Told::read(&String::from_utf8(printed.stdout)?, &self.saved)
    }
}

/// A thousand builds of a strategy take over while four jobs are in flight.
pub fn builds(bench: &Bench) -> Result<Vec<Row>> {
    let mut building = Building::start(bench, "builds", 250)?;
    let mut warm = [0.0; 2];
    for number in 1..=BUILDS {
        building.build()?;
        for (warm, _) in warm.iter_mut().zip(WARM).filter(|(_, of)| *of == number) {
            *warm = building.daemon.memory()?;
        }
    }
    let last = building.daemon.memory()?;
    let gap = percentile(&building.daemon.text("/metrics")?, 0.99)?;
    let told = building.end(bench)?;
    Ok(vec![
        row(
            format!("{BUILDS} new builds under a run with 4 jobs in flight: took over, jobs told, lost, told twice"),
            format!("{}, {}, {}, {}", told.swaps, told.jobs, told.lost, told.doubled),
            "all, none lost or repeated",
        ),
        row(
            format!("resident memory after builds {} and {}, and after build {BUILDS}", WARM[0], WARM[1]),
            format!(
                "{:.1} and {:.1} MiB, {last:.1} MiB ({:+.1} and {:+.1} %)",
                warm[0],
                warm[1],
                100.0 * (last / warm[0] - 1.0),
                100.0 * (last / warm[1] - 1.0)
            ),
            "within 5 %",
        ),
        row("gap between two strategies' calls, 99th percentile", format!("{:.1} ms", gap * 1e3), "below 20 ms"),
    ])
}

/// How soon a saved build of a strategy in Rust is asked, where a slot is always about to be free.
pub fn effect(bench: &Bench) -> Result<Vec<Row>> {
    let mut building = Building::start(bench, "effect", 20)?;
    for _ in 0..EFFECTS {
        building.build()?;
    }
    let told = building.end(bench)?;
    Ok(vec![row(
        format!("save of a build to its first `ask`, median of {EFFECTS}"),
        format!("{:.2} s", middle(told.effects)),
        "below 0.5 s",
    )])
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What a journal says of a run with many builds.
struct Told {
    jobs: usize,
    lost: usize,
    doubled: usize,
    swaps: usize,
    /// From the save of a build to its first `ask`, in seconds.
    effects: Vec<f64>,
}

impl Told {
    fn read(journal: &str, saved: &[f64]) -> Result<Self> {
        let mut told: Vec<u64> = Vec::new();
        let (mut effects, mut waits, mut n_swaps) = (Vec::new(), None, 0);
        for line in journal.lines() {
            let record: Value = serde_json::from_str(line)?;
            let time = record["observed"]["time"].as_f64();
            match record["event"]["event"].as_str().or(record["event"].as_str()).unwrap_or_default() {
                "told" => told.extend(record["event"]["job"].as_u64().or(record["job"].as_u64())),
                "swapped" => {
                    waits = saved.get(n_swaps).copied();
                    n_swaps += 1;
                }
                "asked" => {
                    if let (Some(saved), Some(time)) = (waits.take(), time) {
                        effects.push(time - saved);
                    }
                }
                _ => {}
            }
        }
        let n = told.len();
        told.sort_unstable();
        told.dedup();
        let last = told.last().copied().unwrap_or_default();
        Ok(Self {
            jobs: n,
            lost: usize::try_from(last)? - told.len(),
            doubled: n - told.len(),
            swaps: n_swaps,
            effects,
        })
    }
}

/// A percentile of the gaps, as the upper end of its bucket.
fn percentile(metrics: &str, share: f64) -> Result<f64> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for line in metrics.lines().filter(|line| line.starts_with("nasd_swap_gap_seconds_bucket")) {
        let (_, rest) = line.split_once("le=\"").context("no le")?;
        let (bound, rest) = rest.split_once('"').context("no le")?;
        let count = rest.rsplit(' ').next().context("no count")?.parse::<f64>()?;
        buckets.push((bound.parse::<f64>().unwrap_or(f64::INFINITY), count));
    }
    let total = buckets.last().context("no gaps")?.1;
    Ok(buckets.into_iter().find(|(_, count)| *count >= share * total).context("no gaps")?.0)
}

/// A run of a hundred thousand jobs: what is asked of it, and starting on it.
pub fn many_jobs(bench: &Bench) -> Result<Vec<Row>> {
    let search = format!(
        "name = \"bench\"\n[task]\nkind = \"function\"\nfunction = \"ackley\"\n[strategy]\ncomponent = \"random\"\n[budget]\njobs = {JOBS}\n[scheduling]\nsavepoint-every = 1000\n"
    );
    let folder = folder(bench, "many", "null", &search)?;
    let (daemon, _) = Daemon::start(bench, &folder)?;
    let begun = Instant::now();
    while daemon.run()?["state"] != "ended" {
        std::thread::sleep(Duration::from_millis(200));
        let run = daemon.run()?;
        if run["state"] == "waiting" || begun.elapsed() > Duration::from_secs(300) {
            bail!("{JOBS} jobs are not done: {run}");
        }
    }
    let timed = |daemon: &Daemon, path: &str| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            daemon.text(path)?;
            times.push(begun.elapsed().as_secs_f64());
        }
        Ok(middle(times))
    };
    let paths = [
        ("list", "/v1/runs".to_owned()),
        ("show", "/v1/runs/bench/1".to_owned()),
        ("a page of jobs", format!("/v1/runs/bench/1/jobs?from={}&limit=100", JOBS / 2)),
        ("the last page", format!("/v1/runs/bench/1/jobs?from={}&limit=100", JOBS - 50)),
    ];
    let mut rows = Vec::new();
    for (what, path) in &paths {
        let time = timed(&daemon, path)?;
        rows.push(row(format!("{what}, of a run with {JOBS} jobs"), format!("{:.1} ms", time * 1e3), "below 100 ms"));
    }
    drop(daemon);
    let (daemon, start) = Daemon::start(bench, &folder)?;
    rows.push(row(
        "start of a daemon on it, to its first answer",
        format!("{:.2} s", start.as_secs_f64()),
        "below 5 s",
    ));
    drop(daemon);
    Ok(rows)
}
