//! Vector operations written down as they happen, and their derivatives.
//!
//! All values lie one after the other in one list, results always behind what they are made of. Going
//! backwards is one pass over the operations in reverse order with a list of slopes of the same layout.

use super::{Matrix, Place, Real};

/// A vector on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector {
    start: usize,
    len: usize,
}

impl Vector {
    /// Number of components.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What an operation was; its result is the vector it stands with.
#[derive(Clone, Debug)]
enum Operation<R> {
    Weights(Place),
    Product {
        matrix: Matrix,
        of: Vector,
    },
    Sum(Vector, Vector),
    Scaled(Vector, R),
    Tanh(Vector),
    Dot(Vector, Vector),
    Joined(Vec<Vector>),
    /// The result is: hidden, cell; then, for the way back, four gates and the squashed cell.
    Memory {
        gates: Vector,
        cell: Vector,
    },
}

/// Operations on vectors, with weights `weights`.
pub struct Tape<'w, R> {
    weights: &'w [R],
    values: Vec<R>,
    operations: Vec<(Operation<R>, Vector)>,
}

/// A place on a tape to return to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    n_values: usize,
    n_operations: usize,
}

impl<'w, R: Real> Tape<'w, R> {
    /// An empty tape.
    pub fn new(weights: &'w [R]) -> Self {
        Self { weights, values: Vec::new(), operations: Vec::new() }
    }

    /// Where the tape stands now.
    pub fn mark(&self) -> Mark {
        Mark { n_values: self.values.len(), n_operations: self.operations.len() }
    }

    /// Forget everything after a mark.
    pub fn rewind(&mut self, mark: Mark) {
        self.values.truncate(mark.n_values);
        self.operations.truncate(mark.n_operations);
    }

    /// The components of a vector.
    pub fn values(&self, vector: Vector) -> &[R] {
        part(&self.values, vector)
    }

    /// Constants: no derivative goes through them.
    pub fn constants(&mut self, values: impl IntoIterator<Item = R>) -> Vector {
        let start = self.values.len();
        self.values.extend(values);
        Vector { start, len: self.values.len() - start }
    }

    /// A vector of weights: a bias, a row of an embedding.
    pub fn weights(&mut self, place: Place) -> Vector {
        let weights = self.weights;
        self.record(Operation::Weights(place), place.len, |_, out| {
            out.iter_mut().zip(slice(weights, place)).for_each(|(out, weight)| *out = *weight);
        })
    }

    /// A matrix of weights times a vector.
    pub fn product(&mut self, matrix: Matrix, of: Vector) -> Vector {
        let weights = slice(self.weights, matrix.place());
        self.record(Operation::Product { matrix, of }, matrix.rows, |values, out| {
            multiply(weights, part(values, of), out);
        })
    }

    /// Component by component.
    pub fn sum(&mut self, left: Vector, right: Vector) -> Vector {
        self.record(Operation::Sum(left, right), left.len, |values, out| {
            for ((out, left), right) in out.iter_mut().zip(part(values, left)).zip(part(values, right)) {
                *out = *left + *right;
            }
        })
    }

    /// A vector times a number.
    pub fn scaled(&mut self, vector: Vector, factor: f64) -> Vector {
        let factor = R::of(factor);
        self.record(Operation::Scaled(vector, factor), vector.len, |values, out| {
            out.iter_mut().zip(part(values, vector)).for_each(|(out, value)| *out = *value * factor);
        })
    }

    /// The hyperbolic tangent of every component.
    pub fn tanh(&mut self, vector: Vector) -> Vector {
        self.record(Operation::Tanh(vector), vector.len, |values, out| {
            out.iter_mut().zip(part(values, vector)).for_each(|(out, value)| *out = value.tanh());
        })
    }

    /// The inner product, a vector of one component.
    pub fn dot(&mut self, left: Vector, right: Vector) -> Vector {
        self.record(Operation::Dot(left, right), 1, |values, out| {
            let product = inner(part(values, left), part(values, right));
            out.iter_mut().for_each(|out| *out = product);
        })
    }

    /// Vectors one after the other as one.
    pub fn joined(&mut self, parts: Vec<Vector>) -> Vector {
        let len = parts.iter().map(Vector::len).sum();
        let copied = parts.clone();
        self.record(Operation::Joined(parts), len, |values, out| {
            let joined = copied.iter().flat_map(|vector| part(values, *vector));
            out.iter_mut().zip(joined).for_each(|(out, value)| *out = *value);
        })
    }

    /// A memory cell's step from the sums before its gates (input, forget, output, candidate, one after the other):
    /// the hidden vector and the cell. See [`Lstm`](super::Lstm).
    pub fn memory(&mut self, gates: Vector, cell: Vector) -> (Vector, Vector) {
        let size = cell.len;
        let result = self.record(Operation::Memory { gates, cell }, 7 * size, |values, out| {
            remember(part(values, gates), part(values, cell), out);
        });
        let hidden = Vector { start: result.start, len: size };
        (hidden, Vector { start: result.start + size, len: size })
    }

