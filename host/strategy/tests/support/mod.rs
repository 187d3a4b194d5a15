//! A search without a network: a space of choices, a history that grows, a log that is kept.

#![allow(dead_code)]

#[path = "../../../../tests/hostile/assemble.rs"]
pub mod assemble;

use std::sync::{Arc, Mutex};

use nasd_protocol::*;
use nasd_space::{Architecture, Decision, Domain, Gene, Place, RandomSource, Role, SearchSpace, StreamRandom};
use nasd_strategy::services::{HistoryService, LogSink, SpaceService};
use nasd_strategy::{Component, Instance, Limits, Runtime, RuntimeOptions, Services};

/// Independent choices between `n_options` options.
pub struct Choices {
    pub n_decisions: usize,
    pub n_options: u32,
}

impl SpaceService for Choices {
    fn sample(&self, random: &mut dyn RandomSource, _: &[Bound]) -> Result<Architecture, String> {
        Ok((0..self.n_decisions).map(|_| Gene::Choice(random.below(u64::from(self.n_options)) as u32)).collect())
    }
    fn open_options(&self, _: &[Gene]) -> Result<Vec<u32>, String> {
        Ok((0..self.n_options).collect())
    }
    fn mutate(
        &self,
        _: &mut dyn RandomSource,
        parent: &Architecture,
        _: u32,
        _: &[u32],
    ) -> Result<Architecture, String> {
        Ok(parent.clone())
    }
    fn crossover(
        &self,
        _: &mut dyn RandomSource,
        first: &Architecture,
        _: &Architecture,
    ) -> Result<Architecture, String> {
        Ok(first.clone())
    }
    fn repair(&self, _: &mut dyn RandomSource, architecture: &Architecture) -> Result<Architecture, String> {
        Ok(architecture.clone())
    }
    fn neighbours(&self, _: &Architecture, _: &[u32]) -> Result<Vec<Architecture>, String> {
        Ok(Vec::new())
    }
    fn check(&self, architecture: &Architecture) -> Result<(), Failure> {
        let valid = architecture.len() == self.n_decisions
            && architecture.iter().all(|gene| matches!(gene, Gene::Choice(index) if *index < self.n_options));
        if valid {
            return Ok(());
        }
        Err(Failure { kind: FailureKind::InvalidArchitecture, message: "not of this space".to_owned() })
    }
    fn identity(&self, architecture: &Architecture) -> Result<String, String> {
        Ok(format!("{architecture:?}"))
    }
    fn costs(&self, _: &Architecture) -> Result<Vec<Measure>, String> {
        Ok(vec![Measure::new("params", 1.0)])
    }
    fn expected_cost(&self, _: &Architecture, _: &str) -> Result<ExpectedCost, String> {
        Err("none".to_owned())
    }
}

#[derive(Default)]
pub struct NoHistory;

impl HistoryService for NoHistory {
    fn get(&self, _: JobId) -> Option<Job> {
        None
    }
    fn page(&self, _: JobId, _: u32) -> Vec<Job> {
        Vec::new()
    }
    fn priors(&self, _: u64, _: u32) -> Vec<Prior> {
        Vec::new()
    }
}

#[derive(Default)]
pub struct Lines(pub Mutex<Vec<(LogLevel, String)>>);

impl LogSink for Lines {
    fn write(&self, level: LogLevel, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
    fn chart(&self, _: &str, _: f64) {}
}

pub fn services() -> Services {
    services_logging_to(Arc::new(Lines::default()))
}

pub fn services_logging_to(log: Arc<Lines>) -> Services {
    Services {
        random: StreamRandom::new(7, "strategy"),
        space: Arc::new(Choices { n_decisions: 30, n_options: 5 }),
        history: Arc::new(NoHistory),
        log,
    }
}

pub fn setup() -> Setup {
    let decisions = (0..30)
        .map(|number| Decision {
            name: format!("decision{number}"),
            role: Role::Operation,
            domain: Domain::Choice((0..5).map(|option| format!("option{option}")).collect()),
            place: Place::default(),
            sources: Vec::new(),
            active_when: Vec::new(),
        })
        .collect();
    Setup {
        space: SearchSpace { name: "choices".to_owned(), decisions, counts: Vec::new(), forbidden: Vec::new() },
        space_digest: "choices".to_owned(),
        objectives: vec![Objective { metric: "accuracy".to_owned(), goal: Goal::Maximize }],
        constraints: Vec::new(),
        max_fidelity: 4,
        fidelities: Vec::new(),
        offers: Features::default(),
        shared_weights: None,
        parameters: "{}".to_owned(),
    }
}

pub fn request(next_id: JobId) -> Request {
    Request { slots: 2, next_id, in_flight: Vec::new(), jobs_left: None, budget_used: 0.0 }
}

pub fn told(id: JobId, proposal: Proposal) -> Job {
    let outcome = Outcome::Trained(Trained {
        measures: vec![Measure::new("accuracy", 0.5), Measure::new("loss", 0.7)],
        curve: vec![Point { fidelity: 1, measures: vec![Measure::new("accuracy", 0.5)] }],
        ending: Ending::Complete,
        predicted: None,
    });
    Job { id, proposal, outcome: Some(outcome), cost: 1.0 }
}

pub fn runtime() -> Runtime {
    Runtime::new(RuntimeOptions::default()).unwrap()
}

pub fn load(runtime: &Runtime, name: &str) -> Component {
    runtime.load(&assemble::hostile(name)).unwrap()
}

/// Limits that are reached quickly.
pub fn tight() -> Limits {
    Limits {
        fuel_per_call: 50_000_000,
        yield_every: 100_000,
        memory_bytes: 64 << 20,
        result_bytes: 1 << 20,
        host_calls_per_call: 10_000,
        ..Limits::default()
    }
}

pub async fn started(component: &Component) -> Instance {
    let mut instance = component.instantiate(services(), &tight()).await.unwrap();
    instance.start(&setup()).await.unwrap();
    instance
}
