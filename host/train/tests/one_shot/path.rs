//! A path on shared weights and the network of its own: same work, same outputs, same gradients.

use nasd_network::{Graph, Primitive, Shape, SpaceDefinition, shapes, specialize};
use nasd_protocol::trainer::{Precision, Recipe};
use nasd_space::{Decision, Gene, WeightedOption};
use nasd_train::classifier::training_loss;
use nasd_train::gradient::{Wanted, gradients};
use nasd_train::images::Minibatch;
use nasd_train::interpreter::Pass;
use nasd_train::module::Module;
use nasd_train::plan::{Plan, Purpose};
use nasd_train::selection::Selection;
use tch::{Device, Kind, Tensor};

use super::support::{darts, difference, numbers, sample, space};

const EXACT: f64 = 1e-12;

/// Channels of a concatenation of loose ends that its network keeps; none where it keeps all.
fn kept_channels(template: &Graph, network: &Graph, id: &str) -> Option<Vec<i64>> {
    let node = template.nodes.iter().find(|node| *node.id == *id)?;
    let kept = network.nodes.iter().find(|node| *node.id == *id)?;
    let kept: Vec<&str> = kept.inputs.iter().map(|&input| network.nodes[input as usize].id.as_ref()).collect();
    let sizes = shapes(template).unwrap();
    let (mut channels, mut start) = (Vec::new(), 0);
    for &input in &node.inputs {
        let Shape::Map([n, ..]) = sizes[input as usize] else { return None };
        if kept.contains(&template.nodes[input as usize].id.as_ref()) {
            channels.extend(start..start + i64::from(n));
        }
        start += i64::from(n);
    }
    Some(channels)
}

/// The concatenation that a node reads, through what keeps channels apart.
fn read_by(graph: &Graph, mut node: usize) -> Option<usize> {
    loop {
        node = *graph.nodes[node].inputs.first()? as usize;
        match graph.nodes[node].primitive {
            Primitive::ConcatLooseEnds => return Some(node),
            Primitive::Relu | Primitive::Crop { .. } | Primitive::GlobalAveragePool | Primitive::Identity => {}
            _ => return None,
        }
    }
}

/// A template's tensor as the network has it: of the channels that its network reads.
fn cut(template: &Graph, network: &Graph, name: &str, tensor: &Tensor) -> Tensor {
    let (id, suffix) = name.rsplit_once('.').unwrap();
    let node = template.nodes.iter().position(|node| *node.id == *id).unwrap();
    match read_by(template, node).filter(|_| suffix == "weight") {
        Some(concat) => {
            let kept = kept_channels(template, network, &template.nodes[concat].id).unwrap();
            tensor.index_select(1, &Tensor::from_slice(&kept))
        }
        None => tensor.shallow_clone(),
    }
}

fn minibatch() -> Minibatch {
    let number = |index: i64, period: f64| (index as f64 / period * std::f64::consts::TAU).sin();
    let pixels: Vec<f64> = (0..6 * 64).map(|index| number(index, 7.3) + number(index * index, 31.7)).collect();
    let images = Tensor::from_slice(&pixels).view([6, 1, 8, 8]);
    Minibatch { images, labels: Tensor::from_slice(&[3i64, 1, 4, 1, 5, 9]) }
}

fn check(space: &SpaceDefinition, seeds: std::ops::Range<u64>) {
    for with_kernels in [false, true] {
        check_by(with_kernels, space, seeds.clone());
    }
}

