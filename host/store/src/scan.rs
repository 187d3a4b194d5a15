//! Reading a journal's bytes: where frames are, and whether what is not a frame is a torn end or damage.
//!
//! # Format
//! The text `nasd journal 1` and a line feed, then frames of `nasd_protocol::frame`. A frame holds a [`Record`] or a *mark*: a map with
//! the one key `durable`, saying that all bytes before that offset were durable when the mark was written. A
//! mark follows every successful sync.
//!
//! So after a crash the two cases can be told apart. Bytes after the last sync may be missing, torn or out of
//! order: from the first bad frame on they are a *torn end* and were promised to nobody. A bad frame before
//! an offset that a later mark calls durable is *damage*.

use std::io::{self, Read};

use nasd_protocol::{
    Record,
    frame::{self, FrameError, HEADER_LEN},
};
use serde::{Deserialize, Serialize};

/// First bytes of every journal; the number is the format's version.
pub(crate) const MAGIC: &[u8] = b"nasd journal 1\n";

/// How a mark's body begins: a map of one, the key `durable`.
const MARK_START: &[u8] = b"\x81\xa7durable";

#[derive(Serialize, Deserialize)]
struct Mark {
    durable: u64,
}

/// A mark's frame.
pub(crate) fn mark(durable: u64) -> Result<Vec<u8>, FrameError> {
    frame::encode(&Mark { durable })
}

/// Where a record lies in its journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Offset of its frame's first byte.
    pub start: u64,
    /// Offset after its frame's last byte.
    pub end: u64,
}

/// Why bytes are not the record expected.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not the first bytes of a journal.
    #[error("the file does not begin as a journal does")]
    Magic,
    /// A frame holds something; zeroed pages look like this.
    #[error("a frame is empty")]
    Empty,
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Records follow each other by ones.
    #[error("record {found} stands where record {expected} belongs")]
    Sequence {
        /// The number expected.
        expected: u64,
        /// The number found.
        found: u64,
    },
}

/// What comes next.
pub(crate) enum Next {
    Record(Box<Record>, Span),
    End,
    /// A torn end: nothing after `offset` was durable for all that is known.
    Torn {
        offset: u64,
        fault: Fault,
    },
    /// Damage: bytes up to `durable` were durable.
    Damaged {
        offset: u64,
        durable: u64,
        fault: Fault,
    },
    /// A sound frame whose record this version cannot read.
    Unreadable {
        offset: u64,
        source: FrameError,
    },
}

pub(crate) struct Scanner<R> {
    stream: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are done with.
    used: usize,
    /// Offset in the file of `buffer[used]`.
    offset: u64,
    sequence: u64,
}

/// Bytes asked from the stream at a time.
const CHUNK: u64 = 256 << 10;

impl<R: Read> Scanner<R> {
    /// From an offset at which the record with number `sequence` is to begin; from 0, the magic comes first.
    pub fn new(stream: R, offset: u64, sequence: u64) -> Self {
        Self { stream, buffer: Vec::new(), used: 0, offset, sequence }
    }

    /// Offset after what was read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the record expected next.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn available(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Try to have `count` bytes available.
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.used > CHUNK as usize {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        while self.available().len() < count {
            let missing = (count - self.available().len()) as u64;
            if self.stream.by_ref().take(missing.max(CHUNK)).read_to_end(&mut self.buffer)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
        self.offset += count as u64;
    }

    /// Length and body of the frame available, read as far as there are bytes.
    fn frame(&mut self) -> io::Result<Result<usize, Fault>> {
        if !self.fill(HEADER_LEN)? {
            let missing = (HEADER_LEN - self.available().len()) as u64;
            return Ok(Err(FrameError::Torn { missing }.into()));
        }
        let header = match frame_header(self.available()) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.into())),
        };
        let length = header.length as usize;
        if !self.fill(HEADER_LEN + length)? {
            let missing = (HEADER_LEN + length - self.available().len()) as u64;
            return Ok(Err(FrameError::Torn { missing }.into()));
        }
        let body = self.available().get(HEADER_LEN..HEADER_LEN + length).unwrap_or_default();
        if body.is_empty() {
            return Ok(Err(Fault::Empty));
        }
        Ok(frame::check_body(header, body).map(|()| length).map_err(Fault::from))
    }

    /// The next record.
    pub fn next(&mut self) -> io::Result<Next> {
        if self.offset == 0 {
            self.fill(MAGIC.len())?;
            if !self.available().starts_with(MAGIC) {
                return if self.available().is_empty() { Ok(Next::End) } else { self.judge(Fault::Magic) };
            }
            self.consume(MAGIC.len());
        }
        loop {
            if !self.fill(1)? {
                return Ok(Next::End);
            }
            let length = match self.frame()? {
                Ok(length) => length,
                Err(fault) => return self.judge(fault),
            };
            let start = self.offset;
            let body = self.available().get(HEADER_LEN..HEADER_LEN + length).unwrap_or_default();
            if body.starts_with(MARK_START) {
                self.consume(HEADER_LEN + length);
                continue;
            }
            let record: Record = match frame::decode_body(body) {
                Ok(record) => record,
                Err(source) => return Ok(Next::Unreadable { offset: start, source }),
            };
            if record.sequence != self.sequence {
                let fault = Fault::Sequence { expected: self.sequence, found: record.sequence };
                return self.judge(fault);
            }
            self.consume(HEADER_LEN + length);
            self.sequence += 1;
            return Ok(Next::Record(Box::new(record), Span { start, end: self.offset }));
        }
    }

    /// Whether the file, found not to begin as a journal, may be one whose first write was torn or never came.
    pub fn may_be_torn_magic(&self) -> bool {
        let bytes = self.available();
        MAGIC.starts_with(bytes) || bytes.iter().all(|byte| *byte == 0)
    }

    /// Whether a fault here is a torn end or damage: look for a mark behind it that calls this durable.
    fn judge(&mut self, fault: Fault) -> io::Result<Next> {
        let offset = self.offset;
        // Where bytes were missing, all that there were have been read. What a writer has added since may be
        // just the missing ones, with a mark behind them, so it must not be looked at now.
        let is_short = match fault {
            Fault::Frame(FrameError::Torn { .. }) => true,
            Fault::Magic => self.available().len() < MAGIC.len(),
            _ => false,
        };
        if !is_short {
            self.stream.read_to_end(&mut self.buffer)?;
        }
        let rest = self.available();
        let durable = marks(rest).filter(|durable| *durable > offset).max();
        Ok(match durable {
            Some(durable) => Next::Damaged { offset, durable, fault },
            None => Next::Torn { offset, fault },
        })
    }
}

fn frame_header(bytes: &[u8]) -> Result<frame::Header, FrameError> {
    match bytes.first_chunk::<HEADER_LEN>() {
        Some(header) => frame::parse_header(*header),
        None => Err(FrameError::Torn { missing: (HEADER_LEN - bytes.len().min(HEADER_LEN)) as u64 }),
    }
}

/// The offsets which intact marks among the bytes call durable.
fn marks(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let starts = bytes.windows(MARK_START.len()).enumerate().filter(|(_, window)| *window == MARK_START);
    starts.filter_map(|(at, _)| {
        let from = bytes.get(at.checked_sub(HEADER_LEN)?..)?;
        let header = frame_header(from).ok()?;
        let body = from.get(HEADER_LEN..HEADER_LEN.checked_add(header.length as usize)?)?;
        frame::check_body(header, body).ok()?;
        frame::decode_body::<Mark>(body).ok().map(|mark| mark.durable)
    })
}
