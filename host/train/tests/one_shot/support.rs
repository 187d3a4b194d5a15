//! Small spaces, sessions and numbers that the tests share.

use nasd_network::SpaceDefinition;
use nasd_protocol::contract::{MixtureGradient, SharedStep, Split, WeightUpdate};
use nasd_protocol::trainer::{Precision, Recipe, SessionOrder, TaskData};
use nasd_space::{Architecture, StreamRandom};
use nasd_train::checkpoint::WeightsFolder;
use nasd_train::session::Session;
use nasd_train::task::DataSource;
use nasd_train::weights::Weights;
use tch::{Device, Kind, Tensor};

/// A preset for the digits, with settings.
pub fn space(preset: &str, settings: &[(&str, &str)]) -> SpaceDefinition {
    let preset = SpaceDefinition::preset(preset).unwrap().with_task([1, 8, 8], 10).unwrap();
    settings.iter().fold(preset, |space, (key, value)| space.set(key, value).unwrap())
}

/// DARTS's cells, as small as they go.
pub fn darts() -> SpaceDefinition {
    space("darts-cnn", &[("one-shot.channels", "2"), ("one-shot.layers", "3")])
}

/// An architecture drawn uniformly.
pub fn sample(space: &SpaceDefinition, seed: u64) -> Architecture {
    space.space().sample(&mut StreamRandom::new(seed, "one-shot test")).unwrap()
}

pub fn order(space: &SpaceDefinition, recipe: Recipe) -> SessionOrder {
    let data = TaskData {
        name: "digits".into(),
        digest: String::new(),
        validation_fraction: 0.5,
        data_fraction: 1.0,
        seed: 1,
    };
    SessionOrder {
        graph: space.one_shot().unwrap().clone(),
        data,
        recipe,
        precision: Precision::Float64,
        seed: 3,
        scheduled_epochs: 2,
        checkpoint: None,
    }
}

/// A session that writes nothing.
pub fn open(order: SessionOrder) -> Session {
    tch::set_num_threads(1);
    let mut data = DataSource::new("absent".into());
    Session::open(order, &mut data, &WeightsFolder::new("absent".into()), Device::Cpu).unwrap()
}

pub fn step(architecture: Architecture, update: WeightUpdate) -> SharedStep {
    SharedStep { architecture, split: Split::Train, same_minibatch: false, update, gradient: MixtureGradient::None }
}

/// All values of a tensor.
pub fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

/// Name and values of every weight and buffer.
pub fn values(weights: &Weights) -> Vec<(String, Vec<f64>)> {
    let named = weights.parameters().iter().map(|p| (p.name.clone(), numbers(weights.get(&p.name).unwrap())));
    named.collect()
}

/// Largest difference, relative to the largest number expected.
pub fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0f64, |size, number| size.max(number.abs()));
    let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f64, f64::max);
    if size == 0.0 { largest } else { largest / size }
}
