//! Search files: what a user writes to start a search.
//!
//! Unknown keys and wrong types are errors with file and line. Every key has a default but `name`, `space` (tables and
//! test functions bring their own), what the kind of `[task]` needs and `[strategy] component`; ARCHITECTURE.md and `configs/searches` show
//! them at work. The canonical form (all defaults filled in, as JSON) is what the run's configuration digest is of.

use std::{collections::BTreeMap, path::Path};

use nasd_engine::{Budget, Order, approximation::MedianStop};
use nasd_protocol::{Bound, Goal, Objective, trainer::Recipe};
use nasd_schedule::Schedule;
use nasd_strategy::Limits;
use serde::{Deserialize, Serialize};

use crate::failure::Failed;
use task::TaskKind;
pub use task::{CommandTask, FixedNetwork, FunctionTask, NetworkTask, TableTask, Task};

pub mod task;

/// A search file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SearchFile<T = Task> {
    /// Runs are called `name/1`, `name/2` ...
    pub name: String,
    /// For people.
    #[serde(default)]
    pub summary: String,
    /// A preset's name, or a space file beside this one (`*.toml`). Tables and test functions bring their own.
    #[serde(default)]
    pub space: String,
    /// Settings of the space, `"stack.channels" = 8`.
    #[serde(default)]
    pub space_settings: BTreeMap<String, Setting>,
    /// Of everything random.
    #[serde(default)]
    pub seed: u64,
    /// What is done with an architecture.
    pub task: T,
    /// Who searches.
    pub strategy: Strategy,
    /// First is foremost. Default: the highest accuracy, the lowest loss of a test function.
    #[serde(default)]
    pub objectives: Vec<Objective>,
    /// Architectures beyond them are refused.
    #[serde(default)]
    pub constraints: Vec<Bound>,
    /// When it stops asking.
    #[serde(default)]
    pub budget: Budget,
    /// Slots and order.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// Cheaper judgements.
    #[serde(default)]
    pub approximation: Approximation,
    /// Weights of finished jobs.
    #[serde(default)]
    pub weights: Weights,
    /// Training of what is found.
    #[serde(default, rename = "final")]
    pub final_training: FinalTraining,
    /// Results that are known already, for the report: what is found, and how it was ranked, is looked up in them.
    #[serde(default, skip_serializing)]
    pub known_results: Option<KnownTable>,
    /// When a daemon starts it; none: once.
    #[serde(default, skip_serializing)]
    pub schedule: Option<Schedule>,
    /// Among the other searches of a daemon.
    #[serde(default, skip_serializing)]
    pub share: Share,
}

/// Where the space's architectures have known results. No strategy sees them: not part of what "the same run" means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KnownTable {
    /// A table's name, or a TOML file beside the search file.
    pub table: String,
    /// The data set of it that results are compared by.
    pub data_set: String,
    /// Architectures with a better result are ranked for themselves, too: the order among the good is what matters.
    #[serde(default)]
    pub above: Option<f64>,
}

/// A search's share of a daemon's trainers. Not part of what "the same run" means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Share {
    /// Against the other searches of the same priority; above 0.
    pub weight: f64,
    /// Searches of a higher priority go first.
    pub priority: i32,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: 1.0, priority: 0 }
    }
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Setting {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Setting::Flag(value) => value.fmt(formatter),
            Setting::Integer(value) => value.fmt(formatter),
            Setting::Number(value) => value.fmt(formatter),
            Setting::Text(value) => value.fmt(formatter),
        }
    }
}

/// Who searches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Strategy {
    /// A strategy's name (`nasd strategy list`), or a component beside this file (`*.wasm`).
    pub component: String,
    /// Its own parameters.
    #[serde(default)]
    pub parameters: toml::Table,
    /// Of each of its calls.
    #[serde(default)]
    pub limits: Limits,
}

/// Slots and order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Scheduling {
    /// Jobs in flight at most; shared weights: 1.
    pub slots: u32,
    /// Order of delivery.
    pub order: Order,
    /// A savepoint after so many told jobs.
    pub savepoint_every: u64,
    /// Tries of a job whose trainer is lost.
    pub max_attempts: u32,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self { slots: 1, order: Order::Virtual, savepoint_every: 50, max_attempts: 3 }
    }
}

/// Cheaper judgements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Approximation {
    /// Share of the training images used.
    pub data_fraction: f64,
    /// Stop trainings below the median.
    pub median_stop: Option<MedianStop>,
}

impl Default for Approximation {
    fn default() -> Self {
        Self { data_fraction: 1.0, median_stop: None }
    }
}

