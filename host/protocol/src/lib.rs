//! What the parts of nasd say to each other: jobs and outcomes (the strategy contract as host types), journal
//! events, trainer messages, and the one frame codec that journal and trainer channel share.
//!
//! Messages carry no pointers, paths or handles that only one machine understands. This crate does no input
//! or output beyond the byte streams handed to the codec.

pub mod contract;
pub mod event;
pub mod frame;
pub mod trainer;

pub use contract::*;
pub use event::{Event, Lane, Record};
