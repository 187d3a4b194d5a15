//! Training and validation images: a seeded split that stays what it is for ever.
//!
//! The generator is written out here, not shared with the searches' random streams: a published result depends on
//! which images were held out, so nothing that changes elsewhere may move them.

/// Split `0..n` into training and validation indices.
///
/// `round(n * validation_fraction)` images (halves up, at least 0, at most `n`) go to validation, so one half is
/// DARTS's search split (Liu et al. 2019, section 3.1: half of the training data is held out for the architecture).
/// The indices are a Fisher-Yates permutation of `0..n`, the training part first. Words come from SplitMix64
/// (Steele, Lea and Flood, OOPSLA 2014), started by BLAKE3 of a fixed label and the seed; a bounded draw is the
/// high half of `word * bound`, whose bias is below `n / 2^64`.
pub fn split_train_validation(n: usize, validation_fraction: f64, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let mut state = start(seed);
    let mut order: Vec<u32> = (0..n).collect();
    for last in (1..order.len()).rev() {
        let drawn = (u128::from(next(&mut state)) * (last as u128 + 1)) >> 64;
        order.swap(last, drawn as usize);
    }
    let n_validation = (f64::from(n) * validation_fraction.clamp(0.0, 1.0)).round() as usize;
    let validation = order.split_off(order.len() - n_validation.min(order.len()));
    (order, validation)
}

fn start(seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"nasd train/validation split 1");
    hasher.update(&seed.to_le_bytes());
    let mut word = [0; 8];
    hasher.finalize_xof().fill(&mut word);
    u64::from_le_bytes(word)
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_in_exactly_one_part() {
        for (n, fraction, n_validation) in
            [(0, 0.5, 0), (1, 0.5, 1), (10, 0.0, 0), (10, 1.0, 10), (25, 0.5, 13), (1437, 0.2, 287), (9, f64::NAN, 0)]
        {
            let (train, validation) = split_train_validation(n, fraction, 7);
            assert_eq!(validation.len(), n_validation, "{n} {fraction}");
            let mut all = [train, validation].concat();
            all.sort_unstable();
            assert_eq!(all, (0..n as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_seed_gives_the_same_split_for_ever() {
        assert_eq!(split_train_validation(10, 0.5, 0), (vec![1, 0, 8, 4, 6], vec![7, 9, 3, 2, 5]));
    }

    #[test]
    fn seeds_give_different_splits() {
        assert_ne!(split_train_validation(100, 0.5, 0), split_train_validation(100, 0.5, 1));
    }
}