/// Which weights of finished jobs are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// If the strategy needs them to resume or inherit.
    #[default]
    Needed,
    /// All.
    All,
    /// None.
    None,
}

/// Weights of finished jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Weights {
    /// Which are kept.
    pub keep: Keep,
}

/// Training of what is found, on training and validation images, measured on the test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinalTraining {
    /// Epochs; 0: no final training.
    pub fidelity: u32,
    /// Recommended architectures trained.
    pub architectures: u32,
    /// Trainings of each, with seeds of their own.
    pub repetitions: u32,
    /// Another data set than the search's, of any size and number of classes; default: the search's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Share of its training images used.
    pub data_fraction: f64,
    /// A checkpoint after so many epochs, which an interruption or a crash loses nothing before; 0: none.
    pub save_every: u32,
    /// Default: `[task.recipe]`.
    pub recipe: Option<Recipe>,
    /// Settings of the space for the final network, over `space-settings`.
    pub space_settings: BTreeMap<String, Setting>,
}

impl Default for FinalTraining {
    fn default() -> Self {
        Self {
            fidelity: 0,
            architectures: 1,
            repetitions: 1,
            data: None,
            data_fraction: 1.0,
            save_every: 10,
            recipe: None,
            space_settings: BTreeMap::new(),
        }
    }
}

/// Read a search file with `key.path=value` settings over it.
pub fn read(path: &Path, settings: &[String]) -> Result<SearchFile, Failed> {
    let label = path.display().to_string();
    let text = read_text(path, "name a search file, for example configs/searches/quick-start.toml")?;
    parse(&text, &label, settings)
}

/// A file of text; `remedy` is for one that cannot be had.
pub fn read_text(path: &Path, remedy: &str) -> Result<String, Failed> {
    std::fs::read_to_string(path).map_err(|error| {
        let label = path.display();
        Failed::Configuration(match error.kind() {
            std::io::ErrorKind::InvalidData => format!("{label}: this is no text in UTF-8; save it as such"),
            _ => format!("{label}: {error}; {remedy}"),
        })
    })
}

/// Parse a search file; `label` names it in errors.
pub fn parse(text: &str, label: &str, settings: &[String]) -> Result<SearchFile, Failed> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| located(&error, text, label))?;
    let mut file = if settings.is_empty() {
        typed(text, &table, label, &|error| located(error, text, label))?
    } else {
        for setting in settings {
            set(&mut table, setting)?;
        }
        typed(&table.to_string(), &table, label, &|error| {
            let settings = settings.join(" --set ");
            Failed::Configuration(format!("{label} with --set {settings}: {}", one_line(error.message())))
        })?
    };
    if file.objectives.is_empty() && !table.contains_key("objectives") {
        let (metric, goal) = match file.task {
            Task::Function(_) => ("loss", Goal::Minimize),
            Task::Network(_) | Task::Table(_) | Task::Command(_) => ("accuracy", Goal::Maximize),
        };
        file.objectives.push(Objective { metric: metric.into(), goal });
    }
    check(&file).map_err(|(key, message)| {
        let line = text.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |line| line + 1);
        Failed::Configuration(format!("{label}:{line}: {message}"))
    })?;
    Ok(file)
}

/// A search file's text with `key.path=value` settings over it; without any as it is.
pub fn with_settings(text: &str, settings: &[String]) -> Result<String, Failed> {
    if settings.is_empty() {
        return Ok(text.to_owned());
    }
    let mut table: toml::Table = toml::from_str(text).map_err(|error| located(&error, text, "the search"))?;
    settings.iter().try_for_each(|setting| set(&mut table, setting))?;
    Ok(table.to_string())
}

type Located<'a> = &'a dyn Fn(&toml::de::Error) -> Failed;

/// Read a file by the kind of its task, so that an error keeps its place.
fn typed(text: &str, table: &toml::Table, label: &str, located: Located<'_>) -> Result<SearchFile, Failed> {
    fn read<T: TaskKind>(text: &str, located: Located<'_>) -> Result<SearchFile, Failed> {
        let file: SearchFile<T> = toml::from_str(text).map_err(|error| located(&error))?;
        Ok(file.into_any())
    }
    let kind = table.get("task").and_then(|task| task.get("kind")).and_then(toml::Value::as_str);
    match kind {
        None | Some("network") => read::<NetworkTask>(text, located),
        Some("table") => read::<TableTask>(text, located),
        Some("function") => read::<FunctionTask>(text, located),
        Some("command") => read::<CommandTask>(text, located),
        Some(other) => {
            let is_it = |line: &str| line.trim_start().starts_with("kind") && line.contains(other);
            let line = text.lines().position(is_it).map_or(1, |line| line + 1);
            let known = task::KINDS.join(", ");
            let problem = format!("there is no task of kind `{other}`; known are {known}");
            Err(Failed::Configuration(format!("{label}:{line}: {problem}")))
        }
    }
}

