//! What a strategy's instance is given: the ledger as its history, a queue for what it logs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use nasd_engine::search::{SharedLedger, read_ledger};
use nasd_protocol::{Event, Job, JobId, LogLevel, Prior};
use nasd_strategy::services::{HistoryService, LogSink};

use super::throttle::Throttle;

/// The import `history`.
pub struct LedgerHistory(pub SharedLedger);

impl HistoryService for LedgerHistory {
    fn get(&self, id: JobId) -> Option<Job> {
        read_ledger(&self.0).job(id)
    }

    fn page(&self, start: JobId, limit: u32) -> Vec<Job> {
        let ledger = read_ledger(&self.0);
        (start.max(1)..ledger.next_id()).take(limit as usize).filter_map(|id| ledger.job(id)).collect()
    }

    fn priors(&self, _start: u64, _limit: u32) -> Vec<Prior> {
        Vec::new()
    }
}

/// The import `log`: lines and charted scalars wait here until the run loop journals them.
#[derive(Clone, Default)]
pub struct LogQueue(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    throttle: Throttle,
}

impl LogQueue {
    /// What came since the last call.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock().events)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for LogQueue {
    fn write(&self, level: LogLevel, message: &str) {
        let mut heard = self.lock();
        heard.events.push(Event::Logged { level, message: message.to_owned() });
        if is_logged(level)
            && let Some(left_out) = heard.throttle.let_through(Instant::now())
        {
            drop(heard);
            say_left_out(left_out);
            say(level, message);
        }
    }

    fn chart(&self, name: &str, value: f64) {
        self.lock().events.push(Event::Charted { name: name.to_owned(), value });
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        say_left_out(self.throttle.left_out());
    }
}

fn is_logged(level: LogLevel) -> bool {
    match level {
        LogLevel::Error => tracing::enabled!(target: "strategy", tracing::Level::ERROR),
        LogLevel::Warn => tracing::enabled!(target: "strategy", tracing::Level::WARN),
        LogLevel::Info => tracing::enabled!(target: "strategy", tracing::Level::INFO),
        LogLevel::Debug | LogLevel::Trace => tracing::enabled!(target: "strategy", tracing::Level::DEBUG),
    }
}

fn say(level: LogLevel, message: &str) {
    match level {
        LogLevel::Error => tracing::error!(target: "strategy", "{message}"),
        LogLevel::Warn => tracing::warn!(target: "strategy", "{message}"),
        LogLevel::Info => tracing::info!(target: "strategy", "{message}"),
        LogLevel::Debug | LogLevel::Trace => tracing::debug!(target: "strategy", "{message}"),
    }
}

fn say_left_out(n: u64) {
    if n > 0 {
        tracing::warn!(target: "strategy", n, "lines are left out here, as they were too many; the journal has them");
    }
}
