//! The suite behind `nasd strategy check`: the promises of the contract, tried on a strategy.
//!
//! A strategy is driven through short searches in small built-in spaces against a simulated task, several
//! times with one thing changed: nothing, a save and restore before every call, results told in another
//! order, failures, jobs of a stranger. What may not differ is compared call by call. Strategies that need
//! shared weights get a simulated session that answers steps with losses and gradients.
//!
//! The suite judges the contract, never how well a strategy searches, and calls no clock: a verdict is the
//! same on every machine.

mod cases;
mod checks;
mod driver;
pub(crate) mod simulation;

use nasd_protocol::Descriptor;
use serde::Serialize;

use crate::limits::Limits;
use crate::runtime::{Component, Runtime};

/// How thoroughly to check.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Limits of every instance.
    pub limits: Limits,
    /// Jobs of one simulated search.
    pub jobs: u64,
    /// Seed of the random streams.
    pub seed: u64,
    /// The strategy's parameters as JSON; its own defaults are `{}`.
    pub parameters: String,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), jobs: 48, seed: 1, parameters: "{}".to_owned() }
    }
}

/// One promise and whether it was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The promise.
    pub name: &'static str,
    /// Whether it was kept, or did not apply.
    pub passed: bool,
    /// What was seen: the first breach, or what was tried.
    pub detail: String,
}

/// What came of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConformanceReport {
    /// BLAKE3 of the component.
    pub digest: String,
    /// What the strategy says of itself, if it says anything.
    pub descriptor: Option<Descriptor>,
    /// In the order they were tried.
    pub checks: Vec<Check>,
}

impl ConformanceReport {
    /// Whether every promise was kept.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// Try every promise on `component`. Gives a report in any case; a strategy that breaks one promise is still
/// tried on the others, as far as it starts.
pub async fn check(_runtime: &Runtime, component: &Component, options: CheckOptions) -> ConformanceReport {
    let mut suite = checks::Suite::new(component, options);
    suite.run().await;
    ConformanceReport { digest: component.digest().to_owned(), descriptor: suite.descriptor, checks: suite.checks }
}
