//! What came of a run: for the terminal and as JSON. The report with pictures is [`super::report`]'s.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use nasd_engine::Ledger;
use nasd_network::SpaceDefinition;
use nasd_protocol::{
    Answer, Event, JobId, Measure, Outcome, Proposal, Record, Work,
    event::{Observation, RunEnding},
};
use nasd_report::{
    known::KnownResults,
    statistics,
    table::{ComparisonRow, CostParts, SearchCost, Source},
};
use nasd_space::{Architecture, Domain, Role, SearchSpace};
use nasd_store::RunId;
use nasd_strategy::services::SpaceService;
use serde::Serialize;

use crate::{failure::Failed, search::Search};

/// Rows of the table of best architectures.
const BEST: usize = 10;

/// A row of the table of best architectures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The job.
    pub job: JobId,
    /// Its objective.
    pub value: f64,
    /// In the space's notation.
    pub architecture: String,
    /// `params`, `flops` and what else the task counts.
    #[serde(flatten)]
    pub costs: BTreeMap<String, f64>,
}

/// A final training.
#[derive(Clone, Debug, Serialize)]
pub struct FinalRow {
    /// Rank among the recommended, from 0.
    pub rank: u32,
    /// Number of the seed.
    pub repetition: u32,
    /// Held-out measures.
    pub test: Vec<Measure>,
    /// Why there are none.
    pub failure: Option<String>,
}

/// An architecture's final trainings together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FinalResult {
    /// Rank among the recommended, from 0.
    pub rank: u32,
    /// In the space's notation.
    pub architecture: String,
    /// What it was trained on.
    pub data: String,
    /// Costs of the network trained, which may be deeper and wider than those of the search.
    #[serde(flatten)]
    pub costs: BTreeMap<String, f64>,
    /// Trainings that did not fail.
    pub repetitions: u32,
    /// Held-out measures: mean, and standard deviation over seeds (n - 1) where there are several.
    pub test: BTreeMap<String, Spread>,
}

/// Mean and deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: Option<f64>,
}

/// What came of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// `name/1`.
    pub run: String,
    /// Its space.
    pub space: String,
    /// Its data set.
    pub data: String,
    /// Its strategy.
    pub strategy: String,
    /// Name of the first objective.
    pub objective: String,
    /// Jobs told.
    pub jobs: usize,
    /// Of them failed or refused.
    pub failed: usize,
    /// Cost of all jobs, in `cost_unit`.
    pub cost: f64,
    /// Epochs of the training data, or what else the task's clock counts.
    pub cost_unit: String,
    /// Digest of the journal's deterministic lane.
    pub digest: String,
    /// Handed over, best first, in the space's notation.
    pub recommended: Vec<String>,
    /// Best trained jobs.
    pub best: Vec<Row>,
    /// Final trainings.
    pub finals: Vec<FinalRow>,
    /// The same by architecture.
    pub final_results: Vec<FinalResult>,
    /// What the search took of devices.
    pub device_seconds: DeviceSeconds,
    /// A row a final result, for tables beside published ones.
    pub report_rows: Vec<ComparisonRow>,
    /// What was found and how it was ranked, beside known results.
    pub known: Option<KnownResults>,
    /// How it ended.
    #[serde(skip)]
    pub ending: Option<RunEnding>,
    /// Why the run could not go on, or that nothing came of it.
    pub failure: Option<String>,
}

/// Seconds of devices, of all that the journal tells, done twice or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DeviceSeconds {
    /// Training of shared weights.
    pub supernet: f64,
    /// Trainings and evaluations of single architectures.
    pub search: f64,
    /// Final trainings.
    pub retraining: f64,
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.deviation {
            Some(deviation) => write!(formatter, "{:.4} ± {deviation:.4}", self.mean),
            None => write!(formatter, "{:.4}", self.mean),
        }
    }
}

impl DeviceSeconds {
    fn of(records: &[Record]) -> Self {
        let mut seconds = Self::default();
        let mut shared: BTreeMap<JobId, bool> = BTreeMap::new();
        for record in records {
            let took = match record.observed.get("device_seconds") {
                Some(Observation::Number(took)) if took.is_finite() => *took,
                _ => 0.0,
            };
            match &record.event {
                Event::Asked { request, answer: Answer::Work(work), .. } => {
                    let is_training = |proposal: &Proposal| matches!(proposal.work, Work::TrainShared(_));
                    shared.extend((request.next_id..).zip(work.iter().map(is_training)));
                }
                Event::Arrived { job, .. } if shared.get(job) == Some(&true) => seconds.supernet += took,
                Event::Arrived { .. } => seconds.search += took,
                Event::FinallyTrained { .. } => seconds.retraining += took,
                _ => {}
            }
        }
        seconds
    }
}

