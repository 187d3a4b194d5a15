//! Spaces and searches that tests and the example share.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)] // each user takes a part of it

use std::collections::BTreeMap;

use nas_strategy_sdk::testing::{self, Record, Search};
use nas_strategy_sdk::{
    Architecture, Condition, Decision, Domain, Gene, IntegerRange, Outcome, Place, Proposal, RealRange, Role,
    SearchSpace, Setup, Work,
};
use nasd_functions::{Function, Value};
use tpe::Tpe;

/// A decision that is always active.
pub fn decision(name: &str, domain: Domain) -> Decision {
    Decision {
        name: name.to_owned(),
        role: Role::HyperParameter,
        domain,
        place: Place { cell: 0, node: 0 },
        sources: Vec::new(),
        active_when: Vec::new(),
    }
}

/// A space of decisions alone.
pub fn space(decisions: Vec<Decision>) -> SearchSpace {
    SearchSpace {
        name: "test".to_owned(),
        digest: "test".to_owned(),
        decisions,
        counts: Vec::new(),
        forbidden: Vec::new(),
    }
}

pub fn real(low: f64, high: f64, log_scale: bool) -> Domain {
    Domain::Real(RealRange { low, high, log_scale })
}

pub fn integer(low: i64, high: i64, log_scale: bool) -> Domain {
    Domain::Integer(IntegerRange { low, high, log_scale })
}

pub fn choice(n: usize) -> Domain {
    Domain::Choice((0..n).map(|option| format!("option{option}")).collect())
}

/// Every kind of domain, conditions two deep.
pub fn every_kind() -> SearchSpace {
    let mut decisions = vec![
        decision("kind", choice(3)),
        decision("rate", real(1e-5, 1.0, true)),
        decision("share", real(-2.0, 3.0, false)),
        decision("width", integer(8, 512, true)),
        decision("depth", integer(-3, 12, false)),
        decision("kernel", Domain::Levels(vec![1.0, 3.0, 5.0, 7.0])),
        decision("only", choice(1)),
        decision("sub", choice(2)),
        decision("sub/rate", real(0.0, 1.0, false)),
        decision("sub/count", integer(1, 3, false)),
    ];
    decisions[7].active_when = vec![Condition { decision: 0, options: vec![1, 2] }];
    decisions[8].active_when = vec![Condition { decision: 7, options: vec![0] }];
    decisions[9].active_when = vec![Condition { decision: 5, options: vec![2, 3] }];
    space(decisions)
}

/// A function's space in the contract's types.
pub fn space_of(function: &Function) -> SearchSpace {
    let plain = function.space();
    let mut space = space(Vec::new());
    for plain in &plain.decisions {
        let domain = match &plain.domain {
            nasd_space::Domain::Choice(options) => Domain::Choice(options.clone()),
            nasd_space::Domain::Levels(levels) => Domain::Levels(levels.clone()),
            nasd_space::Domain::Integer(range) => integer(range.low, range.high, range.log_scale),
            nasd_space::Domain::Real(range) => real(range.low, range.high, range.log_scale),
        };
        let mut decision = decision(&plain.name, domain);
        let condition = |condition: &nasd_space::Condition| Condition {
            decision: condition.decision,
            options: condition.options.clone(),
        };
        decision.active_when = plain.active_when.iter().map(condition).collect();
        space.decisions.push(decision);
    }
    space
}

/// The loss of genes.
pub fn loss(function: &Function, space: &SearchSpace, genes: &Architecture) -> f64 {
    let look = |name: &str| {
        let (decision, gene) = space.decisions.iter().zip(genes).find(|(decision, _)| decision.name == name)?;
        match (gene, &decision.domain) {
            (Gene::Real(value), _) => Some(Value::Real(*value)),
            (Gene::Integer(value), _) => Some(Value::Integer(*value)),
            (Gene::Choice(option), Domain::Choice(options)) => Some(Value::Option(&options[*option as usize])),
            _ => None,
        }
    };
    function.evaluate(&look).unwrap()
}

/// The genes of a training.
pub fn genes(proposal: &Proposal) -> &Architecture {
    match &proposal.work {
        Work::Train(training) => &training.architecture,
        _ => panic!("not a training"),
    }
}

pub fn setup(space: SearchSpace, parameters: &str) -> Setup {
    testing::with_parameters(testing::setup(space), parameters)
}

/// Searches a function; the losses of its trials in order.
pub fn losses(function: &Function, parameters: &str, seed: u64, slots: u32, jobs: u64) -> Vec<f64> {
    let space = space_of(function);
    let evaluate = |proposal: &Proposal| -> Outcome { testing::trained(-loss(function, &space, genes(proposal))) };
    let record: Record =
        Search::<Tpe, _>::new(setup(space.clone(), parameters), evaluate).seed(seed).slots(slots).jobs(jobs).run();
    record.told.iter().map(|job| loss(function, &space, genes(&job.proposal))).collect()
}

/// Optuna's regrets by function and sampler (`default`, `univariate`), from tests/peers/optuna_functions.py.
pub fn peers() -> BTreeMap<(String, String), Vec<f64>> {
    let golden = include_str!("../../../../tests/golden/optuna-functions.csv");
    let mut peers: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for line in golden.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let key = (fields[0].to_owned(), fields[1].to_owned());
        peers.entry(key).or_default().push(fields[3].parse().unwrap());
    }
    peers
}

/// p of the hypothesis that ours are not larger: Mann-Whitney U, normal approximation with correction for continuity.
pub fn worse(ours: &[f64], theirs: &[f64]) -> f64 {
    let u: f64 = ours
        .iter()
        .flat_map(|a| {
            theirs.iter().map(move |b| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    tpe::gauss::mass(0.0, 1.0, (u - n * m / 2.0 - 0.5) / deviation, f64::INFINITY)
}
