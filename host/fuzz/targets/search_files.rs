//! libFuzzer's entry to `nasd_fuzz::search_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nasd_fuzz::search_files::read(bytes));
