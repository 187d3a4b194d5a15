//! Training one network by itself.
//!
//! A training is a function of (order, position): a checkpoint holds weights, optimiser, buffers and the epoch, and
//! going on from it gives the very numbers of an uninterrupted training. It goes on with the checkpoint's own seed and
//! schedule.

use std::time::Instant;

use nasd_protocol::contract::{Ending, Measure, Point, Trained, Verdict};
use nasd_protocol::trainer::{Recipe, Start, TrainOrder};
use tch::{Device, Reduction, Tensor, no_grad};

use crate::average::Average;
use crate::checkpoint::{Position, WeightsFolder};
use crate::error::{Result, TrainError};
use crate::gradient::{Wanted, gradients};
use crate::images::{Images, Minibatch};
use crate::interpreter::{Pass, Statistics};
use crate::module::{Module, Outputs, kind_of};
use crate::optimizer::{Sgd, StepSize};
use crate::schedule::rates;
use crate::selection::Selection;
use crate::stream::MinibatchStream;
use crate::task::DataSource;
use crate::weights::Weights;

/// Whoever gave the order.
pub trait Supervisor {
    /// Whether the job was taken back; looked at between minibatches. `progress` is 0 to 1.
    fn is_cancelled(&mut self, progress: f64) -> bool;
    /// A point of the curve; the answer counts where `waiting`.
    fn report(&mut self, point: &Point, waiting: bool) -> Result<Verdict>;
    /// A checkpoint was written after so many epochs.
    fn saved(&mut self, _fidelity: u32, _digest: &str) -> Result<()> {
        Ok(())
    }
}

/// What came of an order.
#[derive(Debug)]
pub struct Finished {
    /// The result.
    pub trained: Trained,
    /// Held-out measures (final training alone).
    pub test: Vec<Measure>,
    /// Digest of the checkpoint.
    pub weights: Option<String>,
    /// Seconds it took.
    pub device_seconds: f64,
}

/// Carry out an order; `shared` are the weights of the one-shot graph that is open, if one is.
pub fn train(
    order: &TrainOrder,
    data: &mut DataSource,
    folder: &WeightsFolder,
    shared: Option<&Weights>,
    device: Device,
    supervisor: &mut dyn Supervisor,
) -> Result<Finished> {
    let started = Instant::now();
    let recipe = &order.recipe;
    let kind = kind_of(order.precision);
    let splits = data.splits(&order.data, order.final_training)?;
    let mut module = Module::new(order.graph.clone(), order.seed, order.precision, device)?;
    let mut optimizer = Sgd::new(module.weights())?;
    let (mut epoch, mut schedule, mut seed, mut curve) = (0, order.schedule, order.seed, Vec::new());
    if schedule == 0 {
        schedule = order.fidelity;
    }
    let mut average = Average::new(module.weights(), recipe.average)?;
    match &order.start {
        Start::Fresh => {}
        Start::Shared => {
            let shared = shared.ok_or_else(|| TrainError::Unsupported("no one-shot graph is open".into()))?;
            if module.weights_mut().inherit(|name| shared.get(name))? == 0 {
                let reason = "the one-shot graph has none of this network's weights; are both of the same width?";
                return Err(TrainError::Unsupported(reason.into()));
            }
            average = Average::new(module.weights(), recipe.average)?;
        }
        Start::Inherit(digest) => {
            folder.read(digest)?.inherit(module.weights_mut())?;
            average = Average::new(module.weights(), recipe.average)?;
        }
        Start::Resume(digest) => {
            let checkpoint = folder.read(digest)?;
            checkpoint.restore(module.weights_mut(), &mut optimizer)?;
            if let Some(average) = &mut average {
                checkpoint.restore_average(module.weights(), average)?;
            }
            match checkpoint.position.clone() {
                Position::Training { epoch: done, schedule: spanned, seed: first, curve: before } => {
                    (epoch, schedule, seed, curve) = (done, spanned, first, before);
                }
                Position::Session { .. } => return Err(checkpoint.broken("is of a one-shot graph")),
            }
        }
    }
    let images = Images::new(&splits.set, &splits.train, recipe.augmentation.crop_padding, kind, device)?;
    let augmentation = recipe.augmentation.clone();
    let mut stream = MinibatchStream::new(images, "train", seed, recipe.batch_size, recipe.drop_last, augmentation);
    let evaluation = |split| -> Result<MinibatchStream> {
        let images = Images::new(&splits.set, split, 0, kind, device)?;
        Ok(MinibatchStream::new(images, "evaluation", 0, recipe.batch_size, false, Default::default()))
    };
    let validation = evaluation(&splits.validation)?;
    let selection = Selection::default();
    let mut ending = Ending::Complete;
    let batches = stream.batches();
    while epoch < order.fidelity {
        let mut sums = Sums::default();
        for batch in 0..batches {
            let update = u64::from(epoch) * batches + batch;
            let progress = update as f64 / (u64::from(order.fidelity) * batches).max(1) as f64;
            if supervisor.is_cancelled(progress) {
                return Err(TrainError::Cancelled);
            }
            let minibatch = stream.augmented(update)?;
            let rate = rates(recipe, update, batches, u64::from(schedule));
            let pass = Pass::training(rate.drop_path, seed, update).with_ghost_batch(recipe.ghost_batch);
            let outputs = module.forward(&minibatch.images, &selection, &pass)?;
            let loss = training_loss(&outputs, &minibatch, recipe)?;
            sums.add(&outputs, &minibatch, &loss, update)?;
            let (mut gradient, _) =
                gradients(&module, &loss, &outputs, &selection, Wanted { weights: true, mixtures: false })?;
            gradient.clip(recipe.clip)?;
            optimizer.step(module.weights_mut(), &gradient, step_size(recipe, rate.learning_rate))?;
            if let Some(average) = &mut average {
                average.update(module.weights(), update)?;
            }
        }
        epoch += 1;
        let [loss, accuracy] = sums.means();
        let mut measures = Vec::new();
        if validation.n_images() > 0 {
            let [loss, accuracy] = evaluate_average(&mut module, average.as_ref(), &validation)?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { minibatch: u64::from(epoch) * batches, loss });
            }
            measures = vec![Measure::new("accuracy", accuracy), Measure::new("loss", loss)];
        }
        measures.push(Measure::new("train_accuracy", accuracy));
        measures.push(Measure::new("train_loss", loss));
        let point = Point { fidelity: epoch, measures };
        let waiting = order.judge_every > 0 && epoch % order.judge_every == 0 && epoch < order.fidelity;
        let verdict = supervisor.report(&point, waiting)?;
        curve.push(point);
        if waiting && verdict == Verdict::Stop {
            ending = Ending::StoppedByStrategy;
            break;
        }
        if order.save_every > 0 && epoch % order.save_every == 0 && epoch < order.fidelity {
            let position = Position::Training { epoch, schedule, seed, curve: curve.clone() };
            let digest = folder.write(module.weights(), &optimizer, None, average.as_ref(), &position)?;
            supervisor.saved(epoch, &digest)?;
        }
    }
    let test = match order.final_training {
        true => {
            let [loss, accuracy] = evaluate_average(&mut module, average.as_ref(), &evaluation(&splits.set.test)?)?;
            vec![Measure::new("accuracy", accuracy), Measure::new("loss", loss)]
        }
        false => Vec::new(),
    };
    let weights = match order.keep_weights {
        true => {
            let position = Position::Training { epoch, schedule, seed, curve: curve.clone() };
            Some(folder.write(module.weights(), &optimizer, None, average.as_ref(), &position)?)
        }
        false => None,
    };
    let measures = curve.last().map(|point| point.measures.clone()).unwrap_or_default();
    let trained = Trained { measures, curve, ending, predicted: None };
    Ok(Finished { trained, test, weights, device_seconds: started.elapsed().as_secs_f64() })
}

