//! The message loop: orders in, answers out, a heartbeat beside.
//!
//! A thread reads, so that `Cancel` and `Verdict` are seen while a job runs; another beats. The process ends when its
//! channel does: without a daemon nobody wants the result.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nasd_protocol::contract::{JobId, Point, Verdict};
use nasd_protocol::frame::{self, FrameError};
use nasd_protocol::trainer::{FromTrainer, ToTrainer};
use tch::Device;

use crate::checkpoint::WeightsFolder;
use crate::classifier::{Supervisor, train};
use crate::error::{Result, TrainError};
use crate::session::Session;
use crate::task::DataSource;
use crate::threads;

/// The release of the libtorch that is linked, as its headers say (see build.rs).
const LIBTORCH: &str = env!("NASD_LIBTORCH_RELEASE");

const HEARTBEAT: Duration = Duration::from_secs(2);

/// The trainer's command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it computes.
    pub device: Device,
    /// The device's name.
    pub device_name: String,
    /// Threads of one operation, at most (see [`crate::threads`]).
    pub threads: u32,
    /// Folder of data sets.
    pub data: PathBuf,
    /// Folder of weights files.
    pub weights: PathBuf,
}

#[derive(Default)]
struct Inbox {
    messages: VecDeque<ToTrainer>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    work: Mutex<(Option<JobId>, f64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Wait for a message that `wanted` picks; none once the channel is closed.
    fn wait(&self, mut wanted: impl FnMut(&ToTrainer) -> bool) -> Option<ToTrainer> {
        let mut inbox = lock(&self.inbox);
        loop {
            if let Some(at) = inbox.messages.iter().position(&mut wanted) {
                return inbox.messages.remove(at);
            }
            if inbox.closed {
                return None;
            }
            inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn cancels(&self, job: JobId) -> bool {
        let mut inbox = lock(&self.inbox);
        let before = inbox.messages.len();
        inbox.messages.retain(|message| *message != ToTrainer::Cancel { job });
        inbox.messages.len() < before
    }
}

type Output = Arc<Mutex<Box<dyn Write + Send>>>;

struct Talk<'a> {
    job: JobId,
    shared: &'a Shared,
    output: &'a Output,
}

fn send(output: &Output, message: &FromTrainer) -> Result<()> {
    let mut stream = lock(output);
    frame::write(&mut *stream, message)
        .and_then(|()| stream.flush().map_err(FrameError::Io))
        .map_err(|error| TrainError::Unsupported(format!("the channel cannot be written: {error}")))
}

impl Supervisor for Talk<'_> {
    fn is_cancelled(&mut self, progress: f64) -> bool {
        *lock(&self.shared.work) = (Some(self.job), progress);
        self.shared.cancels(self.job)
    }

    fn saved(&mut self, fidelity: u32, digest: &str) -> Result<()> {
        send(self.output, &FromTrainer::Saved { job: self.job, fidelity, weights: digest.to_owned() })
    }

    fn report(&mut self, point: &Point, waiting: bool) -> Result<Verdict> {
        let job = self.job;
        send(self.output, &FromTrainer::Reported { job, point: point.clone(), waiting })?;
        if !waiting {
            return Ok(Verdict::Proceed);
        }
        let answer = self.shared.wait(|message| match message {
            ToTrainer::Verdict { job: of, .. } | ToTrainer::Cancel { job: of } => *of == job,
            ToTrainer::Shutdown => true,
            _ => false,
        });
        match answer {
            Some(ToTrainer::Verdict { verdict, .. }) => Ok(verdict),
            _ => Err(TrainError::Cancelled),
        }
    }
}

/// Serve until `Shutdown` or the end of `input`; an error is a malformed message or a broken channel.
pub fn serve(
    mut input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    options: &Options,
    on_end: impl Fn(Option<FrameError>) + Send + 'static,
) -> Result<()> {
    let output: Output = Arc::new(Mutex::new(Box::new(output)));
    let shared = Arc::new(Shared::default());
    let libtorch = LIBTORCH.to_owned();
    send(&output, &FromTrainer::Ready { libtorch, device: options.device_name.clone(), threads: options.threads })?;
    let reader = Arc::clone(&shared);
    std::thread::spawn(move || {
        let end = loop {
            match frame::read::<ToTrainer>(&mut input) {
                Ok(message) => lock(&reader.inbox).messages.push_back(message),
                Err(FrameError::End) => break None,
                Err(error) => break Some(error),
            }
            reader.arrived.notify_all();
        };
        lock(&reader.inbox).closed = true;
        reader.arrived.notify_all();
        on_end(end);
    });
    let (beating, beat_output) = (Arc::clone(&shared), Arc::clone(&output));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(HEARTBEAT);
            let (job, progress) = *lock(&beating.work);
            if send(&beat_output, &FromTrainer::Heartbeat { job, progress }).is_err() {
                return;
            }
        }
    });
    let mut data = DataSource::new(options.data.clone());
    let mut session: Option<Session> = None;
    let mut session_threads = 1;
    let folder = WeightsFolder::new(options.weights.clone());
    while let Some(message) = shared.wait(|_| true) {
        let started = Instant::now();
        let (job, answer) = match message {
            ToTrainer::Shutdown => return Ok(()),
            ToTrainer::Verdict { .. } | ToTrainer::Cancel { .. } => continue,
            ToTrainer::Train(order) => {
                let job = order.job;
                let mut talk = Talk { job, shared: &shared, output: &output };
                let finished = guarded(|| {
                    use_threads(threads::useful(&order.graph, order.recipe.batch_size, options.threads)?);
                    let shared = session.as_ref().map(Session::weights);
                    train(&order, &mut data, &folder, shared, options.device, &mut talk)
                });
                let answer = finished.map(|finished| FromTrainer::Trained {
                    job,
                    trained: finished.trained,
                    test: finished.test,
                    weights: finished.weights,
                    device_seconds: finished.device_seconds,
                });
                (job, answer)
            }
            ToTrainer::Run(order) => {
                (order.job, Err(TrainError::Unsupported("a trainer of networks runs no programs".into())))
            }
            ToTrainer::OpenSession(order) => {
                // The old graph's memory is needed for the new one.
                session = None;
                let opened = guarded(|| {
                    session_threads = threads::useful(&order.graph, order.recipe.batch_size, options.threads)?;
                    use_threads(session_threads);
                    Session::open(*order, &mut data, &folder, options.device)
                });
                let answer = opened.map(|opened| {
                    let ([train, validation], [steps_done, scheduled_steps]) = (opened.batches(), opened.updates());
                    session = Some(opened);
                    let [train_batches, validation_batches] =
                        [train, validation].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                    FromTrainer::SessionOpened { train_batches, validation_batches, steps_done, scheduled_steps }
                });
                (0, answer)
            }
            ToTrainer::TrainShared { job, steps } => {
                let mut talk = Talk { job, shared: &shared, output: &output };
                use_threads(session_threads);
                let answer = on(&mut session, |session| {
                    session.train_shared(&steps, &mut |progress| talk.is_cancelled(progress))
                });
                let device_seconds = started.elapsed().as_secs_f64();
                (job, answer.map(|results| FromTrainer::SharedSteps { job, results, device_seconds }))
            }
            ToTrainer::EvaluateShared { job, evaluation } => {
                let mut talk = Talk { job, shared: &shared, output: &output };
                use_threads(session_threads);
                let answer = on(&mut session, |session| {
                    session.evaluate_shared(&evaluation, &mut |progress| talk.is_cancelled(progress))
                });
                let device_seconds = started.elapsed().as_secs_f64();
                (job, answer.map(|results| FromTrainer::SharedEvaluated { job, results, device_seconds }))
            }
            ToTrainer::Checkpoint => {
                let answer = on(&mut session, |session| {
                    let digest = session.checkpoint(&folder)?;
                    let [steps_done, _] = session.updates();
                    Ok(FromTrainer::Checkpointed { digest, steps_done })
                });
                (0, answer)
            }
        };
        *lock(&shared.work) = (None, 0.0);
        let answer = answer.unwrap_or_else(|error| FromTrainer::Failed { job, failure: error.failure() });
        send(&output, &answer)?;
    }
    Ok(())
}

fn use_threads(threads: u32) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
}

/// A job on the session; a panic closes it, as nobody knows what it left.
fn on<T>(session: &mut Option<Session>, job: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
    let open = session.as_mut().ok_or_else(|| TrainError::Unsupported("no session is open".into()))?;
    let answer = guarded(|| job(open));
    if matches!(answer, Err(TrainError::Panic(_))) {
        *session = None;
    }
    answer
}

/// A panic in a job is that job's failure.
fn guarded<T>(job: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(TrainError::Panic(text.lines().next().unwrap_or_default().to_owned()))
    })
}
