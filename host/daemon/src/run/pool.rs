//! The trainers of this process, shared by its runs.
//!
//! A *place* does one job at a time. Jobs of all runs wait in the engine's scheduler for the next free place; there
//! the place's own trainer does them, or, for work on shared weights, the trainer that holds the run's one-shot
//! graph. So a share of the places is a share of the machine, whatever is done there. Trainers start when they are
//! first needed. What a trainer says goes to the run whose job it has; a run that is gone leaves nobody to hear it,
//! and its trainers go on with other runs' jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nasd_engine::scheduler::{Assignment, PlaceId, RunId, Scheduler};
use nasd_protocol::{
    JobId,
    trainer::{FromTrainer, Start, ToTrainer},
};
use tokio::sync::mpsc;

use crate::trainers::{TrainerEvent, TrainerId, TrainerKind, Trainers};

/// What a run hears of the trainers that do its jobs.
#[derive(Debug)]
pub enum Heard {
    /// One said something.
    Said(Box<FromTrainer>),
    /// One is gone.
    Lost {
        /// The job it had; none: it held the one-shot graph.
        job: Option<JobId>,
        /// It had said that it is ready.
        was_ready: bool,
        /// For people.
        reason: String,
    },
}

/// All that a run hears.
pub type Events = mpsc::UnboundedReceiver<Heard>;

/// Number of the order to save a run's shared weights, which waits its turn like a job.
const CHECKPOINT: JobId = JobId::MAX;

/// Somewhere to train.
#[derive(Clone, Debug)]
pub struct Device {
    /// `cpu`, `cuda:0`, `null`.
    pub name: String,
    /// How its trainers are started.
    pub kind: TrainerKind,
    /// How the trainer of a one-shot graph is started: with all its threads.
    pub shared: TrainerKind,
    /// Jobs at a time.
    pub places: u32,
}

/// Which of a place's trainers a job needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Skill {
    /// Networks.
    Train,
    /// External programs.
    Run,
}

#[derive(Debug)]
struct Place {
    device: usize,
    trainers: BTreeMap<Skill, TrainerId>,
}

/// What is known of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceState {
    /// Its name.
    pub name: String,
    /// Jobs at a time.
    pub places: u32,
    /// Jobs there now.
    pub busy: u32,
    /// Trainers that run.
    pub trainers: u32,
    /// Trainers that were lost.
    pub lost: u64,
    /// Resident memory of its trainers' processes, in bytes.
    pub memory: u64,
}

/// Trainers and the queue in front of them.
pub struct Pool {
    trainers: Trainers,
    scheduler: Scheduler,
    devices: Vec<Device>,
    lost: Vec<u64>,
    places: BTreeMap<PlaceId, Place>,
    /// Orders of jobs that wait for a place.
    orders: BTreeMap<(RunId, JobId), ToTrainer>,
    /// Who does each place's job.
    doers: BTreeMap<PlaceId, TrainerId>,
    /// The trainers of one-shot graphs, and the devices they are on.
    sessions: BTreeMap<RunId, (TrainerId, usize)>,
    /// Trainers that have not said that they are ready.
    unready: BTreeSet<TrainerId>,
    runs: BTreeMap<RunId, mpsc::UnboundedSender<Heard>>,
    next_run: RunId,
}

/// A pool, held by all runs.
#[derive(Clone)]
pub struct SharedPool(Arc<Mutex<Pool>>);

impl SharedPool {
    /// Places on these devices. Needs a runtime: what trainers say is passed on by a task that ends when they do.
    pub fn start(devices: Vec<Device>) -> Self {
        let (trainers, mut said) = Trainers::new();
        let mut scheduler = Scheduler::default();
        let mut places = BTreeMap::new();
        let devices_of_places =
            devices.iter().enumerate().flat_map(|(number, device)| (0..device.places).map(move |_| number));
        for (place, device) in (0..).zip(devices_of_places) {
            scheduler.add_place(place);
            places.insert(place, Place { device, trainers: BTreeMap::new() });
        }
        let shared = Self(Arc::new(Mutex::new(Pool {
            trainers,
            scheduler,
            lost: vec![0; devices.len()],
            devices,
            places,
            orders: BTreeMap::new(),
            doers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            unready: BTreeSet::new(),
            runs: BTreeMap::new(),
            next_run: 0,
        })));
        let weak = Arc::downgrade(&shared.0);
        tokio::spawn(async move {
            while let Some((trainer, event)) = said.recv().await {
                let Some(pool) = weak.upgrade() else { return };
                Self(pool).lock().pass_on(trainer, event);
            }
        });
        shared
    }

