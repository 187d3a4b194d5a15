//! Carries out a plan with libtorch's operations.
//!
//! Random zeroing (dropout, drop-path) is drawn on the host's side from (seed, node, position), so a pass is a
//! function of its arguments.

use nasd_network::{Graph, Node, Primitive};
use nasd_space::{RandomSource, StreamRandom};
use tch::{Kind, Tensor};

use crate::error::{Result, TrainError};
use crate::layout::{Layout, n_groups, pair};
use crate::module::Outputs;
use crate::plan::{Action, Coefficient, Plan, Step, Term};
use crate::selection::{Selection, Weighted};
use crate::weights::Weights;

/// Which statistics batch-norm uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// The minibatch's; the running ones move towards them.
    Update,
    /// The minibatch's; the running ones become their mean over this and so many earlier minibatches.
    Average(u32),
    /// The minibatch's; the running ones stay.
    Batch,
    /// The running ones.
    Running,
}

/// How a forward pass is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// Whether dropouts act and the auxiliary head is computed.
    pub training: bool,
    /// Batch-norm.
    pub statistics: Statistics,
    /// Probability of dropping an example's path.
    pub drop_path: f64,
    /// Of dropouts.
    pub seed: u64,
    /// Of dropouts: the minibatch's number.
    pub position: u64,
    /// Examples that batch-norm takes a minibatch's statistics of together; 0: all.
    pub ghost_batch: u32,
}

impl Pass {
    /// In evaluation.
    pub fn evaluation(statistics: Statistics) -> Self {
        Self { training: false, statistics, drop_path: 0.0, seed: 0, position: 0, ghost_batch: 0 }
    }

    /// In training.
    pub fn training(drop_path: f64, seed: u64, position: u64) -> Self {
        Self { training: true, statistics: Statistics::Update, drop_path, seed, position, ghost_batch: 0 }
    }

    /// The same with ghost batch-norm (see [`nasd_protocol::trainer::Recipe::ghost_batch`]).
    pub fn with_ghost_batch(self, ghost_batch: u32) -> Self {
        Self { ghost_batch, ..self }
    }

    /// Parts of a minibatch of `batch` examples that batch-norm takes statistics of, each by itself: as many as whole
    /// ghost batches fit, of sizes that differ by one at most.
    pub fn ghosts(&self, batch: i64) -> i64 {
        match self.statistics {
            Statistics::Update | Statistics::Batch if self.ghost_batch > 0 => {
                (batch / i64::from(self.ghost_batch)).max(1)
            }
            _ => 1,
        }
    }

    /// Whether drop-path has an effect.
    pub fn drops_paths(&self) -> bool {
        self.training && self.drop_path > 0.0
    }
}

/// One forward pass.
pub(crate) struct Interpreter<'a> {
    pub graph: &'a Graph,
    pub layout: &'a Layout,
    pub weights: &'a Weights,
    pub selection: &'a Selection,
    pub pass: &'a Pass,
}

/// Values computed so far.
struct Values(Vec<Option<Tensor>>);

impl Values {
    fn get(&self, node: usize, reader: &Node) -> Result<&Tensor> {
        let value = self.0.get(node).and_then(Option::as_ref);
        value.ok_or_else(|| TrainError::graph(&reader.id, format!("node {node} has no value")))
    }

    fn take(&mut self, node: usize) -> Option<Tensor> {
        self.0.get_mut(node).and_then(Option::take)
    }
}

