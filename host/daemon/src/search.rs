//! A search file resolved: space, data, strategy and plan, all checked before anything is written.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use nasd_data::{DataFolder, Listing, split_train_validation};
use nasd_engine::Plan;
use nasd_network::SpaceDefinition;
use nasd_protocol::{
    Features, Job, JobId, LogLevel, Prior, Setup, SharedWeights, event::StrategyIdentity, trainer::TaskData,
};
use nasd_space::{RandomSource, StreamRandom};
use nasd_strategy::{
    Component, Runtime, Services,
    services::{HistoryService, LogSink},
};

use crate::{
    configuration::{self, Keep, NetworkTask, SearchFile, Setting},
    failure::{Failed, chain},
    strategies, subject,
    subject::Subject,
    task::{KnownTable, Method, SearchTask, TableMethod},
};

/// A search ready to run.
#[derive(Clone)]
pub struct Search {
    /// What was written.
    pub file: SearchFile,
    /// Canonical configuration: the file with defaults, digests of space, data and component.
    pub configuration: String,
    /// BLAKE3 of it.
    pub configuration_digest: String,
    /// Rules, costs, constraints.
    pub task: Arc<SearchTask>,
    /// Name of what is learnt or looked up.
    pub data: String,
    /// Its digest.
    pub data_digest: String,
    /// The strategy.
    pub component: Component,
    /// Its bytes.
    pub component_bytes: Arc<[u8]>,
    /// Who it is.
    pub identity: StrategyIdentity,
    /// What it is started with.
    pub setup: Setup,
    /// What the engine decides by.
    pub plan: Plan,
    /// What the final training is on and of.
    pub final_task: FinalTask,
    /// What is known of the space's architectures, for the report alone.
    pub known: Option<KnownTable>,
}

/// What the final training is on and of.
#[derive(Clone)]
pub struct FinalTask {
    /// The space, set to the data and with the settings of `[final]`.
    pub definition: SpaceDefinition,
    /// How a fixed network is made, if one is; else the search's way.
    pub method: Option<Arc<Method>>,
    /// Name of the data set.
    pub data: String,
    /// Its digest.
    pub data_digest: String,
}

/// Where things are.
pub struct Places {
    /// The state folder.
    pub state: PathBuf,
    /// The folder of data sets.
    pub data: PathBuf,
}

/// A preset, or a space file relative to `beside`, with settings.
pub fn space<'a>(
    name: &str,
    beside: &Path,
    settings: impl Iterator<Item = (&'a String, &'a Setting)>,
) -> Result<SpaceDefinition, Failed> {
    let mut definition = if name.ends_with(".toml") {
        let path = beside.join(name);
        let presets = SpaceDefinition::preset_names().collect::<Vec<_>>().join(", ");
        let text = configuration::read_text(&path, &format!("name a space file, or a preset; known are {presets}"))?;
        SpaceDefinition::parse(&text, &path.display().to_string()).map_err(Failed::configuration)?
    } else {
        SpaceDefinition::preset(name).map_err(Failed::configuration)?
    };
    for (key, value) in settings {
        definition = definition.set(key, &value.to_string()).map_err(Failed::configuration)?;
    }
    Ok(definition)
}

/// Resolve a search file.
pub async fn resolve(file: SearchFile, path: &Path, places: &Places, runtime: &Runtime) -> Result<Search, Failed> {
    let beside = path.parent().unwrap_or(Path::new("."));
    let bytes = strategies::find(&file.strategy.component, beside, &strategies::folders(&places.state))
        .map_err(|error| Failed::Configuration(format!("{}: {error}", configuration::place_of(path, "component"))));
    resolve_with(file, path, places, runtime, bytes).await
}

