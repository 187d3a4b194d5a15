//! Networks of real spaces train: every cell sampled from NAS-Bench-201's and DARTS's spaces takes an epoch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use nasd_network::SpaceDefinition;
use nasd_protocol::contract::{Point, Verdict};
use nasd_protocol::trainer::{Precision, Recipe, Start, TaskData, TrainOrder};
use nasd_space::StreamRandom;
use nasd_train::checkpoint::WeightsFolder;
use nasd_train::classifier::{Supervisor, train};
use nasd_train::error::Result;
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

fn check(preset: &str, settings: &[(&str, &str)], n_samples: u64) {
    let mut definition = SpaceDefinition::preset(preset).unwrap().with_task([1, 8, 8], 10).unwrap();
    for (key, value) in settings {
        definition = definition.set(key, value).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = WeightsFolder::new(folder.path().into());
    let mut data = DataSource::new(folder.path().into());
    for seed in 0..n_samples {
        let genes = definition.space().sample(&mut StreamRandom::new(seed, "test")).unwrap();
        let order = TrainOrder {
            job: seed + 1,
            graph: definition.network(&genes).unwrap(),
            data: TaskData {
                name: "digits".into(),
                digest: String::new(),
                validation_fraction: 0.1,
                data_fraction: 0.1,
                seed: 1,
            },
            recipe: Recipe::default(),
            precision: Precision::Float32,
            seed,
            fidelity: 1,
            schedule: 1,
            start: Start::Fresh,
            judge_every: 0,
            keep_weights: false,
            save_every: 0,
            final_training: false,
        };
        let finished = train(&order, &mut data, &weights, None, Device::Cpu, &mut Alone);
        assert!(finished.is_ok(), "{}: {:?}", definition.notation(&genes), finished.err());
    }
}

#[test]
fn every_nas_bench_201_cell_trains() {
    check("nas-bench-201", &[("stack.channels", "4"), ("stack.cells-per-stage", "1")], 60);
}

#[test]
fn every_darts_cell_trains() {
    let settings = [("stack.channels", "4"), ("stack.layers", "3"), ("stack.auxiliary", "false")];
    check("darts-cnn", &settings, 10);
}
