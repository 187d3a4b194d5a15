//! Second-order mixture gradients (Liu et al. 2019, section 2.3) against the exact ones by double backward.
//!
//! How w' = w - xi (momentum + gradient + decay w) depends on the mixtures is -xi d2L/(d mixture dw), of which the trainer
//! takes the product with v = dL_validation/dw' by a central difference with steps of length h = 0.01. Its error is
//! xi |v| h^2 / 6 times a third derivative of the training loss along v, so it falls with the square of h. Measured here:
//! the difference with h is within the bound that the difference with 2h gives (Richardson: a third of their distance).
//!
//! The graph is smooth, tanh in the place of ReLU: a ReLU's second derivative lies in its kink, which double backward
//! never sees and a difference meets now and then, so that neither is the other's limit.

use nasd_network::{Graph, Primitive};
use nasd_protocol::trainer::{Precision, Recipe};
use nasd_train::classifier::{step_size, training_loss};
use nasd_train::gradient::{Wanted, gradients};
use nasd_train::images::Minibatch;
use nasd_train::interpreter::{Pass, Statistics};
use nasd_train::module::{Module, Outputs};
use nasd_train::optimizer::Sgd;
use nasd_train::selection::Selection;
use nasd_train::unrolled::{DIFFERENCE, Side, unrolled, unrolled_by};
use tch::{Device, Kind, Tensor, no_grad};

use super::support::{numbers, space};

fn smooth() -> Graph {
    let space = space("nas-bench-201", &[("stack.channels", "4"), ("stack.cells-per-stage", "1")]);
    let mut graph = space.one_shot().unwrap().clone();
    for node in graph.nodes.iter_mut().filter(|node| node.primitive == Primitive::Relu) {
        node.primitive = Primitive::Tanh;
    }
    graph
}

fn minibatch(shift: f64) -> Minibatch {
    let pixels: Vec<f64> = (0..8 * 64).map(|index| (f64::from(index * index % 97) * 0.13 + shift).sin()).collect();
    let images = Tensor::from_slice(&pixels).view([8, 1, 8, 8]);
    Minibatch { images, labels: Tensor::from_slice(&[0i64, 1, 2, 3, 4, 5, 6, 7]) }
}

/// All edges' mixtures; one weight can be moved.
fn selection(moved: Option<(usize, f64)>) -> Selection {
    let weight = |edge: usize, option: usize| {
        let by = moved.filter(|(which, _)| *which == 5 * edge + option).map_or(0.0, |(_, by)| by);
        (option as u32, 0.1 + 0.05 * ((edge + option) % 5) as f64 + by)
    };
    let mixtures: Vec<Vec<(u32, f64)>> =
        (0..6).map(|edge| (0..5).map(|option| weight(edge, option)).collect()).collect();
    Selection::of_mixtures(&mixtures, true, Kind::Double, Device::Cpu).unwrap()
}

struct Subject {
    module: Module,
    optimizer: Sgd,
    selection: Selection,
    recipe: Recipe,
    train: Minibatch,
    validation: Minibatch,
}

impl Subject {
    /// With momentum that is not 0.
    fn new(graph: Graph) -> Self {
        let module = Module::new(graph, 5, Precision::Float64, Device::Cpu).unwrap();
        let mut optimizer = Sgd::new(module.weights()).unwrap();
        let size = i32::try_from(module.weights().trained().numel()).unwrap();
        let momentum: Vec<f64> = (0..size).map(|index| 0.01 * f64::from(index).sin()).collect();
        no_grad(|| optimizer.momentum_mut().copy_(&Tensor::from_slice(&momentum)));
        let selection = selection(None);
        Self {
            module,
            optimizer,
            selection,
            recipe: Recipe::default(),
            train: minibatch(0.0),
            validation: minibatch(2.0),
        }
    }

    fn pass() -> Pass {
        Pass { statistics: Statistics::Batch, ..Pass::training(0.0, 0, 0) }
    }

    fn loss(&self, minibatch: &Minibatch) -> (Tensor, Outputs) {
        let outputs = self.module.forward(&minibatch.images, &self.selection, &Self::pass()).unwrap();
        (training_loss(&outputs, minibatch, &self.recipe).unwrap(), outputs)
    }

    /// Something with the weights that the next step would give.
    fn after_virtual_step<T>(&mut self, act: impl FnOnce(&Self) -> T) -> T {
        let (weights, momentum) = (self.module.weights().snapshot().unwrap(), self.optimizer.momentum().copy());
        let (loss, outputs) = self.loss(&self.train);
        let wanted = Wanted { weights: true, mixtures: false };
        let (step, _) = gradients(&self.module, &loss, &outputs, &self.selection, wanted).unwrap();
        let size = step_size(&self.recipe, self.recipe.learning_rate);
        self.optimizer.step(self.module.weights_mut(), &step, size).unwrap();
        let result = act(self);
        self.module.weights_mut().restore(&weights).unwrap();
        no_grad(|| self.optimizer.momentum_mut().copy_(&momentum));
        result
    }

