//! Numbers that networks compute with.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// Numbers that loops without branches take at once: their bounds are known, so they become vector instructions, and
/// a component counts their steps once for a whole block.
pub const LANES: usize = 16;

/// So many numbers side by side.
pub type Block<R> = [R; LANES];

/// `f32`, or `f64` in tests of gradients.
pub trait Real:
    Copy
    + Debug
    + Default
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// One.
    const ONE: Self;

    /// The nearest number.
    fn of(value: f64) -> Self;

    /// In double precision.
    fn wide(self) -> f64;

    /// `e` to the power of it.
    fn exp(self) -> Self;

    /// `sums += factors * block`, number by number. In components each is rounded once (a fused multiply-add, which
    /// the host computes alike on every machine): the host follows each operation by one that makes its NaN the same
    /// everywhere, so that one operation in place of two counts.
    #[inline(always)]
    fn add_products(sums: &mut Block<Self>, factors: &Block<Self>, block: &Block<Self>) {
        sums.iter_mut().zip(factors.iter().zip(block)).for_each(|(sum, (factor, value))| *sum += *factor * *value);
    }

    /// The logistic function.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }

    /// The hyperbolic tangent.
    #[inline(always)]
    fn tanh(self) -> Self {
        let two = Self::ONE + Self::ONE;
        Self::ONE - two / ((two * self).exp() + Self::ONE)
    }
}

impl Real for f64 {
    const ONE: Self = 1.0;

    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }
}

impl Real for f32 {
    const ONE: Self = 1.0;

    fn of(value: f64) -> Self {
        value as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn add_products(sums: &mut Block<f32>, factors: &Block<f32>, block: &Block<f32>) {
        use std::arch::wasm32::{f32x4, f32x4_extract_lane as lane, f32x4_relaxed_madd};
        let fours = factors.as_chunks().0.iter().zip(block.as_chunks().0);
        for (sum, ([fa, fb, fc, fd], [a, b, c, d])) in sums.as_chunks_mut().0.iter_mut().zip(fours) {
            let before = f32x4(sum[0], sum[1], sum[2], sum[3]);
            let after = f32x4_relaxed_madd(f32x4(*fa, *fb, *fc, *fd), f32x4(*a, *b, *c, *d), before);
            *sum = [lane::<0>(after), lane::<1>(after), lane::<2>(after), lane::<3>(after)];
        }
    }

    /// Without a branch or a call, so that loops over it become vector instructions; to about 1e-7 of its
    /// value, the same bits on every machine. The range reduction and the polynomial's coefficients are those of
    /// Cephes (Moshier). Beyond about 87 either way it stays at its largest and smallest.
    #[inline(always)]
    fn exp(self) -> Self {
        const COEFFICIENTS: [f32; 6] =
            [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        let x = self.clamp(-87.0, 88.0);
        let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
        // ln 2 in two parts, the first exact in few bits.
        let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
        let polynomial = COEFFICIENTS.into_iter().fold(0.0, |sum, coefficient| sum * r + coefficient);
        let scale = f32::from_bits(((n as i32 + 127) as u32) << 23);
        (polynomial * r * r + r + 1.0) * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_single_precision_exponential_is_right_to_its_last_bits() {
        for step in -8_600..8_700 {
            let x = step as f32 / 100.0;
            let (found, expected) = (f64::from(Real::exp(x)), f64::exp(f64::from(x)));
            assert!((found / expected - 1.0).abs() < 3e-7, "exp({x}) = {found}, not {expected}");
        }
    }

    #[test]
    fn squashing_functions_are_finite_at_both_ends() {
        for x in [-1e30f32, -90.0, 0.0, 90.0, 1e30] {
            assert!(x.sigmoid().is_finite() && Real::tanh(x).is_finite());
        }
        assert_eq!((Real::tanh(90.0f32), Real::tanh(-90.0f32), 0.0f32.sigmoid()), (1.0, -1.0, 0.5));
        for x in [-3.0, -0.5, 1e-3, 0.7] {
            assert!((Real::tanh(x) - f64::tanh(x)).abs() < 1e-15);
            assert!((f64::from(Real::tanh(x as f32)) - f64::tanh(x)).abs() < 2e-7);
        }
    }
}
