//! The jobs of a run: what was asked for, where it stands, what came of it.
//!
//! Job ids start at 1 and follow by ones, so the ledger is a list. The strategy's `history` import reads it
//! and sees of a job only what was told.

use nasd_protocol::{Ending, Goal, Job, JobId, Measure, Objective, Outcome, Point, Proposal, Trained, Work};

/// Where a job stands.
#[derive(Clone, Debug, PartialEq)]
pub enum JobStatus {
    /// Asked for, its outcome is not here.
    InFlight,
    /// Its outcome is here, perhaps not yet durable, and not told.
    Arrived {
        /// The outcome.
        outcome: Outcome,
        /// Whether it survives a crash (or need not).
        durable: bool,
    },
    /// The strategy knows.
    Told(Outcome),
}

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEntry {
    /// What was asked for.
    pub proposal: Proposal,
    /// Where it stands.
    pub status: JobStatus,
    /// When it began, on the search's clock.
    pub begun: f64,
    /// What running it to its end takes, on the search's clock. 0 for refused work.
    pub duration: f64,
    /// Fidelity its training starts from.
    pub resumed_from: u32,
    /// Points reported so far, ascending.
    pub reports: Vec<Point>,
    /// Judged up to this fidelity.
    pub judged_to: u32,
    /// Stopped at this point by a verdict.
    pub stopped: Option<(Ending, Point)>,
    /// What it was charged. Known once told.
    pub cost: f64,
    /// Checkpoint of its weights.
    pub weights: Option<String>,
    /// Tries so far.
    pub attempts: u32,
}

impl JobEntry {
    /// A job just asked for.
    pub fn new(proposal: Proposal, begun: f64, duration: f64, resumed_from: u32) -> Self {
        Self {
            proposal,
            status: JobStatus::InFlight,
            begun,
            duration,
            resumed_from,
            reports: Vec::new(),
            judged_to: resumed_from,
            stopped: None,
            cost: 0.0,
            weights: None,
            attempts: 0,
        }
    }

    /// The reported point at `fidelity`.
    pub fn report(&self, fidelity: u32) -> Option<&Point> {
        self.reports.iter().find(|point| point.fidelity == fidelity)
    }

    /// Enter a reported point; gives whether it was new. A job that is run again repeats its points.
    pub fn push_report(&mut self, point: Point) -> bool {
        match self.reports.binary_search_by_key(&point.fidelity, |known| known.fidelity) {
            Ok(_) => false,
            Err(place) => {
                self.reports.insert(place, point);
                true
            }
        }
    }

    /// Share of the duration after which the training has reached `fidelity`.
    pub fn share_done(&self, fidelity: u32) -> f64 {
        let Work::Train(training) = &self.proposal.work else { return 1.0 };
        let whole = training.fidelity.saturating_sub(self.resumed_from);
        if whole == 0 {
            return 1.0;
        }
        f64::from(fidelity.saturating_sub(self.resumed_from)) / f64::from(whole)
    }

    /// When it ends, on the search's clock.
    pub fn end(&self) -> f64 {
        let share = self.stopped.as_ref().map_or(1.0, |(_, point)| self.share_done(point.fidelity));
        self.begun + self.duration * share
    }

    /// Whether the strategy was told.
    pub fn is_told(&self) -> bool {
        matches!(self.status, JobStatus::Told(_))
    }

    /// The finished training, once told.
    pub fn trained(&self) -> Option<&Trained> {
        match &self.status {
            JobStatus::Told(Outcome::Trained(trained)) => Some(trained),
            _ => None,
        }
    }
}

/// All jobs of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    entries: Vec<JobEntry>,
    told: Vec<JobId>,
}

impl Ledger {
    /// The id the next job gets.
    pub fn next_id(&self) -> JobId {
        self.entries.len() as JobId + 1
    }

    /// Enter a job.
    pub fn push(&mut self, entry: JobEntry) -> JobId {
        self.entries.push(entry);
        self.entries.len() as JobId
    }

    /// A job.
    pub fn get(&self, id: JobId) -> Option<&JobEntry> {
        self.entries.get(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    /// A job, to change.
    pub fn get_mut(&mut self, id: JobId) -> Option<&mut JobEntry> {
        self.entries.get_mut(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    /// All jobs in id order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (JobId, &JobEntry)> {
        self.entries.iter().enumerate().map(|(i, entry)| (i as JobId + 1, entry))
    }

    /// Mark a job told.
    pub fn mark_told(&mut self, id: JobId, outcome: Outcome, cost: f64) {
        if let Some(entry) = self.get_mut(id) {
            entry.status = JobStatus::Told(outcome);
            entry.cost = cost;
            entry.reports = Vec::new();
            self.told.push(id);
        }
    }

    /// Ids in the order they were told.
    pub fn told(&self) -> &[JobId] {
        &self.told
    }

    /// Number of jobs asked for.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The job as the strategy sees it.
    pub fn job(&self, id: JobId) -> Option<Job> {
        let entry = self.get(id)?;
        let outcome = match &entry.status {
            JobStatus::Told(outcome) => Some(outcome.clone()),
            JobStatus::InFlight | JobStatus::Arrived { .. } => None,
        };
        let cost = if outcome.is_some() { entry.cost } else { 0.0 };
        Some(Job { id, proposal: entry.proposal.clone(), outcome, cost })
    }

    /// A job whose outcome is here, as the strategy is told it.
    pub fn arrived_job(&self, id: JobId) -> Option<Job> {
        let entry = self.get(id)?;
        let JobStatus::Arrived { outcome, .. } = &entry.status else { return None };
        let cost = entry.end() - entry.begun;
        Some(Job { id, proposal: entry.proposal.clone(), outcome: Some(outcome.clone()), cost })
    }

    /// Told trainings at or above `fidelity`, best first by `objective`, ids breaking ties.
    pub fn best(&self, objective: &Objective, fidelity: u32) -> Vec<(JobId, f64)> {
        let mut ranked: Vec<(JobId, f64)> = self
            .iter()
            .filter(|(_, entry)| match &entry.proposal.work {
                Work::Train(training) => training.fidelity >= fidelity,
                Work::TrainShared(_) | Work::EvaluateShared(_) => false,
            })
            .filter_map(|(id, entry)| {
                let trained = entry.trained()?;
                Some((id, Measure::find(&trained.measures, &objective.metric)?))
            })
            .collect();
        ranked.sort_by(|(id_a, a), (id_b, b)| {
            let by_value = match objective.goal {
                Goal::Maximize => b.total_cmp(a),
                Goal::Minimize => a.total_cmp(b),
            };
            by_value.then(id_a.cmp(id_b))
        });
        ranked
    }
}
