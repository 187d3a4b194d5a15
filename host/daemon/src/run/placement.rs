//! Which trainer does what: jobs that train by themselves go to the next free of a few single-threaded trainers,
//! shared work to the one that holds the run's one-shot graph. Trainers start when they are first needed.

use std::collections::{BTreeMap, BTreeSet};

use nasd_engine::scheduler::{PlaceId, Scheduler};
use nasd_protocol::{JobId, trainer::ToTrainer};

use crate::trainers::{TrainerId, Trainers};

/// This process drives one run at a time.
const RUN: u64 = 0;

/// The trainers of a run.
pub struct Placement {
    trainers: Trainers,
    scheduler: Scheduler,
    n_places: usize,
    limit: usize,
    /// Orders of jobs that wait for a place.
    orders: BTreeMap<JobId, ToTrainer>,
    session: Option<TrainerId>,
    /// Trainers that have not said that they are ready.
    unready: BTreeSet<TrainerId>,
}

impl Placement {
    /// At most `limit` trainers beside the session's.
    pub fn new(trainers: Trainers, limit: usize) -> Self {
        let mut scheduler = Scheduler::default();
        scheduler.add_run(RUN, 1.0, 0);
        Self {
            trainers,
            scheduler,
            n_places: 0,
            limit: limit.max(1),
            orders: BTreeMap::new(),
            session: None,
            unready: BTreeSet::new(),
        }
    }

    /// Give a job to the next free trainer.
    pub fn submit(&mut self, job: JobId, order: ToTrainer, duration: f64) {
        self.orders.insert(job, order);
        self.scheduler.enqueue(RUN, job, duration);
        if self.n_places < self.limit.min(self.scheduler_load()) {
            self.add_place();
        }
        self.assign();
    }

    fn start(&mut self) -> TrainerId {
        let trainer = self.trainers.start();
        self.unready.insert(trainer);
        trainer
    }

    fn add_place(&mut self) {
        let place = self.start();
        self.n_places += 1;
        self.scheduler.add_place(place);
    }

    /// A trainer says that it is ready.
    pub fn ready(&mut self, trainer: TrainerId) {
        self.unready.remove(&trainer);
    }

    /// Whether a trainer that is gone never was ready.
    pub fn was_stillborn(&mut self, trainer: TrainerId) -> bool {
        self.unready.remove(&trainer)
    }

    /// Jobs that run or wait.
    fn scheduler_load(&self) -> usize {
        self.orders.len() + self.scheduler.n_running()
    }

    fn assign(&mut self) {
        while let Some(assignment) = self.scheduler.assign() {
            if let Some(order) = self.orders.remove(&assignment.job) {
                self.trainers.send(assignment.place, order);
            }
        }
    }

    /// A trainer has done its job.
    pub fn release(&mut self, trainer: PlaceId) {
        self.scheduler.release(trainer);
        self.assign();
    }

    /// A job's result is not needed.
    pub fn cancel(&mut self, job: JobId) {
        if self.scheduler.cancel(RUN, job) {
            self.orders.remove(&job);
        } else if let Some(place) = self.scheduler.place_of(RUN, job) {
            self.trainers.send(place, ToTrainer::Cancel { job });
        }
    }

    /// What a trainer is doing.
    pub fn job_of(&self, trainer: TrainerId) -> Option<JobId> {
        self.scheduler.doing(trainer).map(|(_, job)| job)
    }

    /// A trainer is gone; gives its job. Jobs that wait get a replacement.
    pub fn lose(&mut self, trainer: TrainerId) -> Option<JobId> {
        self.trainers.forget(trainer);
        if self.session == Some(trainer) {
            self.session = None;
            return None;
        }
        if !self.scheduler.has_place(trainer) {
            return None; // a session's that was closed
        }
        let lost = self.scheduler.remove_place(trainer);
        self.n_places = self.n_places.saturating_sub(1);
        if !self.orders.is_empty() {
            self.add_place();
            self.assign();
        }
        lost.map(|(_, job)| job)
    }

    /// Whether this trainer holds the one-shot graph.
    pub fn is_session(&self, trainer: TrainerId) -> bool {
        self.session == Some(trainer)
    }

    /// Whether the one-shot graph is open.
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Give shared work to the session's trainer; `open` is its first order.
    pub fn submit_shared(&mut self, order: ToTrainer, open: impl FnOnce() -> ToTrainer) {
        let trainer = match self.session {
            Some(trainer) => trainer,
            None => {
                let trainer = self.start();
                self.trainers.send(trainer, open());
                self.session = Some(trainer);
                trainer
            }
        };
        self.trainers.send(trainer, order);
    }

    /// End the session's trainer.
    pub fn close_session(&mut self) {
        if let Some(trainer) = self.session.take() {
            self.trainers.send(trainer, ToTrainer::Shutdown);
            self.trainers.forget(trainer);
        }
    }
}
