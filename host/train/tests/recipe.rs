//! Parts of a recipe against their formulas, in double precision.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nasd_data::{ImageSet, Split};
use nasd_network::{Graph, Node, Primitive};
use nasd_protocol::trainer::{Augmentation, Precision, Recipe};
use nasd_space::StreamRandom;
use nasd_train::average::Average;
use nasd_train::classifier::training_loss;
use nasd_train::images::{Images, Minibatch};
use nasd_train::interpreter::{Pass, Statistics};
use nasd_train::module::{Module, Outputs};
use nasd_train::selection::Selection;
use tch::{Device, Kind, Tensor, no_grad};

/// A graph that ends in its last node's values, one after the other.
fn module(nodes: &[(&str, Primitive)]) -> Module {
    tch::set_num_threads(1);
    let input = ("input", Primitive::Input { shape: [2, 2, 2] });
    let out = ("logits", Primitive::Linear { out_features: 8, bias: false });
    let chain = std::iter::once(&input).chain(nodes).chain(std::iter::once(&out));
    let node = |(index, (id, primitive)): (u32, &(&str, Primitive))| Node {
        id: (*id).into(),
        primitive: primitive.clone(),
        inputs: index.checked_sub(1).into_iter().collect(),
    };
    let nodes: Vec<Node> = (0..).zip(chain).map(node).collect();
    let graph = Graph { logits: nodes.len() as u32 - 1, nodes, auxiliary: None };
    let mut module = Module::new(graph, 1, Precision::Float64, Device::Cpu).unwrap();
    module.weights_mut().set("logits.weight", &Tensor::eye(8, (Kind::Double, Device::Cpu))).unwrap();
    module
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

fn check(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }
}

/// `[batch, 2, 2, 2]`.
fn images(batch: i64) -> Tensor {
    let pixels: Vec<f64> = (0..batch * 8).map(|index| (index as f64 * 1.7).sin() * 3.0 + 0.3).collect();
    Tensor::from_slice(&pixels).view([batch, 2, 2, 2])
}

fn normalising() -> Module {
    module(&[("norm", Primitive::BatchNorm { affine: false, epsilon: 1e-5, momentum: 0.1 })])
}

/// A part of a minibatch.
struct Part {
    /// Normalised by its own statistics.
    values: Tensor,
    /// Of each channel.
    mean: Vec<f64>,
    /// Likewise, unbiased.
    variance: Vec<f64>,
}

fn normalised(x: &Tensor) -> Part {
    let axes = [0i64, 2, 3];
    let mean = x.mean_dim(axes.as_slice(), true, Kind::Double);
    let variance = x.var_dim(axes.as_slice(), false, true);
    let n = (x.numel() / 2) as f64;
    let unbiased = numbers(&variance).iter().map(|variance| variance * n / (n - 1.0)).collect();
    Part { values: (x - &mean) / (variance + 1e-5).sqrt(), mean: numbers(&mean), variance: unbiased }
}

#[test]
fn ghost_batches_are_normalised_apart_and_move_the_running_statistics_one_after_the_other() {
    // 11 examples in ghosts of 4: two whole ones fit, of 6 and 5.
    let module = normalising();
    let x = images(11);
    let pass = Pass::training(0.0, 0, 0).with_ghost_batch(4);
    let found = module.forward(&x, &Selection::default(), &pass).unwrap().logits;
    let parts = [x.narrow(0, 0, 6), x.narrow(0, 6, 5)].map(|part| normalised(&part));
    let expected: Vec<f64> = parts.iter().flat_map(|part| numbers(&part.values)).collect();
    check(&numbers(&found), &expected);
    let running = |first: f64, of: fn(&Part) -> &Vec<f64>| -> Vec<f64> {
        let fold = |channel: usize| parts.iter().fold(first, |now, part| 0.9 * now + 0.1 * of(part)[channel]);
        (0..2).map(fold).collect()
    };
    let weights = module.weights();
    check(&numbers(weights.get("norm.running_mean").unwrap()), &running(0.0, |part| &part.mean));
    check(&numbers(weights.get("norm.running_var").unwrap()), &running(1.0, |part| &part.variance));
    // A minibatch of fewer examples than two ghosts is one.
    let small = images(7);
    let found = module.forward(&small, &Selection::default(), &pass).unwrap().logits;
    check(&numbers(&found), &numbers(&normalised(&small).values));
}

#[test]
fn recalibrated_statistics_are_the_mean_over_whole_minibatches() {
    let module = normalising();
    let minibatches = [images(5), images(9) + 1.0, images(4) * 2.0];
    for (number, minibatch) in minibatches.iter().enumerate() {
        let pass = Pass::evaluation(Statistics::Average(number as u32)).with_ghost_batch(2);
        module.forward(minibatch, &Selection::default(), &pass).unwrap();
    }
    let parts = minibatches.each_ref().map(normalised);
    let mean = |of: fn(&Part) -> &Vec<f64>| -> Vec<f64> {
        (0..2).map(|channel| parts.iter().map(|part| of(part)[channel]).sum::<f64>() / 3.0).collect()
    };
    let weights = module.weights();
    check(&numbers(weights.get("norm.running_mean").unwrap()), &mean(|part| &part.mean));
    check(&numbers(weights.get("norm.running_var").unwrap()), &mean(|part| &part.variance));
}

