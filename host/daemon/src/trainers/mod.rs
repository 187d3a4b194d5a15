//! Trainers as the run loop sees them: numbered places that take [`ToTrainer`] and give [`FromTrainer`], whether a
//! child process or the null trainer stands behind them. A lost trainer is an event, not an error.

mod command;
mod null;
mod process;
mod serve_null;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nasd_protocol::trainer::{FromTrainer, ToTrainer};
use nasd_store::WeightsFolder;
use tokio::sync::mpsc;

pub use serve_null::serve_null;

/// Number of a trainer; a replacement gets a new one.
pub type TrainerId = u32;

/// What came from a trainer.
#[derive(Debug)]
pub enum TrainerEvent {
    /// It said something.
    Said(Box<FromTrainer>),
    /// It is gone.
    Lost(String),
}

/// How trainers are started.
#[derive(Clone, Debug)]
pub enum TrainerKind {
    /// Child processes.
    Process {
        /// The `nasd-trainer` binary.
        program: PathBuf,
        /// `cpu`, `cuda:0`.
        device: String,
        /// Threads of each.
        threads: u32,
        /// Folder of data sets.
        data: PathBuf,
        /// Folder of weights.
        weights: PathBuf,
    },
    /// The null trainer in child processes: what transport and supervision cost without training.
    NullProcess {
        /// This program.
        program: PathBuf,
        /// Folder of weights.
        weights: PathBuf,
    },
    /// External programs, one a job.
    Command,
    /// In this process: results are a function of the network alone. For tests and benchmarks of everything else.
    Null {
        /// Where its checkpoints go: they hold little, but are written and read as a real trainer's are.
        weights: WeightsFolder,
        /// How long it takes for a training.
        pause: Duration,
    },
}

#[derive(Debug)]
struct Running {
    id: TrainerId,
    orders: mpsc::UnboundedSender<ToTrainer>,
    /// Of its process, if it has one.
    pid: Option<u32>,
}

/// All trainers of this process.
pub struct Trainers {
    next: TrainerId,
    running: Vec<Running>,
    events: mpsc::UnboundedSender<(TrainerId, TrainerEvent)>,
}

impl Trainers {
    /// None yet; their events come through the receiver.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<(TrainerId, TrainerEvent)>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (Self { next: 0, running: Vec::new(), events }, receiver)
    }

    /// Start one more; it is ready when it says so.
    pub fn start(&mut self, kind: &TrainerKind) -> TrainerId {
        let id = self.next;
        self.next += 1;
        let (orders, receiver) = mpsc::unbounded_channel();
        let events = self.events.clone();
        let pid = match kind {
            TrainerKind::Null { weights, pause } => {
                null::start(id, weights.clone(), *pause, receiver, events);
                None
            }
            TrainerKind::Command => {
                command::start(id, receiver, events);
                None
            }
            TrainerKind::Process { program, device, threads, data, weights } => {
                let arguments = process::Arguments { subcommand: None, device, threads: *threads, data, weights };
                process::start(id, program, &arguments, receiver, events)
            }
            TrainerKind::NullProcess { program, weights } => {
                let (subcommand, device, data) = (Some("null-trainer"), "null", Path::new("."));
                let arguments = process::Arguments { subcommand, device, threads: 1, data, weights };
                process::start(id, program, &arguments, receiver, events)
            }
        };
        self.running.push(Running { id, orders, pid });
        id
    }

    /// Give a trainer an order; one that is gone says so by its own event.
    pub fn send(&self, id: TrainerId, order: ToTrainer) {
        if let Some(running) = self.running.iter().find(|running| running.id == id) {
            let _ = running.orders.send(order);
        }
    }

    /// Forget a trainer: a process whose orders end is ended.
    pub fn forget(&mut self, id: TrainerId) {
        self.running.retain(|running| running.id != id);
    }

    /// Resident memory of a trainer's process, in bytes, where the system says.
    pub fn memory(&self, id: TrainerId) -> Option<u64> {
        let running = self.running.iter().find(|running| running.id == id)?;
        resident_memory(&running.pid?.to_string())
    }
}

/// Resident memory of a process (`self`, or its number), in bytes, where the system says.
pub fn resident_memory(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
