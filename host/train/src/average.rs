//! A moving average of a network's weights and running statistics (Polyak & Juditsky 1992, with forgetting).
//!
//! It is what a network is evaluated with; training goes on with the weights themselves.

use tch::no_grad;

use crate::error::Result;
use crate::weights::{Snapshot, Weights};

/// The average.
#[derive(Debug)]
pub struct Average {
    values: Snapshot,
    decay: f64,
}

impl Average {
    /// Of weights as they are; none where `decay` is 0.
    pub fn new(weights: &Weights, decay: f64) -> Result<Option<Self>> {
        Ok(if decay > 0.0 { Some(Self { values: weights.snapshot()?, decay }) } else { None })
    }

    /// The averaged values.
    pub fn values(&self) -> &Snapshot {
        &self.values
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> &mut Snapshot {
        &mut self.values
    }

    /// Take in the weights after update number `update` (from 0).
    pub fn update(&mut self, weights: &Weights, update: u64) -> Result<()> {
        let kept = self.decay.min((1.0 + update as f64) / (10.0 + update as f64));
        no_grad(|| {
            let Snapshot { trained, buffers } = &mut self.values;
            for (mine, new) in [(trained, weights.trained()), (buffers, weights.buffers())] {
                let _ = mine.f_lerp_(new, 1.0 - kept)?;
            }
            Ok(())
        })
    }
}
