//! What the daemon and a trainer process say to each other.
//!
//! A trainer knows no search spaces: orders carry the primitive graph. Data sets are named and pinned by
//! digest, weights are named by digest; where either lies is the trainer's own command line.

use nasd_network::Graph;
use nasd_space::Architecture;
use serde::{Deserialize, Serialize};

use crate::contract::{Failure, JobId, Measure, Point, SharedEvaluation, SharedStep, StepResult, Trained, Verdict};

/// How the learning rate moves over the scheduled units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine from `learning_rate` to `final_learning_rate` (Loshchilov & Hutter 2017).
    #[default]
    Cosine,
    /// A straight line between the two.
    Linear,
    /// The same factor each time, from one to the other (which must not be 0).
    Exponential,
    /// `learning_rate` throughout.
    Constant,
}

/// How often the schedule moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleStep {
    /// After every epoch (what the usual scripts do).
    #[default]
    Epoch,
    /// After every update.
    Update,
}

/// Which weights decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// All.
    #[default]
    All,
    /// Those of more than one dimension: of convolutions and linear layers, no biases, no scales and shifts of batch-norm
    /// (Single Path One-Shot's released code).
    Matrices,
}

/// Changes to training images, made on whole batches as tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Augmentation {
    /// Pixels of zero padding on each side before a random crop of the original size; 0: no crop.
    pub crop_padding: u32,
    /// Random horizontal flips.
    pub flip: bool,
    /// Side of a square set to zero (DeVries & Taylor 2017); 0: none.
    pub cutout: u32,
}

/// How a network is trained. Learning rates are per update, decay is L2 as PyTorch's SGD adds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Recipe {
    /// Examples a minibatch.
    pub batch_size: u32,
    /// At the start.
    pub learning_rate: f64,
    /// At the end of the schedule.
    pub final_learning_rate: f64,
    /// Shape of the schedule.
    pub schedule: Schedule,
    /// How often it moves.
    pub schedule_step: ScheduleStep,
    /// Epochs in which the learning rate rises from update to update, from about 0 to `learning_rate` (Goyal et al. 2017,
    /// section 2.2); the schedule spans the epochs after them.
    pub warmup_epochs: u32,
    /// Epochs of the schedule's first period, after which it starts again (Loshchilov & Hutter 2017, T0); 0: one period.
    pub restart_epochs: u32,
    /// How much longer each period is than the one before (Tmul).
    pub restart_factor: u32,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Nesterov's form of it.
    pub nesterov: bool,
    /// L2 on the weights that decay.
    pub weight_decay: f64,
    /// Which those are.
    pub decay: Decay,
    /// Whether weights that a step on a one-shot graph does not compute with decay and move on by their momentum, as where
    /// a framework gives them a gradient of 0. Default: they rest (One-Shot, section 3.3: L2 on what is used alone).
    pub update_unused: bool,
    /// Examples of a minibatch that batch-norm takes statistics of together (ghost batch-norm: Hoffer et al. 2017,
    /// algorithm 1); 0: all. Not when statistics are recalibrated, which stand for the whole data.
    pub ghost_batch: u32,
    /// Decay of a moving average of the weights that a network trained by itself is evaluated with; 0: none. After n
    /// updates it is at most (1 + n) / (10 + n), so that the beginning is forgotten.
    pub average: f64,
    /// Largest norm of the whole gradient; 0: no clipping.
    pub clip: f64,
    /// Share of the target spread over all classes.
    pub label_smoothing: f64,
    /// Weight of the auxiliary head's loss.
    pub auxiliary_weight: f64,
    /// Drop-path rate reached at the end of the schedule, linear from 0.
    pub drop_path: f64,
    /// Changes to training images.
    pub augmentation: Augmentation,
    /// Leave the last, smaller minibatch of an epoch out.
    pub drop_last: bool,
}

impl Default for Recipe {
    /// DARTS's evaluation recipe without its regularisers (Liu et al. 2019, appendix A).
    fn default() -> Self {
        Self {
            batch_size: 64,
            learning_rate: 0.025,
            final_learning_rate: 0.0,
            schedule: Schedule::Cosine,
            schedule_step: ScheduleStep::Epoch,
            warmup_epochs: 0,
            restart_epochs: 0,
            restart_factor: 1,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 3e-4,
            decay: Decay::All,
            update_unused: false,
            ghost_batch: 0,
            average: 0.0,
            clip: 5.0,
            label_smoothing: 0.0,
            auxiliary_weight: 0.4,
            drop_path: 0.0,
            augmentation: Augmentation::default(),
            drop_last: false,
        }
    }
}

/// The data of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskData {
    /// Name of an imported data set.
    pub name: String,
    /// Its digest; empty: whatever is there.
    pub digest: String,
    /// Share of the training images kept for validation.
    pub validation_fraction: f64,
    /// Share of the training images (after the split) used; 1: all. Drawn from the run's seed.
    pub data_fraction: f64,
    /// Of the split and the subset: the run's seed.
    pub seed: u64,
}

/// Number format of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Precision {
    #[default]
    Float32,
    Float64,
}

/// Where a training starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Freshly initialised from the order's seed.
    Fresh,
    /// A checkpoint of the same network: weights, optimiser and position; training goes on.
    Resume(String),
    /// Weights of equal name and shape from a checkpoint, all else fresh; the recipe begins anew.
    Inherit(String),
    /// Weights of equal name and shape from the one-shot graph that is open in this trainer, as they stand; all else fresh.
    Shared,
}

