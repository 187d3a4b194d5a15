//! Stochastic gradient descent on flat tensors.
//!
//! The arithmetic is that of `torch.optim.SGD` without dampening and of `torch.nn.utils.clip_grad_norm_`, and like
//! there a parameter without a gradient (not on the path) neither moves nor decays nor loses momentum. The state is one
//! flat tensor: a momentum buffer that starts at 0 equals one that starts with the first gradient.

use nasd_protocol::trainer::Decay;
use tch::{Tensor, no_grad};

use crate::error::Result;
use crate::gradient::Gradient;
use crate::weights::Weights;

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
    /// On which weights.
    pub decay: Decay,
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
        let decays = |n_dimensions: usize| match size.decay {
            Decay::All => size.weight_decay != 0.0,
            Decay::Matrices => size.weight_decay != 0.0 && n_dimensions > 1,
        };
        let runs = gradient.runs(weights, decays);
        no_grad(|| {
            for run in runs {
                let part = |flat: &Tensor| flat.f_narrow(0, run.span.start, run.span.length);
                let mut value = part(weights.trained_mut())?;
                let mut momentum = part(&self.momentum)?;
                let mut direction = gradient.part(&run)?;
                if run.decays {
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
