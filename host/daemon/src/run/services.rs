//! What a strategy's instance is given: the ledger as its history, a queue for what it logs.

use std::sync::{Arc, Mutex, PoisonError};

use nasd_engine::search::{SharedLedger, read_ledger};
use nasd_protocol::{Event, Job, JobId, LogLevel, Prior};
use nasd_strategy::services::{HistoryService, LogSink};

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
pub struct LogQueue(Arc<Mutex<Vec<Event>>>);

impl LogQueue {
    /// What came since the last call.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl LogSink for LogQueue {
    fn write(&self, level: LogLevel, message: &str) {
        match level {
            LogLevel::Error => tracing::error!(target: "strategy", "{message}"),
            LogLevel::Warn => tracing::warn!(target: "strategy", "{message}"),
            LogLevel::Info => tracing::info!(target: "strategy", "{message}"),
            LogLevel::Debug | LogLevel::Trace => tracing::debug!(target: "strategy", "{message}"),
        }
        self.push(Event::Logged { level, message: message.to_owned() });
    }

    fn chart(&self, name: &str, value: f64) {
        self.push(Event::Charted { name: name.to_owned(), value });
    }
}
