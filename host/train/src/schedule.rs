//! Learning rate and drop-path rate as functions of the position in training.
//!
//! They depend on nothing else, so a resumed training needs no schedule state.

use nasd_protocol::trainer::{Recipe, Schedule, ScheduleStep};

/// Where a recipe's schedules stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate of the next update.
    pub learning_rate: f64,
    /// Probability with which drop-path zeroes an example's value.
    pub drop_path: f64,
}

/// The rates of update number `update` (from 0) with `updates_per_epoch`, over `epochs` scheduled epochs. After the
/// last scheduled epoch they stay at their final values.
pub fn rates(recipe: &Recipe, update: u64, updates_per_epoch: u64, epochs: u64) -> Rates {
    let per_epoch = updates_per_epoch.max(1);
    let epochs = epochs.max(1);
    let by_epoch = ratio(update / per_epoch, epochs);
    let by_update = ratio(update, epochs.saturating_mul(per_epoch));
    let progress = match recipe.schedule_step {
        ScheduleStep::Epoch => by_epoch,
        ScheduleStep::Update => by_update,
    };
    Rates { learning_rate: learning_rate(recipe, progress), drop_path: recipe.drop_path * by_epoch }
}

/// The learning rate at `progress` (0 to 1) of the schedule.
pub fn learning_rate(recipe: &Recipe, progress: f64) -> f64 {
    let (start, end) = (recipe.learning_rate, recipe.final_learning_rate);
    match recipe.schedule {
        Schedule::Cosine => end + (start - end) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0,
        Schedule::Linear => start + (end - start) * progress,
        Schedule::Constant => start,
    }
}

fn ratio(done: u64, all: u64) -> f64 {
    (done as f64 / all as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_starts_high_halves_in_the_middle_and_stays_at_its_end() {
        let recipe = Recipe { learning_rate: 0.1, final_learning_rate: 0.001, ..Recipe::default() };
        for (update, expected) in [(0, 0.1), (9, 0.1), (50, 0.0505), (100, 0.001), (1000, 0.001)] {
            let found = rates(&recipe, update, 10, 10).learning_rate;
            assert!((found - expected).abs() < 1e-12, "update {update}: {found}");
        }
    }

    #[test]
    fn drop_path_grows_linearly_by_epoch() {
        let recipe = Recipe { drop_path: 0.2, ..Recipe::default() };
        assert_eq!(rates(&recipe, 0, 10, 4).drop_path, 0.0);
        assert_eq!(rates(&recipe, 29, 10, 4).drop_path, 0.1);
    }
}
