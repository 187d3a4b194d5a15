//! A state as bytes: a checksum, then MessagePack with field names.
//!
//! Field names let a later version of a strategy read the snapshots of an earlier one as long as it only
//! adds fields with defaults. The checksum turns damage of any kind into an error: MessagePack alone would
//! read a flipped bit in a number as another number.

use serde::{Serialize, de::DeserializeOwned};

const CHECKSUM_BYTES: usize = 8;

/// Encodes a state.
pub(crate) fn encode<T: Serialize>(state: &T) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; CHECKSUM_BYTES];
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    state.serialize(&mut serializer).map_err(|error| format!("the state cannot be written: {error}"))?;
    if let Some((head, body)) = bytes.split_first_chunk_mut::<CHECKSUM_BYTES>() {
        *head = fingerprint(body).to_le_bytes();
    }
    Ok(bytes)
}

/// Decodes a state; anything else is an error.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let (head, body) = bytes
        .split_first_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(|| format!("{} bytes are too few for a snapshot", bytes.len()))?;
    if u64::from_le_bytes(*head) != fingerprint(body) {
        return Err(format!("the checksum of {} bytes does not match", body.len()));
    }
    rmp_serde::from_slice(body).map_err(|error| format!("the state cannot be read: {error}"))
}

/// 64 bits of some bytes (FNV-1a): the same in every instance and version, unlike the standard library's hashes.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Gene;

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let state = (
            BTreeMap::from([(7u64, vec![Gene::Choice(3), Gene::Inactive, Gene::Real(-0.1)])]),
            vec![f64::INFINITY, f64::MIN_POSITIVE, -0.0],
        );
        let back: (BTreeMap<u64, Vec<Gene>>, Vec<f64>) = decode(&encode(&state).unwrap()).unwrap();
        assert_eq!(back.0, state.0);
        assert_eq!(
            back.1.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            state.1.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_single_damaged_byte_and_every_cut_is_an_error() {
        let bytes = encode(&vec![1u32, 2, 300]).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            decode::<Vec<u32>>(&damaged).unwrap_err();
            decode::<Vec<u32>>(&bytes[..at]).unwrap_err();
        }
        decode::<Vec<u32>>(b"").unwrap_err();
    }

    #[test]
    fn a_later_version_with_one_more_field_reads_an_earlier_snapshot() {
        #[derive(Serialize)]
        struct Before {
            told: u64,
        }
        #[derive(serde::Deserialize)]
        struct After {
            told: u64,
            #[serde(default)]
            failed: u64,
        }
        let after: After = decode(&encode(&Before { told: 3 }).unwrap()).unwrap();
        assert_eq!((after.told, after.failed), (3, 0));
    }
}
