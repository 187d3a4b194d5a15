//! One search as a pure state machine, and the scheduler that shares trainers among searches.
//!
//! [`Search::step`] takes an [`Input`] and returns [`Command`]s; somebody else owns the clock, the strategy
//! instance, the trainers and the disk, and carries the commands out in order. So everything that decides what
//! a search does is testable without any of them, in microseconds.
//!
//! One job's way: `Call(Ask)` -> a proposal becomes a job -> `Dispatch` -> `Arrived` -> durable -> `Call(Tell)`.
//!
//! **Invariants.** No wall clock, no randomness, no input or output, no floating-point comparison that could
//! depend on arrival order in `virtual` order. Every strategy call and every delivery is a journal event, and
//! folding those events ([`Search::resume`]) gives the state back.

pub mod approximation;
pub mod budget;
pub mod delivery;
pub mod ledger;
pub mod plan;
pub mod replay;
pub mod resume;
pub mod scheduler;
pub mod search;
pub mod swap;

pub use ledger::{JobEntry, JobStatus, Ledger};
pub use plan::{Budget, Order, Plan, TaskModel};
pub use replay::{Replay, Replayed};
pub use resume::{ResumeError, Resumption};
pub use search::{Call, Command, Input, Reply, Search};
pub use swap::{Adjustment, SwapOrder, TakenOver, TakeoverOrder};
