//! Which values of a range lie on the grid.

use nas_strategy_sdk::{Decision, Domain, Gene, IntegerRange};

/// Values of a decision with a range, ascending; empty for `choice` and `levels`, which the space opens.
///
/// Real ranges give `levels` values, evenly spaced on their scale, both ends among them (the middle alone if
/// `levels` is 1). Ranges of whole numbers give every value, or with `integer_levels` at most so many.
pub fn of(decision: &Decision, levels: u32, integer_levels: Option<u32>) -> Vec<Gene> {
    match &decision.domain {
        Domain::Real(range) if range.low < range.high => {
            dedup(shares(levels).map(|share| Gene::Real(range.at(share))).collect())
        }
        Domain::Real(range) => vec![Gene::Real(range.low)],
        Domain::Integer(range) => match integer_levels {
            Some(levels) if u64::from(levels) < range.n_values() => spread(range, levels),
            _ => (range.low..=range.high).map(Gene::Integer).collect(),
        },
        Domain::Choice(_) | Domain::Levels(_) => Vec::new(),
    }
}

/// Whole numbers evenly spaced on the range's scale, without repetition.
fn spread(range: &IntegerRange, levels: u32) -> Vec<Gene> {
    dedup(shares(levels).map(|share| Gene::Integer(range.at(share))).collect())
}

fn shares(levels: u32) -> impl Iterator<Item = f64> {
    let last = f64::from(levels.saturating_sub(1));
    (0..levels).map(move |level| if levels == 1 { 0.5 } else { f64::from(level) / last })
}

fn dedup(mut ascending: Vec<Gene>) -> Vec<Gene> {
    ascending.dedup();
    ascending
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::RealRange;
    use nas_strategy_sdk::testing::one_max;

    use super::*;

    fn values(domain: Domain, levels: u32, integer_levels: Option<u32>) -> Vec<Gene> {
        let decision = Decision { domain, ..one_max(1).decisions.remove(0) };
        of(&decision, levels, integer_levels)
    }

    fn integers(values: &[i64]) -> Vec<Gene> {
        values.iter().copied().map(Gene::Integer).collect()
    }

    #[test]
    fn a_real_range_gives_both_ends_and_even_steps_on_its_scale() {
        let range = |log_scale| Domain::Real(RealRange { low: 1.0, high: 100.0, log_scale });
        assert_eq!(values(range(false), 3, None), [Gene::Real(1.0), Gene::Real(50.5), Gene::Real(100.0)]);
        let on_log = values(range(true), 3, None);
        assert!(matches!(on_log[1], Gene::Real(middle) if (middle - 10.0).abs() < 1e-12), "{on_log:?}");
        assert_eq!(values(range(false), 1, None), [Gene::Real(50.5)]);
    }

    #[test]
    fn whole_numbers_give_every_value_or_as_many_as_wanted() {
        let range = |low, high, log_scale| Domain::Integer(IntegerRange { low, high, log_scale });
        assert_eq!(values(range(-1, 2, false), 3, None), integers(&[-1, 0, 1, 2]));
        assert_eq!(values(range(1, 100, false), 3, Some(3)), integers(&[1, 51, 100]));
        assert_eq!(values(range(1, 3, false), 9, Some(9)), integers(&[1, 2, 3]));
        // On a logarithmic scale the first steps fall together.
        assert_eq!(values(range(1, 8, true), 9, Some(7)), integers(&[1, 2, 3, 5, 8]));
    }

    #[test]
    fn a_range_of_one_value_gives_it_once() {
        let real = Domain::Real(RealRange { low: 2.0, high: 2.0, log_scale: false });
        assert_eq!(values(real, 5, None), [Gene::Real(2.0)]);
        let integer = Domain::Integer(IntegerRange { low: 2, high: 2, log_scale: true });
        assert_eq!(values(integer, 5, None), integers(&[2]));
    }
}
