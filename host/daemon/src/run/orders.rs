//! Turns a job into what has to be done: an answer that is known at once, or a trainer's order.

use nasd_engine::{Ledger, TaskModel};
use nasd_protocol::{
    Failure, FailureKind, InitialWeights, JobId, Training, Work,
    event::SharedCheckpoint,
    trainer::{SessionOrder, Start, TaskData, ToTrainer, TrainOrder},
};
use nasd_space::Architecture;

use crate::{
    configuration::NetworkTask,
    search::{FinalTask, Search},
    task::Answer,
};

/// What has to be done for a job.
pub enum Todo {
    /// Nothing: here is the result.
    Answered(Answer),
    /// An order for any free trainer.
    Train(ToTrainer),
    /// An order for the trainer with the one-shot graph.
    Shared(ToTrainer),
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into() }
}

fn networks(search: &Search) -> Result<&NetworkTask, Failure> {
    let task = search.file.task.network();
    task.ok_or_else(|| failure(FailureKind::Unsupported, "this task trains no networks"))
}

/// What a job asks for.
pub fn todo(search: &Search, ledger: &Ledger, job: JobId, work: &Work) -> Result<Todo, Failure> {
    match work {
        Work::Train(training) => {
            let space = search.task.definition().space();
            if let Some(answer) = search.task.method().answer(space, training) {
                return Ok(Todo::Answered(answer));
            }
            let seed = search.seed(&format!("job {job}"));
            if let Some(order) = search.task.method().command(space, job, training, seed) {
                return Ok(Todo::Train(ToTrainer::Run(Box::new(order))));
            }
            let order = ToTrainer::Train(Box::new(train(search, ledger, job, training, seed)?));
            Ok(if work.is_shared() { Todo::Shared(order) } else { Todo::Train(order) })
        }
        Work::TrainShared(steps) => Ok(Todo::Shared(ToTrainer::TrainShared { job, steps: steps.clone() })),
        Work::EvaluateShared(evaluation) => {
            Ok(Todo::Shared(ToTrainer::EvaluateShared { job, evaluation: evaluation.clone() }))
        }
    }
}

fn train(search: &Search, ledger: &Ledger, job: JobId, training: &Training, seed: u64) -> Result<TrainOrder, Failure> {
    let task = networks(search)?;
    let parent = |id| ledger.get(id).and_then(|parent| parent.weights.clone()).unwrap_or_default();
    let start = match &training.initial_weights {
        InitialWeights::Resume(id) => Start::Resume(parent(*id)),
        InitialWeights::Inherit(inheritance) => Start::Inherit(parent(inheritance.job)),
        InitialWeights::ByPolicy | InitialWeights::Fresh => Start::Fresh,
        InitialWeights::Shared => Start::Shared,
    };
    let method = search.task.method();
    let (graph, recipe) = method
        .network(search.task.definition(), &task.recipe, &training.architecture)
        .map_err(|message| failure(FailureKind::InvalidArchitecture, message))?;
    Ok(TrainOrder {
        job,
        graph,
        data: search.task_data(task),
        recipe,
        precision: task.precision,
        seed,
        fidelity: training.fidelity,
        schedule: if training.schedule == 0 { training.fidelity } else { training.schedule },
        start,
        judge_every: 0,
        keep_weights: search.task.keeps_weights(),
        save_every: 0,
        final_training: false,
    })
}

/// The final training of a recommended architecture: training and validation images, measured on the test set.
pub fn final_training(search: &Search, architecture: &Architecture, job: JobId) -> Result<TrainOrder, Failure> {
    let task = networks(search)?;
    let settings = &search.file.final_training;
    let FinalTask { definition, method, data, data_digest } = &search.final_task;
    let method = method.as_deref().unwrap_or(search.task.method());
    let recipe = settings.recipe.as_ref().unwrap_or(&task.recipe);
    let (graph, recipe) = method
        .network(definition, recipe, architecture)
        .map_err(|message| failure(FailureKind::InvalidArchitecture, message))?;
    let data = TaskData {
        name: data.clone(),
        digest: data_digest.clone(),
        data_fraction: settings.data_fraction,
        ..search.task_data(task)
    };
    Ok(TrainOrder {
        job,
        graph,
        data,
        recipe,
        precision: task.precision,
        seed: search.seed(&format!("final {job}")),
        fidelity: settings.fidelity,
        schedule: settings.fidelity,
        start: Start::Fresh,
        judge_every: 0,
        keep_weights: true,
        save_every: settings.save_every,
        final_training: true,
    })
}

/// Open the one-shot graph.
pub fn open(search: &Search, checkpoint: Option<&SharedCheckpoint>) -> Result<ToTrainer, Failure> {
    let task = networks(search)?;
    let graph = search.task.definition().one_shot();
    let graph = graph.map_err(|error| failure(FailureKind::Unsupported, error.to_string()))?;
    Ok(ToTrainer::OpenSession(Box::new(SessionOrder {
        graph: graph.clone(),
        data: search.task_data(task),
        recipe: task.shared_recipe().clone(),
        precision: task.precision,
        seed: search.seed("session"),
        scheduled_epochs: task.shared_epochs,
        checkpoint: checkpoint.map(|checkpoint| checkpoint.digest.clone()),
    })))
}
