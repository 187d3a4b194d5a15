//! A graph with weights: computes class scores, for any selection of a template or for a network.
//!
//! Feature maps are channels-last in memory (logically `[batch, channels, height, width]`): on the CPUs measured a
//! one-shot step is 1.5 times as fast as in the default layout. Values are the same up to rounding.

use std::sync::Arc;

use nasd_network::Graph;
use nasd_protocol::trainer::Precision;
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::fused::{self, Record};
use crate::interpreter::{Interpreter, Pass};
use crate::layout::Layout;
use crate::plan::{Plan, Purpose};
use crate::selection::Selection;
use crate::weights::Weights;

/// Class scores.
#[derive(Debug)]
pub struct Outputs {
    /// `[batch, classes]`.
    pub logits: Tensor,
    /// Of the auxiliary head, where it was computed.
    pub auxiliary: Option<Tensor>,
    /// For [`crate::gradient::gradients`], where kernels computed them: no graph of libtorch's leads back then.
    pub record: Option<Record>,
}

/// A graph with weights on a device.
#[derive(Debug)]
pub struct Module {
    graph: Arc<Graph>,
    layout: Layout,
    weights: Weights,
    kind: Kind,
    device: Device,
    with_kernels: bool,
}

/// libtorch's name of a precision.
pub fn kind_of(precision: Precision) -> Kind {
    match precision {
        Precision::Float32 => Kind::Float,
        Precision::Float64 => Kind::Double,
    }
}

impl Module {
    /// Freshly initialised from `seed` (see [`Weights::fresh`]).
    pub fn new(graph: Graph, seed: u64, precision: Precision, device: Device) -> Result<Self> {
        let layout = Layout::of(&graph)?;
        let kind = kind_of(precision);
        let weights = Weights::fresh(&layout, seed, kind, device)?;
        let with_kernels = fused::is_available(kind, device);
        Ok(Self { graph: Arc::new(graph), layout, weights, kind, device, with_kernels })
    }

    /// Class scores of `images` `[batch, channels, height, width]`.
    pub fn forward(&self, images: &Tensor, selection: &Selection, pass: &Pass) -> Result<Outputs> {
        let purpose = Purpose { auxiliary: pass.training, drop_path: pass.drops_paths(), dropout: pass.training };
        let images = channels_last(&images.f_to_kind(self.kind)?)?;
        let interpreter =
            Interpreter { graph: &self.graph, layout: &self.layout, weights: &self.weights, selection, pass };
        // Parts of a minibatch that are normalised apart have no kernels.
        if self.with_kernels && pass.ghost_batch == 0 {
            return fused::run(&interpreter, &Plan::unfolded(&self.graph, selection, purpose)?, &images);
        }
        interpreter.run(&Plan::new(&self.graph, selection, purpose)?, &images)
    }

    /// Compute with kernels of our own or without; either works in both number formats, but only in main memory. The
    /// default is with them in single precision where this processor has the vectors they need.
    pub fn set_kernels(&mut self, with_kernels: bool) {
        self.with_kernels = with_kernels && self.device == Device::Cpu;
    }

    /// For each parameter, whether a training pass with this selection computes with it.
    pub fn active_parameters(&self, selection: &Selection) -> Result<Vec<bool>> {
        let purpose = Purpose { auxiliary: true, ..Purpose::default() };
        let plan = Plan::new(&self.graph, selection, purpose)?;
        let mut active = vec![false; self.layout.parameters.len()];
        for step in &plan.steps {
            for &parameter in self.layout.of_node.get(step.node).into_iter().flatten() {
                if let Some(mark) = active.get_mut(parameter) {
                    *mark = true;
                }
            }
        }
        Ok(active)
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shapes and names.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Its weights, to be changed.
    pub fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    /// Number format.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }
}

/// The same values laid out channels-last.
pub fn channels_last(images: &Tensor) -> Result<Tensor> {
    Ok(images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
