//! The trainer's side of `cargo xtask bench one-shot`: every line read, a kind of step and a number, is answered with the
//! seconds that so many of them took, by the clock and of processor time, and the GB that the process held before it made
//! the graph: libraries and data.
//!
//! Kinds: `weights` (a weight step on a training minibatch), `mixtures` (gradients of the mixtures on a validation
//! minibatch), `unrolled` (the same, second order), `iteration` and `unrolled-iteration` (gradients, then a weight step).
//! They go through the session that a search uses, on noise in CIFAR-10's format. Arguments: `SHAPES THREADS BATCH`:
//! - `paper`: DARTS's search (C = 16, 8 layers, 32x32), uneven mixtures of all options;
//! - `digits`: configs/searches/digits-darts.toml's (C = 4, 3 layers, 8x8);
//! - `darts-v2`: the stand-alone network DARTS_V2 at C = 16, 8 layers;
//! - `darts-1`, `darts-2`, `darts-all`, `darts-alone`: a weight step of the paper's graph with one, two or all options an
//!   edge, each among the next's, and of the network that the one option's path is; `spos-...`: the same of SPOS's choice
//!   blocks.
//!
//! tests/peers/speed_darts_one_shot.py is the other side.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use nasd_data::{DataFolder, ImportOptions};
use nasd_network::{Graph, SpaceDefinition, specialize};
use nasd_protocol::contract::{MixtureGradient, SharedStep, Split, WeightUpdate};
use nasd_protocol::trainer::{Precision, Recipe, SessionOrder, TaskData};
use nasd_space::{Architecture, Gene, RandomSource, StreamRandom, WeightedOption};
use nasd_train::checkpoint::WeightsFolder;
use nasd_train::session::Session;
use nasd_train::task::DataSource;
use nasd_train::threads::useful;
use tch::Device;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// DARTS's second-order result (Liu et al., ICLR 2019, figures 4 and 5).
const DARTS_V2: &str = r#"{
  "normal": [["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["sep_conv_3x3", 1],
             ["skip_connect", 0], ["skip_connect", 0], ["dil_conv_3x3", 2]],
  "reduce": [["max_pool_3x3", 0], ["max_pool_3x3", 1], ["skip_connect", 2], ["max_pool_3x3", 1], ["max_pool_3x3", 0],
             ["skip_connect", 2], ["skip_connect", 2], ["max_pool_3x3", 1]]
}"#;

/// What is computed.
struct Subject {
    graph: Graph,
    architecture: Architecture,
    /// Of data.
    name: &'static str,
}

