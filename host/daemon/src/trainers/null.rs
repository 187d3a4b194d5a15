//! The null trainer: answers at once, or after a pause, with results that are a function of the order alone.
//!
//! Its checkpoints say how many weight updates were made and nothing else; they are written and read like a real
//! trainer's, so that what must be durable before what is under test without libtorch.

use std::time::Duration;

use nasd_protocol::{
    BatchNormMode, Ending, Failure, FailureKind, Measure, MixtureGradient, Point, StepResult, Trained, WeightUpdate,
    trainer::{FromTrainer, SessionOrder, ToTrainer, TrainOrder},
};
use nasd_space::{Gene, RandomSource, StreamRandom};
use nasd_store::{WeightsError, WeightsFolder};
use tokio::sync::mpsc;

use crate::failure::chain;

use super::{TrainerEvent, TrainerId};

/// Minibatches of each stream of a null session; the null trainer reads no data.
const BATCHES: u32 = 10;

/// How a null session's checkpoint begins.
const CHECKPOINT: &str = "null session after updates: ";

/// Start one.
pub fn start(
    id: TrainerId,
    weights: WeightsFolder,
    pause: Duration,
    mut orders: mpsc::UnboundedReceiver<ToTrainer>,
    events: mpsc::UnboundedSender<(TrainerId, TrainerEvent)>,
) {
    tokio::spawn(async move {
        let say = |message| events.send((id, TrainerEvent::Said(Box::new(message))));
        let _ = say(FromTrainer::Ready { libtorch: "none".into(), device: "null".into(), threads: 0 });
        let mut session: Option<(Box<SessionOrder>, u64)> = None;
        while let Some(order) = orders.recv().await {
            match order {
                ToTrainer::Train(order) => {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    train(&order, &weights).into_iter().for_each(|message| drop(say(message)));
                }
                ToTrainer::OpenSession(order) => {
                    let steps_done = match order.checkpoint.as_deref().map(|digest| steps_of(&weights, digest)) {
                        None => 0,
                        Some(Ok(steps_done)) => steps_done,
                        Some(Err(failure)) => {
                            let _ = say(FromTrainer::Failed { job: 0, failure });
                            continue;
                        }
                    };
                    let scheduled_steps = u64::from(order.scheduled_epochs) * u64::from(BATCHES);
                    session = Some((order, steps_done));
                    let (train_batches, validation_batches) = (BATCHES, BATCHES);
                    let _ = say(FromTrainer::SessionOpened {
                        train_batches,
                        validation_batches,
                        steps_done,
                        scheduled_steps,
                    });
                }
                ToTrainer::TrainShared { job, steps } => {
                    let Some((order, steps_done)) = session.as_mut() else { continue };
                    let mut results = Vec::new();
                    for step in &steps {
                        *steps_done += u64::from(step.update == WeightUpdate::Apply);
                        let mut random = StreamRandom::new(order.seed, &format!("step {steps_done}"));
                        let mut gradient = |gene: &Gene| match gene {
                            Gene::Mixture(options) if step.gradient != MixtureGradient::None => {
                                options.iter().map(|_| (random.next_f64() - 0.5) as f32).collect()
                            }
                            _ => Vec::new(),
                        };
                        let gradients = match step.gradient {
                            MixtureGradient::None => Vec::new(),
                            _ => step.architecture.iter().map(&mut gradient).collect(),
                        };
                        let loss = 2.0 / (1.0 + *steps_done as f64 / 100.0);
                        results.push(StepResult { measures: vec![Measure::new("loss", loss)], gradients });
                    }
                    let _ = say(FromTrainer::SharedSteps { job, results, device_seconds: 0.0 });
                }
                ToTrainer::EvaluateShared { job, evaluation } => {
                    let shift = if evaluation.batch_norm == BatchNormMode::BatchStatistics { 0.1 } else { 0.0 };
                    let results = evaluation
                        .architectures
                        .iter()
                        .map(|genes| vec![Measure::new("accuracy", quality(format!("{genes:?}").as_bytes()) - shift)])
                        .collect();
                    let _ = say(FromTrainer::SharedEvaluated { job, results, device_seconds: 0.0 });
                }
                ToTrainer::Checkpoint => {
                    let steps_done = session.as_ref().map_or(0, |(_, steps)| *steps);
                    let _ = say(match weights.put(format!("{CHECKPOINT}{steps_done}").as_bytes()) {
                        Ok(digest) => FromTrainer::Checkpointed { digest, steps_done },
                        Err(error) => FromTrainer::Failed { job: 0, failure: lost(&error) },
                    });
                }
                ToTrainer::Verdict { .. } | ToTrainer::Cancel { .. } | ToTrainer::Run(_) => {}
                ToTrainer::Shutdown => return,
            }
        }
    });
}

fn steps_of(weights: &WeightsFolder, digest: &str) -> Result<u64, Failure> {
    let bytes = weights.open(digest).map_err(|error| lost(&error))?;
    let text = String::from_utf8_lossy(&bytes);
    text.strip_prefix(CHECKPOINT).and_then(|steps| steps.parse().ok()).ok_or_else(|| Failure {
        kind: FailureKind::MissingWeights,
        message: format!("{digest} is no checkpoint of a null session"),
    })
}

fn lost(error: &WeightsError) -> Failure {
    Failure { kind: FailureKind::Infrastructure, message: chain(error) }
}

/// 0.5 to 1, by content.
fn quality(content: &[u8]) -> f64 {
    let [a, b, ..] = *blake3::hash(content).as_bytes();
    0.5 + f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX) / 2.0
}

fn train(order: &TrainOrder, weights: &WeightsFolder) -> Vec<FromTrainer> {
    let mut content = Vec::new();
    for node in &order.graph.nodes {
        content.extend_from_slice(node.id.as_bytes());
    }
    let quality = quality(&content);
    let curve: Vec<Point> = (1..=order.fidelity)
        .map(|fidelity| {
            let accuracy = quality * (1.0 - 0.5f64.powi(fidelity.min(60) as i32));
            let measures = vec![Measure::new("accuracy", accuracy), Measure::new("loss", 1.0 - accuracy)];
            Point { fidelity, measures }
        })
        .collect();
    let measures = curve.last().map(|point| point.measures.clone()).unwrap_or_default();
    let test = if order.final_training { measures.clone() } else { Vec::new() };
    let reports =
        curve.iter().map(|point| FromTrainer::Reported { job: order.job, point: point.clone(), waiting: false });
    let mut messages: Vec<_> = reports.collect();
    let kept = order.keep_weights.then(|| weights.put(&content)).transpose();
    messages.push(match kept {
        Ok(weights) => {
            let trained = Trained { measures, curve, ending: Ending::Complete, predicted: None };
            FromTrainer::Trained { job: order.job, trained, test, weights, device_seconds: 0.0 }
        }
        Err(error) => FromTrainer::Failed { job: order.job, failure: lost(&error) },
    });
    messages
}
