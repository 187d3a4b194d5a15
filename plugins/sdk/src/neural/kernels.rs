//! Products of matrices and vectors, several vectors at a time, so that a matrix is read once for all of them.
//!
//! Matrices lie column by column. Sums are kept side by side in blocks of [`LANES`].

use super::real::{Block, LANES, Real};

/// `out[b] += matrix * vectors[b]`; `out` is one result behind the other.
pub fn multiply<R: Real>(matrix: &[R], rows: usize, vectors: &[&[R]], out: &mut [R]) {
    let rows = rows.max(1);
    for tile in 0..rows / LANES {
        let columns = Columns { matrix, rows, tile };
        let mut results = out.chunks_exact_mut(rows).filter_map(|out| out.as_chunks_mut().0.get_mut(tile));
        let (pairs, last) = vectors.as_chunks::<2>();
        for pair in pairs {
            let (Some(one), Some(other)) = (results.next(), results.next()) else { return };
            let mut sums: [Block<R>; 2] = [*one, *other];
            columns.add_to(&mut sums, *pair);
            [*one, *other] = sums;
        }
        for (vector, result) in last.iter().zip(results) {
            let mut sums: [Block<R>; 1] = [*result];
            columns.add_to(&mut sums, [*vector]);
            [*result] = sums;
        }
    }
    if rows.is_multiple_of(LANES) {
        return;
    }
    for (vector, out) in vectors.iter().zip(out.chunks_exact_mut(rows)) {
        let rest = out.as_chunks_mut::<LANES>().1;
        for (column, factor) in matrix.chunks_exact(rows).zip(*vector) {
            add_scaled(column.as_chunks::<LANES>().1, *factor, rest);
        }
    }
}

/// One block of each column of a matrix.
#[derive(Clone, Copy)]
struct Columns<'m, R> {
    matrix: &'m [R],
    rows: usize,
    tile: usize,
}

/// Columns taken in one turn of a loop: between turns a component puts its sums away, to count its steps.
const TURN: usize = 4;

impl<R: Real> Columns<'_, R> {
    /// Each column's block times its factor, added up for several lists of factors at a time.
    #[inline(always)]
    fn add_to<const N: usize>(&self, sums: &mut [Block<R>; N], factors: [&[R]; N]) {
        let turns = self.matrix.chunks_exact(TURN * self.rows);
        let factors = factors.map(|factors| factors.as_chunks::<TURN>());
        let rest = turns.remainder();
        for (turn, columns) in turns.enumerate() {
            let (front, back) = columns.split_at(2 * self.rows);
            let ((a, b), (c, d)) = (front.split_at(self.rows), back.split_at(self.rows));
            let [Some(a), Some(b), Some(c), Some(d)] = [a, b, c, d].map(|column| column.as_chunks().0.get(self.tile))
            else {
                return;
            };
            for (sums, factors) in sums.iter_mut().zip(&factors) {
                let Some([fa, fb, fc, fd]) = factors.0.get(turn) else { return };
                add_block(sums, a, *fa);
                add_block(sums, b, *fb);
                add_block(sums, c, *fc);
                add_block(sums, d, *fd);
            }
        }
        for (idx, column) in rest.chunks_exact(self.rows).enumerate() {
            let Some(block) = column.as_chunks().0.get(self.tile) else { return };
            for (sums, factors) in sums.iter_mut().zip(&factors) {
                factors.1.get(idx).into_iter().for_each(|factor| add_block(sums, block, *factor));
            }
        }
    }
}

/// A matrix row by row, which is its transpose column by column.
pub fn transposed<R: Real>(matrix: &[R], rows: usize) -> Vec<R> {
    let row = |row| matrix.iter().skip(row).step_by(rows.max(1)).copied();
    (0..rows).flat_map(row).collect()
}

/// What [`multiply`] makes of slopes by the matrix on the way back: `gradient += sum over b of own[b] * transposed
/// vectors[b]`.
pub fn add_outer<R: Real>(gradient: &mut [R], rows: usize, own: &[R], vectors: &[&[R]]) {
    let rows = rows.max(1);
    // A column of the gradient is the sum of the slopes, each times a number of its vector.
    let columns = gradient.len() / rows;
    let factors: Vec<R> =
        (0..columns).flat_map(|idx| vectors.iter().map(move |v| v.get(idx).copied().unwrap_or_default())).collect();
    let mut factors = factors.chunks_exact(vectors.len().max(1));
    for pair in gradient.chunks_mut(2 * rows) {
        let (one, other) = pair.split_at_mut(rows);
        let (first, second) = (factors.next().unwrap_or_default(), factors.next().unwrap_or_default());
        for tile in 0..rows / LANES {
            let slopes = Columns { matrix: own, rows, tile };
            let Some(one) = one.as_chunks_mut().0.get_mut(tile) else { return };
            if let Some(other) = other.as_chunks_mut().0.get_mut(tile) {
                let mut sums: [Block<R>; 2] = [*one, *other];
                slopes.add_to(&mut sums, [first, second]);
                [*one, *other] = sums;
            } else {
                let mut sums: [Block<R>; 1] = [*one];
                slopes.add_to(&mut sums, [first]);
                [*one] = sums;
            }
        }
        if rows.is_multiple_of(LANES) {
            continue;
        }
        for (own, (a, b)) in
            own.chunks_exact(rows).zip(first.iter().zip(second.iter().chain(std::iter::repeat(&R::ONE))))
        {
            let rest = own.as_chunks::<LANES>().1;
            add_scaled(rest, *a, one.as_chunks_mut::<LANES>().1);
            add_scaled(rest, *b, other.as_chunks_mut::<LANES>().1);
        }
    }
}

