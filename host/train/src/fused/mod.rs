//! A pass with kernels of our own, forward and backward, on processors that have them (see [`nasd_kernels`]).
//!
//! The trainer owns the graph, so it does its own backward pass over it: a tape of a few kinds of operations (`tape`),
//! read backwards (`backward`). That needs no node in libtorch's graph and so no C++, and it can leave undone what an
//! automatic derivative cannot: normalisations and ReLUs stay unapplied until a convolution or a sum reads them, a
//! batch normalisation's gradient stays a formula until the convolution before it reads that, what lies between a
//! depthwise and a 1x1 convolution is computed again instead of being kept, and gradients nobody asked for (of mixtures
//! in a weight step, of weights in a step of the mixtures) are not computed.
//!
//! Whatever has no kernel is one operation of libtorch with a small graph of its own. The plain path through libtorch
//! alone (`interpreter`) is the one this is compared with, and serves everything else: double precision, devices,
//! processors without AVX2.

mod backward;
mod forward;
mod fusion;
mod gradient;
mod memory;
mod tape;

use std::cell::RefCell;
use std::fmt::Debug;

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::gradient::Wanted;
use crate::interpreter::Interpreter;
use crate::module::Outputs;
use crate::plan::Plan;
use crate::weights::Weights;

pub(crate) use backward::Found;

use forward::Forward;
use fusion::Fusion;
use memory::Number;
use tape::Tape;

/// What a forward pass left for its backward pass, which takes it.
#[derive(Debug)]
pub struct Record(RefCell<Option<Box<dyn Backward>>>);

/// A tape of either number format.
trait Backward: Debug {
    fn backward(self: Box<Self>, loss: &Tensor, weights: &Weights, wanted: Wanted) -> Result<Found>;
}

impl<E: Number> Backward for Tape<E> {
    fn backward(self: Box<Self>, loss: &Tensor, weights: &Weights, wanted: Wanted) -> Result<Found> {
        backward::backward(*self, loss, weights, wanted)
    }
}

impl Record {
    /// The gradients of a loss of the outputs; nothing if they were taken before.
    pub(crate) fn gradients(&self, loss: &Tensor, weights: &Weights, wanted: Wanted) -> Result<Option<Found>> {
        let tape = self.0.borrow_mut().take();
        tape.map(|tape| tape.backward(loss, weights, wanted)).transpose()
    }
}

/// Whether passes in this format on this device have kernels on this processor.
pub(crate) fn is_available(kind: Kind, device: Device) -> bool {
    kind == Kind::Float && device == Device::Cpu && nasd_kernels::is_fast_for(8)
}

/// Class scores of `images`, by a plan without folded coefficients.
pub(crate) fn run(interpreter: &Interpreter<'_>, plan: &Plan, images: &Tensor) -> Result<Outputs> {
    match images.kind() {
        Kind::Double => run_in::<f64>(interpreter, plan, images),
        _ => run_in::<f32>(interpreter, plan, images),
    }
}

fn run_in<E: Number>(interpreter: &Interpreter<'_>, plan: &Plan, images: &Tensor) -> Result<Outputs> {
    let fusion = Fusion::new(interpreter.graph, interpreter.layout, plan);
    let recording = is_recording()?;
    let (outputs, tape) = Forward::<E>::new(interpreter, images, &fusion, recording).run(plan)?;
    let mut outputs = outputs.into_iter();
    let missing = || crate::error::TrainError::Unsupported("the graph computes no class scores".into());
    let record = recording.then(|| Record(RefCell::new(Some(Box::new(tape)))));
    Ok(Outputs { logits: outputs.next().ok_or_else(missing)?, auxiliary: outputs.next(), record })
}

/// Whether libtorch would record a graph now.
fn is_recording() -> Result<bool> {
    let leaf = Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?.f_set_requires_grad(true)?;
    Ok(leaf.f_mul_scalar(1.0)?.requires_grad())
}
