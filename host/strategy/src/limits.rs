//! How much a strategy may use. Each limit exists because without it one strategy could stop the daemon and
//! every other search in it.
//!
//! All of them are counted, none is timed: a call that ends in a limit ends there again when the journal is
//! driven anew on another machine.

use serde::{Deserialize, Serialize};

/// Limits of one instance. The defaults are generous: no strategy of the literature comes near them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel of one call, about one unit a WebAssembly instruction. Against endless loops.
    pub fuel_per_call: u64,
    /// Fuel after which a call gives way to the other tasks of its thread. Part of no result.
    pub yield_every: u64,
    /// Bytes of all linear memories together. Against endless allocation.
    pub memory_bytes: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Core instances, memories and tables each (a component is linked from several core modules).
    pub instances: usize,
    /// Bytes a call's result, or a host call's arguments, may take on the host. Against lists that are long or
    /// point at each other's memory.
    pub result_bytes: usize,
    /// Calls of imports within one call; long answers count for more than one, costs and checks for a hundred,
    /// a sample within bounds for a thousand. Against loops in which the host does the work.
    pub host_calls_per_call: u64,
    /// Log lines and chart points of one call; further ones are dropped and counted.
    pub log_lines_per_call: u32,
    /// Bytes of a log line; the rest is cut off.
    pub log_line_bytes: usize,
    /// Bytes of a proposal's note and of the reason for `finished`.
    pub note_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_per_call: 20_000_000_000,
            yield_every: 10_000_000,
            memory_bytes: 256 << 20,
            table_elements: 1 << 20,
            instances: 64,
            result_bytes: 64 << 20,
            host_calls_per_call: 10_000_000,
            log_lines_per_call: 1_000,
            log_line_bytes: 16 << 10,
            note_bytes: 4 << 10,
        }
    }
}
