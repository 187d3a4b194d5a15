//! Random numbers in blocks: one call of the host for some hundred draws instead of one each.
//!
//! What is left of a block at the end of an `ask` is dropped, so nothing drawn is ever part of the state.

use nas_strategy_sdk::random;

/// See the module. Lives for one `ask`.
#[derive(Debug)]
pub struct Stream {
    words: std::vec::IntoIter<u64>,
    normals: std::vec::IntoIter<f64>,
    block: u32,
}

impl Stream {
    /// Nothing is drawn yet; `block` numbers will be at a time.
    pub fn new(block: usize) -> Self {
        let block = block.clamp(16, 4096) as u32;
        Self { words: Vec::new().into_iter(), normals: Vec::new().into_iter(), block }
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        let word = match self.words.next() {
            Some(word) => word,
            None => {
                self.words = random::fill(self.block).into_iter();
                self.words.next().unwrap_or_else(random::next_u64)
            }
        };
        (word >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        if let Some(normal) = self.normals.next() {
            return normal;
        }
        self.normals = random::normals(self.block).into_iter();
        self.normals.next().unwrap_or(0.0)
    }

    /// Of a normal distribution, within the unit interval. The mean lies in it and the deviation is at most 1, so more
    /// than a third of the draws do.
    pub fn within_unit(&mut self, mean: f64, deviation: f64) -> f64 {
        for _ in 0..1_000 {
            let drawn = mean + deviation * self.normal();
            if (0.0..=1.0).contains(&drawn) {
                return drawn;
            }
        }
        mean.clamp(0.0, 1.0)
    }

    /// The option that a uniform draw falls on; the last one with a share if rounding leaves a rest.
    pub fn option(&mut self, shares: &[f64]) -> u32 {
        let total: f64 = shares.iter().sum();
        let mut left = self.uniform() * total;
        let mut last = 0;
        for (option, share) in shares.iter().enumerate() {
            if *share > 0.0 {
                last = option as u32;
                left -= share;
                if left < 0.0 {
                    break;
                }
            }
        }
        last
    }
}
