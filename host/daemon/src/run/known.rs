//! What a search found, and how it ranked, looked up in a table of known results.
//!
//! Nothing of it reaches a strategy: it is read from a journal that is complete. Only judgements made with the last state of
//! the shared weights are put beside what is known, as those before were about other weights.

use std::collections::BTreeMap;

use nasd_engine::{JobStatus, Ledger};
use nasd_protocol::{
    Ending, Goal, Measure, Outcome, Record, Work,
    contract::{BatchNormMode, EvaluationBatches},
};
use nasd_report::known::{FEWEST, Found, Judgement, KnownResults};
use nasd_space::{Architecture, RandomSource, StreamRandom};
use nasd_table::DataSet;

use crate::{search::Search, task::TableMethod};

/// Judgements by what they were made on, in the order in which each kind first came.
type Judged = Vec<(String, BTreeMap<String, (Architecture, f64)>)>;

/// What the journal says beside what is known, if the search names a table.
pub fn look_up(search: &Search, ledger: &Ledger, records: &[Record]) -> Option<KnownResults> {
    let known = search.known.as_ref()?;
    let objective = search.plan.objectives.first()?;
    let set = known.method.data_set().ok()?;
    let epochs = set.fidelities().last().copied()?;
    let is_better = |value: f64, than: f64| match objective.goal {
        Goal::Maximize => value > than,
        Goal::Minimize => value < than,
    };
    let value = |architecture: &Architecture| known.method.test_value(architecture, &objective.metric);
    let found = nasd_engine::resume::recommended(records).iter().filter_map(|architecture| {
        Some(Found {
            architecture: search.task.definition().notation(architecture),
            results: results(&known.method, architecture, &objective.metric),
            percentile: percentile(&known.method, architecture, &objective.metric, objective.goal)?,
        })
    });
    let mut random = StreamRandom::new(search.file.seed, "bootstrap of known results");
    let mut below = |n: usize| usize::try_from(random.below(n as u64)).unwrap_or_default();
    let is_best = |value: f64| known.above.is_none_or(|threshold| is_better(value, threshold));
    let mut judgements = Vec::new();
    let judged: Judged = judged(search, ledger, &objective.metric);
    for (by, of) in judged.iter().filter(|(_, of)| of.len() >= FEWEST) {
        let points = of.values().filter_map(|(architecture, judged)| Some((*judged, value(architecture)?)));
        judgements.push(Judgement::new(by.clone(), points.collect(), is_best, &mut below));
    }
    // The same architectures by what counting tells of them.
    if let Some((_, of)) = judged.iter().find(|(_, of)| of.len() >= FEWEST) {
        for (cost, name) in [("flops", "FLOPs"), ("params", "parameters")] {
            let points = of.values().filter_map(|(architecture, _)| {
                Some((cost_of(&known.method, set, architecture, cost)?, value(architecture)?))
            });
            judgements.push(Judgement::new(format!("counting {name}"), points.collect(), is_best, &mut below));
        }
    }
    Some(KnownResults {
        table: known.method.table.description().name.clone(),
        data_set: set.name().to_owned(),
        measure: objective.metric.clone(),
        goal: match objective.goal {
            Goal::Maximize => nasd_report::Goal::Maximize,
            Goal::Minimize => nasd_report::Goal::Minimize,
        },
        epochs,
        size: known.method.table.len(),
        optimum: set.optimum(&objective.metric, true, objective.goal == Goal::Maximize),
        threshold: known.above,
        found: found.collect(),
        judgements,
    })
}

/// Share of a table's architectures that are not better than this one, from 0 to 1.
pub fn percentile(method: &TableMethod, architecture: &Architecture, metric: &str, goal: Goal) -> Option<f64> {
    let set = method.data_set().ok()?;
    let epochs = set.fidelities().last().copied()?;
    let own = method.test_value(architecture, metric)?;
    let (mut n, mut not_better) = (0u32, 0u32);
    for other in set.test_values(epochs, metric) {
        n += 1;
        let is_better = if goal == Goal::Maximize { other > own } else { other < own };
        not_better += u32::from(!is_better);
    }
    (n > 0).then(|| f64::from(not_better) / f64::from(n))
}

/// Known results on all data sets, the one searched by first.
fn results(method: &TableMethod, architecture: &Architecture, metric: &str) -> Vec<(String, f64)> {
    let Some(row) = method.table.row(architecture) else { return Vec::new() };
    let of = |set: &DataSet| {
        let test = set.test(row, set.fidelities().last().copied()?)?;
        Some((set.name().to_owned(), Measure::find(&test, metric)?))
    };
    method.own_first().filter_map(of).collect()
}

fn cost_of(method: &TableMethod, set: &DataSet, architecture: &Architecture, cost: &str) -> Option<f64> {
    Measure::find(&set.costs(method.table.row(architecture)?), cost)
}

/// What the search said of architectures, by how it judged; of one judged twice the later counts.
fn judged(search: &Search, ledger: &Ledger, metric: &str) -> Judged {
    let mut judged: Judged = Vec::new();
    let mut add = |by: String, architecture: &Architecture, measures: &[Measure]| {
        let Some(value) = Measure::find(measures, metric).filter(|value| value.is_finite()) else { return };
        let key = search.task.definition().notation(architecture);
        let idx = judged.iter().position(|(known, _)| *known == by).unwrap_or_else(|| {
            judged.push((by, BTreeMap::new()));
            judged.len() - 1
        });
        if let Some((_, of)) = judged.get_mut(idx) {
            of.insert(key, (architecture.clone(), value));
        }
    };
    let told = ledger.told();
    let is_step = |id| ledger.get(id).is_some_and(|entry| matches!(entry.proposal.work, Work::TrainShared(_)));
    let last_step = told.iter().rposition(|id| is_step(*id)).map_or(0, |position| position + 1);
    for (position, entry) in told.iter().enumerate().filter_map(|(position, id)| Some((position, ledger.get(*id)?))) {
        match (&entry.proposal.work, &entry.status) {
            (Work::EvaluateShared(work), JobStatus::Told(Outcome::SharedEvaluations(results)))
                if position >= last_step =>
            {
                if let Some(by) = by(work.batches, work.batch_norm) {
                    let both = work.architectures.iter().zip(results);
                    both.for_each(|(architecture, measures)| add(by.clone(), architecture, measures));
                }
            }
            (Work::Train(work), JobStatus::Told(Outcome::Trained(trained))) if trained.ending == Ending::Complete => {
                let by = format!("training for {} {}", work.fidelity, search.task.method().fidelity_unit());
                add(by, &work.architecture, &trained.measures);
            }
            _ => {}
        }
    }
    judged
}

/// Judgements on minibatches of each evaluation's own are not about the same thing.
fn by(batches: EvaluationBatches, batch_norm: BatchNormMode) -> Option<String> {
    let on = match batches {
        EvaluationBatches::All => "all validation minibatches".to_owned(),
        EvaluationBatches::First(n) => format!("{n} validation minibatches"),
        EvaluationBatches::Next(_) => return None,
    };
    let statistics = match batch_norm {
        BatchNormMode::BatchStatistics => "batch statistics".to_owned(),
        BatchNormMode::RunningStatistics => "running statistics".to_owned(),
        BatchNormMode::Recalibrate(n) => format!("recalibrated on {n} minibatches"),
    };
    Some(format!("shared weights, {on}, {statistics}"))
}
