//! Passes with kernels against the plain path through libtorch: the same formulae in double precision, the same numbers
//! up to rounding in single.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nasd_network::{Graph, SpaceDefinition};
use nasd_protocol::trainer::Precision;
use nasd_space::{Architecture, Gene, RandomSource, StreamRandom, WeightedOption};
use nasd_train::classifier::cross_entropy;
use nasd_train::gradient::{Wanted, gradients};
use nasd_train::interpreter::{Pass, Statistics};
use nasd_train::module::Module;
use nasd_train::selection::Selection;
use tch::{Device, Kind, Tensor, no_grad};

const BATCH: i64 = 6;
const ALL: Wanted = Wanted { weights: true, mixtures: true };

/// Everything that a pass gives.
struct Found {
    logits: Tensor,
    weights: Tensor,
    mixtures: Vec<f64>,
    running: Tensor,
}

struct Subject {
    graph: Graph,
    architecture: Architecture,
    input: [i64; 3],
}

fn space(preset: &str, settings: &[(&str, &str)], input: [u32; 3]) -> SpaceDefinition {
    let space = SpaceDefinition::preset(preset).unwrap().with_task(input, 10).unwrap();
    settings.iter().fold(space, |space, (key, value)| space.set(key, value).unwrap())
}

impl Subject {
    /// The space's one-shot graph with uneven mixtures of all options.
    fn mixed(space: &SpaceDefinition, input: [u32; 3]) -> Self {
        let mut random = StreamRandom::new(1, "kernels");
        let decisions = space.space().decisions.iter();
        let architecture = decisions.map(|decision| {
            let n = decision.domain.n_options().unwrap_or_default();
            let drawn: Vec<f64> = (0..n).map(|_| 0.5 + random.next_f64()).collect();
            let sum: f64 = drawn.iter().sum();
            let options = (0u32..).zip(drawn);
            Gene::Mixture(options.map(|(index, w)| WeightedOption { index, weight: (w / sum) as f32 }).collect())
        });
        let architecture = architecture.collect();
        Self { graph: space.one_shot().unwrap().clone(), architecture, input: input.map(i64::from) }
    }

    /// A sampled network by itself.
    fn sampled(space: &SpaceDefinition, input: [u32; 3], seed: u64) -> Self {
        let genes = space.space().sample(&mut StreamRandom::new(seed, "kernels")).unwrap();
        let graph = space.network(&genes).unwrap();
        Self { graph, architecture: Vec::new(), input: input.map(i64::from) }
    }

    fn pass(&self, precision: Precision, with_kernels: bool, pass: Pass, wanted: Wanted) -> Found {
        let mut module = Module::new(self.graph.clone(), 3, precision, Device::Cpu).unwrap();
        module.set_kernels(with_kernels);
        let mut random = StreamRandom::new(2, "images");
        let [channels, height, width] = self.input;
        let count = (BATCH * channels * height * width) as usize;
        let images: Vec<f64> = (0..count).map(|_| 2.0 * random.next_f64() - 1.0).collect();
        let images = Tensor::from_slice(&images).view([BATCH, channels, height, width]).to_kind(module.kind());
        let labels = Tensor::from_slice(&(0..BATCH).map(|n| n % 10).collect::<Vec<_>>());
        let selection = Selection::of(&self.architecture, wanted.mixtures, module.kind(), Device::Cpu).unwrap();
        let outputs = module.forward(&images, &selection, &pass).unwrap();
        let loss = cross_entropy(&outputs.logits, &labels, 0.1).unwrap();
        assert_eq!(outputs.record.is_some(), with_kernels);
        let (weights, mixtures) = gradients(&module, &loss, &outputs, &selection, wanted).unwrap();
        let double = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double).copy();
        let running = double(module.weights_mut().buffers_mut());
        Found {
            logits: double(&outputs.logits),
            weights: double(&weights.flat(module.weights()).unwrap()),
            mixtures: mixtures.concat(),
            running,
        }
    }

    fn check(&self, what: &str, pass: Pass, wanted: Wanted, precision: Precision, tolerance: f64) {
        tch::set_num_threads(2);
        let [kernels, plain] = [true, false].map(|with_kernels| self.pass(precision, with_kernels, pass, wanted));
        close(&format!("{what}: logits"), &kernels.logits, &plain.logits, tolerance);
        close(&format!("{what}: gradients"), &kernels.weights, &plain.weights, tolerance);
        close(&format!("{what}: running statistics"), &kernels.running, &plain.running, tolerance);
        assert_eq!(kernels.mixtures.len(), plain.mixtures.len());
        let [kernels, plain] = [&kernels.mixtures, &plain.mixtures].map(|numbers| Tensor::from_slice(numbers));
        close(&format!("{what}: gradients of mixtures"), &kernels, &plain, tolerance);
    }
}

