//! Layers: places in a vector of weights, and what is done with them.

use super::{Real, Tape, Vector};

/// A stretch of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Place {
    /// Number of weights.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its weights in all weights.
    pub fn of_mut<'w, T>(&self, weights: &'w mut [T]) -> &'w mut [T] {
        weights.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// A matrix of weights, `rows x columns`, stored column by column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    start: usize,
    pub(super) rows: usize,
    columns: usize,
}

impl Matrix {
    /// All of it.
    pub fn place(&self) -> Place {
        Place { start: self.start, len: self.rows * self.columns }
    }

    /// One column: a row of an embedding. Empty beyond the last.
    pub fn column(&self, idx: usize) -> Place {
        let len = if idx < self.columns { self.rows } else { 0 };
        Place { start: self.start + idx.min(self.columns) * self.rows, len }
    }
}

/// Gives layers their places, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    n_weights: usize,
}

impl Layout {
    /// A vector of weights.
    pub fn vector(&mut self, len: usize) -> Place {
        let start = self.n_weights;
        self.n_weights += len;
        Place { start, len }
    }

    /// A matrix; also an embedding of `columns` things in `rows` dimensions.
    pub fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        Matrix { start: self.vector(rows * columns).start, rows, columns }
    }

    /// Number of weights so far.
    pub fn n_weights(&self) -> usize {
        self.n_weights
    }
}

/// A matrix and a bias.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// `outputs x inputs`.
    pub matrix: Matrix,
    /// `outputs`.
    pub bias: Place,
}

impl Linear {
    /// From `inputs` to `outputs` dimensions.
    pub fn new(layout: &mut Layout, inputs: usize, outputs: usize) -> Self {
        Self { matrix: layout.matrix(outputs, inputs), bias: layout.vector(outputs) }
    }

    /// Shapes: `input [inputs]` to `[outputs]`.
    pub fn apply<R: Real>(&self, tape: &mut Tape<'_, R>, input: Vector) -> Vector {
        let product = tape.product(self.matrix, input);
        let bias = tape.weights(self.bias);
        tape.sum(product, bias)
    }

    /// The same of several inputs.
    pub fn apply_all<R: Real>(&self, tape: &mut Tape<'_, R>, inputs: &[Vector]) -> Vec<Vector> {
        let bias = tape.weights(self.bias);
        tape.products(self.matrix, inputs, &vec![Some(bias); inputs.len()])
    }
}

/// What an [`Lstm`] carries from step to step, each `[size]`.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What others see.
    pub hidden: Vector,
    /// What it remembers.
    pub cell: Vector,
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates), without biases, as in the code of
/// ENAS: `i, f, o = sigmoid(.)`, `g = tanh(.)` of `W_x x + W_h h`; `c' = f c + i g`, `h' = o tanh(c')`.
#[derive(Clone, Copy, Debug)]
pub struct Lstm {
    by_input: Matrix,
    by_hidden: Matrix,
    size: usize,
}

impl Lstm {
    /// From `inputs` to `size` dimensions.
    pub fn new(layout: &mut Layout, inputs: usize, size: usize) -> Self {
        Self { by_input: layout.matrix(4 * size, inputs), by_hidden: layout.matrix(4 * size, size), size }
    }

    /// All zero.
    pub fn begin<R: Real>(&self, tape: &mut Tape<'_, R>) -> Memory {
        let zeros = || (0..self.size).map(|_| R::default());
        let hidden = tape.constants(zeros());
        Memory { hidden, cell: tape.constants(zeros()) }
    }

    /// What an input adds to the gates, `[inputs]` to `[4 size]`: to be computed once for an input that comes often.
    pub fn project<R: Real>(&self, tape: &mut Tape<'_, R>, input: Vector) -> Vector {
        tape.product(self.by_input, input)
    }

    /// The same of several inputs.
    pub fn project_all<R: Real>(&self, tape: &mut Tape<'_, R>, inputs: &[Vector]) -> Vec<Vector> {
        tape.products(self.by_input, inputs, &[])
    }

