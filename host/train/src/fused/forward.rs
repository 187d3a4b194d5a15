//! A forward pass by kernels, and by libtorch where there is none.

use std::rc::Rc;

use nasd_kernels::{Kind as PoolKind, Moments, Pool, Prologue, Reading, Term as Scaled, Unit, weighted_sum};
use nasd_network::{Node, Primitive};
use tch::{Tensor, no_grad, with_grad};

use super::fusion::{Fusion, Step, Work};
use super::memory::{Number, channels_last, count, read, room, shape_of, write};
use super::tape::{Entry, Norm, Operation, SumTerm, Tape, Value, Variable};
use crate::error::{Result, TrainError};
use crate::interpreter::{Interpreter, Statistics};
use crate::plan::{Action, Plan, Term};

/// A pass under way.
pub(super) struct Forward<'a, E> {
    pub interpreter: &'a Interpreter<'a>,
    pub images: &'a Tensor,
    pub fusion: &'a Fusion,
    /// Whether a backward pass follows.
    pub recording: bool,
    pub threads: usize,
    values: Vec<Option<Value<E>>>,
    entries: Vec<Entry<E>>,
    n_variables: usize,
}

impl<'a, E: Number> Forward<'a, E> {
    pub fn new(interpreter: &'a Interpreter<'a>, images: &'a Tensor, fusion: &'a Fusion, recording: bool) -> Self {
        let mut values = Vec::new();
        values.resize_with(interpreter.graph.nodes.len(), || None);
        let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
        Self { interpreter, images, fusion, recording, threads, values, entries: Vec::new(), n_variables: 0 }
    }

    /// Compute all steps; gives the outputs in the plan's order and the tape.
    pub fn run(mut self, plan: &Plan) -> Result<(Vec<Tensor>, Tape<E>)> {
        for step in &self.fusion.steps {
            let node = self.interpreter.graph.nodes.get(step.node);
            let node = node.ok_or_else(|| TrainError::Unsupported("a plan of another graph".into()))?;
            let value = no_grad(|| self.step(step, node)).map_err(|error| error.at(&node.id))?;
            for &read in &step.last_reads {
                if let Some(place) = self.values.get_mut(read) {
                    *place = None;
                }
            }
            if let Some(place) = self.values.get_mut(step.node) {
                *place = Some(value);
            }
        }
        let mut outputs = Vec::new();
        let mut ends = Vec::new();
        for node in std::iter::once(plan.logits).chain(plan.auxiliary) {
            let value = no_grad(|| self.applied(node))?;
            let leaf = value.map.f_detach()?.f_set_requires_grad(self.recording)?;
            ends.push((value.variable, leaf.shallow_clone()));
            outputs.push(leaf);
        }
        let Self { entries, n_variables, threads, .. } = self;
        Ok((outputs, Tape { entries, n_variables, threads, outputs: ends }))
    }

    fn step(&mut self, step: &Step, node: &Node) -> Result<Value<E>> {
        match &step.work {
            Work::Unit { reading, filter, matrix } => {
                let x = self.value(step.reads.first().copied().unwrap_or_default())?;
                let measured = self.is_normalised(step.node);
                self.unit(x, *reading, *filter, *matrix, measured)
            }
            Work::Sum(terms) => self.sum(terms),
            Work::Planned(Action::Concat(parts)) => self.concat(parts),
            Work::Planned(Action::Zeros) => {
                let zeros = self.interpreter.zeros(step.node, self.images)?;
                let variable = self.variable();
                Ok(plain(zeros, variable))
            }
            Work::Planned(_) => self.primitive(step, node),
        }
    }

    fn value(&self, node: usize) -> Result<Value<E>> {
        let value = self.values.get(node).and_then(Option::as_ref);
        value.cloned().ok_or_else(|| TrainError::Unsupported(format!("node {node} has no value")))
    }

    fn variable(&mut self) -> Variable {
        self.n_variables += 1;
        self.n_variables - 1
    }

