//! The trainer's side of `cargo xtask bench one-shot`: every line read is answered with the seconds that so many DARTS
//! search iterations took, by the clock and of processor time.
//!
//! An iteration is what the first-order strategy orders: gradients of the mixtures on a validation minibatch, then a
//! weight step on a training minibatch, through the same session that a search uses, on noise in CIFAR-10's format. The
//! shapes are the paper's search (C = 16, 8 layers, batch 64, 32x32) or, with `digits`, those of
//! configs/searches/digits-darts.toml (C = 4, 3 layers, 8x8). Arguments: `paper|digits THREADS BATCH`.
//! tests/peers/speed_darts_one_shot.py is the other side.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use nasd_data::{DataFolder, ImportOptions};
use nasd_network::SpaceDefinition;
use nasd_protocol::contract::{MixtureGradient, SharedStep, Split, WeightUpdate};
use nasd_protocol::trainer::{Precision, Recipe, SessionOrder, TaskData};
use nasd_space::{Architecture, Gene, RandomSource, StreamRandom, WeightedOption};
use nasd_train::checkpoint::WeightsFolder;
use nasd_train::session::Session;
use nasd_train::task::DataSource;
use nasd_train::threads::useful;
use tch::Device;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let is_digits = arguments.next().is_some_and(|shapes| shapes == "digits");
    let mut next = |usual: u32| arguments.next().map_or(Ok(usual), |argument| argument.parse());
    let (threads, batch_size) = (next(1)?, next(64)?);
    tch::set_num_interop_threads(1);
    let folder = std::env::temp_dir().join(format!("nasd-one-shot-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let served = serve(&folder, is_digits, threads, batch_size);
    std::fs::remove_dir_all(&folder)?;
    served
}

fn serve(folder: &Path, is_digits: bool, threads: u32, batch_size: u32) -> Outcome<()> {
    let mut random = StreamRandom::new(1, "one-shot speed");
    noise(&folder.join("source"), 4 * batch_size, &mut random)?;
    let data = folder.join("data");
    DataFolder::open(&data).import("noise", &folder.join("source"), &ImportOptions::default())?;
    let space = SpaceDefinition::preset("darts-cnn")?;
    let (name, space) = match is_digits {
        true => {
            let space = space.set("one-shot.layers", "3")?.set("one-shot.channels", "4")?;
            ("digits", space.with_task([1, 8, 8], 10)?)
        }
        false => ("noise", space),
    };
    let order = SessionOrder {
        graph: space.one_shot()?.clone(),
        data: TaskData {
            name: name.into(),
            digest: String::new(),
            validation_fraction: 0.5,
            data_fraction: 1.0,
            seed: 1,
        },
        // Every minibatch is whole.
        recipe: Recipe { batch_size, final_learning_rate: 0.001, drop_last: true, ..Recipe::default() },
        precision: Precision::Float32,
        seed: 1,
        scheduled_epochs: 50,
        checkpoint: None,
    };
    // As the trainer does.
    tch::set_num_threads(i32::try_from(useful(&order.graph, batch_size, threads)?)?);
    let weights = WeightsFolder::new(folder.join("weights"));
    let mut session = Session::open(order, &mut DataSource::new(data), &weights, Device::Cpu)?;
    let mixtures = mixtures(&space, &mut random);
    let step = |split, update, gradient| SharedStep {
        architecture: mixtures.clone(),
        split,
        same_minibatch: false,
        update,
        gradient,
    };
    let iteration = [
        step(Split::Validation, WeightUpdate::None, MixtureGradient::Direct),
        step(Split::Train, WeightUpdate::Apply, MixtureGradient::None),
    ];
    for line in std::io::stdin().lock().lines() {
        let (begun, used) = (Instant::now(), processor_seconds()?);
        for _ in 0..line?.trim().parse::<u32>()? {
            session.train_shared(&iteration, &mut |_| false)?;
        }
        println!("{} {}", begun.elapsed().as_secs_f64(), processor_seconds()? - used);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Of all threads so far, in steps of 10 ms: fields 14 and 15 of proc(5)'s stat, the name being field 2.
fn processor_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}

/// Uneven mixtures of all options.
fn mixtures(space: &SpaceDefinition, random: &mut StreamRandom) -> Architecture {
    let decisions = space.space().decisions.iter();
    let mixture = decisions.map(|decision| {
        let n = decision.domain.n_options().unwrap_or_default();
        let drawn: Vec<f64> = (0..n).map(|_| 0.5 + random.next_f64()).collect();
        let sum: f64 = drawn.iter().sum();
        let options = (0u32..).zip(drawn);
        Gene::Mixture(options.map(|(index, w)| WeightedOption { index, weight: (w / sum) as f32 }).collect())
    });
    mixture.collect()
}

/// Random records in CIFAR-10's binary format.
fn noise(folder: &Path, images: u32, random: &mut StreamRandom) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".to_owned()]);
    for name in names {
        let mut bytes = Vec::new();
        for image in 0..images.div_ceil(5) {
            bytes.push((image % 10) as u8);
            bytes.extend((0..384).flat_map(|_| random.next_u64().to_le_bytes()));
        }
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
