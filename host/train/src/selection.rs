//! What is chosen at each choice point, with mixture weights as tensors.
//!
//! The weights of one decision are shared by all cells that follow it, so their gradients sum over cells. Each
//! option's weight is a scalar leaf of its own.

use nasd_space::{Architecture, Gene};
use tch::{Device, Kind, Tensor};

use crate::error::{Result, TrainError};

/// An option of a mixture.
#[derive(Debug)]
pub struct Weighted {
    /// Index of the option.
    pub option: u32,
    /// Its weight.
    pub value: f64,
    /// Its weight, a scalar; a leaf that requires a gradient where one is asked.
    pub leaf: Tensor,
}

/// What a decision says.
#[derive(Debug)]
pub enum Choice {
    /// Nothing: the decision is inactive or is not about the graph.
    Nothing,
    /// One option.
    One(u32),
    /// A weighted sum.
    Mixture(Vec<Weighted>),
}

/// A choice for each decision.
#[derive(Debug, Default)]
pub struct Selection {
    choices: Vec<Choice>,
    with_gradient: bool,
}

/// A choice before it has tensors.
enum Plain {
    Nothing,
    One(u32),
    Mixture(Vec<(u32, f64)>),
}

impl Selection {
    /// Of an architecture; `with_gradient` makes the mixtures' weights leaves.
    pub fn of(architecture: &Architecture, with_gradient: bool, kind: Kind, device: Device) -> Result<Self> {
        let mut choices = Vec::with_capacity(architecture.len());
        for (decision, gene) in architecture.iter().enumerate() {
            choices.push(match gene {
                Gene::Choice(option) => Plain::One(*option),
                Gene::Mixture(options) => {
                    let ascending = options.windows(2).all(|pair| match pair {
                        [a, b] => a.index < b.index,
                        _ => true,
                    });
                    if options.is_empty() || !ascending || options.iter().any(|o| !o.weight.is_finite()) {
                        return Err(TrainError::Architecture {
                            decision: u32::try_from(decision).unwrap_or(u32::MAX),
                            reason: "a mixture lists options in ascending order with finite weights".into(),
                        });
                    }
                    Plain::Mixture(options.iter().map(|o| (o.index, f64::from(o.weight))).collect())
                }
                Gene::Inactive | Gene::Integer(_) | Gene::Real(_) => Plain::Nothing,
            });
        }
        Self::build(choices, with_gradient, kind, device)
    }

    /// Of mixtures in double precision: one list of (option, weight) a decision.
    pub fn of_mixtures(mixtures: &[Vec<(u32, f64)>], with_gradient: bool, kind: Kind, device: Device) -> Result<Self> {
        let choices = mixtures.iter().map(|mixture| Plain::Mixture(mixture.clone())).collect();
        Self::build(choices, with_gradient, kind, device)
    }

    fn build(choices: Vec<Plain>, with_gradient: bool, kind: Kind, device: Device) -> Result<Self> {
        let weighted = |(option, value): (u32, f64)| -> Result<Weighted> {
            let leaf = Tensor::f_from_slice(&[value])?.f_view([0i64; 0])?.f_to_device(device)?.f_to_kind(kind)?;
            Ok(Weighted { option, value, leaf: leaf.f_set_requires_grad(with_gradient)? })
        };
        let choices = choices
            .into_iter()
            .map(|choice| {
                Ok(match choice {
                    Plain::One(option) => Choice::One(option),
                    Plain::Nothing => Choice::Nothing,
                    Plain::Mixture(mixture) => {
                        Choice::Mixture(mixture.into_iter().map(weighted).collect::<Result<_>>()?)
                    }
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { choices, with_gradient })
    }

    /// What decision number `decision` says.
    pub fn choice(&self, decision: u32) -> Result<&Choice> {
        self.choices.get(decision as usize).ok_or_else(|| TrainError::Architecture {
            decision,
            reason: format!("there are genes for {} decisions only", self.choices.len()),
        })
    }

    /// Whether gradients of mixtures are asked for.
    pub fn with_gradient(&self) -> bool {
        self.with_gradient
    }

    /// A decision's mixture; empty if it has none.
    pub fn mixture(&self, decision: u32) -> &[Weighted] {
        match self.choices.get(decision as usize) {
            Some(Choice::Mixture(options)) => options,
            _ => &[],
        }
    }

    /// All mixtures, a list a decision.
    pub fn mixtures(&self) -> impl Iterator<Item = &[Weighted]> {
        (0..self.choices.len()).map(|decision| self.mixture(u32::try_from(decision).unwrap_or(u32::MAX)))
    }
}
