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
    let drop_path = recipe.drop_path * ratio(update / per_epoch, epochs);
    let warmup_epochs = u64::from(recipe.warmup_epochs).min(epochs);
    let warmup = warmup_epochs.saturating_mul(per_epoch);
    if update < warmup {
        return Rates { learning_rate: recipe.learning_rate * ratio(update + 1, warmup), drop_path };
    }
    let update = update - warmup;
    let epochs = epochs - warmup_epochs;
    let done = match recipe.schedule_step {
        ScheduleStep::Epoch => (update / per_epoch) as f64,
        ScheduleStep::Update => update as f64 / per_epoch as f64,
    };
    let progress = if update >= epochs.saturating_mul(per_epoch) {
        1.0
    } else {
        let (within, length) = period(recipe, done, epochs as f64);
        (within / length).min(1.0)
    };
    Rates { learning_rate: learning_rate(recipe, progress), drop_path }
}

/// Epochs done of the period that `done` epochs lie in, and its length.
fn period(recipe: &Recipe, done: f64, epochs: f64) -> (f64, f64) {
    if recipe.restart_epochs == 0 {
        return (done, epochs);
    }
    let mut length = f64::from(recipe.restart_epochs);
    if recipe.restart_factor <= 1 {
        return (done % length, length);
    }
    let mut within = done;
    while within >= length {
        within -= length;
        length *= f64::from(recipe.restart_factor);
    }
    (within, length)
}

/// The learning rate at `progress` (0 to 1) of the schedule.
pub fn learning_rate(recipe: &Recipe, progress: f64) -> f64 {
    let (start, end) = (recipe.learning_rate, recipe.final_learning_rate);
    match recipe.schedule {
        Schedule::Cosine => end + (start - end) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0,
        Schedule::Linear => start + (end - start) * progress,
        Schedule::Exponential if start > 0.0 => start * (end / start).powf(progress),
        Schedule::Exponential | Schedule::Constant => start,
    }
}

fn ratio(done: u64, all: u64) -> f64 {
    (done as f64 / all as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(recipe: &Recipe, per_epoch: u64, epochs: u64, expected: &[(u64, f64)]) {
        for &(update, expected) in expected {
            let found = rates(recipe, update, per_epoch, epochs).learning_rate;
            assert!((found - expected).abs() < 1e-12, "update {update}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_cosine_starts_high_halves_in_the_middle_and_stays_at_its_end() {
        let recipe = Recipe { learning_rate: 0.1, final_learning_rate: 0.001, ..Recipe::default() };
        check(&recipe, 10, 10, &[(0, 0.1), (9, 0.1), (50, 0.0505), (100, 0.001), (1000, 0.001)]);
    }

    #[test]
    fn a_straight_line_moves_with_every_update_of_the_scheduled_epochs() {
        let line = Recipe {
            learning_rate: 0.5,
            schedule: Schedule::Linear,
            schedule_step: ScheduleStep::Update,
            ..Recipe::default()
        };
        check(&line, 1250, 120, &[(0, 0.5), (75_000, 0.25), (149_999, 0.5 / 150_000.0), (150_000, 0.0)]);
    }

    #[test]
    fn an_exponential_takes_the_same_factor_every_epoch() {
        let (factor, epochs) = (0.97f64, 250);
        let recipe = Recipe {
            learning_rate: 0.1,
            final_learning_rate: 0.1 * factor.powi(epochs),
            schedule: Schedule::Exponential,
            ..Recipe::default()
        };
        check(&recipe, 7, 250, &[(0, 0.1), (6, 0.1), (7, 0.097), (7 * 100, 0.1 * factor.powi(100))]);
    }

    #[test]
    fn warm_up_rises_with_every_update_and_the_schedule_follows_it() {
        let recipe = Recipe { learning_rate: 0.4, warmup_epochs: 2, ..Recipe::default() };
        check(&recipe, 10, 12, &[(0, 0.02), (9, 0.2), (19, 0.4), (20, 0.4), (70, 0.2), (120, 0.0), (500, 0.0)]);
        // A warm-up longer than the training is all there is.
        check(&recipe, 10, 1, &[(0, 0.04), (9, 0.4)]);
    }

    #[test]
    fn a_cosine_starts_again_in_periods_that_grow() {
        // ENAS: T0 = 10, Tmul = 2, from 0.05 to 0.0005.
        let recipe = Recipe {
            learning_rate: 0.05,
            final_learning_rate: 0.0005,
            restart_epochs: 10,
            restart_factor: 2,
            ..Recipe::default()
        };
        let middle = (0.05 + 0.0005) / 2.0;
        check(&recipe, 3, 310, &[(0, 0.05), (3 * 5, middle), (3 * 10, 0.05), (3 * 20, middle), (3 * 30, 0.05)]);
        check(&recipe, 3, 310, &[(3 * 50, middle), (3 * 70, 0.05), (3 * 310, 0.0005)]);
        let same = Recipe { restart_factor: 1, ..recipe };
        check(&same, 3, 310, &[(3 * 5, middle), (3 * 10, 0.05), (3 * 25, middle)]);
    }

    #[test]
    fn drop_path_grows_linearly_by_epoch() {
        let recipe = Recipe { drop_path: 0.2, warmup_epochs: 1, ..Recipe::default() };
        assert_eq!(rates(&recipe, 0, 10, 4).drop_path, 0.0);
        assert_eq!(rates(&recipe, 29, 10, 4).drop_path, 0.1);
    }
}
