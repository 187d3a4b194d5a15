//! Approximations that decide during a search: each is a pure function of what was told so far.

use nasd_protocol::{Goal, Measure, Objective, Point, Trained};
use serde::{Deserialize, Serialize};

/// Median stopping (Golovin et al. 2017, "Google Vizier", section 3.2): a training stops if its best value so
/// far is strictly worse than the median of the finished trainings' running averages at the same fidelity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MedianStop {
    /// Finished trainings needed before any is stopped.
    pub after_jobs: u32,
    /// No training is stopped before this fidelity.
    pub from_fidelity: u32,
    /// Looked at after every so many units of training.
    pub every: u32,
}

impl Default for MedianStop {
    fn default() -> Self {
        Self { after_jobs: 5, from_fidelity: 2, every: 1 }
    }
}

/// The values of `objective` on a curve up to `fidelity`, turned so that more is better.
fn values<'a>(curve: &'a [Point], objective: &'a Objective, fidelity: u32) -> impl Iterator<Item = f64> + 'a {
    let sign = match objective.goal {
        Goal::Maximize => 1.0,
        Goal::Minimize => -1.0,
    };
    curve
        .iter()
        .filter(move |point| point.fidelity <= fidelity)
        .filter_map(move |point| Measure::find(&point.measures, &objective.metric))
        .map(move |value| sign * value)
}

impl MedianStop {
    /// Whether a training with this `curve` so far should stop. `finished` are complete trainings told before;
    /// ones that were stopped themselves count as far as they got.
    pub fn stops<'a>(
        &self,
        curve: &[Point],
        objective: &Objective,
        finished: impl Iterator<Item = &'a Trained>,
    ) -> bool {
        let Some(fidelity) = curve.last().map(|point| point.fidelity) else { return false };
        if fidelity < self.from_fidelity || self.every == 0 || !fidelity.is_multiple_of(self.every) {
            return false;
        }
        let mut averages: Vec<f64> = finished
            .filter(|trained| trained.curve.last().is_some_and(|point| point.fidelity >= fidelity))
            .filter_map(|trained| {
                let (sum, n) = values(&trained.curve, objective, fidelity)
                    .fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
                (n > 0).then(|| sum / f64::from(n))
            })
            .collect();
        if averages.len() < self.after_jobs.max(1) as usize {
            return false;
        }
        averages.sort_by(f64::total_cmp);
        let middle = averages.len() / 2;
        let upper = averages.get(middle).copied().unwrap_or(f64::NEG_INFINITY);
        let median = if averages.len().is_multiple_of(2) {
            let lower = averages.get(middle.saturating_sub(1)).copied().unwrap_or(upper);
            (lower + upper) / 2.0
        } else {
            upper
        };
        let best = values(curve, objective, fidelity).fold(f64::NEG_INFINITY, f64::max);
        best < median
    }
}

#[cfg(test)]
mod tests {
    use nasd_protocol::Ending;

    use super::*;

    fn curve(values: &[f64]) -> Vec<Point> {
        let point = |(i, value): (usize, &f64)| Point {
            fidelity: i as u32 + 1,
            measures: vec![Measure::new("accuracy", *value)],
        };
        values.iter().enumerate().map(point).collect()
    }

    fn trained(values: &[f64]) -> Trained {
        Trained { measures: vec![], curve: curve(values), ending: Ending::Complete, predicted: None }
    }

    fn check(own: &[f64], finished: &[&[f64]], stops: bool) {
        let rule = MedianStop { after_jobs: 3, from_fidelity: 2, every: 1 };
        let objective = Objective { metric: "accuracy".into(), goal: Goal::Maximize };
        let finished: Vec<Trained> = finished.iter().map(|values| trained(values)).collect();
        assert_eq!(rule.stops(&curve(own), &objective, finished.iter()), stops, "{own:?}");
    }

    #[test]
    fn a_training_stops_when_its_best_is_below_the_median_of_running_averages() {
        let finished: &[&[f64]] = &[&[0.2, 0.4], &[0.3, 0.5], &[0.4, 0.6]]; // running averages .3 .4 .5
        check(&[0.1, 0.39], finished, true);
        check(&[0.1, 0.40], finished, false); // strictly worse only
        check(&[0.5, 0.1], finished, false); // the best so far counts
        check(&[0.1], finished, false); // too early
        check(&[0.1, 0.1], &finished[..2], false); // too few finished
        check(&[0.1, 0.1], &[&[0.2], &[0.3], &[0.4]], false); // none got this far
    }
}