/// Final trainings by architecture.
fn final_results(search: &Search, recommended: &[Architecture], rows: &[FinalRow]) -> Vec<FinalResult> {
    let result = |(rank, architecture): (u32, &Architecture)| {
        let of_rank: Vec<&FinalRow> =
            rows.iter().filter(|row| row.rank == rank && row.failure.is_none() && !row.test.is_empty()).collect();
        let first = of_rank.first()?;
        let spread = |measure: &Measure| {
            let values: Vec<f64> = of_rank.iter().filter_map(|row| Measure::find(&row.test, &measure.name)).collect();
            let mean = statistics::mean(&values)?;
            Some((measure.name.clone(), Spread { mean, deviation: statistics::standard_deviation(&values) }))
        };
        let task = &search.final_task;
        let method = task.method.as_deref().unwrap_or(search.task.method());
        let costs = method.costs(&task.definition, architecture).unwrap_or_default();
        Some(FinalResult {
            rank,
            architecture: text(search.task.definition(), architecture),
            data: task.data.clone(),
            costs: costs.into_iter().map(|cost| (cost.name, cost.value)).collect(),
            repetitions: u32::try_from(of_rank.len()).unwrap_or(u32::MAX),
            test: first.test.iter().filter_map(spread).collect(),
        })
    };
    (0u32..).zip(recommended).filter_map(result).collect()
}

/// Rows of networks that were trained; a table's results cost nothing that could be compared.
fn report_rows(run: &RunId, search: &Search, results: &[FinalResult], took: DeviceSeconds) -> Vec<ComparisonRow> {
    if search.file.task.network().is_none() {
        return Vec::new();
    }
    let hours = |seconds: f64| seconds / 3600.0;
    let parts =
        CostParts { supernet: hours(took.supernet), search: hours(took.search), retraining: hours(took.retraining) };
    let row = |result: &FinalResult| {
        let accuracy = result.test.get("accuracy");
        let rank = if results.len() > 1 { format!(", {}", result.rank + 1) } else { String::new() };
        ComparisonRow {
            method: format!("{}{rank}", search.identity.name),
            source: Source::Ours(run.to_string()),
            error_percent: accuracy.map(|accuracy| 100.0 * (1.0 - accuracy.mean)),
            error_spread: accuracy.and_then(|accuracy| accuracy.deviation).map(|deviation| 100.0 * deviation),
            repetitions: Some(result.repetitions),
            params: result.costs.get("params").copied(),
            flops: result.costs.get("flops").copied(),
            search_cost: Some(SearchCost { amount: parts.supernet + parts.search, unit: "device hours".into() }),
            parts: Some(parts),
            operations: operations(search.task.definition().space()),
            strategy: None,
        }
    };
    results.iter().map(row).collect()
}

/// Operations that a space chooses among, as papers count them: `none` is not one. Where each has a switch of its own, the
/// switch is named after it.
fn operations(space: &SearchSpace) -> Option<u32> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for decision in space.decisions.iter().filter(|decision| decision.role == Role::Operation) {
        if let Domain::Choice(options) = &decision.domain {
            if options.iter().all(|option| option == "off" || option == "on") {
                names.extend(decision.name.rsplit('/').next());
                continue;
            }
            names.extend(options.iter().map(String::as_str).filter(|name| *name != "none"));
        }
    }
    u32::try_from(names.len()).ok().filter(|count| *count > 0)
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(definition: &SpaceDefinition, architecture: &Architecture) -> String {
    definition.notation(architecture)
}