/// Relative to the norm.
fn close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let size = expected.norm().double_value(&[]);
    let difference = (found - expected).norm().double_value(&[]);
    assert!(difference <= tolerance * size, "{what}: differs by {difference:e}, its size is {size:e}");
}

const DARTS: [(&str, &str); 2] = [("one-shot.layers", "3"), ("one-shot.channels", "16")];

#[test]
fn a_one_shot_graph_has_the_plain_paths_gradients_in_double_precision() {
    let space = space("darts-cnn", &DARTS, [3, 16, 16]);
    let subject = Subject::mixed(&space, [3, 16, 16]);
    for (weights, mixtures) in [(true, true), (true, false), (false, true)] {
        let wanted = Wanted { weights, mixtures };
        subject.check("darts-cnn", Pass::training(0.0, 1, 0), wanted, Precision::Float64, 1e-10);
    }
    let pass = Pass { statistics: Statistics::Running, ..Pass::training(0.0, 1, 0) };
    subject.check("darts-cnn, running statistics", pass, ALL, Precision::Float64, 1e-10);
    let pass = Pass { statistics: Statistics::Average(3), ..Pass::training(0.0, 1, 0) };
    subject.check("darts-cnn, averaged statistics", pass, ALL, Precision::Float64, 1e-10);
}

#[test]
fn channels_that_are_no_whole_vectors_take_the_plain_path_inside() {
    let space = space("darts-cnn", &[("one-shot.layers", "3"), ("one-shot.channels", "6")], [3, 16, 16]);
    let subject = Subject::mixed(&space, [3, 16, 16]);
    subject.check("darts-cnn of 6 channels", Pass::training(0.0, 1, 0), ALL, Precision::Float64, 1e-10);
    subject.check("darts-cnn of 6 channels", Pass::training(0.0, 1, 0), ALL, Precision::Float32, 1e-3);
}

#[test]
fn networks_by_themselves_have_the_plain_paths_gradients_in_double_precision() {
    let stack = [("stack.layers", "6"), ("stack.channels", "8")];
    let weights = Wanted { weights: true, mixtures: false };
    for (preset, settings, n) in [
        ("darts-cnn", stack.as_slice(), 6),
        ("nas-bench-201", [("stack.channels", "8"), ("stack.cells-per-stage", "1")].as_slice(), 6),
    ] {
        let space = space(preset, settings, [3, 32, 32]);
        for seed in 0..n {
            let subject = Subject::sampled(&space, [3, 32, 32], seed);
            let what = format!("{preset}, {seed}");
            subject.check(&what, Pass::training(0.2, 1, 0), weights, Precision::Float64, 1e-10);
            let running = Pass { statistics: Statistics::Running, ..Pass::training(0.0, 1, 0) };
            subject.check(&what, running, weights, Precision::Float64, 1e-10);
        }
    }
}

#[test]
fn one_cell_agrees_to_rounding_in_single_precision() {
    let settings = [("one-shot.layers", "1"), ("one-shot.channels", "16")];
    let space = space("darts-cnn", &settings, [3, 16, 16]);
    let subject = Subject::mixed(&space, [3, 16, 16]);
    let pass = Pass::training(0.0, 1, 0);
    subject.check("a cell", pass, ALL, Precision::Float32, 1e-5);
}

#[test]
fn the_same_number_of_threads_gives_the_same_bits() {
    let space = space("darts-cnn", &DARTS, [3, 16, 16]);
    let subject = Subject::mixed(&space, [3, 16, 16]);
    tch::set_num_threads(2);
    let [one, other] = [0, 1].map(|_| subject.pass(Precision::Float32, true, Pass::training(0.0, 1, 0), ALL));
    assert_eq!(one.weights, other.weights);
    assert_eq!(one.mixtures, other.mixtures);
    assert_eq!(one.logits, other.logits);
}

#[test]
fn an_evaluation_pass_gives_the_plain_paths_scores() {
    let space = space("darts-cnn", &DARTS, [3, 16, 16]);
    let subject = Subject::mixed(&space, [3, 16, 16]);
    let scores = [true, false].map(|with_kernels| {
        let mut module = Module::new(subject.graph.clone(), 3, Precision::Float64, Device::Cpu).unwrap();
        module.set_kernels(with_kernels);
        let selection = Selection::of(&subject.architecture, false, Kind::Double, Device::Cpu).unwrap();
        let images = Tensor::arange(BATCH * 768, (Kind::Double, Device::Cpu)).sin().view([BATCH, 3, 16, 16]);
        let outputs = no_grad(|| module.forward(&images, &selection, &Pass::evaluation(Statistics::Batch))).unwrap();
        assert!(outputs.record.is_none());
        outputs.logits
    });
    close("scores", &scores[0], &scores[1], 1e-10);
}
