//! The final training: what the run recommends, from scratch on training and validation images, measured on the
//! test set.
//!
//! All trainings that are left are handed out at once, to as many trainers as the run has. Each result is journalled, and
//! so is each checkpoint on the way, so that an interruption loses a few epochs at most; what goes on from a checkpoint
//! ends in the very numbers of a training that was not interrupted.

use std::collections::BTreeMap;

use nasd_protocol::{
    Event, FailureKind, JobId, Measure, Outcome, Record,
    event::Observation,
    trainer::{FromTrainer, Start, ToTrainer, TrainOrder},
};
use nasd_store::WeightsFolder;
use tokio::sync::watch;

use super::{
    drive::note,
    onlooker::Onlooker,
    orders::final_training,
    placement::Placement,
    pool::{Events, Heard},
    recorder::Recorder,
};
use crate::{
    failure::{Failed, chain},
    search::Search,
    task::Method,
};

/// Final trainings are numbered from here: a trainer may still answer for a job of the search that was cut short.
const FIRST: JobId = 1 << 40;

/// A final training: the architecture's rank, the seed's number.
type Which = (u32, u32);

/// Where the trainings are done.
pub struct Workshop<'a> {
    /// Trainers.
    pub placement: &'a Placement,
    /// What is heard of them.
    pub events: &'a mut Events,
    /// What they write.
    pub weights: &'a WeightsFolder,
}

/// Train what is not yet trained.
pub async fn train(
    search: &Search,
    records: &[Record],
    recorder: &mut Recorder,
    Workshop { placement, events, weights }: Workshop<'_>,
    onlooker: &mut dyn Onlooker,
    mut interrupt: watch::Receiver<bool>,
) -> Result<(), Failed> {
    if let Method::Table(_) = search.task.method() {
        return look_up(search, records, recorder);
    }
    if search.file.final_training.fidelity == 0 || search.file.task.network().is_none() {
        return Ok(());
    }
    let orders = left(search, records)?;
    if orders.is_empty() {
        return Ok(());
    }
    let mut finals = Finals {
        under_way: BTreeMap::new(),
        max_attempts: search.plan.max_attempts,
        saved: saved(records),
        recorder,
        placement,
        weights,
        onlooker,
    };
    // Left there where a crash came between a result and its checkpoint's end.
    let done: Vec<Which> = finals.saved.keys().copied().filter(|which| is_done(records, *which)).collect();
    for which in done {
        finals.forget_saved(which);
    }
    for (which, order) in orders {
        finals.begin(which, order);
    }
    while !finals.under_way.is_empty() {
        tokio::select! {
            event = events.recv() => {
                finals.heard(event.ok_or_else(|| Failed::Other("all trainers are gone".into()))?)?;
            }
            _ = interrupt.wait_for(|is_interrupted| *is_interrupted) => {
                finals.recorder.sync()?;
                return Err(Failed::Interrupted(
                    "the search is done; the same command goes on with the final training".into(),
                ));
            }
        }
    }
    Ok(())
}

/// A table knows the results of the recommended architectures.
fn look_up(search: &Search, records: &[Record], recorder: &mut Recorder) -> Result<(), Failed> {
    let Method::Table(table) = search.task.method() else { return Ok(()) };
    let recommended = nasd_engine::resume::recommended(records);
    let architectures = recommended.iter().take(search.file.final_training.architectures as usize);
    for (rank, architecture) in (0u32..).zip(architectures) {
        if is_done(records, (rank, 0)) {
            continue;
        }
        let answer = table.final_results(architecture).map_err(|failure| Failed::Other(failure.message))?;
        let (outcome, test) = (answer.outcome, answer.test);
        note(recorder, Event::FinallyTrained { rank, repetition: 0, outcome, test, weights: None })?;
    }
    recorder.sync()
}

fn is_done(records: &[Record], which: Which) -> bool {
    records.iter().any(|record| match &record.event {
        Event::FinallyTrained { rank, repetition, .. } => (*rank, *repetition) == which,
        _ => false,
    })
}

/// The last checkpoint of each training.
fn saved(records: &[Record]) -> BTreeMap<Which, String> {
    let each = records.iter().filter_map(|record| match &record.event {
        Event::FinallySaved { rank, repetition, weights, .. } => Some(((*rank, *repetition), weights.clone())),
        _ => None,
    });
    each.collect()
}

/// Orders of the trainings that are not done, from their last checkpoints.
fn left(search: &Search, records: &[Record]) -> Result<Vec<(Which, TrainOrder)>, Failed> {
    let settings = &search.file.final_training;
    let saved = saved(records);
    let mut orders = Vec::new();
    let recommended = nasd_engine::resume::recommended(records).iter().take(settings.architectures as usize);
    for (rank, architecture) in (0u32..).zip(recommended) {
        for repetition in 0..settings.repetitions {
            let which = (rank, repetition);
            if is_done(records, which) {
                continue;
            }
            let number = u64::from(rank) * u64::from(settings.repetitions) + u64::from(repetition) + 1;
            let mut order =
                final_training(search, architecture, number).map_err(|failure| Failed::Other(failure.message))?;
            order.job = FIRST + number;
            if let Some(digest) = saved.get(&which) {
                order.start = Start::Resume(digest.clone());
            }
            orders.push((which, order));
        }
    }
    Ok(orders)
}