#[test]
fn label_smoothing_and_the_auxiliary_head_enter_the_loss_as_written() {
    let logits = Tensor::from_slice(&[1.0, -0.5, 0.25, 2.0, 0.0, -1.0]).view([2, 3]);
    let auxiliary = Tensor::from_slice(&[0.5, 0.5, -2.0, 0.1, 0.2, 0.3]).view([2, 3]);
    let labels = [2usize, 0];
    let smooth = 0.1;
    let entropy = |logits: &Tensor| -> f64 {
        let of_example = |(row, label): (&[f64], usize)| -> f64 {
            let sum = row.iter().map(|score| score.exp()).sum::<f64>().ln();
            let target = |class: usize| smooth / 3.0 + if class == label { 1.0 - smooth } else { 0.0 };
            row.iter().enumerate().map(|(class, score)| target(class) * (sum - score)).sum()
        };
        numbers(logits).chunks(3).zip(labels).map(of_example).sum::<f64>() / 2.0
    };
    let expected = entropy(&logits) + 0.4 * entropy(&auxiliary);
    let recipe = Recipe { label_smoothing: smooth, auxiliary_weight: 0.4, ..Recipe::default() };
    let minibatch = Minibatch { images: images(2), labels: Tensor::from_slice(&labels.map(|label| label as i64)) };
    let outputs = Outputs { logits, auxiliary: Some(auxiliary), record: None };
    let loss = training_loss(&outputs, &minibatch, &recipe).unwrap();
    check(&numbers(&loss), &[expected]);
}

#[test]
fn drop_path_zeroes_whole_examples_and_scales_the_others_up() {
    let module = module(&[("path", Primitive::DropPath)]);
    let x = images(2000);
    let run = |position: u64| {
        let found = module.forward(&x, &Selection::default(), &Pass::training(0.3, 7, position)).unwrap();
        numbers(&found.logits)
    };
    let found = run(4);
    let mut n_dropped = 0;
    for (found, given) in found.chunks(8).zip(numbers(&x).chunks(8)) {
        match found.iter().all(|value| *value == 0.0) {
            true => n_dropped += 1,
            false => check(found, &given.iter().map(|value| value / 0.7).collect::<Vec<_>>()),
        }
    }
    // Five standard deviations about 600.
    assert!((500..700).contains(&n_dropped), "{n_dropped}");
    assert_eq!(run(4), found, "a function of seed and position");
    assert_ne!(run(5), found);
    let evaluated = module.forward(&x, &Selection::default(), &Pass::evaluation(Statistics::Running)).unwrap();
    assert_eq!(numbers(&evaluated.logits), numbers(&x), "nothing is dropped in evaluation");
}

#[test]
fn cutout_takes_out_one_square_around_a_pixel() {
    let set = |pixels: Vec<u8>, n: usize| ImageSet {
        name: "squares".into(),
        channels: 1,
        height: 8,
        width: 8,
        max_value: 1,
        classes: vec!["one".into()],
        train: Split { pixels: pixels.clone(), labels: vec![0; n] },
        test: Split { pixels, labels: vec![0; n] },
    };
    let n = 200;
    let pixels: Vec<u8> = (0..n * 64).map(|index| u8::from(index % 3 == 0)).collect();
    let set = set(pixels, n);
    let images = Images::new(&set, &set.train, 0, Kind::Double, Device::Cpu).unwrap();
    let all: Vec<u32> = (0..n as u32).collect();
    let plain = numbers(&images.plain(&all).unwrap().images);
    let augmentation = Augmentation { cutout: 4, ..Augmentation::default() };
    let mut random = StreamRandom::new(3, "cutout");
    let cut = numbers(&images.augmented(&all, &augmentation, &mut random).unwrap().images);
    let mut sizes = [0; 17];
    for (plain, cut) in plain.chunks(64).zip(cut.chunks(64)) {
        let gone: Vec<usize> = (0..64).filter(|&at| cut[at] == 0.0 && plain[at] != 0.0).collect();
        assert!((0..64).all(|at| cut[at] == plain[at] || cut[at] == 0.0));
        let (rows, columns): (Vec<_>, Vec<_>) = gone.iter().map(|at| (at / 8, at % 8)).unzip();
        let extent = |places: &[usize]| places.iter().max().unwrap() - places.iter().min().unwrap() + 1;
        let (height, width) = (extent(&rows), extent(&columns));
        assert_eq!(gone.len(), height * width, "a rectangle");
        assert!((2..=4).contains(&height) && (2..=4).contains(&width), "cut at the border: {height} x {width}");
        sizes[gone.len()] += 1;
    }
    assert!(sizes[16] > 50 && sizes[16] < n, "{sizes:?}");
}

#[test]
fn the_average_forgets_its_beginning_and_follows_at_its_decay() {
    let mut module = normalising();
    assert!(Average::new(module.weights(), 0.0).unwrap().is_none());
    let mut average = Average::new(module.weights(), 0.5).unwrap().unwrap();
    let all = |module: &Module| [numbers(module.weights().trained()), numbers(module.weights().buffers())].concat();
    let mut expected = all(&module);
    for update in 0..20u32 {
        no_grad(|| {
            let _ = module.weights_mut().trained_mut().g_add_scalar_(f64::from(update));
            let _ = module.weights_mut().buffers_mut().g_mul_scalar_(1.1);
        });
        average.update(module.weights(), u64::from(update)).unwrap();
        let kept = 0.5f64.min((1.0 + f64::from(update)) / (10.0 + f64::from(update)));
        for (mine, new) in expected.iter_mut().zip(all(&module)) {
            *mine = kept * *mine + (1.0 - kept) * new;
        }
    }
    module.weights_mut().restore(average.values()).unwrap();
    check(&all(&module), &expected);
}
