//! One frame codec for the journal and the trainer channel: `length (u32 LE) | CRC32C of the body (u32 LE) |
//! body`, the body MessagePack with field names.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Bytes before a body.
pub const HEADER_LEN: usize = 8;

/// Largest body accepted, in bytes: an order with a one-shot graph is a few megabytes.
pub const MAX_BODY_LEN: u32 = 256 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended between frames.
    #[error("the stream ended")]
    End,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, {missing} bytes short")]
    Torn {
        /// Bytes missing.
        missing: u64,
    },
    /// The length field is beyond [`MAX_BODY_LEN`].
    #[error("a frame claims {length} bytes, more than the limit of {MAX_BODY_LEN}")]
    TooLong {
        /// The length field.
        length: u32,
    },
    /// The checksum does not match.
    #[error("a frame's checksum is {found:08x}, its body's {computed:08x}")]
    Checksum {
        /// In the header.
        found: u32,
        /// Of the body.
        computed: u32,
    },
    /// The body is not what was expected.
    #[error("a frame's body cannot be decoded")]
    Decode(#[source] rmp_serde::decode::Error),
    /// The value cannot be encoded.
    #[error("a value cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
    /// The stream failed.
    #[error("the stream failed")]
    Io(#[source] io::Error),
}

/// A value's body.
pub fn encode_body<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    rmp_serde::to_vec_named(value).map_err(FrameError::Encode)
}

/// A body's value.
pub fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    rmp_serde::from_slice(body).map_err(FrameError::Decode)
}

/// A value in few bytes, without field names: for memory, not for keeping, as another version may read it otherwise.
pub fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    rmp_serde::to_vec(value).map_err(FrameError::Encode)
}

/// What [`pack`] packed.
pub fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Result<T, FrameError> {
    rmp_serde::from_slice(packed).map_err(FrameError::Decode)
}

/// A whole frame around a value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0u8; HEADER_LEN];
    rmp_serde::encode::write_named(&mut frame, value).map_err(FrameError::Encode)?;
    let (length, checksum) = {
        let body = frame.get(HEADER_LEN..).unwrap_or_default();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if length > MAX_BODY_LEN {
            return Err(FrameError::TooLong { length });
        }
        (length, crc32c::crc32c(body))
    };
    let header = length.to_le_bytes().into_iter().chain(checksum.to_le_bytes());
    for (place, byte) in frame.iter_mut().zip(header) {
        *place = byte;
    }
    Ok(frame)
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Length of the body.
    pub length: u32,
    /// CRC32C of the body.
    pub checksum: u32,
}

/// Read a header's fields and check the length.
pub fn parse_header(bytes: [u8; HEADER_LEN]) -> Result<Header, FrameError> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > MAX_BODY_LEN {
        return Err(FrameError::TooLong { length });
    }
    Ok(Header { length, checksum: u32::from_le_bytes([e, f, g, h]) })
}

/// Check a body against its header.
pub fn check_body(header: Header, body: &[u8]) -> Result<(), FrameError> {
    let computed = crc32c::crc32c(body);
    if computed == header.checksum { Ok(()) } else { Err(FrameError::Checksum { found: header.checksum, computed }) }
}

/// Write a value as one frame.
pub fn write<T: Serialize>(stream: &mut impl Write, value: &T) -> Result<(), FrameError> {
    stream.write_all(&encode(value)?).map_err(FrameError::Io)
}

/// Read one frame's body; `End` if the stream ends before it. Memory grows with what arrives, not with what
/// the header claims.
pub fn read_body(stream: &mut impl Read) -> Result<Vec<u8>, FrameError> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    stream.take(HEADER_LEN as u64).read_to_end(&mut header).map_err(FrameError::Io)?;
    if header.is_empty() {
        return Err(FrameError::End);
    }
    let bytes = <[u8; HEADER_LEN]>::try_from(header.as_slice())
        .map_err(|_| FrameError::Torn { missing: (HEADER_LEN - header.len()) as u64 })?;
    let header = parse_header(bytes)?;
    let mut body = Vec::new();
    stream.take(u64::from(header.length)).read_to_end(&mut body).map_err(FrameError::Io)?;
    let missing = u64::from(header.length).saturating_sub(body.len() as u64);
    if missing > 0 {
        return Err(FrameError::Torn { missing });
    }
    check_body(header, &body)?;
    Ok(body)
}

/// Read one frame's value.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> Result<T, FrameError> {
    decode_body(&read_body(stream)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_round_trip_and_no_flipped_bit() {
        let value = vec![("loss".to_owned(), 0.25f64), ("accuracy".to_owned(), 0.5)];
        let frame = encode(&value).unwrap();
        let back: Vec<(String, f64)> = read(&mut frame.as_slice()).unwrap();
        assert_eq!(back, value);
        for bit in 0..frame.len() * 8 {
            let mut broken = frame.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(read::<Vec<(String, f64)>>(&mut broken.as_slice()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_torn_frame_says_how_much_is_missing() {
        let frame = encode(&"abc").unwrap();
        for cut in 1..frame.len() {
            assert!(matches!(read_body(&mut &frame[..cut]), Err(FrameError::Torn { .. })), "cut {cut}");
        }
        assert!(matches!(read_body(&mut &frame[..0]), Err(FrameError::End)));
    }
}