/// As [`resolve`], with the strategy's component given; what is wrong with the task is said first.
pub async fn resolve_with(
    file: SearchFile,
    path: &Path,
    places: &Places,
    runtime: &Runtime,
    bytes: Result<Vec<u8>, Failed>,
) -> Result<Search, Failed> {
    let Subject { definition, method, name: data, digest, images, fidelities, max_fidelity } =
        subject::resolve(&file, path, places)?;
    let networks = file.task.network().filter(|task| task.network.is_none());
    check_measures(&file, &method).map_err(|(key, problem)| {
        Failed::Configuration(format!("{}: {problem}", configuration::place_of(path, key)))
    })?;
    let final_task = final_task(&file, path, places, &definition, &method, (&data, &digest))?;
    let known = subject::known_results(&file, path, places, &definition, &method)?;
    let at = |key: &str, line: &str| Failed::Configuration(format!("{}: {line}", configuration::place_of(path, key)));
    let bytes = bytes?;
    let refused = |error: &dyn std::error::Error| {
        at("component", &format!("strategy `{}`: {}", file.strategy.component, chain(error)))
    };
    let component = runtime.load(&bytes).map_err(|error| refused(&error))?;
    let descriptor = component.describe(&file.strategy.limits).await.map_err(|error| refused(&error))?;
    let keeps_weights = match file.weights.keep {
        Keep::All => true,
        Keep::None => false,
        Keep::Needed => descriptor.needs.resuming || descriptor.needs.inheriting,
    };
    let offers = Features {
        shared_weights: networks.is_some(),
        mixtures: networks.is_some(),
        gradients: networks.is_some(),
        unrolled_gradients: networks.is_some(),
        inheriting: keeps_weights && networks.is_some(),
        resuming: keeps_weights && file.task.network().is_some(),
        judging: true,
    };
    let missing = descriptor.needs.missing_from(&offers);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(at(
            "component",
            &format!("strategy `{}` needs {missing}, which this task does not offer", descriptor.name),
        ));
    }
    let shared = networks.zip(images.as_ref()).filter(|_| descriptor.needs.shared_weights);
    let shared = shared.map(|(task, images)| shared_weights(&file, task, images));
    // The template has to build before anything is written; so has one network.
    if shared.is_some() {
        definition.one_shot().map_err(Failed::configuration)?;
    } else if networks.is_some() {
        definition.stand_alone().map_err(Failed::configuration)?;
    }
    let task = Arc::new(
        SearchTask::new(
            definition,
            method,
            file.constraints.clone(),
            shared.clone(),
            keeps_weights,
            file.approximation.data_fraction,
        )
        .map_err(Failed::configuration)?,
    );
    let space = task.definition().space().clone();
    let parameters = serde_json::to_string(&file.strategy.parameters).map_err(Failed::configuration)?;
    let setup = Setup {
        space_digest: space.digest(),
        space,
        objectives: file.objectives.clone(),
        constraints: file.constraints.clone(),
        max_fidelity,
        fidelities,
        offers,
        shared_weights: shared,
        parameters,
    };
    // A strategy that does not take these parameters or this space says so now, in an instance that is thrown away.
    let services = Services {
        random: StreamRandom::new(file.seed, "dry start"),
        space: task.clone(),
        history: Arc::new(NoHistory),
        log: Arc::new(NoLog),
    };
    let mut instance = component.instantiate(services, &file.strategy.limits).await.map_err(|error| refused(&error))?;
    instance.start(&setup).await.map_err(|error| refused(&error))?;
    let plan = Plan {
        objectives: file.objectives.clone(),
        budget: file.budget.clone(),
        slots: file.scheduling.slots,
        order: file.scheduling.order,
        max_fidelity,
        savepoint_every: file.scheduling.savepoint_every,
        max_attempts: file.scheduling.max_attempts,
        recommend: file.final_training.architectures.max(1),
        median_stop: file.approximation.median_stop.clone(),
    };
    let identity =
        StrategyIdentity { name: descriptor.name, version: descriptor.version, digest: component.digest().to_owned() };
    let digests = [digest.as_str(), final_task.data_digest.as_str()];
    let (configuration, configuration_digest) = canonical(&file, &setup.space_digest, digests, &identity)?;
    Ok(Search {
        file,
        configuration,
        configuration_digest,
        task,
        data,
        data_digest: digest,
        component,
        component_bytes: bytes.into(),
        identity,
        setup,
        plan,
        final_task,
        known,
    })
}

/// What the final training is on: `[final] data`, or the search's own.
fn final_task(
    file: &SearchFile,
    path: &Path,
    places: &Places,
    definition: &SpaceDefinition,
    method: &Method,
    (data, digest): (&str, &str),
) -> Result<FinalTask, Failed> {
    let settings = &file.final_training;
    let wrong = |problem: String| {
        Failed::Configuration(format!("{}: [final] {problem}", configuration::place_of(path, "final")))
    };
    let (mut task, mut data, mut digest) = (None, data.to_owned(), digest.to_owned());
    if let Some(name) = &settings.data {
        let images = DataFolder::open(&places.data);
        let images = images.check(name).map_err(|error| wrong(format!("data: {}", chain(&error))))?;
        let extent = |extent: usize| u32::try_from(extent).unwrap_or(u32::MAX);
        task = Some((images.shape.map(extent), extent(images.classes)));
        (data, digest) = (images.name, images.digest);
    }
    let made = method.for_final(definition, task, &settings.space_settings);
    let (definition, fixed) = made.map_err(|problem| wrong(format!("space-settings: {problem}")))?;
    // One network has to build before anything is searched.
    if settings.fidelity > 0 && fixed.is_none() && file.task.network().is_some() {
        definition.stand_alone().map_err(|error| wrong(format!("the network cannot be built: {}", chain(&error))))?;
    }
    Ok(FinalTask { definition, method: fixed.map(Arc::new), data, data_digest: digest })
}

