//! The runtime of strategy components: a narrow door around wasmtime.
//!
//! [`Runtime`] turns bytes into a [`Component`] (compiled, checked against the contract, cached), a component
//! into an [`Instance`] (a store of its own, with [`Services`] behind its imports and [`Limits`] around it),
//! and an instance's calls into the protocol's types or a [`CallError`] that names what went wrong.
//! [`conformance`] puts a strategy through the contract's promises, [`benchmark`] times its calls.
//!
//! **What is deliberately absent.** This crate knows no networks, journals, trainers or clocks. A guest gets
//! nothing but the five interfaces of the contract: no files, no time, no randomness but the run's stream.
//! Nothing a guest does makes the host panic, and nothing here decides what follows from a guest's error.

#![deny(clippy::indexing_slicing)]

pub mod benchmark;
#[allow(missing_docs, unused_qualifications, clippy::all)]
mod bindings;
mod cache;
pub mod conformance;
mod convert;
mod error;
mod functions;
mod grant;
mod host;
mod imports;
mod instance;
mod kept;
mod limits;
mod runtime;
pub mod services;
mod validate;

pub use error::{Call, CallError, LoadError, Refusal, RestoreRefusal, RuntimeError};
pub use grant::CONTRACT_VERSION;
pub use host::{CallStatistics, Services};
pub use instance::Instance;
pub use limits::Limits;
pub use runtime::{Component, Runtime, RuntimeOptions};