    fn record(&mut self, operation: impl FnOnce() -> Operation<E>, map: &Rc<Tensor>) -> Variable {
        let result = self.variable();
        if self.recording {
            self.entries.push(Entry { operation: operation(), result, map: Rc::clone(map) });
        }
        result
    }

    /// Whether the minibatch's moments of a node's value are asked for.
    fn is_normalised(&self, node: usize) -> bool {
        let readers = self.fusion.readers.get(node).into_iter().flatten();
        let nodes = &self.interpreter.graph.nodes;
        self.interpreter.pass.statistics != Statistics::Running
            && readers.into_iter().any(|&reader| {
                matches!(nodes.get(reader).map(|node| &node.primitive), Some(Primitive::BatchNorm { .. }))
            })
    }

    /// A node's value with everything applied, as other readers will find it too.
    fn applied(&mut self, node: usize) -> Result<Value<E>> {
        let value = self.value(node)?;
        if value.is_plain() {
            return Ok(value);
        }
        let value = self.unit(value, Reading::Pixels { stride: 1, offset: 0 }, None, None, false)?;
        if let Some(place) = self.values.get_mut(node) {
            *place = Some(value.clone());
        }
        Ok(value)
    }

    /// The weights of a node's convolution, by parameter number.
    fn weight(&self, node: Option<usize>) -> Option<usize> {
        node.and_then(|node| self.interpreter.layout.of_node.get(node)).and_then(|names| names.first()).copied()
    }

    fn unit(
        &mut self,
        x: Value<E>,
        reading: Reading,
        filter: Option<usize>,
        matrix: Option<usize>,
        measured: bool,
    ) -> Result<Value<E>> {
        let [filter, matrix] = [filter, matrix].map(|node| self.weight(node));
        let (out, moments) = with_unit(self.interpreter, &x, reading, filter, matrix, |unit, images| {
            let mut out = room::<E>(images, unit.output())?;
            let moments = unit.forward(self.threads, images, read(&x.map)?, write(&mut out)?, measured)?;
            Ok((Rc::new(out), moments))
        })?;
        let variable = self.record(|| Operation::Unit { x, reading, filter, matrix }, &out);
        Ok(Value { map: out, norm: None, relu: false, variable, moments: moments.map(Rc::new) })
    }

    fn sum(&mut self, terms: &[Term]) -> Result<Value<E>> {
        let mut found = Vec::with_capacity(terms.len());
        for term in terms {
            let value = self.value(term.value)?;
            let value = if value.relu { self.applied(term.value)? } else { value };
            let weight = match term.coefficient {
                Some(coefficient) => self.interpreter.weighted(coefficient)?.value,
                None => 1.0,
            };
            found.push(SumTerm { value, weight, coefficient: term.coefficient });
        }
        let like = found.first().and_then(|term| Some((shape_of(&term.value.map)?, term.value.map.size())));
        let Some((shape, size)) = like.filter(|([_, _, channels], _)| E::level(&[*channels]).is_some()) else {
            return self.plain_sum(found);
        };
        let channels = shape[2];
        let mut constant = vec![0.0; channels];
        let mut scales = Vec::with_capacity(found.len());
        for SumTerm { value, weight, .. } in &found {
            scales.push(match &value.norm {
                None => vec![E::of(*weight); channels],
                Some(norm) => {
                    for (constant, shift) in constant.iter_mut().zip(&norm.shift) {
                        *constant += weight * shift.double();
                    }
                    norm.scale.iter().map(|scale| E::of(weight * scale.double())).collect()
                }
            });
        }
        let constant: Vec<E> = constant.into_iter().map(E::of).collect();
        let mut out = room::<E>(count(size.first().copied().unwrap_or_default()), shape)?;
        {
            let maps = found.iter().zip(&scales);
            let maps = maps.map(|(term, scale)| Ok(Scaled { values: read(&term.value.map)?, scale }));
            let maps = maps.collect::<Result<Vec<_>>>()?;
            weighted_sum(self.threads, &maps, &constant, write(&mut out)?, channels, false)?;
        }
        let out = Rc::new(out);
        let variable = self.record(|| Operation::Sum(found), &out);
        Ok(plain_rc(out, variable))
    }