/// By libtorch or by kernels of our own.
fn check_by(with_kernels: bool, space: &SpaceDefinition, seeds: std::ops::Range<u64>) {
    tch::set_num_threads(1);
    let template = space.one_shot().unwrap();
    let recipe = Recipe { label_smoothing: 0.1, ..Recipe::default() };
    let pass = Pass::training(0.0, 0, 0);
    let wanted = Wanted { weights: true, mixtures: false };
    for seed in seeds {
        let genes = sample(space, seed);
        let what = space.notation(&genes);
        let graph = specialize(template, &genes).unwrap();
        let mut shared = Module::new(template.clone(), seed, Precision::Float64, Device::Cpu).unwrap();
        let mut alone = Module::new(graph.clone(), 99, Precision::Float64, Device::Cpu).unwrap();
        shared.set_kernels(with_kernels);
        alone.set_kernels(with_kernels);
        let names: Vec<String> = alone.weights().parameters().iter().map(|p| p.name.clone()).collect();
        for name in &names {
            let value = cut(template, &graph, name, shared.weights().get(name).unwrap());
            alone.weights_mut().set(name, &value).unwrap();
        }
        let run = |module: &Module, selection: &Selection| {
            let outputs = module.forward(&minibatch().images, selection, &pass).unwrap();
            let loss = training_loss(&outputs, &minibatch(), &recipe).unwrap();
            let (gradient, _) = gradients(module, &loss, &outputs, selection, wanted).unwrap();
            (outputs.logits, gradient)
        };
        let path = Selection::of(&genes, false, Kind::Double, Device::Cpu).unwrap();
        let (logits, gradient) = run(&shared, &path);
        let (expected, expected_gradient) = run(&alone, &Selection::default());
        let apart = difference(&numbers(&logits), &numbers(&expected));
        assert!(apart <= EXACT, "{what}: class scores are {apart:e} apart");
        // By the whole gradient's size: a part that another normalisation takes away is rounding about zero.
        let size = expected_gradient.norm().unwrap();
        let (weights, alone_weights) = (shared.weights(), alone.weights());
        let mut n_used = 0;
        for (index, _) in alone_weights.trained_spans() {
            let name = &alone_weights.parameters()[index].name;
            let of_shared = weights.parameters().iter().position(|p| p.name == *name).unwrap();
            let found = weights.part_of(&gradient.flat(weights).unwrap(), of_shared).unwrap().unwrap();
            let found = numbers(&cut(template, &graph, name, &found));
            let expected = numbers(
                &alone_weights.part_of(&expected_gradient.flat(alone_weights).unwrap(), index).unwrap().unwrap(),
            );
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f64, f64::max);
            assert!(apart <= EXACT * size, "{what}: gradients of {name} are {apart:e} apart");
            assert_eq!(gradient.active()[of_shared], expected_gradient.active()[index], "{what}: {name}");
            n_used += usize::from(gradient.active()[of_shared]);
        }
        assert_eq!(
            n_used,
            gradient.active().iter().filter(|active| **active).count(),
            "{what}: other weights are used"
        );
        for (index, parameter) in alone_weights.parameters().iter().enumerate().filter(|(_, p)| !p.kind.is_trained()) {
            let found = numbers(weights.get(&parameter.name).unwrap());
            let expected = numbers(alone_weights.view(index).unwrap());
            assert!(difference(&found, &expected) <= EXACT, "{what}: running statistics {}", parameter.name);
        }
    }
}

#[test]
fn a_paths_outputs_and_gradients_are_its_networks() {
    check(&darts(), 0..4);
    check(&space("nas-bench-201", &[("stack.channels", "4"), ("stack.cells-per-stage", "1")]), 0..6);
}

#[test]
fn loose_ends_that_are_left_out_make_no_difference() {
    let settings = [("one-shot.channels", "2"), ("one-shot.layers", "3")];
    check(&space("enas-micro", &settings), 0..4);
    check(&space("nasnet", &settings), 0..2);
}

/// What a plan computes: the nodes, by name.
fn computed(graph: &Graph, selection: &Selection) -> Vec<String> {
    let purpose = Purpose { auxiliary: true, drop_path: true, dropout: true };
    let plan = Plan::new(graph, selection, purpose).unwrap();
    plan.steps.iter().map(|step| graph.nodes[step.node].id.to_string()).collect()
}

#[test]
fn a_path_computes_what_its_network_computes_and_nothing_else() {
    let spaces = [
        darts(),
        space("nas-bench-201", &[("stack.cells-per-stage", "2")]),
        space("enas-micro", &[("one-shot.layers", "4")]),
    ];
    for space in spaces {
        let template = space.one_shot().unwrap();
        for seed in 0..10 {
            let genes = sample(&space, seed);
            let network = specialize(template, &genes).unwrap();
            let expected = computed(&network, &Selection::default());
            let path = Selection::of(&genes, false, Kind::Float, Device::Cpu).unwrap();
            assert_eq!(computed(template, &path), expected, "{}", space.notation(&genes));
            // A mixture of one whole option is a path, and an option of weight 0 is not computed.
            let whole = |(gene, decision): (&Gene, &Decision)| match gene {
                Gene::Choice(option) => {
                    let n_options = decision.domain.n_options().unwrap() as u32;
                    let beside = (option + 1 < n_options).then_some(WeightedOption { index: option + 1, weight: 0.0 });
                    let one = WeightedOption { index: *option, weight: 1.0 };
                    Gene::Mixture(std::iter::once(one).chain(beside).collect())
                }
                other => other.clone(),
            };
            let mixture: Vec<Gene> = genes.iter().zip(&space.space().decisions).map(whole).collect();
            let mixture = Selection::of(&mixture, false, Kind::Float, Device::Cpu).unwrap();
            assert_eq!(computed(template, &mixture), expected, "{}", space.notation(&genes));
        }
    }
}