    /// By libtorch's own second derivative.
    fn exact(&mut self) -> Vec<f64> {
        let rate = self.recipe.learning_rate;
        let (along, direct) = self.after_virtual_step(|ahead| {
            let (loss, outputs) = ahead.loss(&ahead.validation);
            let both = Wanted { weights: true, mixtures: true };
            gradients(&ahead.module, &loss, &outputs, &ahead.selection, both).unwrap()
        });
        let weights = self.module.weights();
        let spans: Vec<_> = weights.trained_spans().filter(|(index, _)| along.active()[*index]).collect();
        let inputs: Vec<&Tensor> = spans.iter().map(|(index, _)| weights.view(*index).unwrap()).collect();
        let slopes = Tensor::run_backward(&[self.loss(&self.train).0], &inputs, true, true);
        let products = slopes.iter().zip(&spans).map(|(slope, (index, _))| {
            let along = weights.part_of(&along.flat(weights).unwrap(), *index).unwrap().unwrap().detach();
            (slope * along).sum(Kind::Double)
        });
        let product = products.reduce(|sum, next| sum + next).unwrap();
        let leaves: Vec<&Tensor> = self.selection.mixtures().flatten().map(|weighted| &weighted.leaf).collect();
        let implicit = Tensor::run_backward(&[product], &leaves, false, false);
        let implicit = implicit.iter().map(|part| if part.defined() { numbers(part)[0] } else { 0.0 });
        direct.concat().iter().zip(implicit).map(|(direct, implicit)| direct - rate * implicit).collect()
    }

    /// The validation loss after the virtual step, with one mixture weight moved.
    fn looked_ahead(&mut self, moved: (usize, f64)) -> f64 {
        let kept = std::mem::replace(&mut self.selection, selection(Some(moved)));
        let loss = self.after_virtual_step(|ahead| numbers(&ahead.loss(&ahead.validation).0)[0]);
        self.selection = kept;
        loss
    }

    fn by_difference(&mut self, length: f64) -> Vec<f64> {
        let size = step_size(&self.recipe, self.recipe.learning_rate);
        let Self { module, optimizer, selection, recipe, train, validation } = self;
        let sides = [&*train, &*validation].map(|minibatch| Side { minibatch, pass: Self::pass() });
        unrolled_by(module, optimizer, selection, sides, recipe, size, length).unwrap().gradients.concat()
    }

    fn direct(&mut self) -> Vec<f64> {
        let size = step_size(&self.recipe, 0.0);
        let Self { module, optimizer, selection, recipe, train, validation } = self;
        let sides = [&*train, &*validation].map(|minibatch| Side { minibatch, pass: Self::pass() });
        unrolled(module, optimizer, selection, sides, recipe, size).unwrap().gradients.concat()
    }
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn double_backward_gives_the_slopes_of_the_loss_after_the_virtual_step() {
    tch::set_num_threads(1);
    let mut subject = Subject::new(smooth());
    let by = 1e-5;
    let mut slope =
        |which: usize| (subject.looked_ahead((which, by)) - subject.looked_ahead((which, -by))) / (2.0 * by);
    let found: Vec<f64> = (0..30).map(&mut slope).collect();
    let exact = subject.exact();
    assert!(apart(&found, &exact) < 1e-7 * apart(&exact, &[0.0; 30]), "{:e}", apart(&found, &exact));
}

#[test]
fn the_finite_difference_is_as_close_to_double_backward_as_its_bound_says() {
    tch::set_num_threads(1);
    let mut subject = Subject::new(smooth());
    let exact = subject.exact();
    let implicit = apart(&exact, &subject.direct());
    let [fine, used, coarse] = [0.25, 1.0, 2.0].map(|factor| subject.by_difference(factor * DIFFERENCE));
    let [fine_error, error, coarse_error] = [&fine, &used, &coarse].map(|found| apart(found, &exact));
    println!("implicit part {implicit:e}; errors {fine_error:e}, {error:e}, {coarse_error:e}");
    let bound = 1.5 * apart(&used, &coarse) / 3.0;
    assert!(error <= bound, "{error:e}, bound {bound:e}");
    // What second order adds is far larger than what the difference costs.
    assert!(error < 0.01 * implicit, "{error:e} of {implicit:e}");
    assert!(fine_error < error / 8.0, "{fine_error:e}, {error:e}: the error falls with the square of the step");
}
