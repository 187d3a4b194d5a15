//! The host's side of one instance: what stands behind its imports, and the counters that keep it within its
//! limits. What the imports answer is in [`crate::imports`].
//!
//! An import that must stop the guest first writes the reason into [`HostState::stop`] and then traps; the
//! reason, not the trap, becomes the call's error. So a guest cannot hide it.

use std::sync::Arc;

use nasd_space::StreamRandom;
use serde::Serialize;
use wasmtime::ResourceLimiter;

use crate::error::{Call, CallError};
use crate::limits::Limits;
use crate::services::{HistoryService, LogSink, SpaceService};

/// What an instance may ask of the host.
pub struct Services {
    /// The run's stream for its strategy.
    pub random: StreamRandom,
    /// Space and costs.
    pub space: Arc<dyn SpaceService>,
    /// Jobs so far.
    pub history: Arc<dyn HistoryService>,
    /// Where log lines go.
    pub log: Arc<dyn LogSink>,
}

/// What one call used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStatistics {
    /// Fuel, about one unit a WebAssembly instruction.
    pub fuel: u64,
    /// Calls of imports.
    pub host_calls: u64,
    /// The same, long answers and costly calls counted for more than one: what the limit is about.
    pub host_work: u64,
    /// Words drawn from the random stream.
    pub draws: u64,
    /// Log lines and chart points dropped because there were too many.
    pub dropped_log_lines: u32,
    /// Digest of all that imports answered, draws included; none: nothing was asked. Two runs of a call that differ
    /// in what they return differ by the guest's fault if this is the same.
    pub answers: Option<u64>,
}

/// Data of a store.
pub(crate) struct HostState {
    pub(crate) services: Option<Services>,
    pub(crate) limits: Limits,
    /// The call under way.
    pub(crate) call: Call,
    /// Why the guest was stopped, where an import did it.
    pub(crate) stop: Option<CallError>,
    /// The first import it called, for `describe`, which may call none.
    pub(crate) first_import: Option<&'static str>,
    /// The last line logged at level error in this call.
    pub(crate) last_error_line: Option<String>,
    /// The last growth refused in this call.
    pub(crate) denied: Option<CallError>,
    host_calls: u64,
    host_work: u64,
    log_lines: u32,
    answers: Answers,
    random_before: u64,
    memory_bytes: usize,
    table_elements: usize,
}

impl HostState {
    /// Without services nothing but logging works: enough for `describe`.
    pub(crate) fn new(services: Option<Services>, limits: &Limits) -> Self {
        Self {
            services,
            limits: limits.clone(),
            call: Call::Instantiate,
            stop: None,
            first_import: None,
            last_error_line: None,
            denied: None,
            host_calls: 0,
            host_work: 0,
            log_lines: 0,
            answers: Answers::default(),
            random_before: 0,
            memory_bytes: 0,
            table_elements: 0,
        }
    }

    /// A new call begins.
    pub(crate) fn begin(&mut self, call: Call) {
        self.call = call;
        self.stop = None;
        self.first_import = None;
        self.last_error_line = None;
        self.denied = None;
        self.host_calls = 0;
        self.host_work = 0;
        self.log_lines = 0;
        self.answers.clear();
        self.random_before = self.random_position();
    }

    /// What the call used, apart from fuel.
    pub(crate) fn statistics(&self, fuel: u64) -> CallStatistics {
        CallStatistics {
            fuel,
            host_calls: self.host_calls,
            host_work: self.host_work,
            draws: self.random_position().wrapping_sub(self.random_before),
            dropped_log_lines: self.log_lines.saturating_sub(self.limits.log_lines_per_call),
            answers: self.answers.digest(),
        }
    }

    pub(crate) fn random_position(&self) -> u64 {
        self.services.as_ref().map_or(0, |services| services.random.position())
    }

    pub(crate) fn seek_random(&mut self, position: u64) {
        if let Some(services) = &mut self.services {
            services.random.seek(position);
        }
    }

    pub(crate) fn stop<T>(&mut self, error: CallError) -> wasmtime::Result<T> {
        let message = error.to_string();
        self.stop.get_or_insert(error);
        Err(wasmtime::Error::msg(message))
    }

    /// Count a call of `import`, worth `weight`.
    pub(crate) fn count(&mut self, import: &'static str, weight: u64) -> wasmtime::Result<()> {
        self.first_import.get_or_insert(import);
        self.host_calls += 1;
        self.work(weight)
    }

    /// Remember an answer, for [`CallStatistics::answers`].
    pub(crate) fn answered<T: Serialize>(&mut self, answer: T) -> T {
        self.answers.add(&answer);
        answer
    }

    /// Count work done for the guest.
    pub(crate) fn work(&mut self, weight: u64) -> wasmtime::Result<()> {
        self.host_work = self.host_work.saturating_add(weight);
        if self.host_work > self.limits.host_calls_per_call {
            let limit = self.limits.host_calls_per_call;
            return self.stop(CallError::TooManyHostCalls { call: self.call, limit });
        }
        Ok(())
    }

    /// Services for a call of `import`, which may be made in every call but `describe`.
    pub(crate) fn services(&mut self, import: &'static str, weight: u64) -> wasmtime::Result<&mut Services> {
        self.count(import, weight)?;
        let call = self.call;
        if self.services.is_none() || matches!(call, Call::Describe | Call::Instantiate) {
            return self.stop(CallError::ForbiddenImport { call, import });
        }
        self.services.as_mut().ok_or_else(|| wasmtime::Error::msg("no services"))
    }

    /// Services for a call of `import`, which draws random numbers.
    pub(crate) fn drawing(&mut self, import: &'static str, weight: u64) -> wasmtime::Result<&mut Services> {
        let call = self.call;
        if !call.may_draw() {
            self.count(import, weight)?;
            return self.stop(CallError::ForbiddenImport { call, import });
        }
        self.services(import, weight)
    }

    /// Whether one more line may be logged.
    pub(crate) fn may_log(&mut self) -> bool {
        self.log_lines = self.log_lines.saturating_add(1);
        self.log_lines <= self.limits.log_lines_per_call
    }
}

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory_bytes {
            self.denied = Some(CallError::OutOfMemory {
                call: self.call,
                what: "memory",
                asked: total,
                key: "memory-bytes",
                limit: self.limits.memory_bytes,
            });
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements {
            self.denied = Some(CallError::OutOfMemory {
                call: self.call,
                what: "table elements",
                asked: total,
                key: "table-elements",
                limit: self.limits.table_elements,
            });
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }
}

/// A digest of what imports answered in a call.
#[derive(Default)]
struct Answers {
    hasher: blake3::Hasher,
    encoded: Vec<u8>,
    is_empty: bool,
}

impl Answers {
    fn clear(&mut self) {
        if !self.is_empty {
            self.hasher.reset();
            self.is_empty = true;
        }
    }

    fn add<T: Serialize>(&mut self, answer: &T) {
        self.is_empty = false;
        self.encoded.clear();
        // Nothing that imports answer fails to encode; what did would be left out of the digest on both sides.
        if rmp_serde::encode::write(&mut self.encoded, answer).is_ok() {
            self.hasher.update(&self.encoded);
        }
    }

    fn digest(&self) -> Option<u64> {
        let whole = self.hasher.finalize();
        let first: [u8; 8] = whole.as_bytes().first_chunk().copied()?;
        (!self.is_empty).then(|| u64::from_le_bytes(first))
    }
}
