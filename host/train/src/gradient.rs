//! Gradients of a loss: with respect to the weights computed with, and to mixture weights.
//!
//! One backward pass gives both. It does not clip or accumulate: that is the caller's.

use tch::{Tensor, no_grad};

use crate::error::{Result, TrainError};
use crate::module::{Module, Outputs};
use crate::selection::Selection;
use crate::weights::{Span, Weights, copy, to_flat};

/// d loss / d weights, of those computed with: a single path's is no larger than its own network's.
#[derive(Debug)]
pub struct Gradient {
    /// One after another in the order of [`Weights::trained`], without those that have none.
    parts: Tensor,
    active: Vec<bool>,
}

/// d loss / d mixture weights: a list a decision, a number an option its mixture lists.
pub type MixtureGradients = Vec<Vec<f64>>;

/// Parameters that lie beside each other and are treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where in the flat weights.
    pub span: Span,
    /// Where in the gradient's parts.
    pub start: i64,
    /// Whether they decay.
    pub decays: bool,
}

/// What is asked of a backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Gradients of weights.
    pub weights: bool,
    /// Gradients of mixtures; the selection must have been made with gradients.
    pub mixtures: bool,
}

/// The gradients of `loss`, computed from `outputs`, which `module` gave for `selection`. What was not asked is empty.
pub fn gradients(
    module: &Module,
    loss: &Tensor,
    outputs: &Outputs,
    selection: &Selection,
    wanted: Wanted,
) -> Result<(Gradient, MixtureGradients)> {
    let weights = module.weights();
    if let Some(record) = &outputs.record {
        let found = record.gradients(loss, weights, wanted)?;
        let found = found.ok_or_else(|| TrainError::Unsupported("gradients of outputs a second time".into()))?;
        let mixtures = selection.mixtures().enumerate().filter(|_| wanted.mixtures).map(|(decision, mixture)| {
            let decision = u32::try_from(decision).unwrap_or(u32::MAX);
            let number = |position| found.mixtures.get(&(decision, position)).copied().unwrap_or(0.0);
            (0..mixture.len()).map(number).collect()
        });
        let mixtures = mixtures.collect();
        return Ok((Gradient::gather(weights, found.weights)?, mixtures));
    }
    let indices: Vec<usize> = match wanted.weights {
        true => {
            let active = module.active_parameters(selection)?;
            let trained = weights.trained_spans().map(|(index, _)| index);
            trained.filter(|&index| active.get(index).copied().unwrap_or(false)).collect()
        }
        false => Vec::new(),
    };
    let mut inputs: Vec<&Tensor> = indices.iter().filter_map(|&index| weights.view(index)).collect();
    if wanted.mixtures {
        inputs.extend(selection.mixtures().flatten().map(|weighted| &weighted.leaf));
    }
    let mut parts = match inputs.is_empty() || !loss.requires_grad() {
        true => Vec::new(),
        false => Tensor::f_run_backward(&[loss], &inputs, false, false)?,
    };
    let of_mixtures = parts.split_off(indices.len().min(parts.len()));
    let mut mixtures = Vec::new();
    if wanted.mixtures {
        let mut parts = of_mixtures.iter();
        for mixture in selection.mixtures() {
            let mut list = Vec::with_capacity(mixture.len());
            for _ in mixture {
                list.push(match parts.next() {
                    Some(part) if part.defined() => part.f_double_value(&[])?,
                    _ => 0.0,
                });
            }
            mixtures.push(list);
        }
    }
    Ok((Gradient::gather(weights, indices.into_iter().zip(parts).collect())?, mixtures))
}

impl Gradient {
    /// Gather the gradients of some parameters; undefined tensors count as none.
    pub fn gather(weights: &Weights, parts: Vec<(usize, Tensor)>) -> Result<Self> {
        let mut by_parameter: Vec<Option<Tensor>> = Vec::new();
        by_parameter.resize_with(weights.parameters().len(), || None);
        for (index, part) in parts {
            if part.defined()
                && let Some(place) = by_parameter.get_mut(index)
            {
                *place = Some(part);
            }
        }
        no_grad(|| {
            let trained = weights.trained_spans();
            let parts = trained.filter_map(|(index, _)| by_parameter.get(index).and_then(Option::as_ref));
            let parts = parts.map(to_flat).collect::<Result<Vec<_>>>()?;
            let parts = match parts.is_empty() {
                true => weights.trained().f_narrow(0, 0, 0)?,
                false => Tensor::f_cat(&parts, 0)?,
            };
            Ok(Self { parts, active: by_parameter.iter().map(Option::is_some).collect() })
        })
    }

