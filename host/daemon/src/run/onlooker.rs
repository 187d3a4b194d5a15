//! Who watches a run: a terminal, a daemon's clients, or nobody. Watching changes nothing.

use std::time::Duration;

use nasd_engine::Search;
use nasd_protocol::{Event, JobId, event::Observation};
use nasd_strategy::CallStatistics;

/// A call of a strategy, done.
pub struct Called<'a> {
    /// Its name in the contract.
    pub name: &'static str,
    /// How long it took.
    pub duration: Duration,
    /// Fuel, host calls.
    pub statistics: &'a CallStatistics,
    /// Whether it went well.
    pub is_ok: bool,
}

/// Hears what happens in a run.
pub trait Onlooker: Send {
    /// An event was journalled.
    fn heard(&mut self, _event: &Event, _observed: &std::collections::BTreeMap<String, Observation>) {}

    /// Everything up to this event, exclusive, is durable.
    fn durable(&mut self, _sequence: u64) {}

    /// The strategy was called.
    fn called(&mut self, _called: &Called<'_>) {}

    /// A trainer lives; `progress` is the share of the job that is done.
    fn heartbeat(&mut self, _job: Option<JobId>, _progress: f64) {}

    /// Nothing is left to do but wait: how things stand.
    fn show(&mut self, _engine: &Search) {}

    /// A strategy was replaced; so long no strategy could be called.
    fn gap(&mut self, _gap: Duration) {}

    /// Something for people.
    fn say(&mut self, _line: &str) {}
}

/// Watches nothing.
pub struct Nobody;

impl Onlooker for Nobody {}