    fn record(&mut self, operation: Operation<R>, len: usize, compute: impl FnOnce(&[R], &mut [R])) -> Vector {
        let start = self.values.len();
        self.values.resize(start + len, R::default());
        let (values, out) = self.values.split_at_mut(start);
        compute(values, out);
        let result = Vector { start, len };
        self.operations.push((operation, result));
        result
    }

    /// The slopes of a loss by all weights, from its slopes by some vectors.
    pub fn backward<'s>(&self, seeds: impl IntoIterator<Item = (Vector, &'s [f64])>) -> Vec<f64> {
        let mut slopes = vec![R::default(); self.values.len()];
        for (vector, seed) in seeds {
            part_mut(&mut slopes, vector).iter_mut().zip(seed).for_each(|(slope, seed)| *slope += R::of(*seed));
        }
        let mut gradient = vec![R::default(); self.weights.len()];
        for (operation, result) in self.operations.iter().rev() {
            let (before, own) = slopes.split_at_mut(result.start);
            let own = own.get(..result.len).unwrap_or_default();
            self.undo(operation, *result, own, before, &mut gradient);
        }
        gradient.into_iter().map(Real::wide).collect()
    }

    fn undo(&self, operation: &Operation<R>, result: Vector, own: &[R], before: &mut [R], gradient: &mut [R]) {
        match operation {
            Operation::Weights(place) => add(slice_mut(gradient, *place), own),
            Operation::Product { matrix, of } => {
                let weights = slice(self.weights, matrix.place());
                let columns = weights.chunks_exact(matrix.rows.max(1));
                let gradients = slice_mut(gradient, matrix.place()).chunks_exact_mut(matrix.rows.max(1));
                let inputs = self.values(*of).iter().zip(part_mut(before, *of));
                for ((column, gradient), (input, slope)) in columns.zip(gradients).zip(inputs) {
                    *slope += inner(column, own);
                    add_scaled(own, *input, gradient);
                }
            }
            Operation::Sum(left, right) => {
                add(part_mut(before, *left), own);
                add(part_mut(before, *right), own);
            }
            Operation::Scaled(vector, factor) => {
                part_mut(before, *vector).iter_mut().zip(own).for_each(|(slope, own)| *slope += *own * *factor);
            }
            Operation::Tanh(vector) => {
                let outputs = self.values(result);
                for ((slope, own), output) in part_mut(before, *vector).iter_mut().zip(own).zip(outputs) {
                    *slope += *own * (R::ONE - *output * *output);
                }
            }
            Operation::Dot(left, right) => {
                let own = own.first().copied().unwrap_or_default();
                for (vector, other) in [(left, right), (right, left)] {
                    let others = self.values(*other);
                    part_mut(before, *vector).iter_mut().zip(others).for_each(|(slope, other)| *slope += own * *other);
                }
            }
            Operation::Joined(parts) => {
                let mut rest = own;
                for vector in parts {
                    let (first, behind) = rest.split_at_checked(vector.len).unwrap_or((rest, &[]));
                    add(part_mut(before, *vector), first);
                    rest = behind;
                }
            }
            Operation::Memory { gates, cell } => self.forget(result, own, before, *gates, *cell),
        }
    }

    fn forget(&self, result: Vector, own: &[R], before: &mut [R], gates: Vector, cell: Vector) {
        let size = cell.len;
        let saved: Vec<&[R]> = self.values(result).chunks_exact(size.max(1)).collect();
        let [_, _, input, forget, output, candidate, squashed] = saved.as_slice() else { return };
        let (by_hidden, by_cell) = own.split_at_checked(size).unwrap_or_default();
        for idx in 0..size {
            let at = |list: &[R]| list.get(idx).copied().unwrap_or_default();
            let (input, forget, output, candidate) = (at(input), at(forget), at(output), at(candidate));
            let (squashed, by_hidden) = (at(squashed), at(by_hidden));
            let previous = at(self.values(cell));
            let by_cell = at(by_cell) + by_hidden * output * (R::ONE - squashed * squashed);
            let sums = [
                by_cell * candidate * input * (R::ONE - input),
                by_cell * previous * forget * (R::ONE - forget),
                by_hidden * squashed * output * (R::ONE - output),
                by_cell * input * (R::ONE - candidate * candidate),
            ];
            for (gate, sum) in part_mut(before, gates).chunks_exact_mut(size).zip(sums) {
                gate.get_mut(idx).into_iter().for_each(|slope| *slope += sum);
            }
            part_mut(before, cell).get_mut(idx).into_iter().for_each(|slope| *slope += by_cell * forget);
        }
    }
}

fn part<R>(values: &[R], vector: Vector) -> &[R] {
    values.get(vector.start..vector.start + vector.len).unwrap_or_default()
}

fn part_mut<R>(values: &mut [R], vector: Vector) -> &mut [R] {
    values.get_mut(vector.start..vector.start + vector.len).unwrap_or_default()
}

fn slice<R>(weights: &[R], place: Place) -> &[R] {
    weights.get(place.start..place.start + place.len).unwrap_or_default()
}

