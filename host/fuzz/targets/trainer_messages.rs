//! libFuzzer's entry to `nasd_fuzz::trainer_messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nasd_fuzz::trainer_messages::read(bytes));
