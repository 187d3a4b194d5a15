//! The `nasd` program: configuration, command line, supervision of trainers, searches in the foreground.
//!
//! Everything that decides is elsewhere (`nasd-engine`); this crate owns the clock, the processes and the disk,
//! and carries out what the engine says. One search's way: [`configuration`] reads a file, [`search`] resolves it
//! (space, data, strategy, plan), [`run`] drives the engine against the strategy's instance, the journal and
//! [`trainers`], [`commands`] is what the command line offers.

pub mod api;
pub mod cli;
pub mod client;
pub mod commands;
pub mod configuration;
pub mod failure;
pub mod logging;
pub mod run;
pub mod search;
pub mod serve;
pub mod strategies;
pub mod subject;
pub mod task;
pub mod trainers;

pub use failure::Failed;
