//! Shared weights: steps and evaluations on a one-shot graph.
//!
//! A failed job puts weights, momentum and accumulation back and uses up its minibatches.

use nasd_protocol::contract::{
    BatchNormMode, EvaluationBatches, Measure, MixtureGradient, SharedEvaluation, SharedStep, Split, StepResult,
    WeightUpdate,
};
use nasd_protocol::trainer::SessionOrder;
use tch::{Device, Tensor, no_grad};

use crate::checkpoint::{PENDING, Position, WeightsFolder};
use crate::classifier::{Sums, cross_entropy, step_size, training_loss};
use crate::error::{Result, TrainError};
use crate::fixed::FixedMinibatches;
use crate::gradient::{Gradient, MixtureGradients, Wanted, gradients};
use crate::images::Images;
use crate::interpreter::{Pass, Statistics};
use crate::module::{Module, kind_of};
use crate::optimizer::Sgd;
use crate::schedule::rates;
use crate::selection::Selection;
use crate::stream::MinibatchStream;
use crate::task::DataSource;
use crate::unrolled::{Side, Unrolled, unrolled};
use crate::weights::{Span, Weights, copy};

/// An open one-shot graph.
#[derive(Debug)]
pub struct Session {
    order: SessionOrder,
    module: Module,
    optimizer: Sgd,
    train: MinibatchStream,
    validation: MinibatchStream,
    updates: u64,
    steps: u64,
    pending: Option<(Gradient, u32)>,
    /// Of training and validation.
    fixed: [FixedMinibatches; 2],
}

impl Session {
    /// Open, from a checkpoint if the order names one.
    pub fn open(order: SessionOrder, data: &mut DataSource, folder: &WeightsFolder, device: Device) -> Result<Self> {
        let kind = kind_of(order.precision);
        let splits = data.splits(&order.data, false)?;
        let recipe = &order.recipe;
        let stream = |split, name| -> Result<MinibatchStream> {
            let images = Images::new(&splits.set, split, recipe.augmentation.crop_padding, kind, device)?;
            let augmentation = recipe.augmentation.clone();
            Ok(MinibatchStream::new(images, name, order.seed, recipe.batch_size, recipe.drop_last, augmentation))
        };
        let (mut train, mut validation) = (stream(&splits.train, "train")?, stream(&splits.validation, "validation")?);
        let mut module = Module::new(order.graph.clone(), order.seed, order.precision, device)?;
        let mut optimizer = Sgd::new(module.weights())?;
        let (mut updates, mut steps, mut pending) = (0, 0, None);
        if let Some(digest) = &order.checkpoint {
            let checkpoint = folder.read(digest)?;
            checkpoint.restore(module.weights_mut(), &mut optimizer)?;
            let Position::Session { updates: u, steps: s, train: t, validation: v, pending: n, pending_names } =
                checkpoint.position.clone()
            else {
                return Err(checkpoint.broken("is not of a session"));
            };
            (updates, steps) = (u, s);
            train.seek(t);
            validation.seek(v);
            if n > 0 {
                let mut flat = no_grad(|| module.weights().trained().f_zeros_like())?;
                checkpoint.restore_flat(PENDING, module.weights(), &mut flat)?;
                let names = module.weights().parameters().iter();
                let active: Vec<bool> = names.map(|parameter| pending_names.contains(&parameter.name)).collect();
                pending = Some((Gradient::of_flat(module.weights(), &flat, &active)?, n));
            }
        }
        let fixed = Default::default();
        Ok(Self { order, module, optimizer, train, validation, updates, steps, pending, fixed })
    }

    /// The shared weights.
    pub fn weights(&self) -> &Weights {
        self.module.weights()
    }

    /// The shared weights, to be changed.
    pub fn weights_mut(&mut self) -> &mut Weights {
        self.module.weights_mut()
    }

    /// Momentum buffers, laid out as [`Weights::trained`].
    pub fn momentum(&self) -> &Tensor {
        self.optimizer.momentum()
    }

    /// Minibatches of an epoch: training, validation.
    pub fn batches(&self) -> [u64; 2] {
        [self.train.batches(), self.validation.batches()]
    }

    /// Weight updates made, and those the schedules span.
    pub fn updates(&self) -> [u64; 2] {
        [self.updates, u64::from(self.order.scheduled_epochs) * self.train.batches()]
    }

