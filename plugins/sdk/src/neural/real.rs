//! Numbers that networks compute with.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

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

    /// The logistic function.
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }

    /// The hyperbolic tangent.
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

    /// Without a branch or a call, so that loops over it become vector instructions; to about 1e-7 of its
    /// value, the same bits on every machine. The range reduction and the polynomial's coefficients are those of
    /// Cephes (Moshier). Beyond about 87 either way it stays at its largest and smallest.
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