    /// Of maps that kernels do not add up; such maps have no unapplied normalisation.
    fn plain_sum(&mut self, terms: Vec<SumTerm<E>>) -> Result<Value<E>> {
        let mut sum: Option<Tensor> = None;
        for SumTerm { value, weight, .. } in &terms {
            let term = value.map.f_mul_scalar(*weight)?;
            sum = Some(match sum {
                None => term,
                Some(sum) => sum.f_add(&term)?,
            });
        }
        let sum = sum.ok_or_else(|| TrainError::Unsupported("a sum of nothing".into()))?;
        let out = Rc::new(channels_last(&sum)?);
        let variable = self.record(|| Operation::Sum(terms), &out);
        Ok(plain_rc(out, variable))
    }

    fn concat(&mut self, parts: &[(usize, bool)]) -> Result<Value<E>> {
        let mut tensors = Vec::with_capacity(parts.len());
        let mut variables = Vec::with_capacity(parts.len());
        for &(node, used) in parts {
            let (tensor, variable) = match used {
                true => {
                    let value = self.applied(node)?;
                    (value.map.shallow_clone(), Some(value.variable))
                }
                false => (self.interpreter.zeros(node, self.images)?, None),
            };
            variables.push((variable, tensor.size().get(1).copied().unwrap_or_default()));
            tensors.push(tensor);
        }
        let out = Rc::new(channels_last(&Tensor::f_cat(&tensors, 1)?)?);
        let variable = self.record(|| Operation::Concat(variables), &out);
        Ok(plain_rc(out, variable))
    }

    fn primitive(&mut self, step: &Step, node: &Node) -> Result<Value<E>> {
        let first = step.reads.first().copied();
        match (&node.primitive, first) {
            (Primitive::Relu, Some(input)) => {
                let value = self.value(input)?;
                let is_lazy = shape_of(&value.map).is_some_and(|[_, _, channels]| E::level(&[channels]).is_some());
                if is_lazy {
                    return Ok(Value { relu: true, ..value });
                }
            }
            (Primitive::Concat, _) => {
                let parts: Vec<(usize, bool)> = step.reads.iter().map(|&read| (read, true)).collect();
                return self.concat(&parts);
            }
            (primitive @ (Primitive::MaxPool { .. } | Primitive::AveragePool { .. }), Some(input)) => {
                let value = self.applied(input)?;
                if let Some(pool) = shape_of(&value.map).and_then(|shape| pool_of::<E>(primitive, shape)) {
                    return self.pool(&value, pool);
                }
            }
            (&Primitive::BatchNorm { affine, epsilon, momentum }, Some(input)) => {
                let value = self.applied(input)?;
                let channels = shape_of(&value.map).map(|[_, _, channels]| channels);
                if channels.is_some_and(|channels| E::level(&[channels]).is_some()) {
                    return self.batch_norm(step, value, affine, epsilon, momentum);
                }
            }
            _ => {}
        }
        self.plain(step, node)
    }

    fn pool(&mut self, value: &Value<E>, pool: Pool) -> Result<Value<E>> {
        let images = count(value.map.size().first().copied().unwrap_or_default());
        let mut out = room::<E>(images, pool.output())?;
        pool.forward(self.threads, images, read::<E>(&value.map)?, write(&mut out)?)?;
        let out = Rc::new(out);
        let operation = || Operation::Pool { x: Rc::clone(&value.map), from: value.variable, pool };
        let variable = self.record(operation, &out);
        Ok(plain_rc(out, variable))
    }

