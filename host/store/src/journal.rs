//! A run's journal: the truth, from which everything else can be made again.
//!
//! Records are appended to a buffer and become durable together by [`Journal::sync`] (group commit: one write,
//! one `fdatasync` for however many records). What was synced survives every crash; what was not may vanish from
//! some record on, never in the middle. After a failed write or sync it is unknown what the disk holds, so the
//! journal refuses everything that follows: open it anew, and go on from what is there.
//!
//! One writer, any number of [`JournalReader`]s beside it.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use nasd_protocol::{
    Event, Record,
    event::Observation,
    frame::{self, FrameError},
};

use crate::{
    fault::FaultyFiles,
    files::{AppendFile, Files},
    scan::{self, Fault, MAGIC, Next, Scanner, Span},
};

/// Buffered bytes beyond which they are handed to the operating system, not yet durable.
const BUFFER: usize = 1 << 20;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error("{what} {} failed", path.display())]
    Io {
        /// What was tried: `reading`, `writing` ...
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Bytes that were durable are not what they were.
    #[error(
        "{} is damaged at byte {offset}, where record {sequence} begins or a mark: {fault}; bytes up to {durable} \
         were durable once. The records before are sound. Restore the file from a copy; to go on without the \
         records after, cut the file to {offset} bytes",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
        /// Number of the record expected there.
        sequence: u64,
        /// Up to where bytes were known to be durable.
        durable: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// A sound frame that this version cannot read.
    #[error(
        "record {sequence} of {}, at byte {offset}, is of a kind this version does not know; \
         use the version of nasd that wrote it, or a newer one",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where its frame begins.
        offset: u64,
        /// Its number.
        sequence: u64,
        /// What cannot be decoded.
        source: FrameError,
    },
    /// Not a journal at all.
    #[error("{} is not a journal of a version known here", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A write or sync failed before.
    #[error("{} takes no more records since a write failed ({first}); resume the run to go on", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
        /// The first failure.
        first: String,
    },
    /// A record cannot be encoded.
    #[error("a record cannot be encoded")]
    Encode(#[source] FrameError),
    /// A record with another number than the next.
    #[error("record {found} was to be appended where record {expected} belongs")]
    OutOfSequence {
        /// The next number.
        expected: u64,
        /// The number given.
        found: u64,
    },
}

/// Bytes after the last intact record, cut off when the journal was opened. None of them had been synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where the journal ends now.
    pub offset: u64,
    /// How many bytes were cut.
    pub length: u64,
    /// A copy of them.
    pub kept: PathBuf,
    /// What was wrong with them.
    pub reason: String,
}

/// A journal open for writing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Box<dyn AppendFile>,
    buffer: Vec<u8>,
    next: u64,
    durable: u64,
    offset: u64,
    poisoned: Option<String>,
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { what, path: path.to_owned(), source }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Journal {
    /// A new, empty journal, durably there. Its folder must exist, the file must not.
    pub fn create(files: Files, path: &Path) -> Result<Self, JournalError> {
        let file = files.create_new(path).map_err(io_error("creating", path))?;
        files.sync_dir(folder(path)).map_err(io_error("creating", path))?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            buffer: MAGIC.to_vec(),
            next: 0,
            durable: 0,
            offset: MAGIC.len() as u64,
            poisoned: None,
        };
        journal.commit()?;
        Ok(journal)
    }

    /// A new journal in memory, for simulated runs; read it back through the files, under the same path.
    pub fn in_memory() -> Result<(Self, Files), JournalError> {
        let files = FaultyFiles::new().shared();
        Ok((Self::create(files.clone(), Path::new("journal"))?, files))
    }

    /// An existing journal with all its records, ready to go on. A torn end is cut off, after a copy of it was
    /// made beside the journal; damage is an error and changes nothing.
    pub fn open(files: Files, path: &Path) -> Result<(Self, Vec<Record>, Option<TornTail>), JournalError> {
        let mut reader = JournalReader::open(&files, path)?;
        let mut records = Vec::new();
        for record in reader.by_ref() {
            records.push(record?);
        }
        let length = files.length(path).map_err(io_error("reading", path))?;
        let end = reader.offset();
        let torn = match reader.torn {
            None => None,
            Some(reason) => {
                let kept = keep_torn(&files, path, end)?;
                files.truncate(path, end).map_err(io_error("cutting", path))?;
                Some(TornTail { offset: end, length: length.saturating_sub(end), kept, reason })
            }
        };
        let mut journal = Self {
            path: path.to_owned(),
            file: files.open_append(path).map_err(io_error("opening", path))?,
            buffer: Vec::new(),
            next: records.len() as u64,
            durable: 0,
            offset: end,
            poisoned: None,
        };
        if end == 0 {
            journal.buffer.extend_from_slice(MAGIC);
            journal.offset = MAGIC.len() as u64;
        }
        // What was read may not have been durable: it is, before anything follows from it.
        files.sync_dir(folder(path)).map_err(io_error("opening", path))?;
        journal.commit()?;
        Ok((journal, records, torn))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// How many records are durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Append an event; its record's number. Not durable before [`Journal::sync`].
    pub fn append(&mut self, event: Event, observed: BTreeMap<String, Observation>) -> Result<u64, JournalError> {
        let record = Record { sequence: self.next, event, observed };
        self.append_record(&record)?;
        Ok(record.sequence)
    }

    /// Append a record made with [`Journal::next_sequence`]; where it lies.
    pub fn append_record(&mut self, record: &Record) -> Result<Span, JournalError> {
        self.expect_sound()?;
        if record.sequence != self.next {
            return Err(JournalError::OutOfSequence { expected: self.next, found: record.sequence });
        }
        let frame = frame::encode(record).map_err(JournalError::Encode)?;
        let start = self.offset;
        self.buffer.extend_from_slice(&frame);
        self.offset += frame.len() as u64;
        self.next += 1;
        if self.buffer.len() > BUFFER {
            self.write_buffer()?;
        }
        Ok(Span { start, end: self.offset })
    }

    /// Make all records appended so far durable; how many there are.
    pub fn sync(&mut self) -> Result<u64, JournalError> {
        self.expect_sound()?;
        if self.durable < self.next {
            self.commit()?;
        }
        Ok(self.durable)
    }

    fn expect_sound(&self) -> Result<(), JournalError> {
        match &self.poisoned {
            None => Ok(()),
            Some(first) => Err(JournalError::Poisoned { path: self.path.clone(), first: first.clone() }),
        }
    }

    fn poison(&mut self, what: &'static str, source: io::Error) -> JournalError {
        self.poisoned = Some(format!("{what}: {source}"));
        JournalError::Io { what, path: self.path.clone(), source }
    }

    fn write_buffer(&mut self) -> Result<(), JournalError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|source| self.poison("writing", source))
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        self.write_buffer()?;
        let synced = self.file.sync_data();
        synced.map_err(|source| self.poison("syncing", source))?;
        self.durable = self.next;
        // The mark needs no sync of its own: it only helps to tell damage from a torn end.
        let mark = scan::mark(self.offset).map_err(JournalError::Encode)?;
        self.offset += mark.len() as u64;
        if let Err(source) = self.file.write_all(&mark) {
            // The records are durable; what half a mark does to the next ones is not worth finding out.
            self.poison("writing", source);
        }
        Ok(())
    }
}

