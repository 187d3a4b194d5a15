//! Stochastic gradient descent on flat tensors.
//!
//! The arithmetic is that of `torch.optim.SGD` without dampening and of `torch.nn.utils.clip_grad_norm_`, and like
//! there a parameter without a gradient (not on the path) neither moves nor decays nor loses momentum. The state is one
//! flat tensor: a momentum buffer that starts at 0 equals one that starts with the first gradient.

use tch::{Tensor, no_grad};

use crate::error::Result;
use crate::weights::{Span, Weights, to_flat};

/// d loss / d weights.
#[derive(Debug)]
pub struct Gradient {
    /// Laid out as [`Weights::trained`]; 0 where there is none.
    pub flat: Tensor,
    /// For each parameter, whether it has one.
    pub active: Vec<bool>,
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
            let like = weights.trained();
            let nothing = Tensor::f_zeros_like(like)?;
            let mut flat = Vec::new();
            for (index, span) in weights.trained_spans() {
                flat.push(match by_parameter.get(index) {
                    Some(Some(part)) => to_flat(part)?,
                    _ => nothing.f_narrow(0, span.start, span.length)?,
                });
            }
            let flat = if flat.is_empty() { nothing } else { Tensor::f_cat(&flat, 0)? };
            Ok(Self { flat, active: by_parameter.iter().map(Option::is_some).collect() })
        })
    }

    /// Add another.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        let _ = no_grad(|| self.flat.f_add_(&other.flat))?;
        for (mine, other) in self.active.iter_mut().zip(&other.active) {
            *mine |= other;
        }
        Ok(())
    }

    /// Multiply.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        let _ = no_grad(|| self.flat.f_mul_scalar_(factor))?;
        Ok(())
    }

    /// Euclidean norm.
    pub fn norm(&self) -> Result<f64> {
        Ok(no_grad(|| self.flat.f_norm())?.f_double_value(&[])?)
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

    /// Runs of parameters that lie beside each other and have a gradient.
    fn runs(&self, weights: &Weights) -> Vec<Span> {
        let mut runs: Vec<Span> = Vec::new();
        for (index, span) in weights.trained_spans() {
            if !self.active.get(index).copied().unwrap_or(false) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if run.start + run.length == span.start => run.length += span.length,
                _ => runs.push(span),
            }
        }
        runs
    }
}

/// Constants of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSize {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// L2.
    pub weight_decay: f64,
}

/// SGD's state.
#[derive(Debug)]
pub struct Sgd {
    momentum: Tensor,
}

impl Sgd {
    /// At the start of a training.
    pub fn new(weights: &Weights) -> Result<Self> {
        Ok(Self { momentum: no_grad(|| weights.trained().f_zeros_like())? })
    }

    /// Momentum buffers, laid out as [`Weights::trained`].
    pub fn momentum(&self) -> &Tensor {
        &self.momentum
    }

    /// The same, to be changed.
    pub fn momentum_mut(&mut self) -> &mut Tensor {
        &mut self.momentum
    }

    /// One step against a gradient.
    pub fn step(&mut self, weights: &mut Weights, gradient: &Gradient, size: StepSize) -> Result<()> {
        let runs = gradient.runs(weights);
        no_grad(|| {
            for run in runs {
                let part = |flat: &Tensor| flat.f_narrow(0, run.start, run.length);
                let mut value = part(weights.trained_mut())?;
                let mut momentum = part(&self.momentum)?;
                let mut direction = part(&gradient.flat)?;
                if size.weight_decay != 0.0 {
                    direction = direction.f_add(&value.f_mul_scalar(size.weight_decay)?)?;
                }
                if size.momentum != 0.0 {
                    let _ = momentum.f_mul_scalar_(size.momentum)?;
                    let _ = momentum.f_add_(&direction)?;
                    direction = match size.nesterov {
                        true => direction.f_add(&momentum.f_mul_scalar(size.momentum)?)?,
                        false => momentum,
                    };
                }
                let _ = value.f_sub_(&direction.f_mul_scalar(size.learning_rate)?)?;
            }
            Ok(())
        })
    }
}
