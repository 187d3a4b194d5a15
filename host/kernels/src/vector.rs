//! Vectors of a few neighbouring channels, and how a kernel gets compiled for each width.
//!
//! A kernel is a [`Kernel`]: one body, generic over [`Vector`] and always inlined. [`Element::run`] calls it from a
//! function that has the processor's features switched on, so that the body is compiled with them. The portable vector
//! has one lane; it exists for double precision, in which the formulae are checked.

// The whole module is operations that need a processor's features, which `Vector`'s contract asks of the caller.
#![allow(unsafe_op_in_unsafe_fn)]

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
use x86::{level, run};

/// What the processor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One lane, any processor.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

/// A number format.
pub trait Element: Copy + Send + Sync + PartialOrd + 'static {
    /// Zero.
    const ZERO: Self;
    /// Nearest to a double.
    fn of(value: f64) -> Self;
    /// As a double.
    fn double(self) -> f64;
    /// The best level at which all of these channel counts are whole vectors; `None` where this processor has none.
    fn level(channels: &[usize]) -> Option<Level>;
    /// Run a kernel at a level that [`Self::level`] gave.
    fn run<K: Kernel<Self>>(level: Level, kernel: K);
}

/// A computation in any width of vector.
pub trait Kernel<E: Element> {
    /// Carry it out; to be marked `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor has the features of `V`.
    unsafe fn run<V: Vector<Element = E>>(self);
}

/// A vector.
///
/// # Safety
/// All functions need the processor's features; `load` and `store` need `LANES` elements at the pointer, at any
/// alignment.
// Said once for all of them.
#[allow(clippy::missing_safety_doc)]
pub trait Vector: Copy {
    /// Of what.
    type Element: Element;
    /// Of how many.
    const LANES: usize;
    /// Vectors that a processor with them holds.
    const REGISTERS: usize;
    /// All lanes alike.
    unsafe fn splat(value: Self::Element) -> Self;
    /// From memory.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// To memory.
    unsafe fn store(self, to: *mut Self::Element);
    /// Sum.
    unsafe fn add(self, other: Self) -> Self;
    /// Difference.
    unsafe fn sub(self, other: Self) -> Self;
    /// Product.
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;
    /// The larger, or `self` where that is not a number.
    unsafe fn max(self, other: Self) -> Self;
    /// `self` where `by` is positive, else 0.
    unsafe fn where_positive(self, by: Self) -> Self;
    /// `self` where `a` equals `b`, else 0.
    unsafe fn where_equal(self, a: Self, b: Self) -> Self;
}

/// One lane.
#[derive(Clone, Copy)]
pub struct Single<E>(E);

macro_rules! single {
    ($element:ty) => {
        impl Vector for Single<$element> {
            type Element = $element;
            const LANES: usize = 1;
            const REGISTERS: usize = 16;
            #[inline(always)]
            unsafe fn splat(value: $element) -> Self {
                Self(value)
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                Self(*from)
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                *to = self.0;
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                Self(self.0 * other.0)
            }
            #[inline(always)]
            unsafe fn fma(self, factor: Self, addend: Self) -> Self {
                Self(self.0 * factor.0 + addend.0)
            }
            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                if other.0 > self.0 { other } else { self }
            }
            #[inline(always)]
            unsafe fn where_positive(self, by: Self) -> Self {
                if by.0 > <$element>::ZERO { self } else { Self(<$element>::ZERO) }
            }
            #[inline(always)]
            unsafe fn where_equal(self, a: Self, b: Self) -> Self {
                if a.0 == b.0 { self } else { Self(<$element>::ZERO) }
            }
        }
    };
}

single!(f32);
single!(f64);

impl Element for f32 {
    const ZERO: Self = 0.0;
    fn of(value: f64) -> Self {
        value as Self
    }
    fn double(self) -> f64 {
        f64::from(self)
    }
    fn level(channels: &[usize]) -> Option<Level> {
        level(channels)
    }
    fn run<K: Kernel<Self>>(level: Level, kernel: K) {
        run(level, kernel);
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    fn of(value: f64) -> Self {
        value
    }
    fn double(self) -> f64 {
        self
    }
    fn level(_: &[usize]) -> Option<Level> {
        Some(Level::Portable)
    }
    fn run<K: Kernel<Self>>(_: Level, kernel: K) {
        // SAFETY: one lane needs no features.
        unsafe { kernel.run::<Single<Self>>() };
    }
}

/// Nothing is known of other processors' vectors.
#[cfg(not(target_arch = "x86_64"))]
fn level(_: &[usize]) -> Option<Level> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn run<K: Kernel<f32>>(_: Level, kernel: K) {
    // SAFETY: one lane needs no features.
    unsafe { kernel.run::<Single<f32>>() };
}