impl Interpreter<'_> {
    /// Class scores of `images`, channels-last.
    pub fn run(&self, plan: &Plan, images: &Tensor) -> Result<Outputs> {
        let mut values = Values(std::iter::repeat_with(|| None).take(self.graph.nodes.len()).collect());
        for step in &plan.steps {
            let node = self.graph.nodes.get(step.node);
            let node = node.ok_or_else(|| TrainError::Unsupported("a plan of another graph".into()))?;
            let value = self.step(step, node, &mut values, images).map_err(|error| error.at(&node.id))?;
            for &read in &step.last_reads {
                values.take(read);
            }
            if let Some(place) = values.0.get_mut(step.node) {
                *place = Some(value);
            }
        }
        let missing = || TrainError::Unsupported("the graph computes no class scores".into());
        let output = |node: usize| values.0.get(node).and_then(Option::as_ref).map(Tensor::shallow_clone);
        Ok(Outputs {
            logits: output(plan.logits).ok_or_else(missing)?,
            auxiliary: plan.auxiliary.and_then(output),
            record: None,
        })
    }

    fn step(&self, step: &Step, node: &Node, values: &mut Values, images: &Tensor) -> Result<Tensor> {
        match &step.action {
            Action::Sum(terms) => self.sum(node, terms, values),
            Action::Zeros => self.zeros(step.node, images),
            Action::Concat(parts) => {
                let mut tensors = Vec::with_capacity(parts.len());
                for &(value, used) in parts {
                    tensors.push(match used {
                        true => values.get(value, node)?.shallow_clone(),
                        false => self.zeros(value, images)?,
                    });
                }
                Ok(Tensor::f_cat(&tensors, 1)?)
            }
            Action::Primitive { coefficient } => {
                let inputs = step.reads.iter().map(|&read| values.get(read, node)).collect::<Result<Vec<&Tensor>>>()?;
                match inputs.first() {
                    None => check_images(node, images),
                    Some(first) => self.primitive(step.node, node, first, &inputs, *coefficient),
                }
            }
        }
    }

    pub(crate) fn zeros(&self, node: usize, images: &Tensor) -> Result<Tensor> {
        let batch = images.size().first().copied().unwrap_or_default();
        let options = (images.kind(), images.device());
        Ok(match self.layout.shapes.get(node).map(Vec::as_slice) {
            Some(&[channels, height, width]) => {
                Tensor::f_zeros([batch, height, width, channels], options)?.f_permute([0, 3, 1, 2])?
            }
            Some(&[features]) => Tensor::f_zeros([batch, features], options)?,
            _ => return Err(TrainError::Unsupported(format!("zeros of node {node}"))),
        })
    }

    pub(crate) fn weighted(&self, coefficient: Coefficient) -> Result<&Weighted> {
        let mixture = self.selection.mixture(coefficient.decision);
        mixture.get(coefficient.position).ok_or_else(|| TrainError::Architecture {
            decision: coefficient.decision,
            reason: "a plan of another selection".into(),
        })
    }

    fn term(&self, value: &Tensor, coefficient: Option<Coefficient>) -> Result<Tensor> {
        let Some(coefficient) = coefficient else { return Ok(value.shallow_clone()) };
        let weighted = self.weighted(coefficient)?;
        Ok(if self.selection.with_gradient() {
            value.f_mul(&weighted.leaf)?
        } else {
            value.f_mul_scalar(weighted.value)?
        })
    }

    /// The first addition makes a new tensor, the others add into it. Nothing is added into a node's value: an earlier
    /// reader (a convolution, a pooling) may have kept it for its backward.
    fn sum(&self, node: &Node, terms: &[Term], values: &mut Values) -> Result<Tensor> {
        let mut sum: Option<(Tensor, bool)> = None;
        for term in terms {
            let value = values.get(term.value, node)?;
            sum = Some(match sum {
                None if term.coefficient.is_some() => (self.term(value, term.coefficient)?, true),
                None => (value.shallow_clone(), false),
                Some((mut sum, true)) => {
                    let _ = sum.f_add_(&self.term(value, term.coefficient)?)?;
                    (sum, true)
                }
                Some((sum, false)) => (sum.f_add(&self.term(value, term.coefficient)?)?, true),
            });
        }
        let (sum, _) = sum.ok_or_else(|| TrainError::graph(&node.id, "adds nothing"))?;
        Ok(sum)
    }

    pub(crate) fn primitive(
        &self,
        index: usize,
        node: &Node,
        x: &Tensor,
        inputs: &[&Tensor],
        coefficient: Option<Coefficient>,
    ) -> Result<Tensor> {
        let names: &[usize] = self.layout.of_node.get(index).map_or(&[], Vec::as_slice);
        let parameter = |position: usize| names.get(position).and_then(|&name| self.weights.view(name));
        let weight = || parameter(0).ok_or_else(|| TrainError::graph(&node.id, "has no weight"));
        Ok(match &node.primitive {
            Primitive::Input { .. } | Primitive::Zero { .. } | Primitive::Add | Primitive::Switch { .. } => {
                return Err(TrainError::graph(&node.id, "is not an operation on values"));
            }
            Primitive::Convolution { stride, padding, dilation, groups, .. } => {
                let channels = x.size().get(1).copied().unwrap_or_default();
                let groups = n_groups(*groups, channels);
                x.f_conv2d(weight()?, parameter(1), pair(*stride), pair(*padding), pair(*dilation), groups)?
            }
            Primitive::BatchNorm { affine, epsilon, momentum } => {
                self.batch_norm(x, names, *affine, *epsilon, *momentum, coefficient)?
            }
            Primitive::Relu => x.f_relu()?,
            Primitive::Relu6 => x.f_clamp(0.0, 6.0)?,
            Primitive::Sigmoid => x.f_sigmoid()?,
            Primitive::Tanh => x.f_tanh()?,
            Primitive::MaxPool { kernel, stride, padding } => {
                x.f_max_pool2d(pair(*kernel), pair(*stride), pair(*padding), [1, 1], false)?
            }
            Primitive::AveragePool { kernel, stride, padding, count_padding } => {
                x.f_avg_pool2d(pair(*kernel), pair(*stride), pair(*padding), false, *count_padding, None)?
            }
            Primitive::GlobalAveragePool => x.f_mean_dim([2i64, 3].as_slice(), false, None::<Kind>)?,
            Primitive::Multiply => {
                let mut product = x.shallow_clone();
                for other in inputs.iter().skip(1) {
                    product = product.f_mul(other)?;
                }
                product
            }
            Primitive::Concat | Primitive::ConcatLooseEnds => Tensor::f_cat(inputs, 1)?,
            Primitive::Slice { start, length } => x.f_narrow(1, i64::from(*start), i64::from(*length))?,
            Primitive::ChannelShuffle { groups } => shuffle(x, i64::from(*groups))?,
            Primitive::Crop { top, left } => crop(x, i64::from(*top), i64::from(*left))?,
            Primitive::Linear { .. } => {
                let x = if x.dim() > 2 { x.f_flatten(1, -1)? } else { x.shallow_clone() };
                x.f_linear(weight()?, parameter(1))?
            }
            Primitive::Dropout { rate } => self.zero_some(node, x, *rate, x.size())?,
            Primitive::DropPath => {
                let batch = x.size().first().copied().unwrap_or_default();
                let mut shape = vec![1; x.dim()];
                if let Some(first) = shape.first_mut() {
                    *first = batch;
                }
                self.zero_some(node, x, self.pass.drop_path, shape)?
            }
            Primitive::Identity => x.shallow_clone(),
        })
    }

    fn batch_norm(
        &self,
        x: &Tensor,
        names: &[usize],
        affine: bool,
        epsilon: f64,
        momentum: f64,
        coefficient: Option<Coefficient>,
    ) -> Result<Tensor> {
        let parameter = |position: usize| names.get(position).and_then(|&name| self.weights.view(name));
        let buffers = if affine { 2 } else { 0 };
        let mut scale = parameter(0).filter(|_| affine).map(Tensor::shallow_clone);
        let mut shift = parameter(1).filter(|_| affine).map(Tensor::shallow_clone);
        if let Some(coefficient) = coefficient {
            let channels = x.size().get(1).copied().unwrap_or_default();
            let one = || Tensor::f_ones([channels], (x.kind(), x.device()));
            let scale_before = match scale {
                Some(scale) => scale,
                None => one()?,
            };
            scale = Some(self.term(&scale_before, Some(coefficient))?);
            shift = match shift {
                Some(shift) => Some(self.term(&shift, Some(coefficient))?),
                None => None,
            };
        }
        let (mean, variance) = (parameter(buffers), parameter(buffers + 1));
        let (mean, variance, from_batch, momentum) = match self.pass.statistics {
            Statistics::Update => (mean, variance, true, momentum),
            Statistics::Average(earlier) => (mean, variance, true, 1.0 / (f64::from(earlier) + 1.0)),
            Statistics::Batch => (None, None, true, momentum),
            Statistics::Running => (mean, variance, false, momentum),
        };
        let cudnn = x.device().is_cuda();
        let (scale, shift) = (scale.as_ref(), shift.as_ref());
        let normalised = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_batch_norm(scale, shift, mean, variance, from_batch, momentum, epsilon, cudnn)?)
        };
        let ghosts = self.pass.ghosts(x.size().first().copied().unwrap_or_default());
        if ghosts <= 1 {
            return normalised(x);
        }
        // The running statistics move once for each part, in order (Hoffer et al. 2017, algorithm 1).
        let parts = x.f_tensor_split(ghosts, 0)?.iter().map(normalised).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// Zero elements of a mask of `shape` with probability `rate` and scale the others up.
    fn zero_some(&self, node: &Node, x: &Tensor, rate: f64, shape: Vec<i64>) -> Result<Tensor> {
        let keep = 1.0 - rate;
        if keep >= 1.0 {
            return Ok(x.shallow_clone());
        }
        let purpose = format!("drop/{}/{}", node.id, self.pass.position);
        let mut stream = StreamRandom::new(self.pass.seed, &purpose);
        let length = usize::try_from(shape.iter().product::<i64>()).unwrap_or_default();
        let scale = if keep > 0.0 { 1.0 / keep } else { 0.0 };
        let mask: Vec<f64> = (0..length).map(|_| if stream.next_f64() < keep { scale } else { 0.0 }).collect();
        let mask = Tensor::f_from_slice(&mask)?.f_to_kind(x.kind())?.f_to_device(x.device())?;
        Ok(x.f_mul(&mask.f_view(shape.as_slice())?)?)
    }
}