    /// A step of each memory on its input [projected](Self::project); none is an input of zeros. Sequences that go
    /// on side by side share the reading of the weights.
    pub fn steps<R: Real>(
        &self,
        tape: &mut Tape<'_, R>,
        projected: &[Option<Vector>],
        memories: &[Memory],
    ) -> Vec<Memory> {
        let hidden: Vec<Vector> = memories.iter().map(|memory| memory.hidden).collect();
        let gates = tape.products(self.by_hidden, &hidden, projected);
        let remembered = gates.into_iter().zip(memories).map(|(gates, memory)| tape.memory(gates, memory.cell));
        remembered.map(|(hidden, cell)| Memory { hidden, cell }).collect()
    }
}

/// Additive attention (Bahdanau et al. 2015): the score of a key is `v . tanh(W_k key + W_q query)`.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    by_key: Matrix,
    by_query: Matrix,
    vector: Place,
}

impl Attention {
    /// For keys and queries of `size` dimensions.
    pub fn new(layout: &mut Layout, size: usize) -> Self {
        Self { by_key: layout.matrix(size, size), by_query: layout.matrix(size, size), vector: layout.vector(size) }
    }

    /// Keys, ready to be compared with queries.
    pub fn keys<R: Real>(&self, tape: &mut Tape<'_, R>, keys: &[Vector]) -> Vec<Vector> {
        tape.products(self.by_key, keys, &[])
    }

    /// Queries, ready to be compared with keys.
    pub fn queries<R: Real>(&self, tape: &mut Tape<'_, R>, queries: &[Vector]) -> Vec<Vector> {
        tape.products(self.by_query, queries, &[])
    }

