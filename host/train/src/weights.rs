//! The weights and buffers of one graph, by name, in two flat tensors.
//!
//! Every named tensor is a view into one of two flat ones (what is trained; running statistics). So an optimiser
//! step, a norm and a copy of everything are a handful of tensor operations however many layers there are.
//! Convolution weights lie channels-last in the flat tensor: libtorch takes its faster kernels from that.
//!
//! Initial values are a function of (seed, name) alone, drawn on the host's side: the same name in two networks of
//! one seed begins alike, and neither libtorch's generator nor the order of layers matters.

use std::collections::BTreeMap;

use nasd_space::{RandomSource, StreamRandom};
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::{Result, TrainError};
use crate::layout::{Layout, Parameter, ParameterKind};

/// Where a named tensor lies in its flat one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First element.
    pub start: i64,
    /// Elements.
    pub length: i64,
}

/// A copy of all values, to go back to.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) trained: Tensor,
    pub(crate) buffers: Tensor,
}

/// All weights and buffers.
#[derive(Debug)]
pub struct Weights {
    parameters: Vec<Parameter>,
    by_name: BTreeMap<String, usize>,
    spans: Vec<Span>,
    views: Vec<Tensor>,
    trained: Tensor,
    buffers: Tensor,
}

impl Weights {
    /// Freshly initialised: convolution and linear weights (and their biases) uniform in
    /// `[-1, 1) / sqrt(fan_in)`, PyTorch's default (He et al. 2015 with gain `1 / sqrt(3)`); batch-norm 1 and 0.
    pub fn fresh(layout: &Layout, seed: u64, kind: Kind, device: Device) -> Result<Self> {
        let weights = Self::zeros(layout, kind, device)?;
        no_grad(|| {
            for (parameter, view) in weights.parameters.iter().zip(&weights.views) {
                view.detach().f_copy_(&initial_value(parameter, seed)?)?;
            }
            Ok(weights)
        })
    }

    fn zeros(layout: &Layout, kind: Kind, device: Device) -> Result<Self> {
        let mut lengths = [0i64; 2];
        let mut spans = Vec::with_capacity(layout.parameters.len());
        for parameter in &layout.parameters {
            let [trained, buffers] = &mut lengths;
            let end = if parameter.kind.is_trained() { trained } else { buffers };
            let length = parameter.shape.iter().product();
            spans.push(Span { start: *end, length });
            *end += length;
        }
        let [trained, buffers] = lengths;
        let trained = Tensor::f_zeros([trained], (kind, device))?;
        let buffers = Tensor::f_zeros([buffers], (kind, device))?;
        let mut views = Vec::with_capacity(spans.len());
        for (parameter, span) in layout.parameters.iter().zip(&spans) {
            let is_trained = parameter.kind.is_trained();
            let flat = if is_trained { &trained } else { &buffers };
            let view = from_flat(&flat.f_narrow(0, span.start, span.length)?, &parameter.shape)?;
            views.push(view.f_detach()?.f_set_requires_grad(is_trained)?);
        }
        let by_name = layout.parameters.iter().enumerate().map(|(index, p)| (p.name.clone(), index)).collect();
        Ok(Self { parameters: layout.parameters.clone(), by_name, spans, views, trained, buffers })
    }

    /// What there is, in the graph's order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The tensor of parameter number `index`; trained ones are leaves that require a gradient.
    pub fn view(&self, index: usize) -> Option<&Tensor> {
        self.views.get(index)
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.views.get(*self.by_name.get(name)?)
    }

    /// Set a tensor; an error if there is none of that name and shape.
    pub fn set(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let view = self.get(name).ok_or_else(|| TrainError::graph(name, "there is no such weight"))?;
        if view.size() != value.size() {
            let reason = format!("has shape {:?}, not {:?}", view.size(), value.size());
            return Err(TrainError::graph(name, reason));
        }
        Ok(no_grad(|| view.detach().f_copy_(value))?)
    }