    /// Carry out shared steps; `is_cancelled` is asked before each.
    pub fn train_shared(
        &mut self,
        steps: &[SharedStep],
        is_cancelled: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<StepResult>> {
        let taken = |split| steps.iter().filter(|step| step.split == split && !step.same_minibatch).count() as u64;
        let ends = [self.train.position() + taken(Split::Train), self.validation.position() + taken(Split::Validation)];
        let mut undo = Undo::new(self)?;
        let mut results = Vec::with_capacity(steps.len());
        let all = steps.iter().enumerate().try_for_each(|(done, step)| {
            if is_cancelled(done as f64 / steps.len() as f64) {
                return Err(TrainError::Cancelled);
            }
            results.push(self.step(step, &mut undo)?);
            Ok(())
        });
        if let Err(error) = all {
            let [train, validation] = ends;
            self.train.seek(train);
            self.validation.seek(validation);
            undo.restore(self)?;
            return Err(error);
        }
        Ok(results)
    }

    fn step(&mut self, step: &SharedStep, undo: &mut Undo) -> Result<StepResult> {
        let asked = step.gradient != MixtureGradient::None;
        let (kind, device) = (self.module.kind(), self.module.device());
        let selection = Selection::of(&step.architecture, asked, kind, device)?;
        let stream = match step.split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
        };
        let minibatch = if step.same_minibatch {
            let last = stream.position().checked_sub(1);
            stream.augmented(last.ok_or_else(|| TrainError::Unsupported("no minibatch was taken yet".into()))?)?
        } else {
            stream.take_next()?.1
        };
        let recipe = &self.order.recipe;
        let rate = rates(recipe, self.updates, self.train.batches(), u64::from(self.order.scheduled_epochs));
        let pass = Pass::training(rate.drop_path, self.order.seed, self.steps).with_ghost_batch(recipe.ghost_batch);
        if step.gradient == MixtureGradient::Unrolled {
            if step.update != WeightUpdate::None {
                let reason = "a step with unrolled gradients leaves the weights alone; update them in the next one";
                return Err(TrainError::Unsupported(reason.into()));
            }
            let size = step_size(recipe, rate.learning_rate);
            let next = self.train.augmented(self.train.position())?;
            let ahead = Pass { position: self.steps + 1, ..pass };
            let sides = [Side { minibatch: &next, pass: ahead }, Side { minibatch: &minibatch, pass }];
            let Unrolled { loss, outputs, gradients } =
                unrolled(&mut self.module, &mut self.optimizer, &selection, sides, recipe, size)?;
            let mut sums = Sums::default();
            sums.add(&outputs, &minibatch, &loss, self.steps)?;
            self.steps += 1;
            return Ok(result(&sums, gradients));
        }
        let outputs = self.module.forward(&minibatch.images, &selection, &pass)?;
        let loss = training_loss(&outputs, &minibatch, recipe)?;
        let mut sums = Sums::default();
        sums.add(&outputs, &minibatch, &loss, self.steps)?;
        let updates = step.update != WeightUpdate::None;
        let wanted = Wanted { weights: updates, mixtures: asked };
        let (mut gradient, of_mixtures) = gradients(&self.module, &loss, &outputs, &selection, wanted)?;
        if updates {
            let mut n = 1;
            if let Some((earlier, count)) = self.pending.take() {
                gradient.add(self.module.weights(), &earlier)?;
                n += count;
            }
            if step.update == WeightUpdate::Apply {
                gradient.scale(1.0 / f64::from(n))?;
                gradient.clip(recipe.clip)?;
                if recipe.update_unused {
                    gradient.fill(self.module.weights())?;
                }
                let size = step_size(recipe, rate.learning_rate);
                undo.keep(self.module.weights(), &self.optimizer, &gradient)?;
                self.optimizer.step(self.module.weights_mut(), &gradient, size)?;
                self.updates += 1;
            } else {
                self.pending = Some((gradient, n));
            }
        }
        self.steps += 1;
        Ok(result(&sums, of_mixtures))
    }

