//! Orders that do not run to their end: stopped, cancelled, diverging, impossible; over the message loop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use nasd_network::{Graph, GraphBuilder, Primitive, Window};
use nasd_protocol::contract::{Ending, FailureKind, Trained, Verdict};
use nasd_protocol::frame;
use nasd_protocol::trainer::{FromTrainer, Precision, Recipe, Start, TaskData, ToTrainer, TrainOrder};
use nasd_train::serve::{Options, serve};
use tch::Device;

struct Trainer {
    channel: UnixStream,
    server: JoinHandle<()>,
    /// Weights.
    _folder: tempfile::TempDir,
}

impl Trainer {
    fn start() -> Self {
        let (channel, theirs) = UnixStream::pair().unwrap();
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
        let mut trainer = Self { channel, server, _folder: folder };
        match trainer.hear() {
            FromTrainer::Ready { libtorch, .. } => assert!(libtorch.starts_with("2."), "{libtorch}"),
            other => panic!("{other:?}"),
        }
        trainer
    }

    fn say(&mut self, message: &ToTrainer) {
        frame::write(&mut self.channel, message).unwrap();
    }

    fn order(&mut self, order: TrainOrder) {
        self.say(&ToTrainer::Train(Box::new(order)));
    }

    /// The next message that is no heartbeat.
    fn hear(&mut self) -> FromTrainer {
        loop {
            match frame::read(&mut self.channel).unwrap() {
                FromTrainer::Heartbeat { .. } => {}
                message => return message,
            }
        }
    }

    /// Fidelity of the next report, which waits for a verdict.
    fn hear_report(&mut self) -> u32 {
        match self.hear() {
            FromTrainer::Reported { job: 7, point, waiting: true } => point.fidelity,
            other => panic!("{other:?}"),
        }
    }

    fn hear_trained(&mut self) -> Trained {
        match self.hear() {
            FromTrainer::Trained { job: 7, trained, .. } => trained,
            other => panic!("{other:?}"),
        }
    }

    fn hear_failure(&mut self) -> (FailureKind, String) {
        match self.hear() {
            FromTrainer::Failed { job: 7, failure } => (failure.kind, failure.message),
            other => panic!("{other:?}"),
        }
    }

    fn end(mut self) {
        self.say(&ToTrainer::Shutdown);
        self.server.join().unwrap();
    }
}

fn network() -> Graph {
    let (mut graph, input) = GraphBuilder::new([1, 8, 8]).unwrap();
    let value = graph.relu_conv_bn("cell0", input, 4, Window::same(3, 2), true).unwrap();
    let logits = graph.linear("head/linear", value, 10).unwrap();
    graph.finish(logits, None)
}

fn order(fidelity: u32, judge_every: u32) -> TrainOrder {
    TrainOrder {
        job: 7,
        graph: network(),
        data: TaskData {
            name: "digits".into(),
            digest: String::new(),
            validation_fraction: 0.2,
            data_fraction: 0.5,
            seed: 1,
        },
        recipe: Recipe::default(),
        precision: Precision::Float32,
        seed: 5,
        fidelity,
        schedule: fidelity,
        start: Start::Fresh,
        judge_every,
        keep_weights: false,
        save_every: 0,
        final_training: false,
    }
}

#[test]
fn a_verdict_lets_a_training_go_on_or_ends_it_with_what_it_has() {
    let mut trainer = Trainer::start();
    trainer.order(order(4, 1));
    for (fidelity, verdict) in [(1, Verdict::Proceed), (2, Verdict::Stop)] {
        assert_eq!(trainer.hear_report(), fidelity);
        trainer.say(&ToTrainer::Verdict { job: 7, verdict });
    }
    let trained = trainer.hear_trained();
    assert_eq!(trained.ending, Ending::StoppedByStrategy);
    assert_eq!(trained.curve.len(), 2);
    assert_eq!(trained.measures, trained.curve[1].measures);
    trainer.end();
}

#[test]
fn a_training_is_cancelled_while_it_waits_and_while_it_computes_and_the_next_one_runs() {
    let mut trainer = Trainer::start();
    trainer.order(order(2, 1));
    assert_eq!(trainer.hear_report(), 1);
    trainer.say(&ToTrainer::Cancel { job: 7 });
    assert_eq!(trainer.hear_failure().0, FailureKind::Cancelled);
    // Far more epochs than any machine does before the message arrives.
    trainer.order(order(1_000_000, 0));
    trainer.say(&ToTrainer::Cancel { job: 8 });
    trainer.say(&ToTrainer::Cancel { job: 7 });
    let kind = loop {
        match trainer.hear() {
            FromTrainer::Reported { waiting: false, .. } => {}
            FromTrainer::Failed { job: 7, failure } => break failure.kind,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind, FailureKind::Cancelled);
    trainer.order(order(2, 1));
    assert_eq!(trainer.hear_report(), 1);
    trainer.say(&ToTrainer::Verdict { job: 7, verdict: Verdict::Proceed });
    assert!(matches!(trainer.hear(), FromTrainer::Reported { waiting: false, .. }));
    assert_eq!(trainer.hear_trained().ending, Ending::Complete);
    trainer.end();
}

#[test]
fn a_loss_that_is_no_number_is_a_divergence() {
    let mut trainer = Trainer::start();
    let recipe = Recipe { learning_rate: 1e30, clip: 0.0, ..Recipe::default() };
    trainer.order(TrainOrder { recipe, ..order(2, 0) });
    let (kind, message) = trainer.hear_failure();
    assert_eq!(kind, FailureKind::Diverged, "{message}");
    trainer.end();
}

#[test]
fn a_graph_that_cannot_be_computed_fails_as_unsupported_and_names_the_node() {
    let mut trainer = Trainer::start();
    let mut graph = network();
    // Adds maps of different sizes.
    graph.nodes[2].primitive = Primitive::Add;
    graph.nodes[2].inputs = vec![0, 1];
    let add = graph.nodes[2].id.clone();
    graph.nodes[1].primitive = Primitive::MaxPool { kernel: [2; 2], stride: [2; 2], padding: [0; 2] };
    trainer.order(TrainOrder { graph, ..order(1, 0) });
    let (kind, message) = trainer.hear_failure();
    assert_eq!(kind, FailureKind::Unsupported, "{message}");
    assert!(message.contains(&*add), "{message}");
    // What only libtorch refuses: padding of more than half a pooling window.
    let mut graph = network();
    graph.nodes[1].primitive = Primitive::MaxPool { kernel: [2; 2], stride: [2; 2], padding: [2; 2] };
    trainer.order(TrainOrder { graph, ..order(1, 0) });
    let (kind, message) = trainer.hear_failure();
    assert_eq!(kind, FailureKind::Unsupported, "{message}");
    assert!(message.contains("cell0/relu"), "{message}");
    trainer.end();
}
