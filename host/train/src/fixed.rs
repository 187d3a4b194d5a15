//! Minibatches that every evaluation takes again, kept on the device as long as they fit.
//!
//! Ranking a thousand architectures on the same few minibatches gathers and normalises them once.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::images::Minibatch;
use crate::stream::MinibatchStream;

/// Bytes of images kept for each stream.
const LIMIT: usize = 256 << 20;

/// Minibatches of [`MinibatchStream::fixed`], by number.
#[derive(Debug, Default)]
pub struct FixedMinibatches {
    kept: BTreeMap<u64, Minibatch>,
    bytes: usize,
}

impl FixedMinibatches {
    /// Minibatch number `number` of `stream`, which must always be the same stream.
    pub fn get(&mut self, stream: &MinibatchStream, number: u64) -> Result<Minibatch> {
        if let Some(kept) = self.kept.get(&number) {
            return Ok(kept.shallow_clone());
        }
        let minibatch = stream.fixed(number)?;
        let bytes = minibatch.images.numel() * minibatch.images.f_kind()?.elt_size_in_bytes();
        if self.bytes + bytes <= LIMIT {
            self.bytes += bytes;
            self.kept.insert(number, minibatch.shallow_clone());
        }
        Ok(minibatch)
    }
}