    /// The score of one [key](Self::keys) with a [query](Self::queries), `[1]`.
    pub fn score<R: Real>(&self, tape: &mut Tape<'_, R>, key: Vector, query: Vector) -> Vector {
        tape.score(self.vector, key, query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights without a pattern, in -0.6 to 0.6.
    fn weights(n_weights: usize) -> Vec<f64> {
        (0..n_weights).map(|idx| ((idx * 7_919 + 104_729) % 1_201) as f64 / 1_000.0 - 0.6).collect()
    }

    /// The slopes of `sum_k k * result_k` by weights, backwards and by central differences.
    fn check(n_weights: usize, network: impl Fn(&mut Tape<'_, f64>) -> Vector) {
        let at = |weights: &[f64]| {
            let mut tape = Tape::new(weights);
            let result = network(&mut tape);
            (1..).zip(tape.values(result)).map(|(k, value)| f64::from(k) * value).sum::<f64>()
        };
        let mut own = weights(n_weights);
        let mut tape = Tape::new(&own);
        let result = network(&mut tape);
        let seed: Vec<f64> = (1..=result.len()).map(|k| k as f64).collect();
        let gradient = tape.backward([(result, seed.as_slice())]);
        assert_eq!(gradient.len(), n_weights);
        assert!(gradient.iter().any(|slope| slope.abs() > 1e-3));
        let step = 1e-6;
        for (idx, slope) in gradient.iter().enumerate() {
            let before = own[idx];
            own[idx] = before + step;
            let up = at(&own);
            own[idx] = before - step;
            let down = at(&own);
            own[idx] = before;
            let numeric = (up - down) / (2.0 * step);
            assert!((slope - numeric).abs() < 1e-7 * (1.0 + numeric.abs()), "weight {idx}: {slope} for {numeric}");
        }
    }

    #[test]
    fn a_linear_layer_agrees_with_finite_differences() {
        let mut layout = Layout::default();
        let (first, second) = (Linear::new(&mut layout, 5, 9), Linear::new(&mut layout, 9, 3));
        check(layout.n_weights(), |tape| {
            let input = tape.constants([0.3, -0.4, 1.0, 0.2, -1.5]);
            let hidden = first.apply(tape, input);
            let hidden = tape.tanh(hidden);
            let squashed = tape.tanh(hidden);
            let mut results = second.apply_all(tape, &[squashed, hidden]);
            results.push(second.apply(tape, hidden));
            let result = tape.joined(results);
            tape.scaled(result, -0.7)
        });
    }

    #[test]
    fn an_lstm_agrees_with_finite_differences_through_time() {
        let mut layout = Layout::default();
        let (lstm, embedding) = (Lstm::new(&mut layout, 3, 4), layout.matrix(3, 2));
        check(layout.n_weights(), |tape| {
            let inputs = [0, 1, 0].map(|word| tape.weights(embedding.column(word)));
            // Two sequences side by side, one of them with pauses.
            let mut memories = vec![lstm.begin(tape), lstm.begin(tape)];
            let mut seen = Vec::new();
            for input in inputs {
                let projected = lstm.project(tape, input);
                memories = lstm.steps(tape, &[Some(projected), None], &memories);
                memories = lstm.steps(tape, &[None, Some(projected)], &memories);
                seen.extend(memories.iter().map(|memory| memory.hidden));
            }
            seen.extend(memories.iter().map(|memory| memory.cell));
            tape.joined(seen)
        });
    }

    #[test]
    fn attention_agrees_with_finite_differences() {
        let mut layout = Layout::default();
        let (attention, embedding) = (Attention::new(&mut layout, 5), layout.matrix(5, 4));
        check(layout.n_weights(), |tape| {
            let words = [0, 1, 2, 3].map(|word| tape.weights(embedding.column(word)));
            let keys = attention.keys(tape, &words[..3]);
            let queries = attention.queries(tape, &words[2..]);
            let pairs = queries.iter().flat_map(|query| keys.iter().map(move |key| (*key, *query)));
            let scores = pairs.map(|(key, query)| attention.score(tape, key, query)).collect();
            let scores = tape.joined(scores);
            tape.tanh(scores)
        });
    }

    #[test]
    fn single_precision_follows_double_precision() {
        let mut layout = Layout::default();
        let lstm = Lstm::new(&mut layout, 6, 7);
        fn run<R: Real>(lstm: Lstm, weights: &[R]) -> Vec<f64> {
            let mut tape = Tape::new(weights);
            let input = tape.constants((0..6).map(|idx| R::of(f64::from(idx) / 3.0 - 1.0)));
            let projected = lstm.project(&mut tape, input);
            let mut memories = vec![lstm.begin(&mut tape)];
            for _ in 0..10 {
                memories = lstm.steps(&mut tape, &[Some(projected)], &memories);
            }
            tape.values(memories[0].hidden).iter().map(|value| value.wide()).collect()
        }
        let wide = weights(layout.n_weights());
        let narrow: Vec<f32> = wide.iter().map(|weight| *weight as f32).collect();
        for (narrow, wide) in run(lstm, &narrow).into_iter().zip(run(lstm, &wide)) {
            assert!((narrow - wide).abs() < 1e-5, "{narrow} for {wide}");
        }
    }

    #[test]
    fn a_tape_rewound_is_as_it_was() {
        let mut layout = Layout::default();
        let linear = Linear::new(&mut layout, 2, 2);
        let weights = weights(layout.n_weights());
        let mut tape = Tape::new(&weights);
        let input = tape.constants([1.0, 2.0]);
        let mark = tape.mark();
        let first = linear.apply(&mut tape, input);
        let values = tape.values(first).to_vec();
        tape.rewind(mark);
        let second = linear.apply(&mut tape, input);
        assert_eq!((first, values.as_slice()), (second, tape.values(second)));
    }

    #[test]
    fn the_slope_of_a_vector_used_twice_is_the_sum_of_both() {
        let weights = [3.0];
        let mut layout = Layout::default();
        let place = layout.vector(1);
        let mut tape = Tape::new(&weights);
        let vector = tape.weights(place);
        let square = tape.dot(vector, vector);
        assert_eq!(tape.backward([(square, [1.0].as_slice()), (vector, [10.0].as_slice())]), [16.0]);
    }
}
