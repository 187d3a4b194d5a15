//! What came of a run: for the terminal and as JSON. The report with pictures is [`super::report`]'s.

use std::fmt::Write;

use nasd_engine::Ledger;
use nasd_network::SpaceDefinition;
use nasd_protocol::{Event, JobId, Measure, Outcome, Record, Work, event::RunEnding};
use nasd_store::RunId;
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
    /// Parameters.
    pub params: u64,
    /// Multiply-adds an example.
    pub flops: u64,
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
    /// Cost of all jobs, in epochs of the training data.
    pub cost: f64,
    /// Digest of the journal's deterministic lane.
    pub digest: String,
    /// Handed over, best first, in the space's notation.
    pub recommended: Vec<String>,
    /// Best trained jobs.
    pub best: Vec<Row>,
    /// Final trainings.
    pub finals: Vec<FinalRow>,
    /// Why the run could not go on, if so.
    pub failure: Option<String>,
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(definition: &SpaceDefinition, architecture: &nasd_space::Architecture) -> String {
    definition.notation(architecture)
}

impl Summary {
    /// Of a run's journal.
    pub fn of(run: &RunId, search: &Search, ledger: &Ledger, records: &[Record]) -> Result<Self, Failed> {
        let definition = search.task.definition();
        let objective = search.plan.objectives.first();
        let ranked = objective.map(|objective| ledger.best(objective, 0)).unwrap_or_default();
        let best = ranked.into_iter().take(BEST).filter_map(|(job, value)| {
            let Work::Train(training) = &ledger.get(job)?.proposal.work else { return None };
            let costs = definition.costs(&training.architecture).ok()?;
            let architecture = text(definition, &training.architecture);
            Some(Row { job, value, architecture, params: costs.params, flops: costs.flops })
        });
        let is_failed = |id: &&JobId| {
            matches!(
                ledger.get(**id).map(|entry| &entry.status),
                Some(nasd_engine::JobStatus::Told(Outcome::Failed(_)))
            )
        };
        let recommended = records.iter().rev().find_map(|record| match &record.event {
            Event::Recommended { architectures } => Some(architectures.iter().map(|a| text(definition, a)).collect()),
            _ => None,
        });
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
        let failed = ledger.told().iter().filter(is_failed).count();
        let ended = records.iter().rev().find_map(|record| match &record.event {
            Event::Ended { ending: RunEnding::Failed(reason) } => Some(reason.clone()),
            _ => None,
        });
        // A search in which nothing went well has found nothing, whatever it recommends.
        let nothing = || {
            let last = ledger.told().last().and_then(|id| ledger.get(*id)).map(|entry| &entry.status);
            let Some(nasd_engine::JobStatus::Told(Outcome::Failed(last))) = last else { return None };
            (failed == ledger.told().len())
                .then(|| format!("every one of its {failed} jobs failed; the last: {}", one_line(&last.message)))
        };
        let failure = ended.or_else(nothing);
        Ok(Self {
            run: run.to_string(),
            space: search.setup.space.name.clone(),
            data: search.data.name.clone(),
            strategy: format!("{} {}", search.identity.name, search.identity.version),
            objective: objective.map(|objective| objective.metric.clone()).unwrap_or_default(),
            jobs: ledger.told().len(),
            failed,
            cost: ledger.iter().map(|(_, entry)| entry.cost).sum(),
            digest: nasd_store::digest(records).map_err(Failed::other)?,
            recommended: recommended.unwrap_or_default(),
            best: best.collect(),
            finals: finals.collect(),
            failure,
        })
    }

    /// Markdown for people.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# {}: {} on {} with {}\n", self.run, self.space, self.data, self.strategy);
        let _ = writeln!(
            out,
            "{} jobs ({} failed), {:.2} epochs of training in all. Journal digest `{}`.\n",
            self.jobs, self.failed, self.cost, self.digest
        );
        if !self.best.is_empty() {
            let _ = writeln!(
                out,
                "| job | validation {} | params | FLOPs | architecture |\n|--:|--:|--:|--:|---|",
                self.objective
            );
            for row in &self.best {
                let architecture = row.architecture.replace('|', "\\|");
                let _ = writeln!(
                    out,
                    "| {} | {:.4} | {} | {} | `{architecture}` |",
                    row.job, row.value, row.params, row.flops
                );
            }
            let _ = writeln!(out);
        }
        for (rank, architecture) in self.recommended.iter().enumerate() {
            let _ = writeln!(out, "Recommended {rank}: `{architecture}`");
        }
        for row in &self.finals {
            let measures: Vec<_> = row.test.iter().map(|m| format!("test {} {:.4}", m.name, m.value)).collect();
            let result = row.failure.clone().unwrap_or_else(|| measures.join(", "));
            let _ = writeln!(out, "\nFinal training of {}, repetition {}: {result}", row.rank, row.repetition);
        }
        out
    }

    /// `report.json`.
    pub fn json(&self) -> Result<String, Failed> {
        serde_json::to_string_pretty(self).map_err(Failed::other)
    }
}
