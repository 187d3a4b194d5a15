//! A session on a small template with one decision.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nasd_network::{Graph, Groups, Node, Primitive};
use nasd_protocol::contract::*;
use nasd_protocol::trainer::{Precision, Recipe, SessionOrder, Start, TaskData, TrainOrder};
use nasd_space::{Gene, WeightedOption};
use nasd_train::checkpoint::WeightsFolder;
use nasd_train::classifier::{Supervisor, train};
use nasd_train::session::Session;
use nasd_train::task::DataSource;
use tch::Device;

fn order(checkpoint: Option<String>) -> SessionOrder {
    let convolution = Primitive::Convolution {
        out_channels: 4,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: Groups::Count(1),
        bias: false,
    };
    let norm = Primitive::BatchNorm { affine: false, epsilon: 1e-5, momentum: 0.1 };
    let nodes = [
        ("input", Primitive::Input { shape: [1, 8, 8] }, vec![]),
        ("stem", convolution.clone(), vec![0]),
        ("none", Primitive::Zero { out_channels: 0, stride: 1 }, vec![1]),
        ("conv", convolution, vec![1]),
        ("bn", norm, vec![3]),
        ("switch", Primitive::Switch { decision: 0 }, vec![2, 4, 1]),
        ("linear", Primitive::Linear { out_features: 10, bias: true }, vec![5]),
    ];
    let nodes = nodes.map(|(id, primitive, inputs)| Node { id: id.into(), primitive, inputs }).to_vec();
    let data = TaskData {
        name: "digits".into(),
        digest: String::new(),
        validation_fraction: 0.5,
        data_fraction: 1.0,
        seed: 1,
    };
    SessionOrder {
        graph: Graph { nodes, logits: 6, auxiliary: None },
        data,
        recipe: Recipe::default(),
        precision: Precision::Float64,
        seed: 3,
        scheduled_epochs: 2,
        checkpoint,
    }
}

fn step(split: Split, update: WeightUpdate, gradient: MixtureGradient, weight: f32) -> SharedStep {
    let option = |(index, weight)| WeightedOption { index, weight };
    let mixture = [(0, 0.2), (1, weight), (2, 0.5)].map(option).to_vec();
    SharedStep { architecture: vec![Gene::Mixture(mixture)], split, same_minibatch: false, update, gradient }
}

#[test]
fn a_session_reopened_in_the_middle_goes_on_to_the_last_bit() {
    tch::set_num_threads(1);
    let root = tempfile::tempdir().unwrap();
    let folder = WeightsFolder::new(root.path().into());
    let mut data = DataSource::new("absent".into());
    let mut open = |checkpoint| Session::open(order(checkpoint), &mut data, &folder, Device::Cpu).unwrap();
    let steps = [
        step(Split::Validation, WeightUpdate::None, MixtureGradient::Direct, 0.3),
        step(Split::Train, WeightUpdate::Accumulate, MixtureGradient::None, 0.3),
        step(Split::Train, WeightUpdate::Apply, MixtureGradient::None, 0.3),
        step(Split::Train, WeightUpdate::Apply, MixtureGradient::Direct, 0.0),
    ];
    let never = &mut |_| false;
    let mut whole = open(None);
    let expected = whole.train_shared(&steps, never).unwrap();
    let mut first = open(None);
    let mut found = first.train_shared(&steps[..2], never).unwrap();
    let mut second = open(Some(first.checkpoint(&folder).unwrap()));
    found.extend(second.train_shared(&steps[2..], never).unwrap());
    assert_eq!(found, expected);
    let digest = whole.checkpoint(&folder).unwrap();
    assert_eq!(second.checkpoint(&folder).unwrap(), digest);
    assert_eq!(expected[0].gradients[0].len(), 3);
    assert_eq!(expected[0].gradients[0][0], 0.0);
    assert!(expected[3].gradients[0][1] != 0.0);
    let evaluation = SharedEvaluation {
        architectures: vec![vec![Gene::Choice(1)], vec![Gene::Choice(2)]],
        batches: EvaluationBatches::All,
        batch_norm: BatchNormMode::Recalibrate(2),
    };
    assert_eq!(whole.evaluate_shared(&evaluation, never).unwrap().len(), 2);
    assert_eq!(whole.checkpoint(&folder).unwrap(), digest);
}

