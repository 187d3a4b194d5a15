//! Evaluation of architectures on shared weights: batch-norm's three ways, and that it leaves no trace.

use nasd_protocol::contract::{
    BatchNormMode, EvaluationBatches, Measure, SharedEvaluation, SharedStep, Split, WeightUpdate,
};
use nasd_protocol::trainer::Recipe;
use nasd_space::Architecture;
use nasd_train::session::Session;

use super::support::{darts, open, order, sample, step, values};

const NEVER: fn(f64) -> bool = |_| false;

fn trained() -> (Session, Vec<Architecture>) {
    let space = darts();
    let mut session = open(order(&space, Recipe { batch_size: 128, ..Recipe::default() }));
    let paths: Vec<Architecture> = (0..6).map(|seed| sample(&space, seed)).collect();
    let steps: Vec<SharedStep> = paths.iter().map(|path| step(path.clone(), WeightUpdate::Apply)).collect();
    session.train_shared(&steps, &mut NEVER.clone()).unwrap();
    (session, paths)
}

fn evaluate(
    session: &mut Session,
    architectures: &[Architecture],
    batches: EvaluationBatches,
    batch_norm: BatchNormMode,
) -> Vec<Vec<Measure>> {
    let evaluation = SharedEvaluation { architectures: architectures.to_vec(), batches, batch_norm };
    session.evaluate_shared(&evaluation, &mut NEVER.clone()).unwrap()
}

#[test]
fn recalibration_is_of_each_architecture_alone_and_leaves_every_buffer_as_it_was() {
    let (mut session, paths) = trained();
    let before = values(session.weights());
    let (first, mode) = (EvaluationBatches::First(2), BatchNormMode::Recalibrate(3));
    let together = evaluate(&mut session, &paths, first, mode);
    assert_eq!(values(session.weights()), before);
    // In another order, one a job, after other work: the same numbers to the last bit.
    evaluate(&mut session, &paths[..2], EvaluationBatches::Next(3), BatchNormMode::BatchStatistics);
    for (path, expected) in paths.iter().zip(&together).rev() {
        assert_eq!(&evaluate(&mut session, std::slice::from_ref(path), first, mode)[0], expected);
    }
    assert_eq!(values(session.weights()), before);
    // Architectures were not all the same, and recalibration says something else than what was gathered in training.
    assert!(together.windows(2).any(|pair| pair[0] != pair[1]));
    assert_ne!(evaluate(&mut session, &paths, first, BatchNormMode::RunningStatistics), together);
}

#[test]
fn batch_statistics_change_nothing_and_are_those_of_training() {
    let (mut session, paths) = trained();
    let before = values(session.weights());
    let path = std::slice::from_ref(&paths[0]);
    let found = evaluate(&mut session, path, EvaluationBatches::Next(1), BatchNormMode::BatchStatistics);
    assert_eq!(values(session.weights()), before);
    // The same minibatch in training mode, without an update.
    let look = SharedStep { split: Split::Validation, ..step(paths[0].clone(), WeightUpdate::None) };
    let mut again = trained().0;
    let expected = again.train_shared(&[look], &mut NEVER.clone()).unwrap();
    let loss = |measures: &[Measure]| Measure::find(measures, "loss").unwrap();
    assert!((loss(&found[0]) - loss(&expected[0].measures)).abs() < 1e-12);
}

#[test]
fn the_first_minibatches_are_the_same_in_every_job_and_the_next_ones_move_on() {
    let (mut session, paths) = trained();
    let mode = BatchNormMode::RunningStatistics;
    let mut run = |batches| evaluate(&mut session, &paths, batches, mode);
    let first = run(EvaluationBatches::First(1));
    let next = run(EvaluationBatches::Next(1));
    assert_eq!(run(EvaluationBatches::First(1)), first);
    assert_ne!(run(EvaluationBatches::Next(1)), next);
    // More than there are is all.
    assert_eq!(run(EvaluationBatches::First(10_000)), run(EvaluationBatches::All));
}

#[test]
fn a_failed_evaluation_leaves_the_buffers_too() {
    let (mut session, paths) = trained();
    let before = values(session.weights());
    let mut bad = paths.clone();
    bad[3][0] = nasd_space::Gene::Choice(99);
    let evaluation = SharedEvaluation {
        architectures: bad,
        batches: EvaluationBatches::All,
        batch_norm: BatchNormMode::Recalibrate(1),
    };
    let failed = session.evaluate_shared(&evaluation, &mut NEVER.clone());
    assert!(failed.is_err_and(|error| error.to_string().starts_with("decision 0")));
    assert_eq!(values(session.weights()), before);
}