/// A training that is not done.
struct UnderWay {
    which: Which,
    order: TrainOrder,
    attempt: u32,
}

/// All that are not done.
struct Finals<'a> {
    under_way: BTreeMap<JobId, UnderWay>,
    max_attempts: u32,
    saved: BTreeMap<Which, String>,
    recorder: &'a mut Recorder,
    placement: &'a Placement,
    weights: &'a WeightsFolder,
    onlooker: &'a mut dyn Onlooker,
}

impl Finals<'_> {
    fn begin(&mut self, which: Which, order: TrainOrder) {
        let (rank, repetition) = which;
        let from = if matches!(order.start, Start::Resume(_)) { ", from its last checkpoint" } else { "" };
        self.onlooker.say(&format!(
            "final training of architecture {rank}, repetition {repetition}: {} epochs{from}",
            order.fidelity
        ));
        self.submit(UnderWay { which, order, attempt: 1 });
    }

    fn submit(&mut self, training: UnderWay) {
        let job = training.order.job;
        self.placement.submit(job, ToTrainer::Train(Box::new(training.order.clone())), 1.0);
        self.under_way.insert(job, training);
    }

    fn heard(&mut self, heard: Heard) -> Result<(), Failed> {
        let said = match heard {
            Heard::Lost { job, reason, .. } => return job.map_or(Ok(()), |job| self.lost(job, reason)),
            Heard::Said(said) => *said,
        };
        match said {
            FromTrainer::Trained { job, trained, test, weights, device_seconds } => {
                self.done(job, (Outcome::Trained(trained), test, weights), device_seconds)
            }
            FromTrainer::Saved { job, fidelity, weights } => self.keep(job, fidelity, weights),
            FromTrainer::Failed { job, failure } if failure.kind == FailureKind::Infrastructure => {
                self.lost(job, failure.message)
            }
            FromTrainer::Failed { job, failure } if self.lacks_checkpoint(job, failure.kind) => {
                let Some(mut training) = self.under_way.remove(&job) else { return Ok(()) };
                tracing::warn!(reason = failure.message, "a final training's checkpoint is gone; it begins anew");
                training.order.start = Start::Fresh;
                self.submit(training);
                Ok(())
            }
            FromTrainer::Failed { job, failure } => self.done(job, (Outcome::Failed(failure), Vec::new(), None), 0.0),
            FromTrainer::Heartbeat { job, progress } => {
                self.onlooker.heartbeat(job, progress);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lacks_checkpoint(&self, job: JobId, kind: FailureKind) -> bool {
        let resumes = |training: &UnderWay| matches!(training.order.start, Start::Resume(_));
        kind == FailureKind::MissingWeights && self.under_way.get(&job).is_some_and(resumes)
    }

    fn done(
        &mut self,
        job: JobId,
        (outcome, test, weights): (Outcome, Vec<Measure>, Option<String>),
        device_seconds: f64,
    ) -> Result<(), Failed> {
        let Some(UnderWay { which, .. }) = self.under_way.remove(&job) else { return Ok(()) };
        let (rank, repetition) = which;
        let event = Event::FinallyTrained { rank, repetition, outcome, test, weights };
        let observed = BTreeMap::from([("device_seconds".to_owned(), Observation::Number(device_seconds))]);
        self.recorder.append(event, observed, true)?;
        self.recorder.sync()?;
        self.forget_saved(which);
        Ok(())
    }

    fn forget_saved(&mut self, which: Which) {
        if let Some(before) = self.saved.remove(&which) {
            self.forget(&before);
        }
    }

    /// A checkpoint counts once the journal names it; the one before is needed until then.
    fn keep(&mut self, job: JobId, fidelity: u32, weights: String) -> Result<(), Failed> {
        let Some(training) = self.under_way.get_mut(&job) else { return Ok(()) };
        let (rank, repetition) = training.which;
        training.order.start = Start::Resume(weights.clone());
        let before = self.saved.insert(training.which, weights.clone());
        note(self.recorder, Event::FinallySaved { rank, repetition, fidelity, weights: weights.clone() })?;
        self.recorder.sync()?;
        if let Some(before) = before.filter(|before| *before != weights) {
            self.forget(&before);
        }
        Ok(())
    }

    fn forget(&self, digest: &str) {
        if let Err(error) = self.weights.remove(digest) {
            tracing::warn!(digest, error = %chain(&error), "a checkpoint that is not needed any more stays");
        }
    }

    fn lost(&mut self, job: JobId, reason: String) -> Result<(), Failed> {
        let Some(mut training) = self.under_way.remove(&job) else { return Ok(()) };
        let attempt = training.attempt;
        if attempt >= self.max_attempts {
            self.recorder.sync()?;
            return Err(Failed::Other(format!(
                "the final training's trainer was lost {attempt} times: {reason}; the same command goes on with it"
            )));
        }
        tracing::warn!(%reason, attempt, "the final training's trainer was lost; it goes on from its last checkpoint");
        training.attempt += 1;
        self.submit(training);
        Ok(())
    }
}