#[test]
fn unrolled_gradients_leave_everything_but_the_stream_as_it_was_and_differ_from_direct_ones() {
    tch::set_num_threads(1);
    let root = tempfile::tempdir().unwrap();
    let folder = WeightsFolder::new(root.path().into());
    let mut data = DataSource::new("absent".into());
    let mut open = || Session::open(order(None), &mut data, &folder, Device::Cpu).unwrap();
    let never = &mut |_| false;
    let train = step(Split::Train, WeightUpdate::Apply, MixtureGradient::None, 0.3);
    let looking = |gradient| step(Split::Validation, WeightUpdate::None, gradient, 0.3);
    let (mut first, mut second) = (open(), open());
    let direct = [train.clone(), looking(MixtureGradient::Direct), train.clone()];
    let unrolled = [train.clone(), looking(MixtureGradient::Unrolled), train.clone()];
    let (direct, unrolled) =
        (first.train_shared(&direct, never).unwrap(), second.train_shared(&unrolled, never).unwrap());
    let [direct_, unrolled_] = [&direct, &unrolled].map(|results| results[1].gradients[0].clone());
    assert_ne!(direct_, unrolled_);
    assert!(unrolled_.iter().all(|number| number.is_finite()) && unrolled_[0] == 0.0, "{unrolled_:?}");
    // The weight step afterwards is the same.
    assert_eq!(direct[2], unrolled[2]);
    let refused = step(Split::Train, WeightUpdate::Apply, MixtureGradient::Unrolled, 0.3);
    assert!(second.train_shared(&[refused], never).is_err());
}

struct Alone;

impl Supervisor for Alone {
    fn is_cancelled(&mut self, _: f64) -> bool {
        false
    }
    fn report(&mut self, _: &Point, _: bool) -> nasd_train::error::Result<Verdict> {
        Ok(Verdict::Proceed)
    }
}

#[test]
fn a_network_starts_from_the_shared_weights_as_they_stand() {
    tch::set_num_threads(1);
    let root = tempfile::tempdir().unwrap();
    let folder = WeightsFolder::new(root.path().into());
    let mut data = DataSource::new("absent".into());
    let mut session = Session::open(order(None), &mut data, &folder, Device::Cpu).unwrap();
    session
        .train_shared(&vec![step(Split::Train, WeightUpdate::Apply, MixtureGradient::None, 0.3); 6], &mut |_| false)
        .unwrap();
    let SessionOrder { graph, data: task, recipe, precision, .. } = order(None);
    let graph = nasd_network::specialize(&graph, &[Gene::Choice(1)]).unwrap();
    let order = |start| TrainOrder {
        job: 1,
        graph: graph.clone(),
        data: task.clone(),
        // Nothing is learnt: what comes out is what it started from.
        recipe: Recipe { learning_rate: 0.0, ..recipe.clone() },
        precision,
        seed: 8,
        fidelity: 1,
        schedule: 1,
        start,
        judge_every: 0,
        keep_weights: true,
        save_every: 0,
        final_training: false,
    };
    let shared = session.weights().snapshot().unwrap();
    let finished = train(&order(Start::Shared), &mut data, &folder, Some(session.weights()), Device::Cpu, &mut Alone);
    let kept = folder.read(&finished.unwrap().weights.unwrap()).unwrap();
    let weights = session.weights_mut();
    let n_trained = |weights: &nasd_train::weights::Weights| weights.trained().sum(tch::Kind::Double).double_value(&[]);
    let before = n_trained(weights);
    // Every weight of the path is the shared one; putting them back changes nothing.
    assert!(kept.inherit(weights).unwrap() >= 4);
    assert_eq!(n_trained(weights), before);
    weights.restore(&shared).unwrap();
    let alone = train(&order(Start::Shared), &mut data, &folder, None, Device::Cpu, &mut Alone);
    assert!(alone.is_err_and(|error| error.to_string().contains("no one-shot graph is open")));
}
