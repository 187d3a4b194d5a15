//! What a strategy may ask of the host, as traits: the runtime links a component's imports to these and knows
//! neither networks nor journals.

use nasd_protocol::{Bound, ExpectedCost, Failure, Job, JobId, LogLevel, Measure, Prior};
use nasd_space::{Architecture, RandomSource};

/// The imports `space` and `costs`: pure functions of the search's space and task.
pub trait SpaceService: Send + Sync {
    /// Uniform over what is open; with bounds, drawn until the costs lie within them.
    fn sample(&self, random: &mut dyn RandomSource, bounds: &[Bound]) -> Result<Architecture, String>;
    /// Legal options of the decision after `prefix`.
    fn open_options(&self, prefix: &[nasd_space::Gene]) -> Result<Vec<u32>, String>;
    /// `changes` active decisions among `among` (empty: all) redrawn, then repaired.
    fn mutate(
        &self,
        random: &mut dyn RandomSource,
        parent: &Architecture,
        changes: u32,
        among: &[u32],
    ) -> Result<Architecture, String>;
    /// Every gene from one of the two, then repaired.
    fn crossover(
        &self,
        random: &mut dyn RandomSource,
        first: &Architecture,
        second: &Architecture,
    ) -> Result<Architecture, String>;
    /// Inactive genes cleared, missing or illegal ones drawn.
    fn repair(&self, random: &mut dyn RandomSource, architecture: &Architecture) -> Result<Architecture, String>;
    /// All architectures one change away.
    fn neighbours(&self, of: &Architecture, among: &[u32]) -> Result<Vec<Architecture>, String>;
    /// Conditions, rules and constraints.
    fn check(&self, architecture: &Architecture) -> Result<(), Failure>;
    /// Equal exactly for architectures that build the same network.
    fn identity(&self, architecture: &Architecture) -> Result<String, String>;
    /// Parameters, FLOPs and, where the task has a table, latency.
    fn costs(&self, architecture: &Architecture) -> Result<Vec<Measure>, String>;
    /// Mixture weights read as probabilities of independent decisions.
    fn expected_cost(&self, architecture: &Architecture, metric: &str) -> Result<ExpectedCost, String>;
}

/// The import `history`: jobs so far, read-only.
pub trait HistoryService: Send + Sync {
    /// Any job handed out before this call; its outcome is none until it was told.
    fn get(&self, id: JobId) -> Option<Job>;
    /// From `start` on, in id order.
    fn page(&self, start: JobId, limit: u32) -> Vec<Job>;
    /// Results of earlier searches, fixed when the search begins.
    fn priors(&self, start: u64, limit: u32) -> Vec<Prior>;
}

/// The import `log`.
pub trait LogSink: Send + Sync {
    /// A line.
    fn write(&self, level: LogLevel, message: &str);
    /// A scalar to chart.
    fn chart(&self, name: &str, value: f64);
}