    /// Of a tensor laid out as [`Weights::trained`]; `active` says for each parameter whether it has a gradient.
    pub fn of_flat(weights: &Weights, flat: &Tensor, active: &[bool]) -> Result<Self> {
        let has_one = |index: &usize| active.get(*index).copied().unwrap_or(false);
        let of_flat = |index| Ok(weights.part_of(flat, index)?.map(|part| (index, part)));
        let trained = weights.trained_spans().map(|(index, _)| index).filter(has_one);
        let parts: Result<Vec<Option<(usize, Tensor)>>> = trained.map(of_flat).collect();
        Self::gather(weights, parts?.into_iter().flatten().collect())
    }

    /// Laid out as [`Weights::trained`]; 0 where there is none.
    pub fn flat(&self, weights: &Weights) -> Result<Tensor> {
        no_grad(|| {
            let flat = weights.trained().f_zeros_like()?;
            for run in self.runs(weights, |_| true) {
                flat.f_narrow(0, run.span.start, run.span.length)?.f_copy_(&self.part(&run)?)?;
            }
            Ok(flat)
        })
    }

    /// For each parameter, whether it has one.
    pub fn active(&self) -> &[bool] {
        &self.active
    }

    /// A run's gradient.
    pub(crate) fn part(&self, run: &Run) -> Result<Tensor> {
        Ok(self.parts.f_narrow(0, run.start, run.span.length)?)
    }

    /// A copy with storage of its own.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self { parts: copy(&self.parts)?, active: self.active.clone() })
    }

    /// Add another.
    pub fn add(&mut self, weights: &Weights, other: &Self) -> Result<()> {
        if self.active == other.active {
            let _ = no_grad(|| self.parts.f_add_(&other.parts))?;
            return Ok(());
        }
        let mut flat = self.flat(weights)?;
        for run in other.runs(weights, |_| true) {
            let mut place = flat.f_narrow(0, run.span.start, run.span.length)?;
            let _ = no_grad(|| place.f_add_(&other.part(&run)?).map_err(TrainError::from))?;
        }
        let active: Vec<bool> = self.active.iter().zip(&other.active).map(|(mine, other)| mine | other).collect();
        flat = flat.f_detach()?;
        *self = Self::of_flat(weights, &flat, &active)?;
        Ok(())
    }

    /// Multiply.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        let _ = no_grad(|| self.parts.f_mul_scalar_(factor))?;
        Ok(())
    }

    /// Euclidean norm.
    pub fn norm(&self) -> Result<f64> {
        Ok(no_grad(|| self.parts.f_norm())?.f_double_value(&[])?)
    }

    /// Scale down to at most `limit` (0: no limit); gives the norm before.
    pub fn clip(&mut self, limit: f64) -> Result<f64> {
        let norm = self.norm()?;
        if limit > 0.0 {
            let factor = limit / (norm + 1e-6);
            if factor < 1.0 {
                self.scale(factor)?;
            }
        }
        Ok(norm)
    }

    /// Let every trained weight count as having a gradient, of 0 where it has none.
    pub fn fill(&mut self, weights: &Weights) -> Result<()> {
        self.parts = self.flat(weights)?;
        self.active.fill(true);
        Ok(())
    }

    /// Runs of parameters that have a gradient; `decays` says by a parameter's number of dimensions whether it decays.
    pub(crate) fn runs(&self, weights: &Weights, decays: impl Fn(usize) -> bool) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut start = 0;
        for (index, span) in weights.trained_spans() {
            if !self.active.get(index).copied().unwrap_or(false) {
                continue;
            }
            let decays = decays(weights.parameters().get(index).map_or(0, |parameter| parameter.shape.len()));
            match runs.last_mut() {
                Some(run) if run.decays == decays && run.span.start + run.span.length == span.start => {
                    run.span.length += span.length;
                }
                _ => runs.push(Run { span, start, decays }),
            }
            start += span.length;
        }
        runs
    }
}
