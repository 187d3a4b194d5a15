//! libFuzzer's entry to `nasd_fuzz::journals`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nasd_fuzz::journals::read(bytes));
