//! Products of small matrices: a 1x1 convolution of one image and its gradients.
//!
//! All matrices lie row by row. Of a product, eight rows and a vector of columns stay in registers, or with more columns
//! six rows and two vectors.

// Everything here computes on pointers into buffers whose sizes `Unit` has checked.
#![allow(unsafe_op_in_unsafe_fn)]

use crate::vector::{Element, Vector};

/// `out[rows, n] = left[rows, m] * right[m, n]`.
#[inline(always)]
pub(crate) unsafe fn product<V: Vector>(
    left: *const V::Element,
    right: *const V::Element,
    out: *mut V::Element,
    [rows, m, n]: [usize; 3],
) {
    let mut row = 0;
    if n == V::LANES {
        while row + 8 <= rows {
            block::<V, 8, 1>(left.add(row * m), right, out.add(row * n), m, n);
            row += 8;
        }
    }
    while row + 6 <= rows {
        columns::<V, 6>(left.add(row * m), right, out.add(row * n), m, n);
        row += 6;
    }
    if row + 4 <= rows {
        columns::<V, 4>(left.add(row * m), right, out.add(row * n), m, n);
        row += 4;
    }
    while row + 2 <= rows {
        columns::<V, 2>(left.add(row * m), right, out.add(row * n), m, n);
        row += 2;
    }
    if row < rows {
        columns::<V, 1>(left.add(row * m), right, out.add(row * n), m, n);
    }
}

#[inline(always)]
unsafe fn columns<V: Vector, const R: usize>(
    left: *const V::Element,
    right: *const V::Element,
    out: *mut V::Element,
    m: usize,
    n: usize,
) {
    let mut column = 0;
    while column + 2 * V::LANES <= n {
        block::<V, R, 2>(left, right.add(column), out.add(column), m, n);
        column += 2 * V::LANES;
    }
    while column < n {
        block::<V, R, 1>(left, right.add(column), out.add(column), m, n);
        column += V::LANES;
    }
}

#[inline(always)]
unsafe fn block<V: Vector, const R: usize, const J: usize>(
    left: *const V::Element,
    right: *const V::Element,
    out: *mut V::Element,
    m: usize,
    n: usize,
) {
    let mut sums = [[V::splat(V::Element::ZERO); J]; R];
    for k in 0..m {
        let mut of_right = [V::splat(V::Element::ZERO); J];
        for (j, of_right) in of_right.iter_mut().enumerate() {
            *of_right = V::load(right.add(k * n + j * V::LANES));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let of_left = V::splat(*left.add(r * m + k));
            for (sum, of_right) in sums.iter_mut().zip(of_right) {
                *sum = of_left.fma(of_right, *sum);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            sum.store(out.add(r * n + j * V::LANES));
        }
    }
}

/// `sums[m, n] += left[rows, m]^T * right[rows, n]`.
#[inline(always)]
pub(crate) unsafe fn add_transposed_product<V: Vector>(
    left: *const V::Element,
    right: *const V::Element,
    sums: *mut V::Element,
    [rows, m, n]: [usize; 3],
) {
    let mut first = 0;
    while first + 4 <= m {
        transposed_columns::<V, 4>(left.add(first), right, sums.add(first * n), [rows, m, n]);
        first += 4;
    }
    while first < m {
        transposed_columns::<V, 1>(left.add(first), right, sums.add(first * n), [rows, m, n]);
        first += 1;
    }
}

#[inline(always)]
unsafe fn transposed_columns<V: Vector, const R: usize>(
    left: *const V::Element,
    right: *const V::Element,
    sums: *mut V::Element,
    shape: [usize; 3],
) {
    let n = shape[2];
    let mut column = 0;
    while column + 2 * V::LANES <= n {
        transposed_block::<V, R, 2>(left, right.add(column), sums.add(column), shape);
        column += 2 * V::LANES;
    }
    while column < n {
        transposed_block::<V, R, 1>(left, right.add(column), sums.add(column), shape);
        column += V::LANES;
    }
}

#[inline(always)]
unsafe fn transposed_block<V: Vector, const R: usize, const J: usize>(
    left: *const V::Element,
    right: *const V::Element,
    sums: *mut V::Element,
    [rows, m, n]: [usize; 3],
) {
    let mut totals = [[V::splat(V::Element::ZERO); J]; R];
    for row in 0..rows {
        let mut of_right = [V::splat(V::Element::ZERO); J];
        for (j, of_right) in of_right.iter_mut().enumerate() {
            *of_right = V::load(right.add(row * n + j * V::LANES));
        }
        for (r, totals) in totals.iter_mut().enumerate() {
            let of_left = V::splat(*left.add(row * m + r));
            for (total, of_right) in totals.iter_mut().zip(of_right) {
                *total = of_left.fma(of_right, *total);
            }
        }
    }
    for (r, totals) in totals.iter().enumerate() {
        for (j, total) in totals.iter().enumerate() {
            let to = sums.add(r * n + j * V::LANES);
            V::load(to).add(*total).store(to);
        }
    }
}
