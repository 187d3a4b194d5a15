//! Messages to and from trainers: streams of frames, in both directions. What is read is written again the same, and
//! the graphs of orders are looked at as a trainer does before it makes tensors of them.

use nasd_network::{
    Counting, Graph, GraphBuilder, Primitive, SpaceDefinition, Window, active_nodes, costs, parameters, shapes,
    simplify, specialize,
};
use nasd_protocol::{
    BatchNormMode, Ending, EvaluationBatches, Failure, FailureKind, Measure, MixtureGradient, Point, SharedEvaluation,
    SharedStep, Split, StepResult, Trained, Verdict, WeightUpdate,
    frame::{self, FrameError},
    trainer::{
        CommandOrder, FromTrainer, Precision, Recipe, SessionOrder, Start, TaskData, ToTrainer, TrainOrder,
        architectures_of,
    },
};
use nasd_space::{Gene, WeightedOption};
use serde::{Serialize, de::DeserializeOwned};

use crate::frames::repaired;

/// The target.
pub fn read(bytes: &[u8]) {
    for bytes in [bytes, &repaired(bytes, 0)] {
        all::<FromTrainer>(bytes, |_| ());
        let mut template = Graph::default();
        all::<ToTrainer>(bytes, |order| carry_out(order, &mut template));
    }
}

fn all<T: Serialize + DeserializeOwned>(mut stream: &[u8], mut look: impl FnMut(T)) {
    loop {
        match frame::read_body(&mut stream) {
            Ok(body) => {
                if let Ok(message) = frame::decode_body::<T>(&body) {
                    let written = frame::encode_body(&message).expect("what was read can be written");
                    let again: T = frame::decode_body(&written).expect("what was written can be read");
                    let twice = frame::encode_body(&again).expect("what was read can be written");
                    assert!(written == twice, "a message changes when it is written and read");
                    look(message);
                }
            }
            Err(FrameError::Checksum { .. }) => {}
            Err(_) => return,
        }
    }
}

/// What a trainer does with an order before it makes tensors; `template` is that of the session.
fn carry_out(order: ToTrainer, template: &mut Graph) {
    match order {
        ToTrainer::Train(order) => drop(look_at(&order.graph)),
        ToTrainer::OpenSession(order) if look_at(&order.graph) => *template = order.graph,
        ToTrainer::TrainShared { steps, .. } => architectures_of(&steps).for_each(|genes| choose(template, genes)),
        ToTrainer::EvaluateShared { evaluation, .. } => {
            evaluation.architectures.iter().for_each(|genes| choose(template, genes));
        }
        _ => {}
    }
}

/// Whether the graph is one that can be made.
fn look_at(graph: &Graph) -> bool {
    let is_sound = shapes(graph).is_ok();
    if is_sound {
        let _ = parameters(graph);
        let _ = costs(graph, Counting::default());
        let _ = shapes(&simplify(graph));
    }
    is_sound
}

fn choose(template: &Graph, genes: &[Gene]) {
    let _ = active_nodes(template, genes);
    if let Ok(network) = specialize(template, genes) {
        look_at(&network);
    }
}

/// A message of every kind, and a conversation.
pub fn specimens() -> Vec<Vec<u8>> {
    let (mut graph, input) = GraphBuilder::new([1, 8, 8]).expect("an input");
    let hidden = graph.relu_conv_bn("a", input, 4, Window::same(3, 1), true).expect("a convolution");
    let pooled = graph.node("pool", Primitive::GlobalAveragePool, &[hidden]).expect("a pooling");
    let logits = graph.linear("logits", pooled, 10).expect("a layer");
    let graph = graph.finish(logits, None);
    let space = SpaceDefinition::preset("nas-bench-201").expect("a preset");
    let space = space.set("stack.channels", "4").and_then(|space| space.set("stack.cells-per-stage", "1"));
    let template = space.expect("settings").one_shot().expect("a template").clone();
    let data =
        TaskData { name: "digits".into(), digest: "ab".into(), validation_fraction: 0.2, data_fraction: 1.0, seed: 1 };
    let train = |graph: Graph| {
        ToTrainer::Train(Box::new(TrainOrder {
            job: 1,
            graph,
            data: data.clone(),
            recipe: Recipe::default(),
            precision: Precision::Float32,
            seed: 1,
            fidelity: 2,
            schedule: 2,
            start: Start::Inherit("cd".into()),
            judge_every: 1,
            keep_weights: true,
            save_every: 1,
            final_training: false,
        }))
    };
    let session = SessionOrder {
        graph: template,
        data: data.clone(),
        recipe: Recipe::default(),
        precision: Precision::Float64,
        seed: 1,
        scheduled_epochs: 3,
        checkpoint: Some("ef".into()),
    };
    let option = |index| WeightedOption { index, weight: 0.5 };
    let step = SharedStep {
        architecture: vec![Gene::Mixture(vec![option(0), option(2)]); 6],
        split: Split::Validation,
        same_minibatch: false,
        update: WeightUpdate::None,
        gradient: MixtureGradient::Unrolled,
    };
    let evaluation = SharedEvaluation {
        architectures: vec![vec![Gene::Choice(1); 6]],
        batches: EvaluationBatches::First(3),
        batch_norm: BatchNormMode::Recalibrate(2),
    };
    let command = CommandOrder {
        job: 3,
        command: vec!["true".into()],
        folder: ".".into(),
        parameters: "{}".into(),
        seed: 1,
        fidelity: 1,
        timeout_seconds: 1.0,
    };
    let orders = [
        train(graph),
        ToTrainer::Run(Box::new(command)),
        ToTrainer::OpenSession(Box::new(session)),
        ToTrainer::TrainShared { job: 4, steps: vec![step] },
        ToTrainer::EvaluateShared { job: 5, evaluation },
        ToTrainer::Checkpoint,
        ToTrainer::Verdict { job: 1, verdict: Verdict::Stop },
        ToTrainer::Cancel { job: 1 },
        ToTrainer::Shutdown,
    ];
    let measures = || vec![Measure::new("loss", 0.5)];
    let point = Point { fidelity: 1, measures: measures() };
    let trained =
        Trained { measures: measures(), curve: vec![point.clone()], ending: Ending::Complete, predicted: Some(0.5) };
    let failure = Failure { kind: FailureKind::Infrastructure, message: "text".into() };
    let answers = [
        FromTrainer::Ready { libtorch: "2.13".into(), device: "cpu".into(), threads: 1 },
        FromTrainer::Heartbeat { job: Some(3), progress: 0.5 },
        FromTrainer::Reported { job: 1, point, waiting: true },
        FromTrainer::Saved { job: 1, fidelity: 1, weights: "ab".into() },
        FromTrainer::Trained { job: 1, trained, test: measures(), weights: None, device_seconds: 1.0 },
        FromTrainer::SessionOpened { train_batches: 5, validation_batches: 5, steps_done: 0, scheduled_steps: 20 },
        FromTrainer::SharedSteps {
            job: 4,
            results: vec![StepResult { measures: measures(), gradients: vec![vec![0.5, -0.5]] }],
            device_seconds: 1.0,
        },
        FromTrainer::SharedEvaluated { job: 5, results: vec![measures()], device_seconds: 1.0 },
        FromTrainer::Checkpointed { digest: "ab".into(), steps_done: 9 },
        FromTrainer::Failed { job: 1, failure },
    ];
    let orders = orders.iter().map(frame::encode);
    let mut specimens: Vec<Vec<u8>> = orders.chain(answers.iter().map(frame::encode)).map_while(Result::ok).collect();
    specimens.push(specimens.concat());
    specimens
}