/// Train one network by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainOrder {
    /// The job.
    pub job: JobId,
    /// What to train: no switches.
    pub graph: Graph,
    /// On what.
    pub data: TaskData,
    /// How.
    pub recipe: Recipe,
    /// Format.
    pub precision: Precision,
    /// Of initial weights, minibatch order, augmentation.
    pub seed: u64,
    /// Epochs in all.
    pub fidelity: u32,
    /// Epochs the schedules span.
    pub schedule: u32,
    /// Where it starts.
    pub start: Start,
    /// Report (and wait for a verdict) after every so many epochs; 0: no waiting.
    pub judge_every: u32,
    /// Write a checkpoint at the end.
    pub keep_weights: bool,
    /// Write a checkpoint after every so many epochs, to go on from after a loss; 0: none.
    #[serde(default)]
    pub save_every: u32,
    /// Train on the validation images too and measure on the test set (final training alone).
    pub final_training: bool,
}

/// Run an external program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandOrder {
    /// The job.
    pub job: JobId,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub folder: String,
    /// The parameters, one JSON object: its standard input.
    pub parameters: String,
    /// For its own randomness.
    pub seed: u64,
    /// How much training in all, in its own unit.
    pub fidelity: u32,
    /// Killed after so many seconds.
    pub timeout_seconds: f64,
}

/// Open a one-shot graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionOrder {
    /// The template.
    pub graph: Graph,
    /// On what.
    pub data: TaskData,
    /// How.
    pub recipe: Recipe,
    /// Format.
    pub precision: Precision,
    /// Of initial weights, minibatch order, augmentation.
    pub seed: u64,
    /// Epochs of weight updates that the schedules span.
    pub scheduled_epochs: u32,
    /// A session's checkpoint to go on from.
    pub checkpoint: Option<String>,
}

/// To a trainer. Orders are carried out in turn; `Verdict` and `Cancel` are looked at in between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToTrainer {
    /// Answered by `Reported` and `Trained` or `Failed`.
    Train(Box<TrainOrder>),
    /// Answered by `Trained` or `Failed`. Not for a trainer of networks.
    Run(Box<CommandOrder>),
    /// Answered by `SessionOpened` or `Failed` with job 0.
    OpenSession(Box<SessionOrder>),
    /// Answered by `SharedSteps` or `Failed`.
    TrainShared {
        /// The job.
        job: JobId,
        /// In order.
        steps: Vec<SharedStep>,
    },
    /// Answered by `SharedEvaluated` or `Failed`.
    EvaluateShared {
        /// The job.
        job: JobId,
        /// What to evaluate.
        evaluation: SharedEvaluation,
    },
    /// Write the session's checkpoint; answered by `Checkpointed` or `Failed` with job 0.
    Checkpoint,
    /// Of the job waiting.
    Verdict {
        /// The job.
        job: JobId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Give the job up; answered by `Failed` with `cancelled` if it was still running.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Exit.
    Shutdown,
}

/// From a trainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromTrainer {
    /// First message.
    Ready {
        /// Version of libtorch.
        libtorch: String,
        /// `cpu`, `cuda:0`.
        device: String,
        /// Threads.
        threads: u32,
    },
    /// Every few seconds, whatever goes on.
    Heartbeat {
        /// The job under way.
        job: Option<JobId>,
        /// Its progress, 0 to 1.
        progress: f64,
    },
    /// A point of a curve; with `judge_every`, a verdict is waited for where `waiting`.
    Reported {
        /// The job.
        job: JobId,
        /// What was reached.
        point: Point,
        /// Whether a verdict is waited for.
        waiting: bool,
    },
    /// A checkpoint of a training under way was written durably.
    Saved {
        /// The job.
        job: JobId,
        /// Epochs done.
        fidelity: u32,
        /// Digest of the checkpoint.
        weights: String,
    },
    /// Training ended.
    Trained {
        /// The job.
        job: JobId,
        /// The result. `ending` says `stopped-by-strategy` after any `Stop`; the host corrects it.
        trained: Trained,
        /// Held-out measures (final training alone).
        test: Vec<Measure>,
        /// Digest of the checkpoint.
        weights: Option<String>,
        /// Seconds of the device.
        device_seconds: f64,
    },
    /// The one-shot graph is there.
    SessionOpened {
        /// Minibatches of an epoch of the training split.
        train_batches: u32,
        /// Minibatches of an epoch of the validation split.
        validation_batches: u32,
        /// Weight updates made (by the checkpoint).
        steps_done: u64,
        /// Weight updates the schedules span.
        scheduled_steps: u64,
    },
    /// Shared steps were made.
    SharedSteps {
        /// The job.
        job: JobId,
        /// One a step.
        results: Vec<StepResult>,
        /// Seconds of the device.
        device_seconds: f64,
    },
    /// Shared evaluations were made.
    SharedEvaluated {
        /// The job.
        job: JobId,
        /// One list an architecture.
        results: Vec<Vec<Measure>>,
        /// Seconds of the device.
        device_seconds: f64,
    },
    /// The session's checkpoint was written durably.
    Checkpointed {
        /// Its digest.
        digest: String,
        /// Weight updates it holds.
        steps_done: u64,
    },
    /// The job failed.
    Failed {
        /// The job; 0 for orders without one.
        job: JobId,
        /// Why.
        failure: Failure,
    },
}

/// Architectures of a shared job, for whoever checks them.
pub fn architectures_of(steps: &[SharedStep]) -> impl Iterator<Item = &Architecture> {
    steps.iter().map(|step| &step.architecture)
}