impl Subject {
    fn new(shapes: &str, random: &mut StreamRandom) -> Outcome<Self> {
        let (family, options) = shapes.split_once('-').unwrap_or((shapes, "all"));
        let preset = if family == "spos" { "spos" } else { "darts-cnn" };
        let mut space = SpaceDefinition::preset(preset)?;
        if family == "digits" {
            space = space.set("one-shot.layers", "3")?.set("one-shot.channels", "4")?;
        }
        let (name, input) = if family == "digits" { ("digits", [1, 8, 8]) } else { ("noise", [3, 32, 32]) };
        let space = space.with_task(input, 10)?;
        let (graph, architecture) = match options {
            "v2" => {
                let space = space.set("stack.channels", "16")?.set("stack.layers", "8")?;
                let space = space.set("stack.auxiliary", "false")?;
                (space.network(&space.parse_architecture(DARTS_V2)?)?, Vec::new())
            }
            "alone" => (specialize(space.one_shot()?, &path(&space))?, Vec::new()),
            "1" => (space.one_shot()?.clone(), path(&space)),
            "2" => (space.one_shot()?.clone(), mixtures(&space, random, Some(2))),
            _ => (space.one_shot()?.clone(), mixtures(&space, random, None)),
        };
        Ok(Self { graph, architecture, name })
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let shapes = arguments.next().unwrap_or_else(|| "paper".into());
    let mut next = |usual: u32| arguments.next().map_or(Ok(usual), |argument| argument.parse());
    let (threads, batch_size) = (next(1)?, next(64)?);
    tch::set_num_interop_threads(1);
    let folder = std::env::temp_dir().join(format!("nasd-one-shot-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let served = serve(&folder, &shapes, threads, batch_size);
    std::fs::remove_dir_all(&folder)?;
    served
}

fn serve(folder: &Path, shapes: &str, threads: u32, batch_size: u32) -> Outcome<()> {
    let mut random = StreamRandom::new(1, "one-shot speed");
    noise(&folder.join("source"), 4 * batch_size, &mut random)?;
    let data = folder.join("data");
    DataFolder::open(&data).import("noise", &folder.join("source"), &ImportOptions::default())?;
    let subject = Subject::new(shapes, &mut random)?;
    let order = SessionOrder {
        graph: subject.graph,
        data: TaskData {
            name: subject.name.into(),
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
    let held = held()?;
    // As the trainer does.
    tch::set_num_threads(i32::try_from(useful(&order.graph, batch_size, threads)?)?);
    let weights = WeightsFolder::new(folder.join("weights"));
    let mut session = Session::open(order, &mut DataSource::new(data), &weights, Device::Cpu)?;
    let step = |split, update, gradient| SharedStep {
        architecture: subject.architecture.clone(),
        split,
        same_minibatch: false,
        update,
        gradient,
    };
    let of_weights = step(Split::Train, WeightUpdate::Apply, MixtureGradient::None);
    let of_mixtures = step(Split::Validation, WeightUpdate::None, MixtureGradient::Direct);
    let unrolled = step(Split::Validation, WeightUpdate::None, MixtureGradient::Unrolled);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (kind, count) = line.trim().split_once(' ').ok_or("a line is a kind of step and a number")?;
        let steps = match kind {
            "weights" => vec![of_weights.clone()],
            "mixtures" => vec![of_mixtures.clone()],
            "unrolled" => vec![unrolled.clone()],
            "iteration" => vec![of_mixtures.clone(), of_weights.clone()],
            "unrolled-iteration" => vec![unrolled.clone(), of_weights.clone()],
            other => return Err(format!("there is no step \"{other}\"").into()),
        };
        let (begun, used) = (Instant::now(), processor_seconds()?);
        for _ in 0..count.parse::<u32>()? {
            session.train_shared(&steps, &mut |_| false)?;
        }
        println!("{} {} {held}", begun.elapsed().as_secs_f64(), processor_seconds()? - used);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Resident memory now, in GB.
fn held() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no resident memory in proc")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse::<f64>()? * 1024.0 / 1e9)
}

/// Of all threads so far, in steps of 10 ms: fields 14 and 15 of proc(5)'s stat, the name being field 2.
fn processor_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}

/// Of so many options the first with weights of its own: of DARTS a 3x3 separable convolution, of SPOS a 3x3 unit.
fn first(n_options: usize) -> u32 {
    if n_options == 8 { 4 } else { 0 }
}

/// That option everywhere.
fn path(space: &SpaceDefinition) -> Architecture {
    let decisions = space.space().decisions.iter();
    decisions.map(|decision| Gene::Choice(first(decision.domain.n_options().unwrap_or_default()))).collect()
}

/// Uneven mixtures of the path's option and those after it, so many of them, or of all options.
fn mixtures(space: &SpaceDefinition, random: &mut StreamRandom, options: Option<usize>) -> Architecture {
    let decisions = space.space().decisions.iter();
    let mixture = decisions.map(|decision| {
        let n = decision.domain.n_options().unwrap_or_default();
        let drawn: Vec<f64> = (0..n).map(|_| 0.5 + random.next_f64()).collect();
        let from = options.map_or(0, |_| first(n));
        let listed = (0u32..).zip(drawn).skip(from as usize).take(options.unwrap_or(n));
        let sum: f64 = listed.clone().map(|(_, w)| w).sum();
        Gene::Mixture(listed.map(|(index, w)| WeightedOption { index, weight: (w / sum) as f32 }).collect())
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
