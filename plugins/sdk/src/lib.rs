//! What a search strategy is written with.
//!
//! A strategy implements [`Strategy`] and ends with [`export!`]; built for `wasm32-unknown-unknown` and
//! wrapped, that is a component the daemon loads. It is split in two: the strategy itself, made from the
//! search's [`Setup`] and its parameters and never changed, and its [`Strategy::State`], everything that
//! changes. So a snapshot cannot forget a field, and a strategy is saved, restored and replayed without a
//! line of its own.
//!
//! ```
//! use nas_strategy_sdk::{
//!     About, Answer, Job, NoParameters, Proposal, Request, Setup, Strategy, StrategyError, about, export, space,
//! };
//!
//! /// Trains one random architecture after the other.
//! struct Minimal {
//!     fidelity: u32,
//! }
//!
//! impl Strategy for Minimal {
//!     const ABOUT: About = about!();
//!     type Parameters = NoParameters;
//!     type State = u64; // results so far
//!
//!     fn new(setup: Setup, _: NoParameters) -> Result<Self, StrategyError> {
//!         Ok(Self { fidelity: setup.max_fidelity })
//!     }
//!
//!     fn begin(&self) -> Result<u64, StrategyError> {
//!         Ok(0)
//!     }
//!
//!     fn ask(&self, _: &mut u64, request: &Request) -> Result<Answer, StrategyError> {
//!         let proposal = |_| Ok(Proposal::train(space::sample(&[])?, self.fidelity));
//!         Ok(Answer::Work((0..request.slots).map(proposal).collect::<Result<_, StrategyError>>()?))
//!     }
//!
//!     fn tell(&self, results: &mut u64, _: &Job) -> Result<(), StrategyError> {
//!         *results += 1;
//!         Ok(())
//!     }
//! }
//!
//! export!(Minimal);
//! # fn main() {}
//! ```
//!
//! The host's functions are [`random`], [`space`], [`costs`], [`history`] and [`log`]. In a component they
//! are its imports; anywhere else they are answered by the test double of [`testing`], so that a strategy's
//! logic is tested as ordinary Rust, by the real rules of spaces and randomness.
//!
//! What this crate does not do: it holds no search logic beyond a little mathematics ([`math`]), and has no
//! clock, files or network, because the contract has none.

#[doc(hidden)]
pub mod bindings;
mod export;
pub mod host;
pub mod math;
mod measures;
pub mod neural;
mod parameters;
mod proposals;
mod running;
mod scale;
mod seen;
pub mod sharing;
mod snapshot;
mod strategy;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use bindings::exports::nas::strategy::strategy::{
    Answer, Descriptor, ProgressReport, Request, RestoreError, Snapshot, SnapshotFormat, StrategyError, Verdict,
};
pub use bindings::nas::strategy::types::{
    Architecture, BatchNorm, Bound, Condition, CountRule, Decision, Domain, Ending, EvaluationBatches, Failure,
    FailureKind, Features, Gene, Goal, Inheritance, InitialWeights, IntegerRange, Job, JobId, Measure, MixtureGradient,
    NodeOrigin, Objective, Outcome, Place, Point, RealRange, Role, SearchSpace, Setup, SharedEvaluation, SharedStep,
    SharedWeights, Split, StepResult, Trained, Training, WeightUpdate, WeightedOption, Work,
};
#[doc(hidden)]
pub use export::{Slot, install_panic_hook, with_instance};
pub use host::{costs, history, log, random, space};
pub use measures::measure;
pub use parameters::NoParameters;
pub use proposals::Proposal;
pub use running::Running;
pub use seen::{Repetition, Seen, identity};
pub use sharing::Session;
pub use snapshot::fingerprint;
pub use strategy::{About, Strategy};
