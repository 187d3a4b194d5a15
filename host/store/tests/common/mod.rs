//! A small run's events.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use nasd_protocol::{
    Answer, Ending, Event, Goal, InitialWeights, JobId, Measure, Objective, Outcome, Point, Proposal, Record, Request,
    Setup, Snapshot, SnapshotFormat, Trained, Training, Work,
    event::{Observation, RunEnding, StrategyIdentity},
};
use nasd_space::{Decision, Domain, Gene, Place, Role, SearchSpace};

pub fn begun() -> Event {
    let space = SearchSpace {
        name: "one".into(),
        decisions: vec![Decision {
            name: "op".into(),
            role: Role::Operation,
            domain: Domain::Choice((0..1000).map(|option| format!("o{option}")).collect()),
            place: Place::default(),
            sources: vec![],
            active_when: vec![],
        }],
        counts: vec![],
        forbidden: vec![],
    };
    let setup = Setup {
        space_digest: space.digest(),
        space,
        objectives: vec![Objective { metric: "accuracy".into(), goal: Goal::Maximize }],
        constraints: vec![],
        max_fidelity: 3,
        fidelities: vec![],
        offers: Default::default(),
        shared_weights: None,
        parameters: "{}".into(),
    };
    Event::Begun {
        configuration: "{}".into(),
        configuration_digest: "c".into(),
        seed: 1,
        strategy: StrategyIdentity { name: "random".into(), version: "0.1.0".into(), digest: "d".into() },
        setup: Box::new(setup),
    }
}

pub fn asked(job: JobId) -> Event {
    let training = Training {
        architecture: vec![Gene::Choice((job % 1000) as u32)],
        fidelity: 3,
        schedule: 0,
        initial_weights: InitialWeights::Fresh,
        judge_every: 0,
    };
    let proposal = Proposal { work: Work::Train(training), parents: vec![], note: String::new() };
    let request = Request { slots: 1, next_id: job, in_flight: vec![], jobs_left: Some(9), budget_used: 0.5 };
    Event::Asked { request, answer: Answer::Work(vec![proposal]), random: job }
}

pub fn accuracy(job: JobId) -> f64 {
    (job * 37 % 101) as f64 / 101.0
}

pub fn arrived(job: JobId) -> Event {
    let measures = vec![Measure::new("accuracy", accuracy(job)), Measure::new("loss", 1.0 - accuracy(job))];
    let trained = Trained {
        curve: vec![Point { fidelity: 3, measures: measures.clone() }],
        measures,
        ending: Ending::Complete,
        predicted: None,
    };
    Event::Arrived { job, outcome: Outcome::Trained(trained), cost: 1.0, weights: None, test: vec![] }
}

pub fn told(job: JobId) -> Event {
    Event::Told { job, outcome_digest: format!("{job:064x}"), cost: 1.0, random: job }
}

pub fn savepoint() -> Event {
    let format = SnapshotFormat { name: "s".into(), version: 1 };
    let snapshot = Snapshot { format, bytes: vec![1, 2, 3], needs_weights: vec![] };
    Event::Savepoint { snapshot, random: 7, shared: None }
}

/// A run of so many jobs, one after the other.
pub fn run(n_jobs: u64) -> Vec<Event> {
    let mut events = vec![begun(), Event::Started { random: 0 }];
    for job in 0..n_jobs {
        events.extend([asked(job), Event::Dispatched { job, attempt: 1 }, arrived(job), told(job)]);
        if job % 3 == 2 {
            events.push(savepoint());
        }
    }
    events.push(Event::Ended { ending: RunEnding::Budget });
    events
}

pub fn observed(time: f64) -> BTreeMap<String, Observation> {
    BTreeMap::from([("time".into(), Observation::Number(time)), ("device".into(), Observation::Text("cpu".into()))])
}

pub fn records(events: Vec<Event>) -> Vec<Record> {
    let numbered = events.into_iter().zip(0..);
    numbered.map(|(event, sequence)| Record { sequence, event, observed: observed(sequence as f64) }).collect()
}
