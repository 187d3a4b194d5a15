//! The little mathematics that strategies of several kinds share, in double precision.

use serde::{Deserialize, Serialize};

/// Softmax: `exp(x_i) / sum_j exp(x_j)`.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    shares
}

/// The logarithm of [`softmax`], exact for shares too small to be represented.
pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    logits.iter().map(|logit| logit - largest - log_total).collect()
}

/// The chain rule through softmax: from d loss / d share to d loss / d logit,
/// `share_i * (gradient_i - sum_j share_j * gradient_j)`.
pub fn softmax_backward(shares: &[f64], gradient: &[f64]) -> Vec<f64> {
    let mean: f64 = shares.iter().zip(gradient).map(|(share, slope)| share * slope).sum();
    shares.iter().zip(gradient).map(|(share, slope)| share * (slope - mean)).collect()
}

/// A random word as a number uniform in 0 to below 1.
pub fn share_of_word(word: u64) -> f64 {
    (word >> 11) as f64 / (1u64 << 53) as f64
}

/// The option in whose part of 0 to 1 a draw falls; never one without a share, for rounding the last that has one.
pub fn drawn(shares: &[f64], draw: f64) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (option, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
        sum += share;
        last = option;
        if draw < sum {
            break;
        }
    }
    last
}

/// Entropy in nats: `-sum_i p_i ln p_i`.
pub fn entropy(shares: &[f64]) -> f64 {
    -shares.iter().filter(|share| **share > 0.0).map(|share| share * share.ln()).sum::<f64>()
}

/// Index of the largest value; of equal ones the first. None if there are no numbers.
pub fn argmax(values: &[f64]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (idx, value) in values.iter().copied().enumerate() {
        if !value.is_nan() && best.is_none_or(|(_, largest)| value > largest) {
            best = Some((idx, value));
        }
    }
    best.map(|(idx, _)| idx)
}

/// Adam (Kingma and Ba 2015, algorithm 1) with weight decay added to the gradient (L2), as PyTorch's `Adam`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Step size.
    pub rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Times the parameter, added to its gradient.
    pub weight_decay: f64,
    /// Whether epsilon is added before the second moment is corrected for its beginning (the paper's section 2, its
    /// epsilon-hat; TensorFlow's `Adam`), not after it (algorithm 1; PyTorch's).
    pub epsilon_first: bool,
}

impl Default for Adam {
    /// The paper's constants, without weight decay.
    fn default() -> Self {
        Self { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, epsilon_first: false }
    }
}