impl<T: Into<Task>> SearchFile<T> {
    fn into_any(self) -> SearchFile {
        SearchFile {
            name: self.name,
            summary: self.summary,
            space: self.space,
            space_settings: self.space_settings,
            seed: self.seed,
            task: self.task.into(),
            strategy: self.strategy,
            objectives: self.objectives,
            constraints: self.constraints,
            budget: self.budget,
            scheduling: self.scheduling,
            approximation: self.approximation,
            weights: self.weights,
            final_training: self.final_training,
            known_results: self.known_results,
            schedule: self.schedule,
            share: self.share,
        }
    }
}

/// `file:line: message`.
fn located(error: &toml::de::Error, text: &str, label: &str) -> Failed {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message = match one_line(error.message()) {
        message if message == "duplicate key" => {
            let begun = before.rsplit('\n').next().unwrap_or_default().len();
            let written = text.get(at - begun..).unwrap_or_default().lines().next().unwrap_or_default();
            format!("`{}` is there for the second time; remove one of the two", written.trim())
        }
        message => message,
    };
    Failed::Configuration(format!("{label}:{line}: {message}"))
}

/// The library's words in one line, with types as people call them.
fn one_line(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = [("u32", "a whole number from 0 to 4294967295"), ("u64", "a whole number from 0"), ("f64", "a number")];
    for (type_name, name) in names {
        if let Some(start) = message.strip_suffix(&format!("expected {type_name}")) {
            return format!("{start}expected {name}");
        }
    }
    message
}

/// `file:line` of the first line that begins with `key`, the file alone where there is none: for what is wrong with a
/// value only once it is used.
pub fn place_of(path: &Path, key: &str) -> String {
    let label = path.display().to_string();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let is_key = |line: &str| {
        let rest = line.trim_start().trim_start_matches('[').strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.', ']']))
    };
    match text.lines().position(is_key) {
        Some(line) => format!("{label}:{}", line + 1),
        None => label,
    }
}