/// A copy of what is about to be cut.
fn keep_torn(files: &Files, path: &Path, offset: u64) -> Result<PathBuf, JournalError> {
    let mut bytes = Vec::new();
    let stream = files.open_read(path, offset);
    stream.and_then(|mut stream| stream.read_to_end(&mut bytes)).map_err(io_error("reading", path))?;
    for number in 0u32.. {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".torn-{offset}"));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        let kept = path.with_file_name(name);
        match files.create_new(&kept) {
            Ok(mut file) => {
                let written = file.write_all(&bytes).and_then(|()| file.sync_data());
                written.and_then(|()| files.sync_dir(folder(path))).map_err(io_error("writing", &kept))?;
                return Ok(kept);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("creating", &kept)(error)),
        }
    }
    Err(io_error("creating", path)(io::ErrorKind::AlreadyExists.into()))
}

/// A journal's records one after the other, also beside a writer. Ends at a torn end, which may be a record
/// being written; damage is an error, after which nothing comes.
pub struct JournalReader {
    path: PathBuf,
    scanner: Scanner<BufReader<Box<dyn Read + Send>>>,
    span: Span,
    torn: Option<String>,
    over: bool,
}

impl JournalReader {
    /// From the beginning.
    pub fn open(files: &Files, path: &Path) -> Result<Self, JournalError> {
        Self::open_at(files, path, 0, 0)
    }

    /// From the record with number `sequence`, known to begin at `offset` (the end of the span before it).
    pub fn open_at(files: &Files, path: &Path, offset: u64, sequence: u64) -> Result<Self, JournalError> {
        let stream = files.open_read(path, offset).map_err(io_error("opening", path))?;
        let scanner = Scanner::new(BufReader::new(stream), offset, sequence);
        Ok(Self { path: path.to_owned(), scanner, span: Span::default(), torn: None, over: false })
    }

    /// Where the record that came last lies.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Offset after all that was sound so far.
    pub fn offset(&self) -> u64 {
        self.scanner.offset()
    }

    /// Once it is over: what is wrong with the bytes at the end, if anything.
    pub fn torn(&self) -> Option<&str> {
        self.torn.as_deref()
    }
}

impl Iterator for JournalReader {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let path = || self.path.clone();
        let sequence = self.scanner.sequence();
        let next = self.scanner.next();
        if let Ok(Next::Record(record, span)) = next {
            self.span = span;
            return Some(Ok(*record));
        }
        self.over = true;
        match next {
            Ok(Next::Record(..) | Next::End) => None,
            Ok(Next::Torn { offset: 0, fault: Fault::Magic }) if !self.scanner.may_be_torn_magic() => {
                Some(Err(JournalError::NotAJournal { path: path() }))
            }
            Ok(Next::Torn { fault, .. }) => {
                self.torn = Some(fault.to_string());
                None
            }
            Ok(Next::Damaged { offset, durable, fault }) => {
                Some(Err(JournalError::Corrupt { path: path(), offset, sequence, durable, fault }))
            }
            Ok(Next::Unreadable { offset, source }) => {
                Some(Err(JournalError::Unreadable { path: path(), offset, sequence, source }))
            }
            Err(source) => Some(Err(JournalError::Io { what: "reading", path: path(), source })),
        }
    }
}
