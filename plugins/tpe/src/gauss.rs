//! Sums of Gaussians: where all the time goes.
//!
//! A density of some hundred kernels at some hundred places is as many exponentials for every decision of every
//! proposal. The loops here run over plain arrays four at a time, without a branch or a call, so that they compile to
//! vector instructions; [`exp_negative`] is written out for the same reason and is exact to a few units in the last
//! place. The error function is libm's.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// 1 / sqrt(2 pi).
pub const INV_SQRT_TAU: f64 = 0.398_942_280_401_432_7;

/// Beyond so many deviations a kernel is left out: there it has less than 3e-11 of its peak, while the prior, which has
/// the weight of a kernel everywhere, has a hundredth of it.
pub const REACH: f64 = 7.0;

/// Added to a number below 2^51 it leaves the nearest integer in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// ln 2 in two parts of which the first has trailing zeros, so that its multiples are exact.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Of the series of exp, from the 12th power down.
const SERIES: [f64; 13] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// `exp(x)` for `x` up to 0; what is below -700 counts as -700. Series of the remainder after powers of two.
#[inline(always)]
pub fn exp_negative(x: f64) -> f64 {
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x * LOG2_E + ROUNDING;
    let power = shifted - ROUNDING;
    let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
    let mut sum = 0.0;
    for coefficient in SERIES {
        sum = sum * rest + coefficient;
    }
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    sum * scale
}

/// `sum_i weight_i * exp(-rate_i * (x - mean_i)^2)` over slices of one length, which does not look closer at four kernels
/// side by side that are all out of [`REACH`]: best sorted by mean.
pub fn sum(x: f64, means: &[f64], rates: &[f64], weights: &[f64]) -> f64 {
    const OUT_OF_REACH: f64 = -0.5 * REACH * REACH;
    let mut lanes = [0.0; 4];
    let (mean_chunks, mean_rest) = means.as_chunks::<4>();
    let (rate_chunks, rate_rest) = rates.as_chunks::<4>();
    let (weight_chunks, weight_rest) = weights.as_chunks::<4>();
    for ((mean, rate), weight) in mean_chunks.iter().zip(rate_chunks).zip(weight_chunks) {
        let mut exponents = [0.0; 4];
        for lane in 0..4 {
            let distance = x - mean[lane];
            exponents[lane] = -rate[lane] * distance * distance;
        }
        if exponents.iter().any(|exponent| *exponent > OUT_OF_REACH) {
            for lane in 0..4 {
                lanes[lane] += weight[lane] * exp_negative(exponents[lane]);
            }
        }
    }
    let mut total = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    for ((mean, rate), weight) in mean_rest.iter().zip(rate_rest).zip(weight_rest) {
        let distance = x - mean;
        total += weight * exp_negative(-rate * distance * distance);
    }
    total
}

/// `exponents_i -= rate_i * (x - mean_i)^2` over slices of one length.
pub fn subtract_squares(exponents: &mut [f64], x: f64, means: &[f64], rates: &[f64]) {
    for ((exponent, mean), rate) in exponents.iter_mut().zip(means).zip(rates) {
        let distance = x - mean;
        *exponent -= rate * distance * distance;
    }
}

/// `ln sum_i factor_i * exp(exponent_i)`; minus infinity if all factors are 0.
pub fn log_sum(exponents: &[f64], factors: &[f64]) -> f64 {
    let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shift = if largest.is_finite() { largest } else { 0.0 };
    let mut lanes = [0.0; 4];
    let (exponent_chunks, exponent_rest) = exponents.as_chunks::<4>();
    let (factor_chunks, factor_rest) = factors.as_chunks::<4>();
    for (exponent, factor) in exponent_chunks.iter().zip(factor_chunks) {
        for lane in 0..4 {
            lanes[lane] += factor[lane] * exp_negative(exponent[lane] - shift);
        }
    }
    let mut total = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    for (exponent, factor) in exponent_rest.iter().zip(factor_rest) {
        total += factor * exp_negative(exponent - shift);
    }
    shift + total.ln()
}

/// The mass of a normal distribution between `low` and `high`.
pub fn mass(mean: f64, deviation: f64, low: f64, high: f64) -> f64 {
    let scale = 1.0 / (deviation * SQRT_2);
    let (below, above) = ((low - mean) * scale, (high - mean) * scale);
    if below < -6.0 && above > 6.0 {
        return 1.0; // to the last place
    }
    // In a tail through the complement, or the difference would be of two numbers near 1.
    if below > 0.0 {
        0.5 * (libm::erfc(below) - libm::erfc(above))
    } else if above < 0.0 {
        0.5 * (libm::erfc(-above) - libm::erfc(-below))
    } else {
        0.5 * (libm::erf(above) - libm::erf(below))
    }
}

const _: () = assert!(LN_2_HIGH < LN_2);
