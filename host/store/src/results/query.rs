//! Questions to the result store.

use nasd_protocol::{Goal, JobId};
use nasd_space::Architecture;

use super::{ResultStore, ResultsError, decode};
use crate::{
    rows::{self, JobRow, RunRow},
    state::RunId,
    table::{Order, Table},
};

impl ResultStore {
    /// All runs, by name and number.
    pub fn runs(&self) -> Result<Vec<RunRow>, ResultsError> {
        let mut runs = Vec::new();
        self.settled()?.walk(b"r", b"r", Order::Ascending, &mut |_, value| {
            runs.push(decode(value)?);
            Ok::<bool, ResultsError>(true)
        })?;
        Ok(runs)
    }

    /// A run.
    pub fn run(&self, run: &RunId) -> Result<Option<RunRow>, ResultsError> {
        self.settled()?.get(&rows::run_key(b'r', run))?.map(|row| decode(&row)).transpose()
    }

    /// A job, superseded or not.
    pub fn job(&self, run: &RunId, job: JobId) -> Result<Option<JobRow>, ResultsError> {
        self.settled()?.get(&rows::job_key(run, job))?.map(|row| decode(&row)).transpose()
    }

    pub(super) fn each_job(
        &self,
        table: &Table,
        run: &RunId,
        start: JobId,
        visit: &mut dyn FnMut(JobRow) -> Result<bool, ResultsError>,
    ) -> Result<(), ResultsError> {
        let prefix = rows::run_key(b'j', run);
        let from = rows::job_key(run, start);
        table.walk(&prefix, &from, Order::Ascending, &mut |_, value| visit(decode(value)?))
    }

    /// Jobs of a run from number `start` on, at most `limit`, without superseded ones.
    pub fn jobs(&self, run: &RunId, start: JobId, limit: usize) -> Result<Vec<JobRow>, ResultsError> {
        let mut jobs = Vec::new();
        if limit == 0 {
            return Ok(jobs);
        }
        self.each_job(self.settled()?, run, start, &mut |row| {
            if !row.superseded {
                jobs.push(row);
            }
            Ok(jobs.len() < limit)
        })?;
        Ok(jobs)
    }

    /// The highest number of a run's jobs: how many were handed out.
    pub fn n_jobs(&self, run: &RunId) -> Result<u64, ResultsError> {
        let prefix = rows::run_key(b'j', run);
        let mut last = None;
        self.settled()?.walk(&prefix, &prefix, Order::Descending, &mut |key, _| {
            last = rows::parse_job(key);
            Ok::<bool, ResultsError>(false)
        })?;
        Ok(last.unwrap_or_default())
    }

    /// The best finished trainings of a run by a measure, at most `limit`; among equals the highest number first
    /// when maximising, the lowest when minimising. Whatever their fidelity: rows say it.
    pub fn best(&self, run: &RunId, metric: &str, goal: Goal, limit: usize) -> Result<Vec<JobRow>, ResultsError> {
        let prefix = rows::measure_prefix(run, metric);
        let order = match goal {
            Goal::Maximize => Order::Descending,
            Goal::Minimize => Order::Ascending,
        };
        let mut numbers = Vec::new();
        self.settled()?.walk(&prefix, &prefix, order, &mut |key, _| {
            if numbers.len() >= limit {
                return Ok::<bool, ResultsError>(false);
            }
            numbers.extend(rows::parse_job(key));
            Ok(true)
        })?;
        let mut best = Vec::new();
        for job in numbers {
            best.extend(self.job(run, job)?);
        }
        Ok(best)
    }

    /// All jobs, of whatever run, that trained an architecture with this digest, without superseded ones.
    pub fn by_architecture(&self, digest: &str) -> Result<Vec<(RunId, JobRow)>, ResultsError> {
        let prefix = rows::architecture_prefix(digest);
        let mut found = Vec::new();
        self.settled()?.walk(&prefix, &prefix, Order::Ascending, &mut |key, _| {
            found.extend(rows::parse_run(key, prefix.len()).zip(rows::parse_job(key)));
            Ok::<bool, ResultsError>(true)
        })?;
        let mut jobs = Vec::new();
        for (run, job) in found {
            let row = self.job(&run, job)?;
            jobs.extend(row.filter(|row| !row.superseded).map(|row| (run, row)));
        }
        Ok(jobs)
    }

    /// The genes of an architecture that some job trained or some run recommended.
    pub fn architecture(&self, digest: &str) -> Result<Option<Architecture>, ResultsError> {
        self.settled()?.get(&rows::genes_key(digest))?.map(|genes| decode(&genes)).transpose()
    }
}