impl Summary {
    /// Of a run's journal.
    pub fn of(run: &RunId, search: &Search, ledger: &Ledger, records: &[Record]) -> Result<Self, Failed> {
        let definition = search.task.definition();
        let objective = search.plan.objectives.first();
        let ranked = objective.map(|objective| ledger.best(objective, 0)).unwrap_or_default();
        let best = ranked.into_iter().take(BEST).filter_map(|(job, value)| {
            let entry = ledger.get(job)?;
            let Work::Train(training) = &entry.proposal.work else { return None };
            let costs = search.task.costs(&training.architecture).unwrap_or_default();
            let costs = costs.into_iter().map(|cost| (cost.name, cost.value)).collect();
            Some(Row { job, value, architecture: text(definition, &training.architecture), costs })
        });
        let is_failed = |id: &&JobId| {
            ledger
                .get(**id)
                .is_some_and(|entry| matches!(entry.status, nasd_engine::JobStatus::Told(Outcome::Failed(_))))
        };
        let architectures = nasd_engine::resume::recommended(records);
        let recommended = architectures.iter().map(|a| text(definition, a));
        let finals = records.iter().filter_map(|record| match &record.event {
            Event::FinallyTrained { rank, repetition, outcome, test, .. } => {
                let failure = match outcome {
                    Outcome::Failed(failure) => Some(failure.message.clone()),
                    _ => None,
                };
                Some(FinalRow { rank: *rank, repetition: *repetition, test: test.clone(), failure })
            }
            _ => None,
        });
        // Where a trainer was lost, a later one may have ended first.
        let mut finals: Vec<FinalRow> = finals.collect();
        finals.sort_by_key(|row| (row.rank, row.repetition));
        let final_results = final_results(search, architectures, &finals);
        let device_seconds = DeviceSeconds::of(records);
        let failed = ledger.told().iter().filter(is_failed).count();
        let ending = records.iter().rev().find_map(|record| match &record.event {
            Event::Ended { ending } => Some(ending.clone()),
            _ => None,
        });
        let ended = match &ending {
            Some(RunEnding::Failed(reason)) => Some(reason.clone()),
            _ => None,
        };
        // A search in which nothing went well has found nothing, whatever it recommends.
        let nothing = || {
            let last = ledger.told().last().and_then(|id| ledger.get(*id))?;
            let nasd_engine::JobStatus::Told(Outcome::Failed(last)) = &last.status else { return None };
            (failed == ledger.told().len())
                .then(|| format!("every one of its {failed} jobs failed; the last: {}", one_line(&last.message)))
        };
        let failure = ended.or_else(nothing);
        Ok(Self {
            run: run.to_string(),
            space: search.setup.space.name.clone(),
            data: search.data.clone(),
            cost_unit: search.task.method().clock_unit().to_owned(),
            strategy: format!("{} {}", search.identity.name, search.identity.version),
            objective: objective.map(|objective| objective.metric.clone()).unwrap_or_default(),
            jobs: ledger.told().len(),
            failed,
            cost: ledger.iter().fold(0.0, |sum, (_, entry)| sum + entry.cost),
            digest: nasd_store::digest(records).map_err(Failed::other)?,
            recommended: recommended.collect(),
            best: best.collect(),
            report_rows: report_rows(run, search, &final_results, device_seconds),
            final_results,
            finals,
            device_seconds,
            known: super::known::look_up(search, ledger, records),
            ending,
            failure,
        })
    }

    /// How it ended in a line, the same whoever asks and when.
    pub fn ending_text(&self) -> String {
        self.ending.as_ref().map_or_else(|| "not over".to_owned(), RunEnding::to_string)
    }

    /// Markdown for people.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# {}: {} on {} with {}\n", self.run, self.space, self.data, self.strategy);
        let _ = writeln!(
            out,
            "{} jobs ({} failed), {:.2} {} in all. Journal digest `{}`.\n",
            self.jobs, self.failed, self.cost, self.cost_unit, self.digest
        );
        if !self.best.is_empty() {
            let names: Vec<&str> =
                self.best.first().map(|row| row.costs.keys()).into_iter().flatten().map(String::as_str).collect();
            let _ = write!(out, "| job | validation {} |", self.objective);
            for name in &names {
                let _ = write!(out, " {name} |");
            }
            let _ = writeln!(out, " architecture |\n|--:|--:|{}---|", "--:|".repeat(names.len()));
            for row in &self.best {
                let _ = write!(out, "| {} | {:.4} |", row.job, row.value);
                for name in &names {
                    let _ = write!(out, " {} |", row.costs.get(*name).copied().unwrap_or_default());
                }
                let _ = writeln!(out, " `{}` |", row.architecture.replace('|', "\\|"));
            }
            let _ = writeln!(out);
        }
        for (rank, architecture) in self.recommended.iter().enumerate() {
            let _ = writeln!(out, "Recommended {rank}: `{architecture}`");
        }
        if let Some(known) = &self.known {
            let _ = write!(out, "\n{}", known.markdown());
        }
        for row in &self.finals {
            let measures: Vec<_> = row.test.iter().map(|m| format!("test {} {:.4}", m.name, m.value)).collect();
            let result = row.failure.clone().unwrap_or_else(|| measures.join(", "));
            let _ = writeln!(out, "\nFinal training of {}, repetition {}: {result}", row.rank, row.repetition);
        }
        for result in self.final_results.iter().filter(|result| result.repetitions > 1) {
            let measures: Vec<_> = result.test.iter().map(|(name, spread)| format!("test {name} {spread}")).collect();
            let (rank, n, data) = (result.rank, result.repetitions, &result.data);
            let _ = writeln!(out, "\nFinal trainings of {rank} on {data}, {n} seeds: {}", measures.join(", "));
        }
        out
    }

    /// `report.json`.
    pub fn json(&self) -> Result<String, Failed> {
        serde_json::to_string_pretty(self).map_err(Failed::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_as_papers_do() {
        for (preset, expected) in
            [("darts-cnn", 7), ("enas-micro", 5), ("nas-bench-201", 4), ("one-shot", 7), ("spos", 4)]
        {
            let space = SpaceDefinition::preset(preset).unwrap();
            assert_eq!(operations(space.space()), Some(expected), "{preset}");
        }
    }
}
