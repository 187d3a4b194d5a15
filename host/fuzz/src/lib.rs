//! Fuzz targets: everything that reads bytes it did not write in this process. Each target is one function of bytes;
//! libFuzzer calls it, guided by coverage (`cargo xtask fuzz`), and `tests/corpora.rs` calls it with what libFuzzer
//! kept (`tests/fuzz`), in every test run. Whatever comes: an answer or an error, never a panic, in moments.
//!
//! Checksums would keep a fuzzer out, as no mutation of a body brings the matching one. So frames and snapshots are read
//! twice, as they are and with their checksums put right ([`frames::repaired`]).
//!
//! A target panics to report a finding; nothing of nasd depends on this crate.
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a finding is reported")]

pub mod frames;
pub mod journals;
pub mod search_files;
pub mod snapshots;
pub mod trainer_messages;

/// A function of hostile bytes.
pub type Target = fn(&[u8]);

/// Name, as the folder under `tests/fuzz` and the program `fuzz-NAME`, and function of every target.
pub const TARGETS: [(&str, Target); 4] = [
    ("journals", journals::read),
    ("search-files", search_files::read),
    ("snapshots", snapshots::read),
    ("trainer-messages", trainer_messages::read),
];
