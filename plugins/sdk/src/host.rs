//! The host's functions: a component's imports, or the test double's answers elsewhere.

#[cfg(target_family = "wasm")]
use crate::bindings::nas::strategy as imports;
#[cfg(not(target_family = "wasm"))]
use crate::testing::imports;

/// The only randomness: the search's stream. Draws are allowed in `begin`, `ask`, `tell` and `judge`.
pub mod random {
    pub use super::imports::random::{below, fill, next_f64, next_u64};

    /// `count` draws, each uniform in `0..bound` and unbiased, in one call of the host (of a few, if unlucky).
    /// Empty if `bound` is 0.
    pub fn below_many(bound: u64, count: u32) -> Vec<u64> {
        if bound == 0 {
            return Vec::new();
        }
        // Lemire 2019, "Fast random integer generation in an interval": words whose product's low half
        // falls below 2^64 mod bound would favour some values and are drawn again.
        let threshold = bound.wrapping_neg() % bound;
        fill(count)
            .into_iter()
            .map(|word| {
                let product = u128::from(word) * u128::from(bound);
                if (product as u64) < threshold { below(bound) } else { (product >> 64) as u64 }
            })
            .collect()
    }

    /// Puts a list into random order, every order with the same chance.
    pub fn shuffle<T>(list: &mut Vec<T>) {
        let mut words = Vec::with_capacity(list.len());
        while words.len() < list.len() {
            words.extend(fill((list.len() - words.len()).min(65_536) as u32));
        }
        // Equal words, of odds below 1 to 10^10 in a thousand, keep their order.
        let mut keyed: Vec<(u64, T)> = words.into_iter().zip(list.drain(..)).collect();
        keyed.sort_by_key(|(word, _)| *word);
        list.extend(keyed.into_iter().map(|(_, item)| item));
    }

    /// `count` draws from the standard normal distribution (Box and Muller 1958).
    pub fn normals(count: u32) -> Vec<f64> {
        let words = fill(count.next_multiple_of(2));
        let mut normals = Vec::with_capacity(words.len());
        for pair in words.chunks_exact(2) {
            if let [first, second] = pair {
                // In (0, 1], so that the logarithm is finite.
                let radius = (-2.0 * (((first >> 11) + 1) as f64 / (1u64 << 53) as f64).ln()).sqrt();
                let angle = std::f64::consts::TAU * ((second >> 11) as f64 / (1u64 << 53) as f64);
                normals.push(radius * angle.cos());
                normals.push(radius * angle.sin());
            }
        }
        normals.truncate(count as usize);
        normals
    }
}

/// The space's conditions and rules: no strategy implements them.
pub mod space {
    pub use super::imports::space::{check, crossover, identity, mutate, neighbours, open_options, repair, sample};
    use crate::{Decision, Gene};

    /// Whether a decision is active, given the genes of (at least) the decisions before it.
    pub fn is_active(decision: &Decision, genes: &[Gene]) -> bool {
        decision.active_when.iter().all(|condition| match genes.get(condition.decision as usize) {
            Some(Gene::Choice(option)) => condition.options.contains(option),
            Some(Gene::Mixture(listed)) => listed.iter().any(|option| condition.options.contains(&option.index)),
            _ => false,
        })
    }
}

/// What can be known of an architecture without training it.
pub mod costs {
    pub use super::imports::costs::{ExpectedCost, expected, of};
}

/// The search's jobs so far.
pub mod history {
    pub use super::imports::history::{Prior, get, page, priors};
}

/// Lines and scalars for people. Dropped while a journal is driven anew.
pub mod log {
    pub use super::imports::log::{Level, chart, write};

    /// For whoever debugs the strategy.
    pub fn debug(message: impl AsRef<str>) {
        write(Level::Debug, message.as_ref());
    }

    /// A change worth knowing.
    pub fn info(message: impl AsRef<str>) {
        write(Level::Info, message.as_ref());
    }

    /// Unexpected, and nothing lost.
    pub fn warn(message: impl AsRef<str>) {
        write(Level::Warn, message.as_ref());
    }

    /// Somebody must act.
    pub fn error(message: impl AsRef<str>) {
        write(Level::Error, message.as_ref());
    }
}