    fn batch_norm(
        &mut self,
        step: &Step,
        mut value: Value<E>,
        affine: bool,
        epsilon: f64,
        momentum: f64,
    ) -> Result<Value<E>> {
        let names = self.interpreter.layout.of_node.get(step.node).map_or(&[][..], Vec::as_slice);
        let number = |position: usize| names.get(position).copied();
        let weights = self.interpreter.weights;
        let parameter = |position: usize| number(position).and_then(|name| weights.view(name));
        let buffers = if affine { 2 } else { 0 };
        let numbers = |position: usize| -> Result<Vec<f64>> {
            let tensor =
                parameter(position).ok_or_else(|| TrainError::Unsupported("a batch-norm without values".into()))?;
            Ok(read::<E>(tensor)?.iter().map(|number| number.double()).collect())
        };
        let share = match self.interpreter.pass.statistics {
            Statistics::Update => Some(momentum),
            Statistics::Average(earlier) => Some(1.0 / (f64::from(earlier) + 1.0)),
            Statistics::Batch | Statistics::Running => None,
        };
        let (mean, variance, sample) = match self.interpreter.pass.statistics {
            Statistics::Running => (numbers(buffers)?, numbers(buffers + 1)?, None),
            _ => {
                let moments = self.moments(&mut value, step)?;
                (moments.mean.clone(), moments.variance.clone(), Some(moments.count))
            }
        };
        if let (Some(share), Some(n)) = (share, sample) {
            let unbiased = n as f64 / (n as f64 - 1.0).max(1.0);
            for (position, new, factor) in [(buffers, &mean, 1.0), (buffers + 1, &variance, unbiased)] {
                let running = parameter(position);
                let mut running = running.map(Tensor::f_detach).transpose()?;
                for (old, new) in running.as_mut().map(write::<E>).transpose()?.into_iter().flatten().zip(new) {
                    *old = E::of((1.0 - share) * old.double() + share * factor * new);
                }
            }
        }
        let inverse: Vec<f64> = variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
        let (factor, addend) = match affine {
            true => (numbers(0)?, numbers(1)?),
            false => (vec![1.0; mean.len()], vec![0.0; mean.len()]),
        };
        let scale: Vec<f64> = factor.iter().zip(&inverse).map(|(factor, inverse)| factor * inverse).collect();
        let shift = addend.iter().zip(&mean).zip(&scale).map(|((addend, mean), scale)| E::of(addend - mean * scale));
        let shift = shift.collect();
        let scale = scale.into_iter().map(E::of).collect();
        let norm = Rc::new(Norm { scale, shift, mean, inverse, factor, count: sample });
        let learnt = affine.then(|| Some([number(0)?, number(1)?])).flatten();
        let Value { map, variable: base, moments, .. } = value;
        let operation = || Operation::Norm { base, map: Rc::clone(&map), norm: Rc::clone(&norm), learnt };
        let variable = self.record(operation, &map);
        let value = Value { map, norm: Some(norm), relu: false, variable, moments };
        // One reader applies it on the way; several would each do it again.
        let nodes = &self.interpreter.graph.nodes;
        let is_applied_by_reader = match self.fusion.readers.get(step.node).map(Vec::as_slice) {
            Some([reader]) => self.fusion.steps.iter().any(|step| {
                step.node == *reader
                    && match &step.work {
                        Work::Unit { .. } | Work::Sum(_) => true,
                        Work::Planned(_) => {
                            matches!(nodes.get(step.node).map(|node| &node.primitive), Some(Primitive::Relu))
                        }
                    }
            }),
            _ => false,
        };
        match is_applied_by_reader {
            true => Ok(value),
            false => self.unit(value, Reading::Pixels { stride: 1, offset: 0 }, None, None, false),
        }
    }

    /// Of a map; kept with its value for others that normalise it too.
    fn moments(&mut self, value: &mut Value<E>, step: &Step) -> Result<Rc<Moments>> {
        if let Some(moments) = &value.moments {
            return Ok(Rc::clone(moments));
        }
        let [height, width, channels] = shape_of(&value.map).unwrap_or_default();
        let images = count(value.map.size().first().copied().unwrap_or_default());
        let shape = [images, height * width, channels];
        let moments = Rc::new(Moments::measure(self.threads, read::<E>(&value.map)?, shape)?);
        value.moments = Some(Rc::clone(&moments));
        let read = step.reads.first().copied();
        if let Some(Some(kept)) = read.and_then(|read| self.values.get_mut(read)) {
            kept.moments = Some(Rc::clone(&moments));
        }
        Ok(moments)
    }