    /// Alone with the pool.
    pub fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A run takes part with this weight; what it hears.
    pub fn add_run(&mut self, weight: f64, priority: i32) -> (RunId, Events) {
        let run = self.next_run;
        self.next_run += 1;
        self.scheduler.add_run(run, weight, priority);
        let (sender, receiver) = mpsc::unbounded_channel();
        self.runs.insert(run, sender);
        (run, receiver)
    }

    /// Change a run's weight and priority.
    pub fn set_share(&mut self, run: RunId, weight: f64, priority: i32) {
        self.scheduler.set_share(run, weight, priority);
    }

    /// A run is over or suspended: its jobs are not wanted any more.
    pub fn remove_run(&mut self, run: RunId) {
        self.runs.remove(&run);
        self.scheduler.remove_run(run);
        self.orders.retain(|(other, _), _| *other != run);
        for (place, job) in self.scheduler.running(run) {
            let doer = self.doers.get(&place).copied();
            match doer.filter(|doer| !self.is_session(*doer)) {
                // The place is free when it answers.
                Some(trainer) => self.trainers.send(trainer, ToTrainer::Cancel { job }),
                None => self.free(place),
            }
        }
        self.close_session(run);
        self.assign();
    }

    /// Jobs at a time.
    pub fn n_places(&self) -> usize {
        self.places.len()
    }

    /// Jobs under way.
    pub fn n_running(&self) -> usize {
        self.scheduler.n_running()
    }

    /// What is known of the devices.
    pub fn devices(&self) -> Vec<DeviceState> {
        let of = |(number, device): (usize, &Device)| {
            let places = self.places.iter().filter(|(_, place)| place.device == number);
            let sessions = self.sessions.values().filter(|(_, device)| *device == number);
            let memory = sessions.clone().filter_map(|(trainer, _)| self.trainers.memory(*trainer)).sum();
            let sessions = sessions.count();
            let mut state = DeviceState {
                name: device.name.clone(),
                places: device.places,
                trainers: u32::try_from(sessions).unwrap_or(u32::MAX),
                lost: self.lost.get(number).copied().unwrap_or_default(),
                memory,
                ..DeviceState::default()
            };
            for (place, at) in places {
                state.busy += u32::from(self.scheduler.doing(*place).is_some());
                state.trainers += u32::try_from(at.trainers.len()).unwrap_or(u32::MAX);
                state.memory += at.trainers.values().filter_map(|trainer| self.trainers.memory(*trainer)).sum::<u64>();
            }
            state
        };
        self.devices.iter().enumerate().map(of).collect()
    }

    fn is_session(&self, trainer: TrainerId) -> bool {
        self.sessions.values().any(|(other, _)| *other == trainer)
    }

    fn is_at_a_place(&self, trainer: TrainerId) -> bool {
        self.places.values().any(|place| place.trainers.values().any(|other| *other == trainer))
    }

    /// A trainer said something or is gone: see to its place, then tell the run whose job it has.
    fn pass_on(&mut self, trainer: TrainerId, event: TrainerEvent) {
        let place = self.doers.iter().find(|(_, doer)| **doer == trainer).map(|(place, _)| *place);
        let doing = place.and_then(|place| self.scheduler.doing(place));
        let holder = self.sessions.iter().find(|(_, (other, _))| *other == trainer).map(|(run, _)| *run);
        let heard = match event {
            // One that was told to end, with its session.
            TrainerEvent::Lost(_) if holder.is_none() && !self.is_at_a_place(trainer) => return,
            TrainerEvent::Lost(reason) => {
                let was_ready = !self.unready.remove(&trainer);
                self.forget(trainer);
                let job = doing.filter(|_| holder.is_none()).map(|(_, job)| job);
                if job.is_none() && holder.is_none() {
                    tracing::warn!(trainer, reason, "an idle trainer was lost");
                }
                Heard::Lost { job, was_ready, reason }
            }
            TrainerEvent::Said(said) => {
                self.unready.remove(&trainer);
                let done = match &*said {
                    FromTrainer::Trained { job, .. }
                    | FromTrainer::SharedSteps { job, .. }
                    | FromTrainer::SharedEvaluated { job, .. }
                    | FromTrainer::Failed { job, .. } => Some(*job),
                    FromTrainer::Checkpointed { .. } => Some(CHECKPOINT),
                    _ => None,
                };
                if let Some(job) = done.filter(|job| *job != 0) {
                    let run = holder.or(doing.map(|(run, _)| run));
                    let Some(place) = run.and_then(|run| self.scheduler.place_of(run, job)) else { return };
                    self.free(place);
                }
                Heard::Said(said)
            }
        };
        if let Some(hearer) = holder.or(doing.map(|(run, _)| run)).and_then(|run| self.runs.get(&run)) {
            let _ = hearer.send(heard);
        }
        self.assign();
    }