/// The canonical configuration and its digest.
fn canonical(
    file: &SearchFile,
    space: &str,
    [data, final_data]: [&str; 2],
    strategy: &StrategyIdentity,
) -> Result<(String, String), Failed> {
    let mut document =
        serde_json::json!({ "search": file, "space": space, "data": data, "component": strategy.digest });
    if data != final_data
        && let Some(document) = document.as_object_mut()
    {
        document.insert("final-data".into(), final_data.into());
    }
    let configuration = serde_json::to_string(&document).map_err(Failed::other)?;
    let digest = blake3::hash(configuration.as_bytes()).to_hex().to_string();
    Ok((configuration, digest))
}

/// Before a search there is no history, and nobody reads what a strategy logs.
struct NoHistory;

impl HistoryService for NoHistory {
    fn get(&self, _: JobId) -> Option<Job> {
        None
    }
    fn page(&self, _: JobId, _: u32) -> Vec<Job> {
        Vec::new()
    }
    fn priors(&self, _: u64, _: u32) -> Vec<Prior> {
        Vec::new()
    }
}

struct NoLog;

impl LogSink for NoLog {
    fn write(&self, _: LogLevel, _: &str) {}
    fn chart(&self, _: &str, _: f64) {}
}

/// Whether objectives and constraints are about what the task knows; an error names the key.
fn check_measures(file: &SearchFile, method: &Method) -> Result<(), (&'static str, String)> {
    let (measured, costs) = (method.measured(), method.cost_names());
    if let Some(measured) = measured {
        let known: Vec<String> = measured.into_iter().chain(costs.iter().cloned()).collect();
        if let Some(objective) = file.objectives.iter().find(|objective| !known.contains(&objective.metric)) {
            let problem = format!("this task has no measure `{}`; it has: {}", objective.metric, known.join(", "));
            return Err(("objectives", problem));
        }
    }
    for bound in &file.constraints {
        if !costs.contains(&bound.metric) {
            let known = if costs.is_empty() { "none".to_owned() } else { costs.join(", ") };
            let problem = format!(
                "constraints are on what is known before a training; `{}` is no cost of this task, which has: {known}",
                bound.metric
            );
            return Err(("constraints", problem));
        }
        let limits = [bound.at_least, bound.at_most];
        if limits.iter().flatten().any(|limit| limit.is_nan()) || limits.iter().all(Option::is_none) {
            return Err(("constraints", format!("`{}` has no limit: give at-most or at-least", bound.metric)));
        }
    }
    Ok(())
}

/// What the one-shot graph's streams will be: the trainer's session must agree.
fn shared_weights(file: &SearchFile, task: &NetworkTask, images: &Listing) -> SharedWeights {
    let recipe = task.shared_recipe();
    let (train, validation) = split_train_validation(images.train, task.validation, file.seed);
    let kept = if file.approximation.data_fraction < 1.0 {
        ((train.len() as f64 * file.approximation.data_fraction).round() as usize).max(1)
    } else {
        train.len()
    };
    let batch = recipe.batch_size.max(1) as usize;
    let batches = |n: usize| {
        let n = if recipe.drop_last { n / batch } else { n.div_ceil(batch) };
        u32::try_from(n).unwrap_or(u32::MAX)
    };
    let train_batches = batches(kept);
    SharedWeights {
        train_batches,
        validation_batches: batches(validation.len()),
        scheduled_steps: u64::from(train_batches) * u64::from(task.shared_epochs),
        steps_done: 0,
    }
}

impl Search {
    /// The configuration digest that this search would have with another component.
    pub fn configuration_digest_with(&self, component: &str) -> String {
        let mut document: serde_json::Value = serde_json::from_str(&self.configuration).unwrap_or_default();
        if let Some(place) = document.get_mut("component") {
            *place = component.into();
        }
        blake3::hash(document.to_string().as_bytes()).to_hex().to_string()
    }

    /// The same search with another seed; not for shared weights, whose minibatches are counted by the seed.
    pub fn reseeded(&self, seed: u64) -> Result<Self, Failed> {
        let file = SearchFile { seed, ..self.file.clone() };
        let digests = [self.data_digest.as_str(), self.final_task.data_digest.as_str()];
        let (configuration, configuration_digest) =
            canonical(&file, &self.setup.space_digest, digests, &self.identity)?;
        Ok(Self { file, configuration, configuration_digest, ..self.clone() })
    }

    /// The data as a trainer is told.
    pub fn task_data(&self, task: &NetworkTask) -> TaskData {
        TaskData {
            name: self.data.clone(),
            digest: self.data_digest.clone(),
            validation_fraction: task.validation,
            data_fraction: self.file.approximation.data_fraction,
            seed: self.file.seed,
        }
    }

    /// The table with what is known of the space's architectures: the task itself, or one for the report alone.
    pub fn known_table(&self) -> Option<&TableMethod> {
        match self.task.method() {
            Method::Table(table) => Some(table),
            _ => self.known.as_ref().map(|known| &known.method),
        }
    }

    /// A seed for one purpose of this search.
    pub fn seed(&self, purpose: &str) -> u64 {
        StreamRandom::new(self.file.seed, purpose).next_u64()
    }
}