    /// By libtorch, with a graph of its own.
    fn plain(&mut self, step: &Step, node: &Node) -> Result<Value<E>> {
        let mut inputs = Vec::with_capacity(step.reads.len());
        for &read in &step.reads {
            let value = self.applied(read)?;
            let leaf = value.map.f_detach()?;
            let leaf = if self.recording { leaf.f_set_requires_grad(true)? } else { leaf };
            inputs.push((leaf, value.variable));
        }
        let tensors: Vec<&Tensor> = inputs.iter().map(|(leaf, _)| leaf).collect();
        let compute = || match tensors.first() {
            None => crate::interpreter::check_images(node, self.images),
            Some(first) => self.interpreter.primitive(step.node, node, first, &tensors, None),
        };
        let out = if self.recording { with_grad(compute)? } else { compute()? };
        let map = Rc::new(channels_last(&out)?);
        let parameters = self.interpreter.layout.of_node.get(step.node).cloned().unwrap_or_default();
        let is_computed = out.requires_grad();
        let variable = match is_computed {
            true => self.record(|| Operation::Plain { leaves: inputs, parameters }, &Rc::new(out)),
            false => self.variable(),
        };
        Ok(plain_rc(map, variable))
    }
}

fn plain<E>(map: Tensor, variable: Variable) -> Value<E> {
    plain_rc(Rc::new(map), variable)
}

fn plain_rc<E>(map: Rc<Tensor>, variable: Variable) -> Value<E> {
    Value { map, norm: None, relu: false, variable, moments: None }
}

/// A pooling that kernels know.
fn pool_of<E: Number>(primitive: &Primitive, input: [usize; 3]) -> Option<Pool> {
    let (kind, [kernel, stride, padding]) = match primitive {
        Primitive::MaxPool { kernel, stride, padding } => (PoolKind::Max, [kernel, stride, padding]),
        Primitive::AveragePool { kernel, stride, padding, count_padding } => {
            if *count_padding && *padding != [0, 0] {
                return None;
            }
            (PoolKind::Mean, [kernel, stride, padding])
        }
        _ => return None,
    };
    let square = [kernel, stride, padding].map(|[a, b]| (a == b).then_some(*a as usize));
    let [Some(kernel), Some(stride), Some(padding)] = square else { return None };
    let pool = Pool { kind, input, kernel, stride, padding };
    (E::level(&[input[2]]).is_some() && 2 * padding <= kernel && stride > 0).then_some(pool)
}

/// Call with the unit and the number of images of `x`.
pub(super) fn with_unit<E: Number, R>(
    interpreter: &Interpreter<'_>,
    x: &Value<E>,
    reading: Reading,
    filter: Option<usize>,
    matrix: Option<usize>,
    body: impl FnOnce(&Unit<'_, E>, usize) -> Result<R>,
) -> Result<R> {
    with_weights(interpreter.weights, x, reading, filter, matrix, body)
}

/// Likewise, of weights by themselves.
pub(super) fn with_weights<E: Number, R>(
    weights: &crate::weights::Weights,
    x: &Value<E>,
    reading: Reading,
    filter: Option<usize>,
    matrix: Option<usize>,
    body: impl FnOnce(&Unit<'_, E>, usize) -> Result<R>,
) -> Result<R> {
    let numbers = |parameter: Option<usize>| match parameter.and_then(|parameter| weights.view(parameter)) {
        Some(tensor) => read::<E>(tensor),
        None => Ok(&[][..]),
    };
    let input = shape_of(&x.map).ok_or_else(|| TrainError::Unsupported("a kernel on what is no map".into()))?;
    let affine = x.norm.as_ref().map(|norm| (norm.scale.as_slice(), norm.shift.as_slice()));
    let prologue = Prologue { affine, relu: x.relu };
    let unit = Unit { input, prologue, reading, filter: numbers(filter)?, matrix: numbers(matrix)? };
    body(&unit, count(x.map.size().first().copied().unwrap_or_default()))
}