    /// Copy what `source` has of equal name and shape; gives how many were.
    pub fn inherit<'a>(&mut self, source: impl Fn(&str) -> Option<&'a Tensor>) -> Result<usize> {
        let mut inherited = 0;
        for (parameter, view) in self.parameters.iter().zip(&self.views) {
            if let Some(value) = source(&parameter.name)
                && view.size() == value.size()
            {
                no_grad(|| view.detach().f_copy_(value))?;
                inherited += 1;
            }
        }
        Ok(inherited)
    }

    /// All trained values, flat.
    pub fn trained(&self) -> &Tensor {
        &self.trained
    }

    /// All trained values, flat, to be changed in place.
    pub fn trained_mut(&mut self) -> &mut Tensor {
        &mut self.trained
    }

    /// All running statistics, flat.
    pub fn buffers(&self) -> &Tensor {
        &self.buffers
    }

    /// All running statistics, flat, to be changed in place.
    pub fn buffers_mut(&mut self) -> &mut Tensor {
        &mut self.buffers
    }

    /// Indices and places in the flat tensor of what is trained.
    pub fn trained_spans(&self) -> impl Iterator<Item = (usize, Span)> + '_ {
        let spans = self.spans.iter().copied().enumerate();
        spans.zip(&self.parameters).filter(|(_, p)| p.kind.is_trained()).map(|(span, _)| span)
    }

    /// The part of `flat` (laid out as [`Self::trained`]) that belongs to parameter `index`, in its shape.
    pub fn part_of(&self, flat: &Tensor, index: usize) -> Result<Option<Tensor>> {
        let (Some(parameter), Some(span)) = (self.parameters.get(index), self.spans.get(index)) else {
            return Ok(None);
        };
        Ok(Some(from_flat(&flat.f_narrow(0, span.start, span.length)?, &parameter.shape)?))
    }

    /// Copy everything.
    pub fn snapshot(&self) -> Result<Snapshot> {
        no_grad(|| Ok(Snapshot { trained: copy(&self.trained)?, buffers: copy(&self.buffers)? }))
    }

    /// Go back to a copy.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        no_grad(|| {
            self.trained.f_copy_(&snapshot.trained)?;
            self.buffers.f_copy_(&snapshot.buffers)?;
            Ok(())
        })
    }
}

/// A copy with storage of its own.
pub fn copy(tensor: &Tensor) -> Result<Tensor> {
    let mut copy = no_grad(|| tensor.f_empty_like())?;
    no_grad(|| copy.f_copy_(tensor))?;
    Ok(copy)
}

/// A tensor in the order of the flat one.
pub fn to_flat(tensor: &Tensor) -> Result<Tensor> {
    let ordered = if tensor.dim() == 4 { tensor.f_permute([0, 2, 3, 1])? } else { tensor.shallow_clone() };
    Ok(ordered.f_reshape([-1])?)
}

fn from_flat(part: &Tensor, shape: &[i64]) -> Result<Tensor> {
    Ok(match *shape {
        [out, channels, height, width] => part.f_view([out, height, width, channels])?.f_permute([0, 3, 1, 2])?,
        _ => part.f_view(shape)?,
    })
}

fn initial_value(parameter: &Parameter, seed: u64) -> Result<Tensor> {
    let length: i64 = parameter.shape.iter().product();
    let length = usize::try_from(length).unwrap_or_default();
    let values: Vec<f64> = match parameter.kind {
        ParameterKind::Scale | ParameterKind::RunningVariance => vec![1.0; length],
        ParameterKind::Shift | ParameterKind::RunningMean => vec![0.0; length],
        ParameterKind::Weight | ParameterKind::Bias => {
            let bound = 1.0 / (parameter.fan_in.max(1) as f64).sqrt();
            let mut stream = StreamRandom::new(seed, &format!("weights/{}", parameter.name));
            (0..length).map(|_| (2.0 * stream.next_f64() - 1.0) * bound).collect()
        }
    };
    Ok(Tensor::f_from_slice(&values)?.f_view(parameter.shape.as_slice())?)
}
