//! libFuzzer's entry to `nasd_fuzz::snapshots`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nasd_fuzz::snapshots::read(bytes));