pub(crate) fn check_images(node: &Node, images: &Tensor) -> Result<Tensor> {
    if let Primitive::Input { shape } = &node.primitive {
        let expected: Vec<i64> = shape.iter().map(|&extent| i64::from(extent)).collect();
        let found = images.size();
        if found.get(1..) == Some(expected.as_slice()) {
            return Ok(images.shallow_clone());
        }
        return Err(TrainError::graph(&node.id, format!("takes images {expected:?}, got {found:?}")));
    }
    Err(TrainError::graph(&node.id, "reads nothing"))
}

fn shuffle(x: &Tensor, groups: i64) -> Result<Tensor> {
    let [batch, channels, height, width] = <[i64; 4]>::try_from(x.size())
        .map_err(|shape| TrainError::Unsupported(format!("a channel shuffle of {shape:?}")))?;
    let split = x.f_reshape([batch, groups, channels / groups.max(1), height, width])?;
    Ok(split.f_transpose(1, 2)?.f_reshape([batch, channels, height, width])?)
}

fn crop(x: &Tensor, top: i64, left: i64) -> Result<Tensor> {
    let extent = |axis: usize| x.size().get(axis).copied().unwrap_or_default();
    Ok(x.f_narrow(2, top, extent(2) - top)?.f_narrow(3, left, extent(3) - left)?)
}
