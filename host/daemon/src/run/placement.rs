//! A run's share of the trainers.

use std::sync::atomic::{AtomicBool, Ordering};

use nasd_engine::scheduler::RunId;
use nasd_protocol::{JobId, trainer::ToTrainer};

use super::pool::{Events, SharedPool};

/// A run among others in a pool; gone from it when dropped.
pub struct Placement {
    pool: SharedPool,
    run: RunId,
    has_session: AtomicBool,
}

impl Placement {
    /// Take part; what is heard of trainers.
    pub fn join(pool: &SharedPool, weight: f64, priority: i32) -> (Self, Events) {
        let (run, events) = pool.lock().add_run(weight, priority);
        (Self { pool: pool.clone(), run, has_session: AtomicBool::new(false) }, events)
    }

    /// Change the share.
    pub fn set_share(&self, weight: f64, priority: i32) {
        self.pool.lock().set_share(self.run, weight, priority);
    }

    /// Give a job to the next free place.
    pub fn submit(&self, job: JobId, order: ToTrainer, duration: f64) {
        self.pool.lock().submit(self.run, job, order, duration);
    }

    /// A job's result is not needed.
    pub fn cancel(&self, job: JobId) {
        self.pool.lock().cancel(self.run, job);
    }

    /// Whether the one-shot graph was opened. That it was lost since is heard, like all else in its order: whoever asked
    /// the pool could know of a loss before the outcomes that came before it, and open a new graph, or make a savepoint,
    /// with weights that lack them.
    pub fn has_session(&self) -> bool {
        self.has_session.load(Ordering::Relaxed)
    }

    /// Start the trainer of the one-shot graph; `open` is its first order.
    pub fn open_session(&self, open: ToTrainer) {
        self.has_session.store(true, Ordering::Relaxed);
        self.pool.lock().open_session(self.run, open);
    }

    /// Have the shared weights saved after the jobs handed out so far.
    pub fn checkpoint(&self) {
        self.pool.lock().checkpoint(self.run);
    }

    /// End the trainer of the one-shot graph.
    pub fn close_session(&self) {
        self.has_session.store(false, Ordering::Relaxed);
        self.pool.lock().close_session(self.run);
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        self.pool.lock().remove_run(self.run);
    }
}
