//! Ranges as shares: 0 is the low end, 1 the high end, evenly on the range's own scale.
//!
//! Whole numbers follow the space's draws: on a logarithmic scale a value is as wide as `value - 1/2` to
//! `value + 1/2`, so that a uniform share gives what `space.sample` would give. A logarithmic scale that begins
//! at zero or below is none, here as there.

use crate::{Domain, Gene, IntegerRange, RealRange};

impl RealRange {
    /// The value at a share; shares beyond 0 to 1 give the ends.
    pub fn at(&self, share: f64) -> f64 {
        // Exact at the ends.
        if share <= 0.0 || share >= 1.0 {
            return if share <= 0.0 { self.low } else { self.high };
        }
        let value = if self.log_scale && self.low > 0.0 {
            (self.low.ln() + share * (self.high.ln() - self.low.ln())).exp()
        } else {
            // Written so that no span overflows.
            self.low * (1.0 - share) + self.high * share
        };
        value.clamp(self.low, self.high)
    }

    /// The share of a value; 0 where there is one value only.
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.log_scale && self.low > 0.0 {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

impl IntegerRange {
    /// Number of values; `u64::MAX` if there are even more.
    pub fn n_values(&self) -> u64 {
        self.high.abs_diff(self.low).saturating_add(1)
    }

    /// The value at a share: every value has a part of 0 to 1 of its own.
    pub fn at(&self, share: f64) -> i64 {
        let share = share.clamp(0.0, 1.0);
        if self.log_scale && self.low > 0 {
            let (low, high) = self.log_ends();
            return ((low + share * (high - low)).exp().round() as i64).clamp(self.low, self.high);
        }
        let steps = (share * self.n_values() as f64) as u64;
        self.low.saturating_add_unsigned(steps.min(self.high.abs_diff(self.low)))
    }

    /// The middle of a value's part.
    pub fn share(&self, value: i64) -> f64 {
        let value = value.clamp(self.low, self.high);
        if self.log_scale && self.low > 0 {
            let (low, high) = self.log_ends();
            return (((value as f64).ln() - low) / (high - low)).clamp(0.0, 1.0);
        }
        (value.abs_diff(self.low) as f64 + 0.5) / self.n_values() as f64
    }

    fn log_ends(&self) -> (f64, f64) {
        ((self.low as f64 - 0.5).ln(), (self.high as f64 + 0.5).ln())
    }
}

impl Domain {
    /// The gene of a range at a share (0 to 1); none for `choice` and `levels`.
    pub fn gene_at(&self, share: f64) -> Option<Gene> {
        match self {
            Domain::Integer(range) => Some(Gene::Integer(range.at(share))),
            Domain::Real(range) => Some(Gene::Real(range.at(share))),
            Domain::Choice(_) | Domain::Levels(_) => None,
        }
    }

    /// The share of a range's gene; none for `choice` and `levels` and for genes of another kind.
    pub fn share_of(&self, gene: &Gene) -> Option<f64> {
        match (self, gene) {
            (Domain::Integer(range), Gene::Integer(value)) => Some(range.share(*value)),
            (Domain::Real(range), Gene::Real(value)) => Some(range.share(*value)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_real_ranges_are_even_on_their_scale() {
        let rate = RealRange { low: 1e-4, high: 1e-2, log_scale: true };
        assert!((rate.at(0.5) - 1e-3).abs() < 1e-12);
        assert!((rate.share(1e-3) - 0.5).abs() < 1e-12);
        assert_eq!((rate.at(-1.0), rate.at(7.0)), (1e-4, 1e-2));
        let plain = RealRange { low: -f64::MAX, high: f64::MAX, log_scale: false };
        assert_eq!((plain.at(0.5), plain.share(0.0)), (0.0, 0.5));
        assert_eq!(RealRange { low: 2.0, high: 2.0, log_scale: false }.share(2.0), 0.0);
    }

    #[test]
    fn every_whole_number_comes_back_from_its_share() {
        for (low, high, log_scale) in [(1, 300, true), (-3, 4, false), (5, 5, true), (0, 9, true)] {
            let range = IntegerRange { low, high, log_scale };
            for value in low..=high {
                assert_eq!(range.at(range.share(value)), value, "{range:?}");
            }
            assert_eq!((range.at(0.0), range.at(1.0)), (low, high));
        }
    }

    #[test]
    fn the_widest_range_of_whole_numbers_does_not_overflow() {
        let range = IntegerRange { low: i64::MIN, high: i64::MAX, log_scale: false };
        assert_eq!((range.at(0.0), range.at(1.0)), (i64::MIN, i64::MAX));
        assert!((range.share(0) - 0.5).abs() < 1e-9);
    }
}
