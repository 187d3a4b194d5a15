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
    /// Seconds of trainers.
    pub device_seconds: f64,
    /// The deadline has passed.
    pub is_late: bool,
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
            self.device_seconds.map(|limit| share(limit, usage.device_seconds)),
            self.deadline.as_ref().map(|_| f64::from(u8::from(usage.is_late))),
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

    /// Whether the clock has to be looked at for it.
    pub fn depends_on_time(&self) -> bool {
        self.wall_seconds.is_some() || self.deadline.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_budget_ends_a_search_by_itself() {
        let spent = Usage {
            jobs: 10,
            epochs: 10.0,
            updates: 10,
            clock: 10.0,
            wall_seconds: 10.0,
            device_seconds: 10.0,
            is_late: true,
        };
        let none = Budget::default();
        let cases: [fn(f64) -> Budget; 6] = [
            |limit| Budget { jobs: Some(limit as u64), ..Budget::default() },
            |limit| Budget { epochs: Some(limit), ..Budget::default() },
            |limit| Budget { updates: Some(limit as u64), ..Budget::default() },
            |limit| Budget { simulated_seconds: Some(limit), ..Budget::default() },
            |limit| Budget { wall_seconds: Some(limit), ..Budget::default() },
            |limit| Budget { device_seconds: Some(limit), ..Budget::default() },
        ];
        assert!(!none.is_used_up(&spent));
        for budget in cases {
            assert!(budget(10.0).is_used_up(&spent), "{:?}", budget(10.0));
            assert!((budget(20.0).used(&spent) - 0.5).abs() < 1e-12, "{:?}", budget(20.0));
        }
        let deadline = Budget { deadline: Some("2026-12-24T18:00:00Z".into()), ..Budget::default() };
        assert!(deadline.is_used_up(&spent) && deadline.depends_on_time());
        assert_eq!(deadline.used(&Usage { is_late: false, ..spent }), 0.0);
    }
}
