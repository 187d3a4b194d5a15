//! What a forward pass leaves for its backward pass.
//!
//! A [`Value`] is a map with a batch normalisation and a ReLU that were not applied yet; most of what reads it applies
//! them on the way. Gradients are kept per variable: a map is one, and so is each normalisation of a map.

use std::rc::Rc;

use nasd_kernels::{Moments, Pool, Reading};
use tch::Tensor;

use crate::plan::Coefficient;

/// Number of a variable.
pub(super) type Variable = usize;

/// A batch normalisation of some map: `value * scale + shift`.
#[derive(Debug)]
pub(super) struct Norm<E> {
    pub scale: Vec<E>,
    pub shift: Vec<E>,
    pub mean: Vec<f64>,
    /// 1 / standard deviation.
    pub inverse: Vec<f64>,
    /// The learnt factor, 1 where none is.
    pub factor: Vec<f64>,
    /// Values a channel, where mean and deviation are the minibatch's own.
    pub count: Option<usize>,
}

/// What a node has computed.
#[derive(Debug)]
pub(super) struct Value<E> {
    pub map: Rc<Tensor>,
    /// Not yet applied.
    pub norm: Option<Rc<Norm<E>>>,
    /// Not yet applied, after `norm`.
    pub relu: bool,
    /// What gets its gradient (before the ReLU).
    pub variable: Variable,
    /// Of `map`, where a kernel measured them.
    pub moments: Option<Rc<Moments>>,
}

impl<E> Clone for Value<E> {
    fn clone(&self) -> Self {
        Self {
            map: Rc::clone(&self.map),
            norm: self.norm.clone(),
            relu: self.relu,
            variable: self.variable,
            moments: self.moments.clone(),
        }
    }
}

impl<E> Value<E> {
    /// Whether it is its map.
    pub fn is_plain(&self) -> bool {
        self.norm.is_none() && !self.relu
    }
}

/// A term of a sum; never with a ReLU.
#[derive(Debug)]
pub(super) struct SumTerm<E> {
    pub value: Value<E>,
    pub weight: f64,
    pub coefficient: Option<Coefficient>,
}

/// One operation, with what its backward pass needs.
#[derive(Debug)]
pub(super) enum Operation<E> {
    /// Convolutions; without any, normalisation and ReLU are applied. Weights by parameter number.
    Unit { x: Value<E>, reading: Reading, filter: Option<usize>, matrix: Option<usize> },
    /// A batch normalisation of a map, with the parameter numbers of its factor and addend.
    Norm { base: Variable, map: Rc<Tensor>, norm: Rc<Norm<E>>, learnt: Option<[usize; 2]> },
    /// A pooling.
    Pool { x: Rc<Tensor>, from: Variable, pool: Pool },
    /// A weighted sum.
    Sum(Vec<SumTerm<E>>),
    /// Variables one after the other along channels; with how many each.
    Concat(Vec<(Option<Variable>, i64)>),
    /// libtorch's, with a graph of its own from leaves that stand for the inputs. Weights by parameter number.
    Plain { leaves: Vec<(Tensor, Variable)>, parameters: Vec<usize> },
}

/// An operation and its result.
#[derive(Debug)]
pub(super) struct Entry<E> {
    pub operation: Operation<E>,
    pub result: Variable,
    /// The result; of a plain operation with its graph.
    pub map: Rc<Tensor>,
}

/// All operations of a pass.
#[derive(Debug)]
pub(super) struct Tape<E> {
    pub entries: Vec<Entry<E>>,
    pub n_variables: usize,
    pub threads: usize,
    /// Variables of the outputs, with the leaves that the loss is computed from.
    pub outputs: Vec<(Variable, Tensor)>,
}
