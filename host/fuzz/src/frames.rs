//! Frames with their checksums put right, so that mutated bodies are read.

use nasd_protocol::frame::{FrameError, HEADER_LEN, Header, check_body, parse_header};

/// The bytes, in which every frame from `from` on has the checksum of its body. Ends where no whole frame follows.
pub fn repaired(bytes: &[u8], from: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut rest = bytes.get_mut(from..).unwrap_or_default();
    while let Some((header, after)) = rest.split_first_chunk_mut::<HEADER_LEN>() {
        let Ok(Header { length, checksum }) = parse_header(*header) else { break };
        let Some((body, behind)) = after.split_at_mut_checked(length as usize) else { break };
        if let Err(FrameError::Checksum { computed, .. }) = check_body(Header { length, checksum }, body)
            && let Some(place) = header.last_chunk_mut::<4>()
        {
            *place = computed.to_le_bytes();
        }
        rest = behind;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use nasd_protocol::frame;

    use super::repaired;

    #[test]
    fn a_changed_body_gets_its_checksum_and_what_is_no_frame_stays() {
        let mut bytes = b"magic".to_vec();
        bytes.extend(frame::encode(&1u8).unwrap());
        bytes.extend(frame::encode(&2u8).unwrap());
        bytes.extend(b"tail");
        let mut changed = bytes.clone();
        changed[5 + frame::HEADER_LEN] = 7;
        let mut stream = &repaired(&changed, 5)[5..];
        assert_eq!([frame::read::<u8>(&mut stream).unwrap(), frame::read(&mut stream).unwrap()], [7, 2]);
        assert_eq!(stream, b"tail");
        assert_eq!(repaired(&bytes, 5), bytes);
    }
}
