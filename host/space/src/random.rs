//! Randomness as a numbered stream: value `n` of a stream is a pure function of (seed, purpose, n).
//!
//! A stream can therefore be rewound, resumed and compared by its position alone, which is what the order
//! and resume rules rest on.

/// A source of random 64-bit words. The helpers are defined on it once, so every caller draws alike.
pub trait RandomSource {
    /// The next word.
    fn next_u64(&mut self) -> u64;

    /// Uniform in `[0, 1)`, 53 bits.
    fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound`, unbiased (Lemire 2019, "Fast random integer generation in an interval");
    /// 0 if `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let mut product = u128::from(self.next_u64()) * u128::from(bound);
        if (product as u64) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }
}

/// The run's stream for one purpose: SplitMix64 (Steele et al., OOPSLA 2014) from a BLAKE3-derived start,
/// whose n-th word is computable directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRandom {
    start: u64,
    position: u64,
}

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

impl StreamRandom {
    /// The stream of `purpose` in a run with `seed`, at its beginning.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"nasd random stream 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        let mut start = [0u8; 8];
        hasher.finalize_xof().fill(&mut start);
        Self { start: u64::from_le_bytes(start), position: 0 }
    }

    /// Words drawn so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Go to a position, back or forth.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }
}

impl RandomSource for StreamRandom {
    fn next_u64(&mut self) -> u64 {
        self.position = self.position.wrapping_add(1);
        let mut z = self.start.wrapping_add(self.position.wrapping_mul(GOLDEN_GAMMA));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_can_be_rewound_to_any_position() {
        let mut stream = StreamRandom::new(7, "strategy");
        let words: Vec<u64> = (0..10).map(|_| stream.next_u64()).collect();
        stream.seek(4);
        assert_eq!(stream.next_u64(), words[4]);
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        let mut stream = StreamRandom::new(7, "below");
        let mut seen = [0u32; 5];
        for _ in 0..5000 {
            seen[stream.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
    }
}
