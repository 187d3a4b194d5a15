//! Vector operations written down as they happen, and their derivatives.
//!
//! All values lie one after the other in one list, results always behind what they are made of. Going
//! backwards is one pass over the operations in reverse order with a list of slopes of the same layout.

use std::collections::BTreeMap;

use super::kernels::{add, add_outer, each, each_of_two, inner, multiply, transposed};
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
    /// The results of all, one after the other.
    Products {
        matrix: Matrix,
        of: Vec<Vector>,
        plus: Vec<Option<Vector>>,
    },
    Sum(Vector, Vector),
    Scaled(Vector, R),
    Tanh(Vector),
    Dot(Vector, Vector),
    Joined(Vec<Vector>),
    /// The result is: the score; then, for the way back, what was squashed.
    Score {
        vector: Place,
        key: Vector,
        query: Vector,
    },
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
        let products = self.products(matrix, &[of], &[]);
        products.first().copied().unwrap_or(Vector { start: self.values.len(), len: 0 })
    }

    /// A matrix of weights times each of some vectors, and to each product what stands at its place in `plus`. A
    /// product is the same whatever is multiplied beside it, to the last bit.
    pub fn products(&mut self, matrix: Matrix, of: &[Vector], plus: &[Option<Vector>]) -> Vec<Vector> {
        let (weights, rows) = (slice(self.weights, matrix.place()), matrix.rows);
        let operation = Operation::Products { matrix, of: of.to_vec(), plus: plus.to_vec() };
        let all = self.record(operation, rows * of.len(), |values, out| {
            for (out, plus) in out.chunks_exact_mut(rows.max(1)).zip(plus) {
                plus.iter().for_each(|plus| out.copy_from_slice(part(values, *plus)));
            }
            let vectors: Vec<&[R]> = of.iter().map(|of| part(values, *of)).collect();
            multiply(weights, rows, &vectors, out);
        });
        (0..of.len()).map(|idx| Vector { start: all.start + idx * rows, len: rows }).collect()
    }

    /// Component by component.
    pub fn sum(&mut self, left: Vector, right: Vector) -> Vector {
        self.record(Operation::Sum(left, right), left.len, |values, out| {
            each_of_two(out, part(values, left), part(values, right), |left, right| left + right);
        })
    }

    /// A vector times a number.
    pub fn scaled(&mut self, vector: Vector, factor: f64) -> Vector {
        let factor = R::of(factor);
        self.record(Operation::Scaled(vector, factor), vector.len, |values, out| {
            each(out, part(values, vector), |value| value * factor);
        })
    }

    /// The hyperbolic tangent of every component.
    pub fn tanh(&mut self, vector: Vector) -> Vector {
        self.record(Operation::Tanh(vector), vector.len, |values, out| {
            each(out, part(values, vector), R::tanh);
        })
    }

    /// The inner product, a vector of one component.
    pub fn dot(&mut self, left: Vector, right: Vector) -> Vector {
        self.record(Operation::Dot(left, right), 1, |values, out| {
            let product = inner(part(values, left), part(values, right));
            out.iter_mut().for_each(|out| *out = product);
        })
    }

    /// The inner product of some weights with `tanh(key + query)`, a vector of one component. See
    /// [`Attention`](super::Attention).
    pub fn score(&mut self, vector: Place, key: Vector, query: Vector) -> Vector {
        let weights = slice(self.weights, vector);
        let result = self.record(Operation::Score { vector, key, query }, 1 + key.len, |values, out| {
            let Some((score, squashed)) = out.split_first_mut() else { return };
            each_of_two(squashed, part(values, key), part(values, query), |key, query| (key + query).tanh());
            *score = inner(weights, squashed);
        });
        Vector { start: result.start, len: 1 }
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
        // Matrices as they are multiplied by on the way back, by where they lie.
        let mut backwards: BTreeMap<usize, Vec<R>> = BTreeMap::new();
        for (operation, result) in self.operations.iter().rev() {
            let (before, own) = slopes.split_at_mut(result.start);
            let own = own.get(..result.len).unwrap_or_default();
            self.undo(operation, *result, own, before, &mut gradient, &mut backwards);
        }
        gradient.into_iter().map(Real::wide).collect()
    }

    fn undo(
        &self,
        operation: &Operation<R>,
        result: Vector,
        own: &[R],
        before: &mut [R],
        gradient: &mut [R],
        backwards: &mut BTreeMap<usize, Vec<R>>,
    ) {
        match operation {
            Operation::Weights(place) => add(slice_mut(gradient, *place), own),
            Operation::Products { matrix, of, plus } => {
                let (weights, rows) = (slice(self.weights, matrix.place()), matrix.rows);
                let columns = of.first().map_or(0, Vector::len);
                let owns: Vec<&[R]> = own.chunks_exact(rows.max(1)).collect();
                let mut slopes = vec![R::default(); of.len() * columns];
                let matrix_back = backwards.entry(matrix.place().start).or_insert_with(|| transposed(weights, rows));
                multiply(matrix_back, columns, &owns, &mut slopes);
                for (of, slope) in of.iter().zip(slopes.chunks_exact(columns.max(1))) {
                    add(part_mut(before, *of), slope);
                }
                for (plus, own) in plus.iter().zip(own.chunks_exact(rows.max(1))) {
                    plus.iter().for_each(|plus| add(part_mut(before, *plus), own));
                }
                let inputs: Vec<&[R]> = of.iter().map(|of| self.values(*of)).collect();
                add_outer(slice_mut(gradient, matrix.place()), rows, own, &inputs);
            }
            Operation::Score { vector, key, query } => {
                let (own, results) = (own.first().copied().unwrap_or_default(), self.values(result));
                let squashed = results.get(1..).unwrap_or_default();
                let mut slopes = vec![R::default(); squashed.len()];
                each_of_two(&mut slopes, slice(self.weights, *vector), squashed, |weight, squashed| {
                    own * weight * (R::ONE - squashed * squashed)
                });
                add(part_mut(before, *key), &slopes);
                add(part_mut(before, *query), &slopes);
                each(&mut slopes, squashed, |squashed| own * squashed);
                add(slice_mut(gradient, *vector), &slopes);
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
        let (by_hidden, through) = own.split_at_checked(size).unwrap_or_default();
        let mut by_cell = vec![R::default(); size];
        each_of_two(&mut by_cell, output, squashed, |output, squashed| output * (R::ONE - squashed * squashed));
        for (by_cell, (by_hidden, through)) in by_cell.iter_mut().zip(by_hidden.iter().zip(through)) {
            *by_cell = *through + *by_hidden * *by_cell;
        }
        let previous = self.values(cell);
        let mut sums = part_mut(before, gates).chunks_exact_mut(size.max(1));
        let logistic = |gate: R| gate * (R::ONE - gate);
        let gates: [(&[R], &[R], &[R]); 3] =
            [(&by_cell, candidate, input), (&by_cell, previous, forget), (by_hidden, squashed, output)];
        // The gates first: a zip that begins with the sums would take one more of them than it uses.
        for ((slopes, beside, gate), sum) in gates.into_iter().zip(sums.by_ref()) {
            for ((sum, slope), (beside, gate)) in sum.iter_mut().zip(slopes).zip(beside.iter().zip(gate)) {
                *sum += *slope * *beside * logistic(*gate);
            }
        }
        for sum in sums {
            for ((sum, slope), (input, candidate)) in sum.iter_mut().zip(&by_cell).zip(input.iter().zip(*candidate)) {
                *sum += *slope * *input * (R::ONE - *candidate * *candidate);
            }
        }
        for ((slope, by_cell), forget) in part_mut(before, cell).iter_mut().zip(&by_cell).zip(*forget) {
            *slope += *by_cell * *forget;
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

/// A memory cell's step; `out` as [`Operation::Memory`] says.
fn remember<R: Real>(gates: &[R], cell: &[R], out: &mut [R]) {
    let size = cell.len().max(1);
    let (results, saved) = out.split_at_mut_checked(2 * size).unwrap_or_default();
    let (hidden, next) = results.split_at_mut_checked(size).unwrap_or_default();
    let (acts, squashed) = saved.split_at_mut_checked(4 * size).unwrap_or_default();
    let (sigmoids, candidates) = acts.split_at_mut_checked(3 * size).unwrap_or_default();
    let (sums, candidate_sums) = gates.split_at_checked(3 * size).unwrap_or_default();
    each(sigmoids, sums, R::sigmoid);
    each(candidates, candidate_sums, R::tanh);
    let mut parts = sigmoids.chunks_exact(size);
    let (Some(input), Some(forget), Some(output)) = (parts.next(), parts.next(), parts.next()) else { return };
    let kept = forget.iter().zip(cell).zip(input.iter().zip(candidates.iter()));
    for (next, ((forget, cell), (input, candidate))) in next.iter_mut().zip(kept) {
        *next = *forget * *cell + *input * *candidate;
    }
    each(squashed, next, R::tanh);
    for ((hidden, output), squashed) in hidden.iter_mut().zip(output).zip(squashed.iter()) {
        *hidden = *output * *squashed;
    }
}
