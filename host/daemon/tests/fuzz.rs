//! Hostile bytes for everything that reads bytes it did not write in this process: journals, search files, strategies'
//! snapshots, messages of trainers. Each is a sound specimen with a few bytes changed, cut, doubled or spliced with
//! another, without guidance by coverage. Whatever comes: an answer or an error, never a panic.
//!
//! A few thousand of each, the same every time, and what was once found (`tests/fuzz`), are part of every test run;
//! `NASD_FUZZ_SECONDS=600 cargo test --workspace --test fuzz` goes on for ten minutes a target with seeds of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nasd::search::{Places, Search, resolve};
use nasd_protocol::{
    Event, Job, JobId, LogLevel, Prior, Record, Request, Snapshot, frame,
    trainer::{FromTrainer, ToTrainer},
};
use nasd_space::{RandomSource, StreamRandom};
use nasd_store::{Files, Journal, JournalReader, ResultStore, RunId, StateFolder, fault::FaultyFiles};
use nasd_strategy::{
    Runtime, RuntimeOptions, Services,
    services::{HistoryService, LogSink},
};
use support::built;

/// Specimens changed in an ordinary test run, of each target.
const USUAL: u64 = 3_000;

/// Bytes of which one is put in now and then: ends of ranges, lengths, signs.
const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xc0, 0xdf, 0xfe, 0xff];

/// A specimen with a few things changed.
fn mutant(specimens: &[Vec<u8>], random: &mut StreamRandom) -> Vec<u8> {
    let pick = |random: &mut StreamRandom| specimens[random.below(specimens.len() as u64) as usize].clone();
    let mut bytes = pick(random);
    for _ in 0..=random.below(4) {
        let length = bytes.len() as u64;
        let at = random.below(length + 1) as usize;
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, TELLING[random.below(8) as usize]),
            2 if at < bytes.len() => bytes[at] = TELLING[random.below(8) as usize],
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            5 => {
                let other = pick(random);
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            6 => {
                let end = (at + random.below(64) as usize).min(bytes.len());
                let doubled = bytes[at..end].to_vec();
                bytes.splice(at..at, doubled);
            }
            _ if at + 4 <= bytes.len() => bytes[at..at + 4].copy_from_slice(&(random.next_u64() as u32).to_le_bytes()),
            _ => {}
        }
    }
    bytes
}

fn found_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(target)
}

/// What was once found, then specimens changed at random; a finding is kept for ever.
fn fuzz(target: &str, specimens: &[Vec<u8>], read: impl Fn(&[u8])) {
    let check = |bytes: &[u8], from: &str| {
        if catch_unwind(AssertUnwindSafe(|| read(bytes))).is_err() {
            let folder = found_folder(target);
            std::fs::create_dir_all(&folder).unwrap();
            let kept = folder.join(&blake3::hash(bytes).to_hex()[..16]);
            std::fs::write(&kept, bytes).unwrap();
            panic!("{target}: a panic by {from}; kept as {}", kept.display());
        }
    };
    for entry in std::fs::read_dir(found_folder(target)).into_iter().flatten().flatten() {
        check(&std::fs::read(entry.path()).unwrap(), &entry.path().display().to_string());
    }
    specimens.iter().for_each(|specimen| check(specimen, "a sound specimen"));
    let seconds: Option<u64> = std::env::var("NASD_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let (begun, mut n) = (Instant::now(), 0u64);
    let base = seconds.map_or(0, |_| u64::from(std::process::id()));
    while seconds.map_or(n < USUAL, |seconds| begun.elapsed() < Duration::from_secs(seconds)) {
        n += 1;
        let mut random = StreamRandom::new(base.wrapping_mul(1 << 32).wrapping_add(n), target);
        check(&mutant(specimens, &mut random), &format!("mutant {n} of {base}"));
    }
    println!("{target}: {n} mutants of {} specimens in {:.0} s", specimens.len(), begun.elapsed().as_secs_f64());
}

fn search(text: &str) -> Option<Search> {
    let name = text.split("component = \"").nth(1)?.split('"').next()?.to_owned();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.wasm"), built(&name)?).unwrap();
    let text = text.replace(&format!("component = \"{name}\""), "component = \"s.wasm\"");
    let file = nasd::configuration::parse(&text, "search.toml", &[]).unwrap();
    let places = Places { state: folder.path().join("state"), data: folder.path().join("data") };
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(tokio.block_on(resolve(file, &folder.path().join("search.toml"), &places, &runtime)).unwrap())
}

fn on_cells(strategy: &str) -> String {
    format!(
        "name = \"s\"\nspace = \"nas-bench-201\"\n[task]\ndata = \"digits\"\nfidelity = 2\n[strategy]\ncomponent = \"{strategy}\"\n"
    )
}

/// Of one job.
fn records() -> Vec<Record> {
    let search = search(&on_cells("random")).map(|search| search.setup);
    let mut events = Vec::new();
    if let Some(setup) = search {
        let strategy =
            nasd_protocol::event::StrategyIdentity { name: "random".into(), version: "1".into(), digest: "ab".into() };
        events.push(Event::Begun {
            configuration: "{}".into(),
            configuration_digest: "cd".into(),
            seed: 1,
            strategy,
            setup: Box::new(setup),
        });
    }
    events.push(Event::Started { random: 3 });
    let request = Request { slots: 1, next_id: 1, in_flight: vec![], jobs_left: Some(4), budget_used: 0.5 };
    events.push(Event::Asked { request, answer: nasd_protocol::Answer::Wait, random: 7 });
    events.push(Event::Resumed { savepoint: Some(1), supersedes: (2, 3) });
    events.push(Event::Charted { name: "entropy".into(), value: f64::NAN });
    events.push(Event::Logged { level: LogLevel::Warn, message: "text".into() });
    events.push(Event::Adjusted { budget: "{\"jobs\":3}".into(), slots: 4, random: 7 });
    (0..).zip(events).map(|(sequence, event)| Record { sequence, event, observed: Default::default() }).collect()
}

#[test]
fn journals() {
    let path = Path::new("/state/runs/s/1/journal");
    let files = FaultyFiles::new().shared();
    files.create_dir_all(path.parent().unwrap()).unwrap();
    let mut journal = Journal::create(files.clone(), path).unwrap();
    for record in records() {
        journal.append_record(&record).unwrap();
    }
    journal.sync().unwrap();
    let whole = files.read(path).unwrap();
    fuzz("journals", &[whole.clone(), whole[..whole.len() / 2].to_vec()], |bytes| {
        let files: Files = FaultyFiles::new().shared();
        files.create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = files.create_new(path).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_data().unwrap();
        let read: Vec<_> = JournalReader::open(&files, path).into_iter().flatten().collect();
        let sound: Vec<Record> = read.into_iter().flatten().collect();
        let _ = nasd_store::digest(&sound);
        let state = StateFolder::open_with(files.clone(), Path::new("/state")).unwrap();
        let _ = ResultStore::in_memory(&state);
        let _ = Journal::open(files, path);
        let _ = "s/1".parse::<RunId>();
    });
}

#[test]
fn search_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/searches");
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.unwrap().path()).unwrap();
    let specimens: Vec<Vec<u8>> = std::fs::read_dir(folder).unwrap().map(read).collect();
    fuzz("search-files", &specimens, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(error) = nasd::configuration::parse(&text, "a.toml", &[]) {
            let line = error.to_string();
            assert!(line.starts_with("a.toml:") && !line.contains('\n'), "{line}");
        }
    });
}

