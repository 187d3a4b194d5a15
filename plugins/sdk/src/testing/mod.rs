//! A host made of plain Rust, so that a strategy's logic runs and is tested without WebAssembly.
//!
//! The double answers [`crate::random`], [`crate::space`], [`crate::costs`], [`crate::history`] and
//! [`crate::log`] on the current thread, by the same crate the daemon uses for spaces and randomness, and
//! insists on the contract: draws only where they are allowed, valid architectures, no waiting with nothing in
//! flight. [`Search`] asks and tells a strategy with a scoring closure in place of training. Not for
//! production: a broken contract ends in a panic, which is what a test wants.
//!
//! ```
//! # use nas_strategy_sdk::{*, testing::*};
//! # struct Fixed;
//! # impl Strategy for Fixed {
//! #     const ABOUT: About = about!();
//! #     type Parameters = NoParameters;
//! #     type State = ();
//! #     fn new(_: Setup, _: NoParameters) -> Result<Self, StrategyError> { Ok(Self) }
//! #     fn begin(&self) -> Result<(), StrategyError> { Ok(()) }
//! #     fn ask(&self, _: &mut (), _: &Request) -> Result<Answer, StrategyError> {
//! #         Ok(Answer::Work(vec![Proposal::train(space::sample(&[])?, 1)]))
//! #     }
//! #     fn tell(&self, _: &mut (), _: &Job) -> Result<(), StrategyError> { Ok(()) }
//! # }
//! let record = Search::<Fixed, _>::new(setup(one_max(8)), |proposal| trained(ones(proposal)))
//!     .seed(7)
//!     .slots(4)
//!     .jobs(20)
//!     .run();
//! assert_eq!(record.told.len(), 20);
//! ```

#![allow(clippy::panic, reason = "a test double reports a broken contract by panicking")]

mod convert;
mod host;
mod problems;
mod search;

pub use host::{Host, imports};
pub use problems::{Row, choice_space, edges_cell, mixed_score, mixed_space, one_max};
pub use problems::{
    failed, minimizing, ones, setup, shared_evaluations, shared_steps, trained, trained_to_loss, with_parameters,
};
pub use search::{Delivery, Record, Search, assert_restoring_changes_nothing};
