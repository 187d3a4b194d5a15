//! Driving strategies anew from a journal, to compare: the calls a run made, one after the other, with what they
//! gave then.
//!
//! The journal is folded as in a resumption, but no trainer, clock or engine decision takes part: each event of
//! the deterministic lane says which call was made, from what state.

use std::{collections::BTreeMap, sync::Arc};

use nasd_protocol::{Answer, Event, Job, JobId, Point, Record, Request, Snapshot, Verdict, event::Judge};
use nasd_space::Architecture;

use crate::{
    plan::{Plan, TaskModel},
    resume::{ResumeError, fold, known_outcomes, superseded},
    search::{KnownOutcome, Search, SharedLedger, read_ledger},
    swap::TakeoverOrder,
};

/// A call that a run made, with what it gave.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Replayed {
    Start,
    Ask { request: Request, answer: Answer },
    Tell(Box<Job>),
    Judge { job: JobId, point: Point, verdict: Verdict },
    TakeOver(Box<TakeoverOrder>),
    Recommend { limit: u32, architectures: Vec<Architecture> },
}

/// A journal being driven anew.
pub struct Replay<'a> {
    search: Search,
    records: Vec<&'a Record>,
    next: usize,
    outcomes: BTreeMap<JobId, KnownOutcome>,
    saved: Option<&'a Snapshot>,
}

impl<'a> Replay<'a> {
    /// Of a run's records; what later resumptions superseded is left out.
    pub fn new(plan: Plan, task: Arc<dyn TaskModel>, records: &'a [Record]) -> Result<Self, ResumeError> {
        let first = records.first().ok_or(ResumeError::Empty)?;
        let Event::Begun { strategy, setup, .. } = &first.event else { return Err(ResumeError::NoBeginning) };
        let ranges = superseded(records);
        let holds = |record: &&Record| !ranges.iter().any(|&(from, to)| (from..to).contains(&record.sequence));
        Ok(Self {
            search: Search::new(plan, task).with_strategy(strategy.clone(), setup.parameters.clone()),
            records: records.iter().filter(holds).collect(),
            next: 0,
            outcomes: known_outcomes(records),
            saved: None,
        })
    }

    /// The jobs as they stood when the next call was made.
    pub fn ledger(&self) -> &SharedLedger {
        self.search.ledger()
    }

    /// What the run would have handed over for this recommendation.
    pub fn complete(&self, architectures: Vec<Architecture>) -> Vec<Architecture> {
        self.search.complete_recommendation(architectures)
    }

    /// The next call: its record's number, the call, and where the random stream stood after it, if that counts.
    /// The state before it is in the ledger until the next call of this.
    pub fn next_call(&mut self) -> Result<Option<(u64, Replayed, Option<u64>)>, ResumeError> {
        while let Some(&record) = self.records.get(self.next) {
            // What was called before is folded now.
            if let Some(&done) = self.next.checked_sub(1).and_then(|last| self.records.get(last)) {
                fold(&mut self.search, done, &self.outcomes, self.saved)?;
                match &done.event {
                    Event::Savepoint { snapshot, .. } => self.saved = Some(snapshot),
                    event if event.lane() == nasd_protocol::Lane::Deterministic => self.saved = None,
                    _ => {}
                }
            }
            self.next += 1;
            if let Some((call, random)) = self.call_of(&record.event) {
                return Ok(Some((record.sequence, call, random)));
            }
        }
        Ok(None)
    }

    fn call_of(&mut self, event: &Event) -> Option<(Replayed, Option<u64>)> {
        match event {
            Event::Started { random } => Some((Replayed::Start, Some(*random))),
            Event::Asked { request, answer, random } => {
                Some((Replayed::Ask { request: request.clone(), answer: answer.clone() }, Some(*random)))
            }
            Event::Told { job, random, .. } => {
                if let Some(known) = self.outcomes.get(job) {
                    self.search.apply_outcome(*job, known.outcome.clone(), known.weights.clone());
                }
                let job = read_ledger(self.search.ledger()).arrived_job(*job)?;
                Some((Replayed::Tell(Box::new(job)), Some(*random)))
            }
            Event::Judged { job, point, by: Judge::Strategy, verdict, random } => {
                Some((Replayed::Judge { job: *job, point: point.clone(), verdict: *verdict }, Some(*random)))
            }
            Event::Swapped { to, parameters, back, via, random_before, random, .. } => {
                self.search.random = *random_before;
                let order = self.search.takeover_order(to, parameters, *back, self.saved, Some(*via));
                Some((Replayed::TakeOver(Box::new(order)), Some(*random)))
            }
            Event::Recommended { architectures } => {
                let limit = self.search.plan().recommend;
                Some((Replayed::Recommend { limit, architectures: architectures.clone() }, None))
            }
            _ => None,
        }
    }
}
