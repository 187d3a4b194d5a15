//! What `/metrics` shows, in Prometheus's text format: per search and strategy calls, fuel, jobs, swaps, failures and
//! the best value; per device places, jobs and trainers.

use std::time::Duration;

use nasd_protocol::{Event, Outcome, event::SwapCause};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{
    run::{onlooker::Called, pool::DeviceState},
    trainers::resident_memory,
};

/// A search and its strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RunLabels {
    /// The search's name.
    pub search: String,
    /// The strategy's name.
    pub strategy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    search: String,
    strategy: String,
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    search: String,
    strategy: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabels {
    device: String,
}

type Number = Gauge<f64, std::sync::atomic::AtomicU64>;
type Sum = Counter<f64, std::sync::atomic::AtomicU64>;

/// All metrics of a daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Histogram, fn() -> Histogram>,
    failed_calls: Family<CallLabels, Counter>,
    fuel: Family<CallLabels, Counter>,
    jobs: Family<StateLabels, Counter>,
    device_seconds: Family<RunLabels, Sum>,
    best: Family<RunLabels, Number>,
    swaps: Family<StateLabels, Counter>,
    gaps: Family<RunLabels, Histogram, fn() -> Histogram>,
    runs: Family<RunStateLabels, Gauge>,
    places: Family<DeviceLabels, Gauge>,
    busy: Family<DeviceLabels, Number>,
    trainers: Family<DeviceLabels, Gauge>,
    lost: Family<DeviceLabels, Gauge>,
    device_memory: Family<DeviceLabels, Gauge>,
    memory: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunStateLabels {
    state: &'static str,
}

/// 10 us to 40 s.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(1e-5, 4.0, 12))
}

/// 0.5 ms to 0.2 s in steps of a fifth, so that percentiles can be read off.
fn gaps() -> Histogram {
    Histogram::new(exponential_buckets(5e-4, 1.2, 33))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("nasd"),
            calls: Family::new_with_constructor(latencies),
            failed_calls: Family::default(),
            fuel: Family::default(),
            jobs: Family::default(),
            device_seconds: Family::default(),
            best: Family::default(),
            swaps: Family::default(),
            gaps: Family::new_with_constructor(gaps),
            runs: Family::default(),
            places: Family::default(),
            busy: Family::default(),
            trainers: Family::default(),
            lost: Family::default(),
            device_memory: Family::default(),
            memory: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("strategy_call_seconds", "Time of a strategy's calls: ask, tell ...", metrics.calls.clone());
        registry.register("strategy_calls_failed", "Calls that trapped or were refused", metrics.failed_calls.clone());
        registry.register("strategy_fuel", "Fuel used, about one unit an instruction", metrics.fuel.clone());
        registry.register("jobs", "Jobs that came to a state", metrics.jobs.clone());
        registry.register("device_seconds", "Seconds that trainers spent on jobs", metrics.device_seconds.clone());
        registry.register("best_objective", "The best value of the first objective", metrics.best.clone());
        registry.register("swaps", "Changes of a strategy, by cause", metrics.swaps.clone());
        registry.register(
            "swap_gap_seconds",
            "From the old strategy's last call to the new one's first",
            metrics.gaps.clone(),
        );
        registry.register("runs", "Runs by state", metrics.runs.clone());
        registry.register("device_places", "Jobs that a device does at a time", metrics.places.clone());
        registry.register("device_busy", "Share of a device's places that have a job", metrics.busy.clone());
        registry.register("device_trainers", "Trainers that run", metrics.trainers.clone());
        registry.register("device_trainers_lost", "Trainers that were lost so far", metrics.lost.clone());
        registry.register(
            "device_trainers_memory_bytes",
            "Resident memory of a device's trainers; what they hold on a GPU is not in it",
            metrics.device_memory.clone(),
        );
        registry.register("memory_bytes", "Resident memory of the daemon", metrics.memory.clone());
        metrics
    }
}

impl Metrics {
    /// An event was journalled.
    pub fn heard(&self, labels: &RunLabels, event: &Event) {
        let state = |state| StateLabels { search: labels.search.clone(), strategy: labels.strategy.clone(), state };
        match event {
            Event::Dispatched { .. } => {
                self.jobs.get_or_create(&state("dispatched")).inc();
            }
            Event::Arrived { outcome: Outcome::Failed(_), .. } => {
                self.jobs.get_or_create(&state("failed")).inc();
            }
            Event::Arrived { .. } => {
                self.jobs.get_or_create(&state("done")).inc();
            }
            Event::Told { .. } => {
                self.jobs.get_or_create(&state("told")).inc();
            }
            Event::Swapped { cause, .. } => {
                self.swaps.get_or_create(&state(name_of(cause))).inc();
            }
            Event::SwapRefused { .. } => {
                self.swaps.get_or_create(&state("refused")).inc();
            }
            _ => {}
        }
    }

    /// A strategy was called.
    pub fn called(&self, labels: &RunLabels, called: &Called<'_>) {
        let labels = CallLabels { search: labels.search.clone(), strategy: labels.strategy.clone(), call: called.name };
        self.calls.get_or_create(&labels).observe(called.duration.as_secs_f64());
        self.fuel.get_or_create(&labels).inc_by(called.statistics.fuel);
        if !called.is_ok {
            self.failed_calls.get_or_create(&labels).inc();
        }
    }

    /// The best value so far.
    pub fn best(&self, labels: &RunLabels, best: f64) {
        self.best.get_or_create(labels).set(best);
    }

    /// A strategy was replaced.
    pub fn gap(&self, labels: &RunLabels, gap: Duration) {
        self.gaps.get_or_create(labels).observe(gap.as_secs_f64());
    }

    /// Trainers spent so long on a job.
    pub fn device_seconds(&self, labels: &RunLabels, seconds: f64) {
        self.device_seconds.get_or_create(labels).inc_by(seconds);
    }

    /// As text, with how things stand now.
    pub fn text(&self, devices: &[DeviceState], runs: &[(&'static str, usize)]) -> String {
        for device in devices {
            let labels = DeviceLabels { device: device.name.clone() };
            self.places.get_or_create(&labels).set(i64::from(device.places));
            let share = if device.places > 0 { f64::from(device.busy) / f64::from(device.places) } else { 0.0 };
            self.busy.get_or_create(&labels).set(share);
            self.trainers.get_or_create(&labels).set(i64::from(device.trainers));
            self.lost.get_or_create(&labels).set(i64::try_from(device.lost).unwrap_or(i64::MAX));
            self.device_memory.get_or_create(&labels).set(i64::try_from(device.memory).unwrap_or(i64::MAX));
        }
        for (state, n) in runs {
            let n = i64::try_from(*n).unwrap_or(i64::MAX);
            self.runs.get_or_create(&RunStateLabels { state }).set(n);
        }
        let memory = resident_memory("self").and_then(|bytes| i64::try_from(bytes).ok());
        self.memory.set(memory.unwrap_or_default());
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

/// A cause in one word.
pub fn name_of(cause: &SwapCause) -> &'static str {
    match cause {
        SwapCause::Build => "build",
        SwapCause::Strategy => "strategy",
        SwapCause::Parameters => "parameters",
        SwapCause::RollBack => "roll-back",
        SwapCause::Trap(_) => "trap",
    }
}
