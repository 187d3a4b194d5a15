//! A small network learns the embedded digits, through the library and through the message loop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::os::unix::net::UnixStream;

use nasd_network::{Graph, Groups, Node, Primitive};
use nasd_protocol::contract::{Measure, Point, Verdict};
use nasd_protocol::frame;
use nasd_protocol::trainer::{Augmentation, FromTrainer, Precision, Recipe, Start, TaskData, ToTrainer, TrainOrder};
use nasd_train::checkpoint::WeightsFolder;
use nasd_train::classifier::{Finished, Supervisor, train};
use nasd_train::error::Result;
use nasd_train::serve::{Options, serve};
use nasd_train::task::DataSource;
use tch::Device;

struct Alone;

impl Supervisor for Alone {
    fn is_cancelled(&mut self, _: f64) -> bool {
        false
    }
    fn report(&mut self, _: &Point, _: bool) -> Result<Verdict> {
        Ok(Verdict::Proceed)
    }
}

fn network() -> Graph {
    let convolution = Primitive::Convolution {
        out_channels: 8,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: Groups::Count(1),
        bias: false,
    };
    let norm = Primitive::BatchNorm { affine: true, epsilon: 1e-5, momentum: 0.1 };
    let nodes = [
        ("input", Primitive::Input { shape: [1, 8, 8] }, vec![]),
        ("conv1", convolution.clone(), vec![0]),
        ("bn1", norm.clone(), vec![1]),
        ("relu", Primitive::Relu, vec![2]),
        ("conv2", convolution, vec![3]),
        ("bn2", norm, vec![4]),
        ("path", Primitive::DropPath, vec![5]),
        ("add", Primitive::Add, vec![6, 3]),
        ("linear", Primitive::Linear { out_features: 10, bias: true }, vec![7]),
    ];
    let nodes = nodes.map(|(id, primitive, inputs)| Node { id: id.into(), primitive, inputs }).to_vec();
    Graph { nodes, logits: 8, auxiliary: None }
}

fn order(fidelity: u32, start: Start) -> TrainOrder {
    TrainOrder {
        job: 7,
        graph: network(),
        data: TaskData {
            name: "digits".into(),
            digest: String::new(),
            validation_fraction: 0.2,
            data_fraction: 1.0,
            seed: 1,
        },
        recipe: Recipe {
            drop_path: 0.1,
            nesterov: true,
            augmentation: Augmentation { crop_padding: 1, flip: false, cutout: 2 },
            ..Recipe::default()
        },
        precision: Precision::Float32,
        seed: 5,
        fidelity,
        schedule: 3,
        start,
        judge_every: 0,
        keep_weights: true,
        save_every: 0,
        final_training: false,
    }
}

fn finish(order: &TrainOrder, folder: &WeightsFolder) -> Finished {
    train(order, &mut DataSource::new("absent".into()), folder, None, Device::Cpu, &mut Alone).unwrap()
}

#[test]
fn two_epochs_and_one_resumed_are_three_epochs_to_the_last_bit() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let folder = WeightsFolder::new(folder.path().into());
    let whole = finish(&order(3, Start::Fresh), &folder);
    let again = finish(&order(3, Start::Fresh), &folder);
    assert_eq!(whole.weights, again.weights);
    let part = finish(&order(2, Start::Fresh), &folder);
    let resumed = finish(&TrainOrder { seed: 99, ..order(3, Start::Resume(part.weights.unwrap())) }, &folder);
    assert_eq!(whole.trained, resumed.trained);
    assert_eq!(whole.weights, resumed.weights);
    let accuracy = Measure::find(&whole.trained.measures, "accuracy").unwrap();
    assert!(accuracy > 0.8, "{:?}", whole.trained.measures);
}

/// Keeps what was saved.
#[derive(Default)]
struct Saving(Vec<(u32, String)>);

impl Supervisor for Saving {
    fn is_cancelled(&mut self, _: f64) -> bool {
        false
    }
    fn report(&mut self, _: &Point, _: bool) -> Result<Verdict> {
        Ok(Verdict::Proceed)
    }
    fn saved(&mut self, fidelity: u32, digest: &str) -> Result<()> {
        self.0.push((fidelity, digest.to_owned()));
        Ok(())
    }
}

#[test]
fn a_training_goes_on_from_what_it_saved_with_its_average_to_the_last_bit() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let folder = WeightsFolder::new(folder.path().into());
    let recipe = Recipe { average: 0.99, warmup_epochs: 1, ..order(0, Start::Fresh).recipe };
    let order = |start| TrainOrder { save_every: 2, final_training: true, recipe: recipe.clone(), ..order(5, start) };
    let mut saving = Saving::default();
    let mut data = DataSource::new("absent".into());
    let whole = train(&order(Start::Fresh), &mut data, &folder, None, Device::Cpu, &mut saving).unwrap();
    assert_eq!(saving.0.iter().map(|(fidelity, _)| *fidelity).collect::<Vec<_>>(), [2, 4]);
    for (_, digest) in saving.0 {
        let resumed = finish(&order(Start::Resume(digest)), &folder);
        assert_eq!((&whole.trained, &whole.test, &whole.weights), (&resumed.trained, &resumed.test, &resumed.weights));
    }
    // The average is what is measured.
    let plain = TrainOrder { recipe: Recipe { average: 0.0, ..recipe.clone() }, ..order(Start::Fresh) };
    assert_ne!(finish(&plain, &folder).test, whole.test);
}

#[test]
fn an_order_is_answered_through_the_message_loop_and_a_bad_one_fails_alone() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        device: Device::Cpu,
        device_name: "cpu".into(),
        threads: 1,
        data: "absent".into(),
        weights: folder.path().into(),
    };
    let input = theirs.try_clone().unwrap();
    let server = std::thread::spawn(move || serve(input, theirs, &options, |_| {}).unwrap());
    let mut bad = order(1, Start::Fresh);
    bad.graph.logits = 99;
    for order in [bad, TrainOrder { final_training: true, ..order(1, Start::Fresh) }] {
        frame::write(&mut ours, &ToTrainer::Train(Box::new(order))).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match frame::read::<FromTrainer>(&mut ours).unwrap() {
            FromTrainer::Ready { .. } => seen.push("ready"),
            FromTrainer::Failed { job: 7, .. } => seen.push("failed"),
            FromTrainer::Reported { waiting: false, .. } => seen.push("reported"),
            FromTrainer::Trained { test, .. } => {
                assert_eq!(test.len(), 2);
                seen.push("trained");
            }
            FromTrainer::Heartbeat { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["ready", "failed", "reported", "trained"]);
    frame::write(&mut ours, &ToTrainer::Shutdown).unwrap();
    ours.flush().unwrap();
    server.join().unwrap();
}