/// Put `key.path=value` into a table. The value is TOML if it parses as such, else text.
fn set(table: &mut toml::Table, setting: &str) -> Result<(), Failed> {
    let usage = || Failed::Configuration(format!("--set {setting}: write it as key.path=value"));
    let (path, value) = setting.split_once('=').ok_or_else(usage)?;
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {value}")).ok();
    let value =
        parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| toml::Value::String(value.to_owned()));
    // Keys of `space-settings` hold dots themselves.
    let mut parts: Vec<&str> = match path.split_once("space-settings.") {
        Some((before, key)) => {
            before.split('.').filter(|part| !part.is_empty()).chain(["space-settings", key.trim_matches('"')]).collect()
        }
        None => path.split('.').collect(),
    };
    let last = parts.pop().filter(|key| !key.is_empty()).ok_or_else(usage)?;
    let mut table = table;
    for part in parts {
        let entry = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry
            .as_table_mut()
            .ok_or_else(|| Failed::Configuration(format!("--set {setting}: `{part}` is a value, not a table")))?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

/// Longest name of a search.
const MAX_NAME: usize = 100;

/// Settings that only a training of networks can honour.
fn check_without_networks(file: &SearchFile) -> Result<(), (&'static str, String)> {
    let unused = FinalTraining { architectures: file.final_training.architectures, ..FinalTraining::default() };
    let settings = [
        ("data-fraction", file.approximation.data_fraction != 1.0, "approximation.data-fraction"),
        ("[approximation.median-stop]", file.approximation.median_stop.is_some(), "approximation.median-stop"),
        ("keep", file.weights.keep != Keep::Needed, "weights.keep"),
        ("[final", file.final_training != unused, "all of [final] but `architectures`"),
    ];
    match settings.into_iter().find(|(_, is_set, _)| *is_set) {
        Some((key, _, shown)) => Err((key, format!("{shown}: this task trains no networks of nasd's; leave it out"))),
        None => Ok(()),
    }
}

/// What types alone do not say; an error names the key.
fn check(file: &SearchFile) -> Result<(), (&'static str, String)> {
    if file.name.is_empty()
        || !file.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        || file.name.starts_with('.')
    {
        return Err(("name", format!("name `{}`: use letters, digits, - _ and . only", file.name)));
    }
    if file.name.len() > MAX_NAME {
        return Err(("name", format!("the name has {} characters; {MAX_NAME} are enough", file.name.len())));
    }
    file.task.check()?;
    if file.task.network().is_none() {
        check_without_networks(file)?;
    }
    if !(file.approximation.data_fraction > 0.0 && file.approximation.data_fraction <= 1.0) {
        let message = format!("data-fraction = {}: give a share above 0, at most 1", file.approximation.data_fraction);
        return Err(("data-fraction", message));
    }
    if let Some(deadline) = &file.budget.deadline
        && let Err(error) = deadline.parse::<jiff::Timestamp>()
    {
        return Err(("deadline", format!("deadline = {deadline:?}: {error}; write it as \"2026-12-24T18:00:00Z\"")));
    }
    if !(file.share.weight > 0.0 && file.share.weight.is_finite()) {
        return Err(("weight", format!("weight = {}: give a number above 0", file.share.weight)));
    }
    if file.scheduling.slots == 0 {
        return Err(("slots", "slots = 0: at least one job has to be in flight".into()));
    }
    if file.objectives.is_empty() {
        return Err((
            "objectives",
            "objectives is empty: name one, { metric = \"accuracy\", goal = \"maximize\" }".into(),
        ));
    }
    if file.space.is_empty() && matches!(file.task, Task::Network(_) | Task::Command(_)) {
        return Err(("space", "`space` is missing: name a preset (`nasd space list`) or a space file".into()));
    }
    if let Some(recipe) = &file.final_training.recipe {
        task::check_recipe(recipe)?;
    }
    let final_fraction = file.final_training.data_fraction;
    if !(final_fraction > 0.0 && final_fraction <= 1.0) {
        return Err(("[final", format!("[final] data-fraction = {final_fraction}: give a share above 0, at most 1")));
    }
    if file.final_training.repetitions == 0 {
        return Err(("repetitions", "repetitions = 0: train at least once, or leave [final] out".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name = \"a\"\nspace = \"s\"\n[task]\ndata = \"digits\"\n[strategy]\ncomponent = \"random\"\n";

    fn message(text: &str, settings: &[&str]) -> String {
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        parse(text, "a.toml", &settings).unwrap_err().to_string()
    }

    #[test]
    fn the_smallest_file_is_complete() {
        let file = parse(SMALL, "a.toml", &[]).unwrap();
        assert_eq!(file.task.network().unwrap().fidelity, 10);
        assert_eq!(file.objectives[0].metric, "accuracy");
    }

    #[test]
    fn errors_name_file_line_and_remedy() {
        let cases: &[(&str, &str, &str)] = &[
            ("[task]\n", "[task]\nepochs = 3\n", "a.toml:4: unknown field `epochs`, expected one of `kind`, `data`"),
            ("data = \"digits\"", "data = 3", "a.toml:4: invalid type: integer `3`, expected a string"),
            ("space = \"s\"", "space = ", "a.toml:2:"),
            ("space = \"s\"\n", "", "a.toml:1: `space` is missing"),
            (
                "[task]\n",
                "[task]\nkind = \"tables\"\n",
                "a.toml:4: there is no task of kind `tables`; known are network, table",
            ),
            ("[task]\n", "[task]\nkind = \"table\"\n", "a.toml:5: unknown field `data`"),
            ("name = \"a\"", "name = \"../a\"", "a.toml:1: name `../a`: use letters"),
            ("[task]\n", "[task]\nvalidation = 1.5\n", "a.toml:4: validation = 1.5: give a share"),
            ("[task]\n", "[scheduling]\nslots = 0\n[task]\n", "a.toml:4: slots = 0"),
        ];
        for (from, to, expected) in cases {
            let found = message(&SMALL.replace(from, to), &[]);
            assert!(found.contains(expected) && !found.contains('\n'), "{found}");
        }
    }

    #[test]
    fn settings_reach_any_key() {
        let settings = [
            "task.fidelity=3",
            "seed=9",
            "space-settings.stack.channels=4",
            "strategy.parameters.population=5",
            "task.data=mnist",
        ];
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let file = parse(SMALL, "a.toml", &settings).unwrap();
        let task = file.task.network().unwrap();
        assert_eq!((task.fidelity, file.seed, task.data.as_str()), (3, 9, "mnist"));
        assert_eq!(file.space_settings["stack.channels"], Setting::Integer(4));
        assert_eq!(file.strategy.parameters["population"].as_integer(), Some(5));
        assert!(message(SMALL, &["task.epochs=3"]).contains("unknown field `epochs`"));
        assert!(message(SMALL, &["task"]).contains("key.path=value"));
        assert!(message(SMALL, &["name.x=1"]).contains("is a value"));
    }
}