    fn free(&mut self, place: PlaceId) {
        self.doers.remove(&place);
        self.scheduler.release(place);
    }

    /// A trainer is gone.
    fn forget(&mut self, trainer: TrainerId) {
        self.trainers.forget(trainer);
        let session = self.sessions.iter().find(|(_, (other, _))| *other == trainer).map(|(run, at)| (*run, at.1));
        let mut device = session.map(|(_, device)| device);
        if let Some((run, _)) = session {
            self.sessions.remove(&run);
        }
        for place in self.places.values_mut().filter(|place| place.trainers.values().any(|other| *other == trainer)) {
            place.trainers.retain(|_, other| *other != trainer);
            device = Some(place.device);
        }
        let places: Vec<PlaceId> =
            self.doers.iter().filter(|(_, doer)| **doer == trainer).map(|(place, _)| *place).collect();
        places.into_iter().for_each(|place| self.free(place));
        if let Some(lost) = device.and_then(|device| self.lost.get_mut(device)) {
            *lost += 1;
        }
    }

    /// A job waits for a place.
    pub fn submit(&mut self, run: RunId, job: JobId, order: ToTrainer, duration: f64) {
        self.orders.insert((run, job), order);
        self.scheduler.enqueue(run, job, duration);
        self.assign();
    }

    /// A job's result is not needed.
    pub fn cancel(&mut self, run: RunId, job: JobId) {
        if self.scheduler.cancel(run, job) {
            self.orders.remove(&(run, job));
        } else if let Some(place) = self.scheduler.place_of(run, job)
            && let Some(&doer) = self.doers.get(&place)
            && !self.is_session(doer)
        {
            self.trainers.send(doer, ToTrainer::Cancel { job });
        }
    }

    fn assign(&mut self) {
        while let Some(Assignment { place, run, job }) = self.scheduler.assign() {
            let doer = match self.orders.get(&(run, job)) {
                Some(ToTrainer::TrainShared { .. } | ToTrainer::EvaluateShared { .. } | ToTrainer::Checkpoint) => {
                    self.sessions.get(&run).map(|(trainer, _)| *trainer)
                }
                Some(ToTrainer::Train(order)) if order.start == Start::Shared => {
                    self.sessions.get(&run).map(|(trainer, _)| *trainer)
                }
                Some(ToTrainer::Run(_)) => self.trainer_at(place, Skill::Run),
                Some(_) => self.trainer_at(place, Skill::Train),
                None => None,
            };
            match (doer, self.orders.remove(&(run, job))) {
                (Some(doer), Some(order)) => {
                    self.doers.insert(place, doer);
                    self.trainers.send(doer, order);
                }
                // The one-shot graph was lost: its run hears so and takes the job up again.
                _ => self.scheduler.release(place),
            }
        }
    }

    /// A place's trainer, started if there is none.
    fn trainer_at(&mut self, place: PlaceId, skill: Skill) -> Option<TrainerId> {
        let at = self.places.get_mut(&place)?;
        if let Some(trainer) = at.trainers.get(&skill) {
            return Some(*trainer);
        }
        let kind = match skill {
            Skill::Run => &TrainerKind::Command,
            Skill::Train => &self.devices.get(at.device)?.kind,
        };
        let trainer = self.trainers.start(kind);
        at.trainers.insert(skill, trainer);
        self.unready.insert(trainer);
        Some(trainer)
    }

    /// Start the trainer of a run's one-shot graph, on the device with the fewest of them; `open` is its first order.
    pub fn open_session(&mut self, run: RunId, open: ToTrainer) {
        let n_at = |device: usize| self.sessions.values().filter(|(_, other)| *other == device).count();
        let Some(device) = (0..self.devices.len()).min_by_key(|device| n_at(*device)) else { return };
        let Some(kind) = self.devices.get(device).map(|device| &device.shared) else { return };
        let trainer = self.trainers.start(kind);
        self.unready.insert(trainer);
        self.trainers.send(trainer, open);
        self.sessions.insert(run, (trainer, device));
    }

    /// Have a run's shared weights saved after the jobs handed out so far.
    pub fn checkpoint(&mut self, run: RunId) {
        self.submit(run, CHECKPOINT, ToTrainer::Checkpoint, 0.0);
    }

    /// End the trainer of a run's one-shot graph.
    pub fn close_session(&mut self, run: RunId) {
        if let Some((trainer, _)) = self.sessions.remove(&run) {
            self.trainers.send(trainer, ToTrainer::Shutdown);
            self.trainers.forget(trainer);
            self.unready.remove(&trainer);
        }
    }
}