#[test]
fn trainer_messages() {
    let said = [
        FromTrainer::Ready { libtorch: "2.13".into(), device: "cpu".into(), threads: 1 },
        FromTrainer::Heartbeat { job: Some(3), progress: 0.5 },
        FromTrainer::Checkpointed { digest: "ab".into(), steps_done: 9 },
        FromTrainer::Failed {
            job: 1,
            failure: nasd_protocol::Failure {
                kind: nasd_protocol::FailureKind::Infrastructure,
                message: "text".into(),
            },
        },
    ];
    let orders = [ToTrainer::Checkpoint, ToTrainer::Cancel { job: 1 }, ToTrainer::Shutdown];
    let mut specimens: Vec<Vec<u8>> = said.iter().map(|message| frame::encode(message).unwrap()).collect();
    specimens.extend(orders.iter().map(|message| frame::encode(message).unwrap()));
    specimens.push(specimens.concat());
    fuzz("trainer-messages", &specimens, |bytes| {
        let mut stream = bytes;
        while frame::read::<FromTrainer>(&mut stream).is_ok() {}
        let mut stream = bytes;
        while frame::read::<ToTrainer>(&mut stream).is_ok() {}
        let _ = frame::decode_body::<FromTrainer>(bytes);
        let _ = frame::decode_body::<ToTrainer>(bytes);
    });
}

struct Nothing;

impl HistoryService for Nothing {
    fn get(&self, _: JobId) -> Option<Job> {
        None
    }
    fn page(&self, _: JobId, _: u32) -> Vec<Job> {
        Vec::new()
    }
    fn priors(&self, _: u64, _: u32) -> Vec<Prior> {
        Vec::new()
    }
}

impl LogSink for Nothing {
    fn write(&self, _: LogLevel, _: &str) {}
    fn chart(&self, _: &str, _: f64) {}
}

#[test]
fn snapshots() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["random", "regularized-evolution", "reinforce", "local-search"] {
        let Some(search) = search(&on_cells(name)) else { return };
        let limits = &search.file.strategy.limits;
        let services = || Services {
            random: StreamRandom::new(1, "strategy"),
            space: search.task.clone(),
            history: Arc::new(Nothing),
            log: Arc::new(Nothing),
        };
        let request = |next_id| Request { slots: 4, next_id, in_flight: vec![], jobs_left: None, budget_used: 0.0 };
        let (format, specimens) = tokio.block_on(async {
            let mut instance = search.component.instantiate(services(), limits).await.unwrap();
            instance.start(&search.setup).await.unwrap();
            let first = instance.save().await.unwrap();
            instance.ask(&request(1)).await.unwrap();
            (first.format.clone(), vec![first.bytes, instance.save().await.unwrap().bytes])
        });
        fuzz(&format!("snapshots/{name}"), &specimens, |bytes| {
            tokio.block_on(async {
                let mut instance = search.component.instantiate(services(), limits).await.unwrap();
                let snapshot = Snapshot { format: format.clone(), bytes: bytes.to_vec(), needs_weights: vec![] };
                if instance.restore(&search.setup, &snapshot).await.is_ok() {
                    let _ = instance.ask(&request(5)).await;
                    let _ = instance.save().await;
                }
            });
        });
    }
}
