//! The final training: what the run recommends, from scratch on training and validation images, measured on the
//! test set. Each result is journalled, so an interruption loses one training at most.

use nasd_protocol::{
    Event, FailureKind, JobId, Outcome, Record,
    trainer::{FromTrainer, ToTrainer},
};
use tokio::sync::watch;

use super::{
    drive::note,
    onlooker::Onlooker,
    orders::final_training,
    placement::Placement,
    pool::{Events, Heard},
    recorder::Recorder,
};
use crate::{failure::Failed, search::Search, task::Method};

/// Final trainings are numbered from here: a trainer may still answer for a job of the search that was cut short.
const FIRST: JobId = 1 << 40;

/// Train what is not yet trained.
pub async fn train(
    search: &Search,
    records: &[Record],
    recorder: &mut Recorder,
    placement: &Placement,
    events: &mut Events,
    onlooker: &mut dyn Onlooker,
    mut interrupt: watch::Receiver<bool>,
) -> Result<(), Failed> {
    let settings = &search.file.final_training;
    let recommended = nasd_engine::resume::recommended(records);
    if let Method::Table(table) = search.task.method() {
        let architectures = recommended.iter().take(settings.architectures as usize);
        for (rank, architecture) in (0u32..).zip(architectures) {
            if records.iter().any(|record| matches!(record.event, Event::FinallyTrained { rank: r, .. } if r == rank)) {
                continue;
            }
            let answer = table.final_results(architecture).map_err(|failure| Failed::Other(failure.message))?;
            let (outcome, test) = (answer.outcome, answer.test);
            note(recorder, Event::FinallyTrained { rank, repetition: 0, outcome, test, weights: None })?;
        }
        return recorder.sync();
    }
    if settings.fidelity == 0 || search.file.task.network().is_none() {
        return Ok(());
    }
    for (rank, architecture) in (0u32..).zip(recommended).take(settings.architectures as usize) {
        for repetition in 0..settings.repetitions {
            let is_done = records.iter().any(|record| {
                matches!(record.event, Event::FinallyTrained { rank: r, repetition: n, .. } if (r, n) == (rank, repetition))
            });
            if is_done {
                continue;
            }
            onlooker.say(&format!(
                "final training of architecture {rank}, repetition {repetition}: {} epochs",
                settings.fidelity
            ));
            let number = u64::from(rank) * u64::from(settings.repetitions) + u64::from(repetition) + 1;
            let mut order =
                final_training(search, architecture, number).map_err(|failure| Failed::Other(failure.message))?;
            order.job = FIRST + number;
            let job = order.job;
            let mut attempt = 1;
            let (outcome, test, weights) = loop {
                placement.submit(job, ToTrainer::Train(Box::new(order.clone())), 1.0);
                let result = tokio::select! {
                    result = result(job, events, onlooker) => result?,
                    _ = interrupt.wait_for(|is_interrupted| *is_interrupted) => {
                        recorder.sync()?;
                        return Err(Failed::Interrupted(
                            "the search is done; the same command goes on with the final training".into(),
                        ));
                    }
                };
                match result {
                    Ok(result) => break result,
                    Err(reason) if attempt >= search.plan.max_attempts => {
                        recorder.sync()?;
                        return Err(Failed::Other(format!(
                            "the final training's trainer was lost {attempt} times: {reason}; the same command goes on with it"
                        )));
                    }
                    Err(reason) => {
                        tracing::warn!(%reason, attempt, "the final training's trainer was lost; it is trained again");
                        attempt += 1;
                    }
                }
            };
            note(recorder, Event::FinallyTrained { rank, repetition, outcome, test, weights })?;
            recorder.sync()?;
        }
    }
    Ok(())
}

type FinalResult = (Outcome, Vec<nasd_protocol::Measure>, Option<String>);

/// What came of the training, or why its trainer was lost.
async fn result(
    job: JobId,
    events: &mut Events,
    onlooker: &mut dyn Onlooker,
) -> Result<Result<FinalResult, String>, Failed> {
    while let Some(heard) = events.recv().await {
        match heard {
            Heard::Lost { job: Some(id), reason, .. } if id == job => return Ok(Err(reason)),
            Heard::Lost { .. } => {}
            Heard::Said(said) => match *said {
                FromTrainer::Trained { job: id, trained, test, weights, .. } if id == job => {
                    return Ok(Ok((Outcome::Trained(trained), test, weights)));
                }
                FromTrainer::Failed { job: id, failure } if id == job => {
                    return Ok(match failure.kind {
                        FailureKind::Infrastructure => Err(failure.message),
                        _ => Ok((Outcome::Failed(failure), Vec::new(), None)),
                    });
                }
                FromTrainer::Heartbeat { job, progress } => onlooker.heartbeat(job, progress),
                _ => {}
            },
        }
    }
    Err(Failed::Other("all trainers are gone".into()))
}
