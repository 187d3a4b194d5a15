//! How many threads of those allowed are worth their cost.
//!
//! An operation of libtorch wakes all threads and waits for all of them, whatever its size. On the small maps of a
//! small task that costs more than it saves: a DARTS iteration on the 8x8 digits took four times the processor time
//! with two threads (see tests/RESULTS.md). The answer is a function of the order alone, so that a job gives the same
//! numbers whenever and wherever it is repeated with the same allowance.

use nasd_network::{Graph, shapes};

use crate::error::Result;

/// Values of one operation that make a thread of its own worthwhile: libtorch itself splits no elementwise work below
/// it (`at::internal::GRAIN_SIZE`).
const GRAIN: u64 = 32_768;

/// Of `allowed` threads, as many as the mean value in a minibatch has grains, and at least one.
pub fn useful(graph: &Graph, batch_size: u32, allowed: u32) -> Result<u32> {
    let shapes = shapes(graph)?;
    let elements: u64 = shapes.iter().map(|shape| shape.elements()).sum();
    let mean = elements.saturating_mul(u64::from(batch_size)) / (shapes.len() as u64).max(1);
    Ok(u32::try_from(mean / GRAIN).unwrap_or(u32::MAX).clamp(1, allowed.max(1)))
}

#[cfg(test)]
mod tests {
    use nasd_network::SpaceDefinition;

    use super::*;

    #[test]
    fn small_maps_get_one_thread_and_large_ones_all() {
        let space = SpaceDefinition::preset("darts-cnn").expect("is a preset");
        let graph = |space: &SpaceDefinition| space.one_shot().expect("has a template").clone();
        assert_eq!(useful(&graph(&space), 64, 8).expect("has shapes"), 8);
        assert_eq!(useful(&graph(&space), 1, 8).expect("has shapes"), 1);
        let settings = [("one-shot.channels", "4"), ("one-shot.layers", "3")];
        let digits = settings.iter().fold(space, |space, (key, value)| space.set(key, value).expect("is a setting"));
        let digits = digits.with_task([1, 8, 8], 10).expect("fits");
        assert_eq!(useful(&graph(&digits), 64, 8).expect("has shapes"), 1);
        assert_eq!(useful(&Graph::default(), 64, 0).unwrap_or(0), 0, "a graph without class scores is an error");
    }
}
