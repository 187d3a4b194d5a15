//! DARTS's second-order gradients of mixtures (Liu et al., ICLR 2019, section 2.3, equations 6 to 8).
//!
//! The validation loss is taken after one virtual weight step, the very step that the optimiser would take next: with
//! its learning rate, momentum and weight decay, unclipped. How the step itself depends on the mixtures is a product of
//! a second derivative with a vector, which a finite difference along that vector stands in for; so there are four
//! passes and no second derivatives. Weights, momentum and running statistics are as before afterwards.

use nasd_protocol::trainer::Recipe;
use tch::{Tensor, no_grad};

use crate::classifier::training_loss;
use crate::error::Result;
use crate::gradient::{Gradient, MixtureGradients, Wanted, gradients};
use crate::images::Minibatch;
use crate::interpreter::{Pass, Statistics};
use crate::module::{Module, Outputs};
use crate::optimizer::{Sgd, StepSize};
use crate::selection::Selection;
use crate::weights::copy;

/// Length of the finite difference's step in the weights (footnote of section 2.3: 0.01 / norm).
pub const DIFFERENCE: f64 = 0.01;

const WEIGHTS: Wanted = Wanted { weights: true, mixtures: false };
const MIXTURES: Wanted = Wanted { weights: false, mixtures: true };
const BOTH: Wanted = Wanted { weights: true, mixtures: true };

/// A minibatch, and how it passes; running statistics stay whatever the pass says.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Images and labels.
    pub minibatch: &'a Minibatch,
    /// Dropouts.
    pub pass: Pass,
}

/// What came out.
#[derive(Debug)]
pub struct Unrolled {
    /// Of the validation minibatch after the virtual step.
    pub loss: Tensor,
    /// Likewise.
    pub outputs: Outputs,
    /// d validation loss after the virtual step / d mixture weights.
    pub gradients: MixtureGradients,
}

/// Gradients on `validation` through a virtual step of `size` on `train`.
pub fn unrolled(
    module: &mut Module,
    optimizer: &mut Sgd,
    selection: &Selection,
    sides: [Side<'_>; 2],
    recipe: &Recipe,
    size: StepSize,
) -> Result<Unrolled> {
    unrolled_by(module, optimizer, selection, sides, recipe, size, DIFFERENCE)
}

/// The same by a finite difference of another length in the weights.
pub fn unrolled_by(
    module: &mut Module,
    optimizer: &mut Sgd,
    selection: &Selection,
    [train, validation]: [Side<'_>; 2],
    recipe: &Recipe,
    size: StepSize,
    difference: f64,
) -> Result<Unrolled> {
    let weights = module.weights().snapshot()?;
    let momentum = copy(optimizer.momentum())?;
    let found = (|| {
        let (_, _, step, _) = pass(module, selection, train, recipe, WEIGHTS)?;
        optimizer.step(module.weights_mut(), &step, size)?;
        let (loss, outputs, along, mut result) = pass(module, selection, validation, recipe, BOTH)?;
        let norm = along.norm()?;
        if norm > 0.0 {
            let length = difference / norm;
            let mut beside = |side: f64| -> Result<MixtureGradients> {
                module.weights_mut().restore(&weights)?;
                let moved = along.flat(module.weights())?.f_mul_scalar(side * length)?;
                let _ = no_grad(|| module.weights_mut().trained_mut().f_add_(&moved))?;
                Ok(pass(module, selection, train, recipe, MIXTURES)?.3)
            };
            let (above, below) = (beside(1.0)?, beside(-1.0)?);
            let numbers = result.iter_mut().flatten().zip(above.iter().flatten().zip(below.iter().flatten()));
            for (number, (above, below)) in numbers {
                *number -= size.learning_rate * (above - below) / (2.0 * length);
            }
        }
        Ok(Unrolled { loss, outputs, gradients: result })
    })();
    module.weights_mut().restore(&weights)?;
    no_grad(|| optimizer.momentum_mut().f_copy_(&momentum))?;
    found
}

fn pass(
    module: &Module,
    selection: &Selection,
    side: Side<'_>,
    recipe: &Recipe,
    wanted: Wanted,
) -> Result<(Tensor, Outputs, Gradient, MixtureGradients)> {
    let pass = Pass { statistics: Statistics::Batch, ..side.pass };
    let outputs = module.forward(&side.minibatch.images, selection, &pass)?;
    let loss = training_loss(&outputs, side.minibatch, recipe)?;
    let (of_weights, of_mixtures) = gradients(module, &loss, &outputs, selection, wanted)?;
    Ok((loss, outputs, of_weights, of_mixtures))
}