/// Constants of a step.
pub fn step_size(recipe: &Recipe, learning_rate: f64) -> StepSize {
    let Recipe { momentum, nesterov, weight_decay, decay, .. } = *recipe;
    StepSize { learning_rate, momentum, nesterov, weight_decay, decay }
}

/// Cross entropy, label-smoothed, with the auxiliary head's share.
pub fn training_loss(outputs: &Outputs, minibatch: &Minibatch, recipe: &Recipe) -> Result<Tensor> {
    let entropy = |logits: &Tensor| cross_entropy(logits, &minibatch.labels, recipe.label_smoothing);
    let loss = entropy(&outputs.logits)?;
    match &outputs.auxiliary {
        Some(auxiliary) if recipe.auxiliary_weight != 0.0 => {
            Ok(loss.f_add(&entropy(auxiliary)?.f_mul_scalar(recipe.auxiliary_weight)?)?)
        }
        _ => Ok(loss),
    }
}

/// Mean cross entropy of `[batch, classes]` logits and `[batch]` labels, label-smoothed.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    Ok(logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, smoothing)?)
}

/// The same with a network's averaged weights, if it has some.
fn evaluate_average(module: &mut Module, average: Option<&Average>, stream: &MinibatchStream) -> Result<[f64; 2]> {
    let Some(average) = average else {
        return evaluate(module, &Selection::default(), stream, Statistics::Running);
    };
    let before = module.weights().snapshot()?;
    module.weights_mut().restore(average.values())?;
    let result = evaluate(module, &Selection::default(), stream, Statistics::Running);
    module.weights_mut().restore(&before)?;
    result
}

/// Mean loss and accuracy over all images of a stream.
pub fn evaluate(
    module: &Module,
    selection: &Selection,
    stream: &MinibatchStream,
    statistics: Statistics,
) -> Result<[f64; 2]> {
    let pass = Pass::evaluation(statistics);
    let mut sums = Sums::default();
    for batch in 0..stream.n_fixed() {
        let minibatch = stream.fixed(batch)?;
        no_grad(|| {
            let outputs = module.forward(&minibatch.images, selection, &pass)?;
            let loss = cross_entropy(&outputs.logits, &minibatch.labels, 0.0)?;
            sums.count(&outputs, &minibatch, loss.f_double_value(&[])?)
        })?;
    }
    Ok(sums.means())
}

/// Sums over examples.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    loss: f64,
    correct: i64,
    n: i64,
}

impl Sums {
    pub(crate) fn add(&mut self, outputs: &Outputs, minibatch: &Minibatch, loss: &Tensor, number: u64) -> Result<()> {
        let loss = loss.f_double_value(&[])?;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { minibatch: number, loss });
        }
        no_grad(|| self.count(outputs, minibatch, loss))
    }

    pub(crate) fn count(&mut self, outputs: &Outputs, minibatch: &Minibatch, loss: f64) -> Result<()> {
        let n = minibatch.labels.size().first().copied().unwrap_or_default();
        let right = outputs.logits.f_argmax(1, false)?.f_eq_tensor(&minibatch.labels)?;
        self.correct += right.f_sum(tch::Kind::Int64)?.f_int64_value(&[])?;
        self.loss += loss * n as f64;
        self.n += n;
        Ok(())
    }

    pub(crate) fn means(&self) -> [f64; 2] {
        let n = self.n.max(1) as f64;
        [self.loss / n, self.correct as f64 / n]
    }
}