/// The inner product.
pub fn inner<R: Real>(left: &[R], right: &[R]) -> R {
    let mut sums = [R::default(); LANES];
    let ((lefts, left_rest), (rights, right_rest)) = (left.as_chunks(), right.as_chunks());
    for (left, right) in lefts.iter().zip(rights) {
        R::add_products(&mut sums, left, right);
    }
    together(sums) + rest_of(left_rest, right_rest)
}

/// `to += what`.
pub fn add<R: Real>(to: &mut [R], what: &[R]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += *what);
}

/// `out = function(values)`.
pub fn each<R: Real>(out: &mut [R], values: &[R], function: impl Fn(R) -> R) {
    let ((lanes, rest), (blocks, last)) = (out.as_chunks_mut::<LANES>(), values.as_chunks::<LANES>());
    for (out, values) in lanes.iter_mut().zip(blocks) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = function(*value));
    }
    rest.iter_mut().zip(last).for_each(|(out, value)| *out = function(*value));
}

/// `out = function(left, right)`.
pub fn each_of_two<R: Real>(out: &mut [R], left: &[R], right: &[R], function: impl Fn(R, R) -> R) {
    let (lanes, rest) = out.as_chunks_mut::<LANES>();
    let ((lefts, left_rest), (rights, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    for (out, (left, right)) in lanes.iter_mut().zip(lefts.iter().zip(rights)) {
        let pairs = left.iter().zip(right);
        out.iter_mut().zip(pairs).for_each(|(out, (left, right))| *out = function(*left, *right));
    }
    let pairs = left_rest.iter().zip(right_rest);
    rest.iter_mut().zip(pairs).for_each(|(out, (left, right))| *out = function(*left, *right));
}

#[inline(always)]
fn add_block<R: Real>(sums: &mut Block<R>, block: &Block<R>, factor: R) {
    R::add_products(sums, &[factor; LANES], block);
}

fn add_scaled<R: Real>(values: &[R], factor: R, out: &mut [R]) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out += *value * factor);
}

/// The sum of sums side by side, in halves.
#[inline(always)]
fn together<R: Real>(sums: Block<R>) -> R {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = sums;
    (((a + i) + (e + m)) + ((c + k) + (g + o))) + (((b + j) + (f + n)) + ((d + l) + (h + p)))
}

fn rest_of<R: Real>(left: &[R], right: &[R]) -> R {
    left.iter().zip(right).fold(R::default(), |sum, (left, right)| sum + *left * *right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f64> {
        (0..count).map(|idx| ((idx * 7_919 + seed * 104_729) % 1_201) as f64 / 600.0 - 1.0).collect()
    }

    /// Sizes below, at and above the blocks, and one to five vectors at a time.
    #[test]
    fn products_of_every_shape_are_the_sums_that_they_stand_for() {
        for rows in [1, 5, 15, 16, 17, 32, 50] {
            for columns in [1, 2, 7, 33] {
                for count in 1..6 {
                    let matrix = numbers(rows * columns, 1);
                    let inputs: Vec<Vec<f64>> = (0..count).map(|b| numbers(columns, 2 + b)).collect();
                    let vectors: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
                    let own = numbers(count * rows, 9);
                    let what = format!("{rows} x {columns}, {count} vectors");
                    let near = |found: f64, sum: f64| assert!((found - sum).abs() < 1e-12, "{what}: {found} for {sum}");

                    let mut out = numbers(count * rows, 8);
                    let before = out.clone();
                    multiply(&matrix, rows, &vectors, &mut out);
                    let owns: Vec<&[f64]> = own.chunks(rows).collect();
                    let mut slopes = vec![0.0; count * columns];
                    multiply(&transposed(&matrix, rows), columns, &owns, &mut slopes);
                    let mut gradient = numbers(rows * columns, 7);
                    let untouched = gradient.clone();
                    add_outer(&mut gradient, rows, &own, &vectors);
                    for b in 0..count {
                        for row in 0..rows {
                            let sum: f64 = (0..columns).map(|j| matrix[j * rows + row] * inputs[b][j]).sum();
                            near(out[b * rows + row], before[b * rows + row] + sum);
                        }
                        for column in 0..columns {
                            let sum: f64 = (0..rows).map(|row| matrix[column * rows + row] * own[b * rows + row]).sum();
                            near(slopes[b * columns + column], sum);
                        }
                    }
                    for column in 0..columns {
                        for row in 0..rows {
                            let sum: f64 = (0..count).map(|b| own[b * rows + row] * inputs[b][column]).sum();
                            near(gradient[column * rows + row], untouched[column * rows + row] + sum);
                        }
                    }
                    near(inner(&own, &before), own.iter().zip(&before).map(|(a, b)| a * b).sum());
                }
            }
        }
    }

    #[test]
    fn a_vector_s_product_does_not_depend_on_what_is_multiplied_beside_it() {
        let (rows, columns) = (48, 20);
        let matrix: Vec<f32> = numbers(rows * columns, 1).into_iter().map(|x| x as f32).collect();
        let inputs: Vec<Vec<f32>> =
            (0..3).map(|b| numbers(columns, b).into_iter().map(|x| x as f32).collect()).collect();
        let vectors: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut together = vec![0.0f32; 3 * rows];
        multiply(&matrix, rows, &vectors, &mut together);
        for (vector, together) in vectors.iter().zip(together.chunks_exact(rows)) {
            let mut alone = vec![0.0f32; rows];
            multiply(&matrix, rows, &[vector], &mut alone);
            assert_eq!(alone, together);
        }
    }
}
