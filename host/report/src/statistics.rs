//! The statistics that repeated searches are judged by.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The mean; none of no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of a sample (divided by n - 1); none of fewer than two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The quantile at `share` (0 to 1), linear between neighbours; none of no values.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * (sorted.len().checked_sub(1)?) as f64;
    let (low, high) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(low + (high - low) * place.fract())
}

/// A paired comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Mean of the differences, second less first.
    pub difference: f64,
    /// Its standard error.
    pub error: f64,
    /// Student's two-sided p: how often so large a difference would come about by chance alone.
    pub p: f64,
    /// Pairs.
    pub n: usize,
}

/// Student's paired test of two equally long lists; none of fewer than two pairs.
pub fn paired(first: &[f64], second: &[f64]) -> Option<Paired> {
    let differences: Vec<f64> = first.iter().zip(second).map(|(first, second)| second - first).collect();
    let n = differences.len();
    let (difference, deviation) = (mean(&differences)?, standard_deviation(&differences)?);
    let error = deviation / (n as f64).sqrt();
    let p = if error > 0.0 {
        let student = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
        2.0 * student.cdf(-(difference / error).abs())
    } else if difference == 0.0 {
        1.0
    } else {
        0.0
    };
    Some(Paired { difference, error, p, n })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_quantiles_are_the_textbook_s() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), Some(5.0));
        assert!((standard_deviation(&values).unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(
            (quantile(&values, 0.0), quantile(&values, 0.5), quantile(&values, 1.0)),
            (Some(2.0), Some(4.5), Some(9.0))
        );
        assert_eq!(quantile(&[1.0, 2.0], 0.25), Some(1.25));
        assert_eq!((mean(&[]), standard_deviation(&[1.0]), quantile(&[], 0.5)), (None, None, None));
    }

    #[test]
    fn the_paired_test_is_students() {
        // scipy.stats.ttest_rel([1, 2, 3, 4], [2, 2, 5, 5]): t = 2.449489742783178, p = 0.09172111331157186
        let paired = paired(&[1.0, 2.0, 3.0, 4.0], &[2.0, 2.0, 5.0, 5.0]).unwrap();
        assert_eq!((paired.difference, paired.n), (1.0, 4));
        assert!((paired.difference / paired.error - 2.449_489_742_783_178).abs() < 1e-12);
        assert!((paired.p - 0.091_721_113_311_571_86).abs() < 1e-12, "{}", paired.p);
        assert_eq!(super::paired(&[1.0, 2.0], &[2.0, 3.0]).unwrap().p, 0.0);
        assert_eq!(super::paired(&[1.0, 2.0], &[1.0, 2.0]).unwrap().p, 1.0);
        assert_eq!(super::paired(&[1.0], &[1.0]), None);
    }
}
