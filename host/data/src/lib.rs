//! Data sets: import, verify, decode.
