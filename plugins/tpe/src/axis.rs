//! A decision as the estimators see it: options without an order, or a place between 0 and 1.
//!
//! Ranges are stretched to the unit interval, logarithmic ones after taking the logarithm, so every numerical decision
//! has the same prior and the same narrowest kernel. Whole numbers and levels own a cell of the interval each, as wide as
//! half a step to either side (Optuna's treatment); a kernel sits at the number itself.

use nas_strategy_sdk::{Decision, Domain, Gene};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub enum Axis {
    /// The only value; nothing to estimate.
    Fixed(Gene),
    /// So many options.
    Options(usize),
    /// Real numbers.
    Real(Stretch),
    /// Whole numbers.
    Integer(Stretch),
    /// So many levels, by index.
    Levels(usize),
}

/// An interval on its scale, which is laid on 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    low: f64,
    high: f64,
    /// Ends on the scale.
    from: f64,
    to: f64,
    log: bool,
}

impl Stretch {
    /// `margin` widens the interval at both ends, on the scale of the values.
    fn new(low: f64, high: f64, margin: f64, log: bool) -> Self {
        let scale = |value: f64| if log { value.ln() } else { value };
        Self { low, high, from: scale(low - margin), to: scale(high + margin), log }
    }

    fn unit(&self, value: f64) -> f64 {
        let value = if self.log { value.ln() } else { value };
        // Halved, so that no span overflows.
        ((value / 2.0 - self.from / 2.0) / (self.to / 2.0 - self.from / 2.0)).clamp(0.0, 1.0)
    }

    fn value(&self, unit: f64) -> f64 {
        let scaled = self.from * (1.0 - unit) + self.to * unit;
        let value = if self.log { scaled.exp() } else { scaled };
        value.clamp(self.low, self.high)
    }
}

impl Axis {
    /// The axis of a decision.
    pub fn of(decision: &Decision) -> Self {
        match &decision.domain {
            Domain::Choice(options) if options.len() < 2 => Self::Fixed(Gene::Choice(0)),
            Domain::Levels(levels) if levels.len() < 2 => Self::Fixed(Gene::Choice(0)),
            Domain::Choice(options) => Self::Options(options.len()),
            Domain::Levels(levels) => Self::Levels(levels.len()),
            Domain::Integer(range) if range.low >= range.high => Self::Fixed(Gene::Integer(range.low)),
            Domain::Real(range) if range.low >= range.high => Self::Fixed(Gene::Real(range.low)),
            Domain::Integer(range) => {
                let log = range.log_scale && range.low > 0;
                Self::Integer(Stretch::new(range.low as f64, range.high as f64, 0.5, log))
            }
            Domain::Real(range) => {
                Self::Real(Stretch::new(range.low, range.high, 0.0, range.log_scale && range.low > 0.0))
            }
        }
    }

    /// Whether it has places between 0 and 1.
    pub fn is_numerical(&self) -> bool {
        matches!(self, Self::Real(_) | Self::Integer(_) | Self::Levels(_))
    }

    /// Where a value lies; none for options and for a gene of another kind.
    pub fn unit(&self, gene: &Gene) -> Option<f64> {
        match (self, gene) {
            (Self::Real(stretch), Gene::Real(value)) if value.is_finite() => Some(stretch.unit(*value)),
            (Self::Integer(stretch), Gene::Integer(value)) => Some(stretch.unit(*value as f64)),
            (Self::Levels(n), Gene::Choice(level)) if (*level as usize) < *n => {
                Some((f64::from(*level) + 0.5) / *n as f64)
            }
            _ => None,
        }
    }

    /// The value at a place.
    pub fn gene(&self, unit: f64) -> Gene {
        match self {
            Self::Fixed(gene) => gene.clone(),
            Self::Options(n) | Self::Levels(n) => Gene::Choice(((unit * *n as f64) as u32).min(*n as u32 - 1)),
            Self::Real(stretch) => Gene::Real(stretch.value(unit)),
            Self::Integer(stretch) => {
                Gene::Integer((stretch.value(unit).round() as i64).clamp(stretch.low as i64, stretch.high as i64))
            }
        }
    }

