//! The jobs of a run: what was asked for, where it stands, what came of it.
//!
//! Job ids start at 1 and follow by ones, so the ledger is a list. The strategy's `history` import reads it
//! and sees of a job only what was told.
//!
//! A run may go on for weeks: jobs told long ago are packed, which takes a third of the memory or less, and unpacked for
//! whoever reads them.

use std::borrow::Cow;

use nasd_protocol::{Ending, Goal, Job, JobId, Measure, Objective, Outcome, Point, Proposal, Trained, Work, frame};
use serde::{Deserialize, Serialize};

use crate::budget::updates_in;

/// Told jobs that stay as they are.
const RECENT: usize = 256;

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// A job as it is held.
#[derive(Clone, Debug)]
enum Held {
    Whole(Box<JobEntry>),
    /// By [`frame::pack`]; nothing is packed that does not come out as it was.
    Packed(Box<[u8]>),
}

impl Held {
    fn entry(&self) -> Option<Cow<'_, JobEntry>> {
        match self {
            Self::Whole(entry) => Some(Cow::Borrowed(entry)),
            Self::Packed(packed) => frame::unpack(packed).ok().map(Cow::Owned),
        }
    }

    fn pack(&mut self) {
        let Self::Whole(entry) = self else { return };
        let packed = frame::pack(entry);
        if let Ok(packed) = packed
            && frame::unpack::<JobEntry>(&packed).is_ok_and(|unpacked| unpacked == **entry)
        {
            *self = Self::Packed(packed.into_boxed_slice());
        }
    }
}

/// All jobs of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    jobs: Vec<Held>,
    told: Vec<JobId>,
    /// Of the shared weights, in jobs told.
    updates: u64,
}

impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        self.told == other.told && self.jobs.len() == other.jobs.len() && self.iter().eq(other.iter())
    }
}

impl Ledger {
    /// The id the next job gets.
    pub fn next_id(&self) -> JobId {
        self.jobs.len() as JobId + 1
    }

    /// Enter a job.
    pub fn push(&mut self, entry: JobEntry) -> JobId {
        self.jobs.push(Held::Whole(Box::new(entry)));
        self.jobs.len() as JobId
    }

    /// A job.
    pub fn get(&self, id: JobId) -> Option<Cow<'_, JobEntry>> {
        self.jobs.get(place(id)?)?.entry()
    }

    /// A job that is still to be told, or was of late, to change.
    pub fn get_mut(&mut self, id: JobId) -> Option<&mut JobEntry> {
        match self.jobs.get_mut(place(id)?)? {
            Held::Whole(entry) => Some(entry),
            Held::Packed(_) => None,
        }
    }

    /// All jobs in id order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (JobId, Cow<'_, JobEntry>)> {
        self.jobs.iter().enumerate().filter_map(|(i, held)| Some((i as JobId + 1, held.entry()?)))
    }

    /// Mark a job told.
    pub fn mark_told(&mut self, id: JobId, outcome: Outcome, cost: f64) {
        let Some(Held::Whole(entry)) = place(id).and_then(|place| self.jobs.get_mut(place)) else { return };
        if let (Work::TrainShared(steps), Outcome::SharedSteps(_)) = (&entry.proposal.work, &outcome) {
            self.updates += updates_in(steps);
        }
        entry.status = JobStatus::Told(outcome);
        entry.cost = cost;
        entry.reports = Vec::new();
        self.told.push(id);
        let long_ago = self.told.len().checked_sub(RECENT + 1).and_then(|idx| place(*self.told.get(idx)?));
        if let Some(held) = long_ago.and_then(|place| self.jobs.get_mut(place)) {
            held.pack();
        }
    }

    /// Ids in the order they were told.
    pub fn told(&self) -> &[JobId] {
        &self.told
    }

    /// Updates of the shared weights by the jobs told.
    pub fn updates_told(&self) -> u64 {
        self.updates
    }

    /// Number of jobs asked for.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The job as the strategy sees it.
    pub fn job(&self, id: JobId) -> Option<Job> {
        let entry = self.get(id)?;
        let outcome = match &entry.status {
            JobStatus::Told(outcome) => Some(outcome.clone()),
            JobStatus::InFlight | JobStatus::Arrived { .. } => None,
        };
        let cost = if outcome.is_some() { entry.cost } else { 0.0 };
        Some(Job { id, proposal: entry.into_owned().proposal, outcome, cost })
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

fn place(id: JobId) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use nasd_protocol::{Failure, FailureKind, InitialWeights, Training};
    use nasd_space::{Gene, WeightedOption};

    use super::*;

    fn entry(number: u32) -> JobEntry {
        let genes = vec![
            Gene::Choice(number % 5),
            Gene::Inactive,
            Gene::Mixture(vec![WeightedOption { index: 1, weight: 0.25 }, WeightedOption { index: 3, weight: 0.75 }]),
        ];
        let training = Training {
            architecture: genes,
            fidelity: 3,
            schedule: 0,
            initial_weights: InitialWeights::Resume(7),
            judge_every: 1,
        };
        let proposal =
            Proposal { work: Work::Train(training), parents: vec![u64::from(number)], note: "a note".to_owned() };
        JobEntry { weights: Some(format!("weights {number}")), ..JobEntry::new(proposal, 0.1, 1.0 / 3.0, 0) }
    }

    fn outcome(number: u32) -> Outcome {
        if number.is_multiple_of(7) {
            return Outcome::Failed(Failure { kind: FailureKind::Diverged, message: "no number".to_owned() });
        }
        let measures = vec![Measure::new("accuracy", 1.0 / f64::from(number + 1)), Measure::new("loss", f64::INFINITY)];
        let curve = (1..4).map(|fidelity| Point { fidelity, measures: measures.clone() }).collect();
        Outcome::Trained(Trained { measures, curve, ending: Ending::StoppedByHost, predicted: Some(0.1) })
    }

    #[test]
    fn jobs_told_long_ago_read_as_on_the_day_they_were_told() {
        let (mut ledger, mut plain) = (Ledger::default(), Vec::new());
        let n_jobs = RECENT as u32 + 40;
        for number in 0..n_jobs {
            ledger.push(entry(number));
        }
        // Not in the order they were asked for.
        for number in (0..n_jobs).rev() {
            let id = JobId::from(number) + 1;
            ledger.mark_told(id, outcome(number), f64::from(number));
            plain.push((id, ledger.get(id).unwrap().into_owned(), ledger.job(id).unwrap()));
        }
        assert_eq!(ledger.jobs.iter().filter(|held| matches!(held, Held::Packed(_))).count(), 40);
        for (id, entry, job) in plain {
            assert_eq!((ledger.get(id).as_deref(), ledger.job(id)), (Some(&entry), Some(job)));
        }
        assert_eq!(ledger.iter().count(), n_jobs as usize);
        assert_eq!(ledger.iter().next_back().map(|(id, _)| id), Some(JobId::from(n_jobs)));
        assert_eq!(ledger, ledger.clone());
        assert!(ledger.get(0).is_none() && ledger.get(ledger.next_id()).is_none());
    }

    #[test]
    fn a_packed_job_takes_a_third_of_the_memory() {
        let mut held = Held::Whole(Box::new(JobEntry { status: JobStatus::Told(outcome(1)), ..entry(1) }));
        held.pack();
        let Held::Packed(packed) = held else { panic!("it was not packed") };
        // As it was: 400 bytes, and 22 strings and lists of their own, of 32 bytes at least each.
        assert!(packed.len() < 350, "{} bytes", packed.len());
    }
}