/// What [`Adam`] remembers from step to step. Part of a strategy's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdamMoments {
    steps: u32,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl AdamMoments {
    /// At the beginning, for `n_values` parameters.
    pub fn new(n_values: usize) -> Self {
        Self { steps: 0, first: vec![0.0; n_values], second: vec![0.0; n_values] }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl Adam {
    /// One step down the gradient. `values`, `gradient` and the moments have equal lengths.
    pub fn step(&self, values: &mut [f64], gradient: &[f64], moments: &mut AdamMoments) {
        moments.steps = moments.steps.saturating_add(1);
        let steps = f64::from(moments.steps);
        let first_correction = 1.0 - self.beta1.powf(steps);
        let second_root = (1.0 - self.beta2.powf(steps)).sqrt();
        let epsilon = if self.epsilon_first { self.epsilon / second_root } else { self.epsilon };
        let states = moments.first.iter_mut().zip(&mut moments.second);
        for ((value, slope), (first, second)) in values.iter_mut().zip(gradient).zip(states) {
            let slope = slope + self.weight_decay * *value;
            *first += (1.0 - self.beta1) * (slope - *first);
            *second = self.beta2 * *second + (1.0 - self.beta2) * slope * slope;
            *value -= self.rate / first_correction * *first / (second.sqrt() / second_root + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: &[f64], right: &[f64], tolerance: f64) {
        assert_eq!(left.len(), right.len());
        assert!(left.iter().zip(right).all(|(a, b)| (a - b).abs() <= tolerance), "{left:?} against {right:?}");
    }

    #[test]
    fn softmax_sums_to_one_even_for_huge_logits() {
        close(&softmax(&[1000.0, 1000.0, -1000.0]), &[0.5, 0.5, 0.0], 1e-15);
        close(&softmax(&[0.0, 3f64.ln()]), &[0.25, 0.75], 1e-15);
    }

    #[test]
    fn log_softmax_is_finite_where_softmax_underflows() {
        close(&log_softmax(&[0.0, -1000.0]), &[0.0, -1000.0], 1e-12);
    }

    #[test]
    fn the_backward_pass_agrees_with_finite_differences() {
        let logits = [0.3, -1.2, 0.7, 0.1];
        let weights = [1.0, -2.0, 0.5, 3.0];
        let loss = |logits: &[f64]| softmax(logits).iter().zip(weights).map(|(p, w)| p * w).sum::<f64>();
        let step = 1e-6;
        let numeric: Vec<f64> = (0..logits.len())
            .map(|idx| {
                let (mut up, mut down) = (logits, logits);
                up[idx] += step;
                down[idx] -= step;
                (loss(&up) - loss(&down)) / (2.0 * step)
            })
            .collect();
        close(&softmax_backward(&softmax(&logits), &weights), &numeric, 1e-9);
    }

    #[test]
    fn argmax_takes_the_first_of_equals_and_no_nan() {
        assert_eq!(argmax(&[f64::NAN, 2.0, 3.0, 3.0]), Some(2));
        assert_eq!(argmax(&[f64::NAN]), None);
        assert_eq!(argmax(&[]), None);
    }

    #[test]
    fn the_entropy_of_a_uniform_mixture_is_the_logarithm_of_its_size() {
        assert!((entropy(&[0.25; 4]) - 4f64.ln()).abs() < 1e-15);
        assert_eq!(entropy(&[1.0, 0.0]), 0.0);
    }

    #[test]
    fn adam_steps_by_its_rate_along_the_sign_at_first() {
        let adam = Adam { rate: 0.1, ..Adam::default() };
        let mut values = [1.0, 1.0];
        adam.step(&mut values, &[5.0, -0.01], &mut AdamMoments::new(2));
        close(&values, &[0.9, 1.1], 1e-6);
    }

    #[test]
    fn an_epsilon_added_first_counts_for_more_at_the_beginning() {
        // TensorFlow's form: rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon).
        let adam = Adam { rate: 0.01, beta1: 0.0, epsilon: 1e-3, epsilon_first: true, ..Adam::default() };
        let (mut values, mut moments, mut value, mut second) = ([1.0], AdamMoments::new(1), 1.0f64, 0.0f64);
        for (step, slope) in [(1, 1e-3), (2, -2e-3)] {
            adam.step(&mut values, &[slope], &mut moments);
            second = 0.999 * second + 0.001 * slope * slope;
            value -= 0.01 * (1.0 - 0.999f64.powi(step)).sqrt() * slope / (second.sqrt() + 1e-3);
        }
        close(&values, &[value], 1e-15);
    }

    #[test]
    fn adam_follows_the_recurrence_written_out() {
        // Two steps by hand: gradient 2 then -1, decay 0.1, value 1.
        let adam =
            Adam { rate: 0.01, beta1: 0.5, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.1, epsilon_first: false };
        let (mut values, mut moments) = ([1.0], AdamMoments::new(1));
        let (mut value, mut first, mut second) = (1.0f64, 0.0f64, 0.0f64);
        for (step, slope) in [(1, 2.0), (2, -1.0)] {
            adam.step(&mut values, &[slope], &mut moments);
            let slope = slope + 0.1 * value;
            first = 0.5 * first + 0.5 * slope;
            second = 0.999 * second + 0.001 * slope * slope;
            let corrected = first / (1.0 - 0.5f64.powi(step));
            value -= 0.01 * corrected / ((second / (1.0 - 0.999f64.powi(step))).sqrt() + 1e-8);
        }
        close(&values, &[value], 1e-15);
    }
}