    /// The cell of a whole number or a level; none for real numbers, which have a density instead.
    pub fn cell(&self, gene: &Gene) -> Option<(f64, f64)> {
        match (self, gene) {
            (Self::Integer(stretch), Gene::Integer(value)) => {
                Some((stretch.unit(*value as f64 - 0.5), stretch.unit(*value as f64 + 0.5)))
            }
            (Self::Levels(n), Gene::Choice(level)) => {
                Some((f64::from(*level) / *n as f64, f64::from(*level + 1) / *n as f64))
            }
            _ => None,
        }
    }

    /// Whether a gene is a value of this axis.
    pub fn accepts(&self, gene: &Gene) -> bool {
        match (self, gene) {
            (Self::Fixed(only), gene) => only == gene,
            (Self::Options(n), Gene::Choice(option)) => (*option as usize) < *n,
            _ => self.unit(gene).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use nas_strategy_sdk::{IntegerRange, Place, RealRange, Role};

    use super::*;

    fn axis(domain: Domain) -> Axis {
        Axis::of(&Decision {
            name: "x".to_owned(),
            role: Role::HyperParameter,
            domain,
            place: Place { cell: 0, node: 0 },
            sources: Vec::new(),
            active_when: Vec::new(),
        })
    }

    #[test]
    fn a_logarithmic_range_has_its_geometric_mean_in_the_middle() {
        let axis = axis(Domain::Real(RealRange { low: 1e-4, high: 1.0, log_scale: true }));
        assert!((axis.unit(&Gene::Real(1e-2)).unwrap() - 0.5).abs() < 1e-12);
        let Gene::Real(middle) = axis.gene(0.5) else { panic!() };
        assert!((middle - 1e-2).abs() < 1e-12);
    }

    #[test]
    fn cells_of_whole_numbers_cover_the_interval_without_overlap() {
        for (low, high, log_scale) in [(1, 9, false), (1, 9, true), (-3, 4, false), (8, 1024, true)] {
            let axis = axis(Domain::Integer(IntegerRange { low, high, log_scale }));
            let mut end = 0.0;
            for value in low..=high {
                let gene = Gene::Integer(value);
                let (from, to) = axis.cell(&gene).unwrap();
                assert!((from - end).abs() < 1e-12, "{value} of {low} to {high}");
                let unit = axis.unit(&gene).unwrap();
                assert!(from < unit && unit < to);
                assert_eq!(axis.gene(unit), gene);
                assert_eq!(axis.gene(from * 0.999 + to * 0.001), gene);
                end = to;
            }
            assert!((end - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn every_place_has_a_value_within_the_range_even_of_the_widest() {
        for domain in [
            Domain::Real(RealRange { low: f64::MIN, high: f64::MAX, log_scale: false }),
            Domain::Real(RealRange { low: f64::MIN_POSITIVE, high: f64::MAX, log_scale: true }),
            Domain::Integer(IntegerRange { low: i64::MIN, high: i64::MAX, log_scale: false }),
        ] {
            let axis = axis(domain);
            for unit in [0.0, 1e-300, 0.3, 0.5, 1.0 - 1e-16, 1.0] {
                let gene = axis.gene(unit);
                assert!(axis.accepts(&gene), "{gene:?}");
            }
        }
    }

    #[test]
    fn levels_are_ordered_and_options_are_not() {
        let levels = axis(Domain::Levels(vec![1.0, 3.0, 9.0]));
        assert_eq!(levels.unit(&Gene::Choice(1)), Some(0.5));
        assert_eq!(levels.gene(0.99), Gene::Choice(2));
        let options = axis(Domain::Choice(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(options.unit(&Gene::Choice(1)), None);
        assert!(!options.accepts(&Gene::Choice(2)));
    }
}