fn slice_mut<R>(weights: &mut [R], place: Place) -> &mut [R] {
    weights.get_mut(place.start..place.start + place.len).unwrap_or_default()
}

fn add<R: Real>(to: &mut [R], what: &[R]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += *what);
}

/// In sums side by side, so that it becomes vector instructions.
fn inner<R: Real>(left: &[R], right: &[R]) -> R {
    let mut sums = [R::default(); LANES];
    let ((lefts, left_rest), (rights, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    for (left, right) in lefts.iter().zip(rights) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += *left * *right;
        }
    }
    let rest = left_rest.iter().zip(right_rest).fold(R::default(), |sum, (left, right)| sum + *left * *right);
    sums.into_iter().fold(rest, |sum, part| sum + part)
}

/// Numbers that a loop without branches takes at once: its bounds are known, so it becomes vector instructions, and a
/// component counts its steps once for all of them.
const LANES: usize = 16;

/// `out = matrix * vector`, the matrix column by column; four columns at a time, so that `out` is read and written
/// a quarter as often.
fn multiply<R: Real>(matrix: &[R], vector: &[R], out: &mut [R]) {
    let rows = out.len().max(1);
    let (fours, ones) = vector.as_chunks::<4>();
    let blocks = matrix.chunks_exact(4 * rows);
    let last = blocks.remainder();
    for (block, factors) in blocks.zip(fours) {
        let (front, back) = block.split_at(2 * rows);
        let ((first, second), (third, fourth)) = (front.split_at(rows), back.split_at(rows));
        add_columns([first, second, third, fourth], *factors, out);
    }
    for (column, factor) in last.chunks_exact(rows).zip(ones) {
        add_scaled(column, *factor, out);
    }
}

fn add_columns<R: Real>(columns: [&[R]; 4], [a, b, c, d]: [R; 4], out: &mut [R]) {
    let (lanes, rest) = out.as_chunks_mut::<LANES>();
    let [first, second, third, fourth] = columns.map(|column| column.as_chunks::<LANES>());
    let blocks = first.0.iter().zip(second.0).zip(third.0.iter().zip(fourth.0));
    for (out, ((first, second), (third, fourth))) in lanes.iter_mut().zip(blocks) {
        let columns = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (out, ((first, second), (third, fourth))) in out.iter_mut().zip(columns) {
            *out += *first * a + *second * b + (*third * c + *fourth * d);
        }
    }
    let columns = first.1.iter().zip(second.1).zip(third.1.iter().zip(fourth.1));
    for (out, ((first, second), (third, fourth))) in rest.iter_mut().zip(columns) {
        *out += *first * a + *second * b + (*third * c + *fourth * d);
    }
}

/// `out += factor * values`.
fn add_scaled<R: Real>(values: &[R], factor: R, out: &mut [R]) {
    let ((lanes, rest), (blocks, last)) = (out.as_chunks_mut::<LANES>(), values.as_chunks::<LANES>());
    for (out, values) in lanes.iter_mut().zip(blocks) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out += *value * factor);
    }
    rest.iter_mut().zip(last).for_each(|(out, value)| *out += *value * factor);
}

/// A memory cell's step; `out` as [`Operation::Memory`] says.
fn remember<R: Real>(gates: &[R], cell: &[R], out: &mut [R]) {
    let size = cell.len().max(1);
    let (results, saved) = out.split_at_mut_checked(2 * size).unwrap_or_default();
    let (hidden, next) = results.split_at_mut_checked(size).unwrap_or_default();
    let (acts, squashed) = saved.split_at_mut_checked(4 * size).unwrap_or_default();
    let (sigmoids, candidates) = acts.split_at_mut_checked(3 * size).unwrap_or_default();
    let (sums, candidate_sums) = gates.split_at_checked(3 * size).unwrap_or_default();
    squash(sigmoids, sums, R::sigmoid);
    squash(candidates, candidate_sums, R::tanh);
    let mut parts = sigmoids.chunks_exact(size);
    let (Some(input), Some(forget), Some(output)) = (parts.next(), parts.next(), parts.next()) else { return };
    let kept = forget.iter().zip(cell).zip(input.iter().zip(candidates.iter()));
    for (next, ((forget, cell), (input, candidate))) in next.iter_mut().zip(kept) {
        *next = *forget * *cell + *input * *candidate;
    }
    squash(squashed, next, R::tanh);
    for ((hidden, output), squashed) in hidden.iter_mut().zip(output).zip(squashed.iter()) {
        *hidden = *output * *squashed;
    }
}

fn squash<R: Real>(out: &mut [R], sums: &[R], function: impl Fn(R) -> R) {
    let ((lanes, rest), (blocks, last)) = (out.as_chunks_mut::<LANES>(), sums.as_chunks::<LANES>());
    for (out, sums) in lanes.iter_mut().zip(blocks) {
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = function(*sum));
    }
    rest.iter_mut().zip(last).for_each(|(out, sum)| *out = function(*sum));
}
