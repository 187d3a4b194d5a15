//! Specimens changed at random, without guidance by coverage. Shared with `host/fuzz`'s tests.

use nasd_space::{RandomSource, StreamRandom};

/// Bytes of which one is put in now and then: ends of ranges, lengths, signs.
const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xc0, 0xdf, 0xfe, 0xff];

/// A specimen with a few things changed.
pub fn mutant(specimens: &[Vec<u8>], random: &mut StreamRandom) -> Vec<u8> {
    let pick = |random: &mut StreamRandom| specimens[random.below(specimens.len() as u64) as usize].clone();
    let mut bytes = pick(random);
    for _ in 0..=random.below(4) {
        let length = bytes.len() as u64;
        let at = random.below(length + 1) as usize;
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, TELLING[random.below(8) as usize]),
            2 if at < bytes.len() => bytes[at] = TELLING[random.below(8) as usize],
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            5 => {
                let other = pick(random);
                let from = random.below(other.len() as u64 + 1) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            6 => {
                let end = (at + random.below(64) as usize).min(bytes.len());
                let doubled = bytes[at..end].to_vec();
                bytes.splice(at..at, doubled);
            }
            _ if at + 4 <= bytes.len() => bytes[at..at + 4].copy_from_slice(&(random.next_u64() as u32).to_le_bytes()),
            _ => {}
        }
    }
    bytes
}
