//! Which delivery comes next.
//!
//! In `virtual` order every job in flight has one next event: its next report that is judged, or its end. The
//! event with the least (time, job) is delivered next, and nothing else is: if its result is not here yet, the
//! search waits for it. In `arrival` order whatever is here goes first, in the order it came.
//!
//! A training never waits for a verdict: a `stop` cuts its result back to the point judged. So trainers are
//! never held up by the order of delivery, and a search with more slots than trainers cannot lock up.

use nasd_protocol::{JobId, Work};

use crate::{
    ledger::{JobEntry, JobStatus, Ledger},
    plan::Plan,
};

/// Something to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A report at this fidelity, to judge.
    Report(u32),
    /// An outcome, to tell.
    Outcome,
}

/// The next event of one job in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextEvent {
    /// The job.
    pub job: JobId,
    /// What it is.
    pub delivery: Delivery,
    /// When, on the search's clock.
    pub time: f64,
    /// Whether it is here.
    pub is_here: bool,
}

/// Whether reports of this work are judged, by anyone.
pub fn is_judged(work: &Work, plan: &Plan) -> bool {
    matches!(work, Work::Train(training) if training.judge_every > 0 || plan.median_stop.is_some())
}

/// The fidelity of the job's next report that is judged, if there is one before its end.
fn next_judged_fidelity(entry: &JobEntry, plan: &Plan) -> Option<u32> {
    let Work::Train(training) = &entry.proposal.work else { return None };
    if entry.stopped.is_some() || entry.duration <= 0.0 {
        return None;
    }
    let by_strategy = next_multiple(entry.judged_to, training.judge_every);
    let by_host = plan.median_stop.as_ref().and_then(|rule| next_multiple(entry.judged_to, rule.every));
    let next = match (by_strategy, by_host) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b)?,
    };
    (next < training.fidelity).then_some(next)
}

fn next_multiple(after: u32, every: u32) -> Option<u32> {
    let times = after.checked_div(every)?;
    Some(times.saturating_add(1).saturating_mul(every))
}

/// The job's next event; none once it was told.
pub fn next_event(job: JobId, entry: &JobEntry, plan: &Plan) -> Option<NextEvent> {
    let (has_arrived, is_here) = match &entry.status {
        JobStatus::Told(_) => return None,
        JobStatus::InFlight => (false, false),
        JobStatus::Arrived { durable, .. } => (true, *durable),
    };
    if let Some(fidelity) = next_judged_fidelity(entry, plan) {
        let is_reported = entry.report(fidelity).is_some();
        // A job that ended without that point (it failed before) has nothing to judge there.
        if is_reported || !has_arrived {
            return Some(NextEvent {
                job,
                delivery: Delivery::Report(fidelity),
                time: entry.begun + entry.duration * entry.share_done(fidelity),
                is_here: is_reported,
            });
        }
    }
    Some(NextEvent { job, delivery: Delivery::Outcome, time: entry.end(), is_here })
}

/// The least of the next events by (time, job).
pub fn earliest(ledger: &Ledger, in_flight: &[JobId], plan: &Plan) -> Option<NextEvent> {
    in_flight
        .iter()
        .filter_map(|&job| next_event(job, ledger.get(job)?.as_ref(), plan))
        .min_by(|a, b| a.time.total_cmp(&b.time).then(a.job.cmp(&b.job)))
}

/// The first in flight whose next event is here, jobs that arrived earlier first.
pub fn first_here(ledger: &Ledger, arrivals: &[JobId], in_flight: &[JobId], plan: &Plan) -> Option<NextEvent> {
    let here = |&job: &JobId| next_event(job, ledger.get(job)?.as_ref(), plan).filter(|event| event.is_here);
    in_flight.iter().filter(|job| !arrivals.contains(job)).find_map(here).or_else(|| arrivals.iter().find_map(here))
}
