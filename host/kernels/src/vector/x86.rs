//! Vectors of the x86-64 processors: 8 lanes with AVX2 and FMA, 16 with AVX-512.

#![allow(unsafe_op_in_unsafe_fn)]

use std::arch::x86_64::*;

use super::{Kernel, Level, Single, Vector};

macro_rules! vector {
    ($name:ident, $register:ty, $lanes:expr, $set:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident,
     $fma:ident, $max:ident, $positive:expr, $equal:expr) => {
        /// Single precision.
        #[derive(Clone, Copy)]
        pub struct $name($register);

        impl Vector for $name {
            type Element = f32;
            const LANES: usize = $lanes;
            // AVX-512 brings twice the registers, too.
            const REGISTERS: usize = 2 * $lanes;
            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                Self($set(value))
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                Self($load(from))
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                $store(to, self.0);
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self($add(self.0, other.0))
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                Self($sub(self.0, other.0))
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                Self($mul(self.0, other.0))
            }
            #[inline(always)]
            unsafe fn fma(self, factor: Self, addend: Self) -> Self {
                Self($fma(self.0, factor.0, addend.0))
            }
            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                // The instruction gives its second operand where one is not a number.
                Self($max(other.0, self.0))
            }
            #[inline(always)]
            unsafe fn where_positive(self, by: Self) -> Self {
                Self($positive(self.0, by.0))
            }
            #[inline(always)]
            unsafe fn where_equal(self, a: Self, b: Self) -> Self {
                Self($equal(self.0, a.0, b.0))
            }
        }
    };
}

vector!(
    F32x8,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_max_ps,
    |value, by| _mm256_and_ps(value, _mm256_cmp_ps::<_CMP_GT_OQ>(by, _mm256_setzero_ps())),
    |value, a, b| _mm256_and_ps(value, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b))
);
vector!(
    F32x16,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    _mm512_max_ps,
    |value, by| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(by, _mm512_setzero_ps()), value),
    |value, a, b| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), value)
);

#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<K: Kernel<f32>>(kernel: K) {
    kernel.run::<F32x8>();
}

#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512<K: Kernel<f32>>(kernel: K) {
    kernel.run::<F32x16>();
}

/// The widest vectors of this processor that all channel counts are whole numbers of.
pub(super) fn level(channels: &[usize]) -> Option<Level> {
    let whole = |lanes: usize| channels.iter().all(|n| n.is_multiple_of(lanes));
    if whole(F32x16::LANES) && is_available(Level::Avx512) {
        Some(Level::Avx512)
    } else if whole(F32x8::LANES) && is_available(Level::Avx2) {
        Some(Level::Avx2)
    } else {
        None
    }
}

fn is_available(level: Level) -> bool {
    let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match level {
        Level::Portable => true,
        Level::Avx2 => avx2(),
        Level::Avx512 => avx2() && is_x86_feature_detected!("avx512f"),
    }
}

/// Run a kernel; one lane at a time where the processor lacks what the level asks for.
pub(super) fn run<K: Kernel<f32>>(level: Level, kernel: K) {
    // SAFETY: the processor was asked for the features.
    unsafe {
        match level {
            Level::Avx512 if is_available(level) => run_avx512(kernel),
            Level::Avx2 if is_available(level) => run_avx2(kernel),
            _ => kernel.run::<Single<f32>>(),
        }
    }
}
