//! What calls of a strategy cost on this machine: behind `nasd strategy bench`, for whoever writes one.
//!
//! The strategy searches a space of many genes against a simulated task; calls are timed in batches and the
//! median batch counts: batches are shorter than a turn of the operating system's scheduler, so that on a busy machine
//! most of them are not interrupted. Only the calls are timed, conversions between the
//! host's types and the guest's included, never the simulated task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nasd_protocol::{Answer, Features, Goal, Job, JobId, Objective, Request, Setup, SharedWeights};
use nasd_space::{Decision, Domain, Place, Role, SearchSpace, StreamRandom};
use serde::Serialize;

use crate::conformance::simulation::{NoLog, SimulatedHistory, SimulatedSpace, SimulatedTask};
use crate::error::CallError;
use crate::host::Services;
use crate::limits::Limits;
use crate::runtime::Component;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Decisions of the space, with five options each.
    pub genes: u32,
    /// Batches; the median counts.
    pub batches: usize,
    /// Calls of a batch.
    pub calls: usize,
    /// The strategy's parameters as JSON.
    pub parameters: String,
    /// Limits of every instance.
    pub limits: Limits,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self { genes: 30, batches: 201, calls: 50, parameters: "{}".to_owned(), limits: Limits::default() }
    }
}

/// Microseconds of one call each, the median batch's mean; fuel of the last one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// Genes of an architecture.
    pub genes: u32,
    /// Making an instance.
    pub instantiate_us: f64,
    /// `start`, the space's description included.
    pub start_us: f64,
    /// `ask` for one item.
    pub ask_us: f64,
    /// Fuel of an `ask`.
    pub ask_fuel: u64,
    /// `tell`.
    pub tell_us: f64,
    /// Fuel of a `tell`.
    pub tell_fuel: u64,
    /// `save`, at the end.
    pub save_us: f64,
    /// Bytes of that snapshot.
    pub snapshot_bytes: usize,
    /// Jobs asked for and told.
    pub jobs: u64,
}

/// Measure `component`. An error if one of its calls fails.
pub async fn measure(component: &Component, options: &BenchOptions) -> Result<BenchReport, CallError> {
    let descriptor = component.describe(&options.limits).await?;
    let setup = setup(&descriptor.needs, options);
    let space =
        SimulatedSpace::new(setup.space.clone()).map(Arc::new).map_err(|message| CallError::Host { message })?;
    let history = Arc::new(SimulatedHistory::default());
    let services = || Services {
        random: StreamRandom::new(1, "strategy"),
        space: space.clone(),
        history: history.clone(),
        log: Arc::new(NoLog),
    };

    let (mut instantiate, mut start) = (Vec::new(), Vec::new());
    for _ in 0..options.batches.max(1) {
        let services = services();
        let begin = Instant::now();
        let mut instance = component.instantiate(services, &options.limits).await?;
        instantiate.push(begin.elapsed());
        let begin = Instant::now();
        instance.start(&setup).await?;
        start.push(begin.elapsed());
    }

    let mut instance = component.instantiate(services(), &options.limits).await?;
    instance.start(&setup).await?;
    let mut task = SimulatedTask::default();
    let (mut asks, mut tells, mut saves) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ask_fuel, mut tell_fuel) = (0, 0);
    let mut next_id: JobId = 0;
    'batches: for _ in 0..options.batches.max(1) {
        let (mut asking, mut telling) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..options.calls.max(1) {
            let request = Request { slots: 1, next_id, in_flight: Vec::new(), jobs_left: None, budget_used: 0.5 };
            let begin = Instant::now();
            let answer = instance.ask(&request).await?;
            asking += begin.elapsed();
            ask_fuel = instance.last_call().fuel;
            let proposal = match answer {
                Answer::Work(proposals) => proposals.into_iter().next(),
                Answer::Busy => continue,
                Answer::Wait | Answer::Finished(_) => break 'batches,
            };
            let Some(proposal) = proposal else { continue };
            let outcome = Some(task.run(next_id, &proposal.work));
            let job = Job { id: next_id, proposal, outcome, cost: 1.0 };
            next_id += 1;
            let begin = Instant::now();
            instance.tell(&job).await?;
            telling += begin.elapsed();
            tell_fuel = instance.last_call().fuel;
        }
        asks.push(asking / options.calls.max(1) as u32);
        tells.push(telling / options.calls.max(1) as u32);
    }
    let mut snapshot_bytes = 0;
    for _ in 0..options.batches.max(1) {
        let begin = Instant::now();
        snapshot_bytes = instance.save().await?.bytes.len();
        saves.push(begin.elapsed());
    }
    Ok(BenchReport {
        genes: options.genes,
        instantiate_us: median_us(instantiate),
        start_us: median_us(start),
        ask_us: median_us(asks),
        ask_fuel,
        tell_us: median_us(tells),
        tell_fuel,
        save_us: median_us(saves),
        snapshot_bytes,
        jobs: next_id,
    })
}

fn setup(needs: &Features, options: &BenchOptions) -> Setup {
    let operations = Domain::Choice((0..5).map(|option| format!("operation{option}")).collect());
    let space = SearchSpace {
        name: "bench".to_owned(),
        decisions: (0..options.genes)
            .map(|number| Decision {
                name: format!("node{number}/op"),
                role: Role::Operation,
                domain: operations.clone(),
                place: Place { cell: 0, node: number },
                sources: Vec::new(),
                active_when: Vec::new(),
            })
            .collect(),
        counts: Vec::new(),
        forbidden: Vec::new(),
    };
    let shared_weights = needs.shared_weights.then_some(SharedWeights {
        train_batches: 390,
        validation_batches: 390,
        scheduled_steps: 19_500,
        steps_done: 0,
    });
    Setup {
        space_digest: space.digest(),
        space,
        objectives: vec![Objective { metric: "accuracy".to_owned(), goal: Goal::Maximize }],
        constraints: Vec::new(),
        max_fidelity: 1,
        fidelities: Vec::new(),
        offers: *needs,
        shared_weights,
        parameters: options.parameters.clone(),
    }
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
