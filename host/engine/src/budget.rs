//! How much of a budget is used: sums of what was handed out, so that a search with many slots does not
//! overshoot by what is in flight.

use nasd_protocol::{SharedStep, WeightUpdate, Work};

use crate::plan::Budget;

/// What a run has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Jobs handed out.
    pub jobs: u64,
    /// Epochs handed out, less what early stopping gave back.
    pub epochs: f64,
    /// Weight updates on shared weights handed out.
    pub updates: u64,
    /// The search's clock.
    pub clock: f64,
    /// Real seconds.
    pub wall_seconds: f64,
}

/// Weight updates in shared steps.
pub fn updates_in(steps: &[SharedStep]) -> u64 {
    steps.iter().filter(|step| step.update == WeightUpdate::Apply).count() as u64
}

impl Usage {
    /// Count work as handed out.
    pub fn hand_out(&mut self, work: &Work, epochs: f64) {
        self.jobs += 1;
        self.epochs += epochs;
        if let Work::TrainShared(steps) = work {
            self.updates += updates_in(steps);
        }
    }
}

impl Budget {
    /// The share used, 0 to 1, of the part that ends first.
    pub fn used(&self, usage: &Usage) -> f64 {
        let share = |limit: f64, used: f64| if limit > 0.0 { (used / limit).clamp(0.0, 1.0) } else { 1.0 };
        [
            self.jobs.map(|limit| share(limit as f64, usage.jobs as f64)),
            self.epochs.map(|limit| share(limit, usage.epochs)),
            self.updates.map(|limit| share(limit as f64, usage.updates as f64)),
            self.simulated_seconds.map(|limit| share(limit, usage.clock)),
            self.wall_seconds.map(|limit| share(limit, usage.wall_seconds)),
        ]
        .into_iter()
        .flatten()
        .fold(0.0, f64::max)
    }

    /// Whether nothing may be asked for any more.
    pub fn is_used_up(&self, usage: &Usage) -> bool {
        self.used(usage) >= 1.0
    }

    /// Jobs left, where jobs are limited.
    pub fn jobs_left(&self, usage: &Usage) -> Option<u64> {
        self.jobs.map(|limit| limit.saturating_sub(usage.jobs))
    }

    /// Whether any part of it depends on real time.
    pub fn depends_on_time(&self) -> bool {
        self.wall_seconds.is_some()
    }
}