    /// Evaluate; weights and statistics stay, the stream moves on for `next`.
    pub fn evaluate_shared(
        &mut self,
        evaluation: &SharedEvaluation,
        is_cancelled: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<Vec<Measure>>> {
        let start = self.validation.position();
        let n = match evaluation.batches {
            EvaluationBatches::All => self.validation.n_fixed(),
            EvaluationBatches::First(n) => u64::from(n).min(self.validation.n_fixed()),
            EvaluationBatches::Next(n) => {
                self.validation.seek(start + u64::from(n));
                u64::from(n)
            }
        };
        let ghost_batch = self.order.recipe.ghost_batch;
        let [fixed_train, fixed_validation] = &mut self.fixed;
        let recalibrates = matches!(evaluation.batch_norm, BatchNormMode::Recalibrate(_));
        let before = if recalibrates { Some(self.module.weights().snapshot()?) } else { None };
        let results = (evaluation.architectures.iter().enumerate()).map(|(done, architecture)| {
            if is_cancelled(done as f64 / evaluation.architectures.len() as f64) {
                return Err(TrainError::Cancelled);
            }
            let selection = Selection::of(architecture, false, self.module.kind(), self.module.device())?;
            no_grad(|| {
                let statistics = match evaluation.batch_norm {
                    BatchNormMode::BatchStatistics => Statistics::Batch,
                    BatchNormMode::RunningStatistics => Statistics::Running,
                    BatchNormMode::Recalibrate(batches) => {
                        for batch in 0..batches {
                            let number = u64::from(batch) % self.train.n_fixed().max(1);
                            let images = fixed_train.get(&self.train, number)?.images;
                            let pass = Pass::evaluation(Statistics::Average(batch));
                            self.module.forward(&images, &selection, &pass)?;
                        }
                        Statistics::Running
                    }
                };
                let mut sums = Sums::default();
                for number in 0..n {
                    let minibatch = match evaluation.batches {
                        EvaluationBatches::Next(_) => self.validation.plain(start + number)?,
                        _ => fixed_validation.get(&self.validation, number)?,
                    };
                    let pass = Pass::evaluation(statistics).with_ghost_batch(ghost_batch);
                    let outputs = self.module.forward(&minibatch.images, &selection, &pass)?;
                    let loss = cross_entropy(&outputs.logits, &minibatch.labels, 0.0)?.f_double_value(&[])?;
                    if !loss.is_finite() {
                        return Err(TrainError::Diverged { minibatch: number, loss });
                    }
                    sums.count(&outputs, &minibatch, loss)?;
                }
                let [loss, accuracy] = sums.means();
                Ok(vec![Measure::new("accuracy", accuracy), Measure::new("loss", loss)])
            })
        });
        let results = results.collect();
        if let Some(before) = before {
            self.module.weights_mut().restore(&before)?;
        }
        results
    }

    /// Write everything durably; gives the digest.
    pub fn checkpoint(&self, folder: &WeightsFolder) -> Result<String> {
        let weights = self.module.weights();
        let names = weights.parameters().iter();
        let pending_names = match &self.pending {
            Some((gradient, _)) => {
                names.zip(gradient.active()).filter(|(_, active)| **active).map(|(p, _)| p.name.clone()).collect()
            }
            None => Vec::new(),
        };
        let position = Position::Session {
            updates: self.updates,
            steps: self.steps,
            train: self.train.position(),
            validation: self.validation.position(),
            pending: self.pending.as_ref().map_or(0, |(_, n)| *n),
            pending_names,
        };
        let pending = self.pending.as_ref().map(|(gradient, _)| gradient.flat(weights)).transpose()?;
        folder.write(weights, &self.optimizer, pending.as_ref(), None, &position)
    }
}

/// What a job has changed so far, as it was: a failed one puts it back. Weights that no step of it touches need no copy.
struct Undo {
    /// By parameter, whether it is among the parts.
    kept: Vec<bool>,
    /// Place in the flat weights, weights, momentum.
    parts: Vec<(Span, Tensor, Tensor)>,
    buffers: Tensor,
    updates: u64,
    steps: u64,
    pending: Option<(Gradient, u32)>,
}

impl Undo {
    fn new(session: &Session) -> Result<Self> {
        let weights = session.module.weights();
        let pending = session.pending.as_ref().map(|(gradient, n)| Ok::<_, TrainError>((gradient.copy()?, *n)));
        Ok(Self {
            kept: vec![false; weights.parameters().len()],
            parts: Vec::new(),
            buffers: copy(weights.buffers())?,
            updates: session.updates,
            steps: session.steps,
            pending: pending.transpose()?,
        })
    }

    /// Before a step against this gradient.
    fn keep(&mut self, weights: &Weights, optimizer: &Sgd, gradient: &Gradient) -> Result<()> {
        let mut spans: Vec<Span> = Vec::new();
        for (index, span) in weights.trained_spans() {
            let is_new = gradient.active().get(index) == Some(&true) && self.kept.get(index) == Some(&false);
            if !is_new {
                continue;
            }
            if let Some(kept) = self.kept.get_mut(index) {
                *kept = true;
            }
            match spans.last_mut() {
                Some(last) if last.start + last.length == span.start => last.length += span.length,
                _ => spans.push(span),
            }
        }
        for span in spans {
            let part = |flat: &Tensor| copy(&flat.f_narrow(0, span.start, span.length)?);
            self.parts.push((span, part(weights.trained())?, part(optimizer.momentum())?));
        }
        Ok(())
    }

    fn restore(self, session: &mut Session) -> Result<()> {
        no_grad(|| -> Result<()> {
            for (span, values, momentum) in &self.parts {
                let weights = session.module.weights_mut().trained_mut();
                weights.f_narrow(0, span.start, span.length)?.f_copy_(values)?;
                let flat = session.optimizer.momentum_mut();
                flat.f_narrow(0, span.start, span.length)?.f_copy_(momentum)?;
            }
            session.module.weights_mut().buffers_mut().f_copy_(&self.buffers)?;
            Ok(())
        })?;
        (session.updates, session.steps, session.pending) = (self.updates, self.steps, self.pending);
        Ok(())
    }
}

fn result(sums: &Sums, gradients: MixtureGradients) -> StepResult {
    let [loss, accuracy] = sums.means();
    let gradients = gradients.into_iter().map(|list| list.into_iter().map(|number| number as f32).collect());
    StepResult {
        measures: vec![Measure::new("loss", loss), Measure::new("accuracy", accuracy)],
        gradients: gradients.collect(),
    }
}
