//! Several searches, or one many times: repeated with seeds of their own, compared in one table and one plot.

use std::path::{Path, PathBuf};

use nasd_protocol::Goal;
use nasd_report::{
    repeated::{Published, RepeatedSearch, RepeatedSearches, Repetition},
    report::Objective,
};
use nasd_strategy::{Runtime, RuntimeOptions};
use serde::Serialize;
use tokio::sync::watch;

use super::{print, print_json};
use crate::{
    failure::Failed,
    run::{self, Changes, Options, compiled_cache, seed_of},
    search::{self, Places, Search},
    task::Method,
};

/// How to compare.
pub struct Comparison<'a> {
    /// The search files; the first is what the others are compared with.
    pub files: &'a [PathBuf],
    /// Settings over all of them.
    pub settings: &'a [String],
    /// Where things are.
    pub places: Places,
    /// `cpu`, `cuda:0`, `null`.
    pub device: &'a str,
    /// Trainers of each run.
    pub trainers: Option<u32>,
    /// Seeds of each search.
    pub repetitions: u64,
    /// Searches at a time, of tasks whose results are known at once.
    pub parallel: usize,
    /// Write every repetition's journal down.
    pub keeps_journals: bool,
    /// One JSON document on stdout.
    pub is_json: bool,
}

/// As JSON.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    searches: &'a RepeatedSearches,
    differences: Vec<nasd_report::repeated::Difference>,
    report: String,
}

impl Comparison<'_> {
    /// Run all, write the report, print it.
    pub async fn run(&self, interrupt: watch::Receiver<bool>) -> Result<(), Failed> {
        let compared = self.searches(&interrupt).await?;
        let folder = self.places.state.join("comparisons").join(name_of(&compared));
        let report = write(&compared, &folder)?;
        if self.is_json {
            let differences = compared.differences();
            print_json(&Document { searches: &compared, differences, report: report.display().to_string() })?;
        } else {
            print(&shown(&compared, &report));
        }
        Ok(())
    }

    /// Run all.
    async fn searches(&self, interrupt: &watch::Receiver<bool>) -> Result<RepeatedSearches, Failed> {
        let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
        let mut all: Vec<Search> = Vec::new();
        let mut done: Vec<RepeatedSearch> = Vec::new();
        for path in self.files {
            let file = crate::configuration::read(path, self.settings)?;
            let search = search::resolve(file, path, &self.places, &runtime).await?;
            if let Some(first) = all.first() {
                comparable(first, &search, path)?;
            }
            let repetitions = self.repeat(&search, path, interrupt).await?;
            done.push(RepeatedSearch {
                name: unused_name(&search.file.name, &done),
                strategy: format!("{} {}", search.identity.name, search.identity.version),
                repetitions,
            });
            all.push(search);
        }
        compared(&all.iter().collect::<Vec<_>>(), done)
    }

    async fn repeat(
        &self,
        search: &Search,
        path: &Path,
        interrupt: &watch::Receiver<bool>,
    ) -> Result<Vec<Repetition>, Failed> {
        let count = usize::try_from(self.repetitions).unwrap_or(usize::MAX);
        if search.task.method().is_instant() && !self.keeps_journals {
            return tokio::task::block_in_place(|| run::repeat(search, count, self.parallel, interrupt));
        }
        let mut repetitions = Vec::new();
        for number in 0..self.repetitions {
            let seed = seed_of(search.file.seed, number);
            let mut settings = self.settings.to_vec();
            settings.push(format!("seed={seed}"));
            let options = Options {
                file: path.to_owned(),
                settings,
                places: Places { state: self.places.state.clone(), data: self.places.data.clone() },
                device: self.device.to_owned(),
                trainers: self.trainers,
                is_silent: self.is_json,
                draws: true,
                reuses: true,
                changes: Changes::None,
            };
            let (search, summary) = run::run(options, interrupt.clone()).await?;
            if let Some(reason) = &summary.failure {
                return Err(Failed::Other(format!("{}: {reason}", summary.run)));
            }
            repetitions.push(run::repetition(&search, &self.places.state, &summary.run)?);
        }
        Ok(repetitions)
    }
}

fn shown(compared: &RepeatedSearches, report: &Path) -> String {
    format!("{}\n\nReport: {}", compared.terminal(terminal_width()).trim_end(), report.display())
}

/// Write the report of finished searches; gives what is printed.
pub fn show(compared: &RepeatedSearches, state: &Path) -> Result<String, Failed> {
    let report = write(compared, &state.join("comparisons").join(name_of(compared)))?;
    Ok(shown(compared, &report))
}

fn comparable(first: &Search, other: &Search, path: &Path) -> Result<(), Failed> {
    match difference(first, other) {
        Some(problem) => {
            Err(Failed::Configuration(format!("{}: {problem}; compare what is comparable", path.display())))
        }
        None => Ok(()),
    }
}

/// Why two searches cannot be compared, if so: they are on the same subject and by the same objective.
pub fn difference(first: &Search, other: &Search) -> Option<String> {
    if first.data != other.data
        || first.data_digest != other.data_digest
        || first.setup.space_digest != other.setup.space_digest
    {
        return Some(format!("it is about {}, the first search about {}", other.data, first.data));
    }
    let is_same = first.plan.objectives.first() == other.plan.objectives.first();
    (!is_same).then(|| "its first objective is another than the first search's".to_owned())
}

/// A name that no row has yet: the same search may be there twice.
fn unused_name(name: &str, rows: &[RepeatedSearch]) -> String {
    let is_used = |name: &str| rows.iter().any(|row| row.name == name);
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_used(name)).unwrap_or_default()
}

/// What differs between searches and makes a comparison one of two things at once.
pub fn notes(searches: &[&Search]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut differing = |what: &str, of: &dyn Fn(&Search) -> String| {
        let values: Vec<String> = searches.iter().map(|search| of(search)).collect();
        if values.iter().any(|value| Some(value) != values.first()) {
            notes.push(format!("the searches differ in {what}: {}", values.join("; ")));
        }
    };
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    differing("budget", &|search| json(serde_json::to_string(&search.plan.budget)));
    differing("training (epochs)", &|search| search.plan.max_fidelity.to_string());
    differing("constraints", &|search| json(serde_json::to_string(&search.file.constraints)));
    differing("slots", &|search| search.plan.slots.to_string());
    differing("seed", &|search| search.file.seed.to_string());
    if searches.iter().any(|search| search.known.is_some()) {
        notes.push("searches here trained by themselves, and were looked up afterwards; published rows had budgets of their own".into());
    }
    notes
}

/// Published results of the protocol that all searches keep to.
fn published(searches: &[&Search]) -> Result<Option<Published>, Failed> {
    let Some(table) = searches.first().and_then(|search| search.known_table()) else { return Ok(None) };
    let published = Published::embedded(&table.table.description().name).map_err(Failed::other)?;
    Ok(published.filter(|published| {
        let protocol = &published.protocol;
        searches.iter().all(|search| {
            // Searches that train have the budgets of their machine, as the published ones had: a note says so.
            if let Some(known) = &search.known {
                return known.method.data_set == protocol.data_set && search.file.constraints.is_empty();
            }
            matches!(search.task.method(), Method::Table(table) if table.data_set == protocol.data_set)
                && search.plan.max_fidelity == protocol.epochs
                && search.plan.budget.simulated_seconds == Some(protocol.simulated_seconds)
                && search.file.constraints.is_empty()
        })
    }))
}

/// Put together what is shown.
pub fn compared(all: &[&Search], searches: Vec<RepeatedSearch>) -> Result<RepeatedSearches, Failed> {
    let first = all.first().ok_or_else(|| Failed::Configuration("there is no search to run".into()))?;
    let objective = first.plan.objectives.first();
    let metric = objective.map(|objective| objective.metric.clone()).unwrap_or_default();
    let goal = objective.map_or(Goal::Maximize, |objective| objective.goal);
    let (optima, traced) = match first.known_table() {
        Some(table) => {
            let optimum = |set: &nasd_table::DataSet| {
                let value = set.optimum(&metric, true, goal == Goal::Maximize)?;
                Some((format!("{}/{metric}", set.name()), value))
            };
            let traced = match first.known {
                Some(_) => format!("best {metric} so far"),
                None => format!("test {metric} of the best so far"),
            };
            // By the first of them searches are compared.
            (table.own_first().filter_map(optimum).collect(), traced)
        }
        _ => (Vec::new(), format!("best {metric} so far")),
    };
    // A fraction is read in percent; a program may well give percents already.
    let is_fraction = |value: &f64| (0.0..=1.0).contains(value);
    let objectives = searches.iter().flat_map(|search| search.values(|repetition| repetition.objective));
    let percent = metric.contains("accuracy") && objectives.collect::<Vec<_>>().iter().all(is_fraction);
    Ok(RepeatedSearches {
        title: format!("{} on {}", metric, first.data),
        objective: Objective {
            goal: match goal {
                Goal::Minimize => nasd_report::Goal::Minimize,
                Goal::Maximize => nasd_report::Goal::Maximize,
            },
            percent,
            name: metric,
        },
        traced,
        cost_unit: first.task.method().clock_unit().to_owned(),
        optima,
        searches,
        notes: notes(all),
        published: published(all)?,
    })
}

fn name_of(compared: &RepeatedSearches) -> String {
    let names: Vec<String> = compared.searches.iter().map(|search| search.name.replace('/', "-")).collect();
    let mut name = names.join("+").replace([' ', '(', ')'], "");
    if name.len() > 100 {
        name = format!("{}+{}-others", names.first().cloned().unwrap_or_default(), names.len().saturating_sub(1));
    }
    name
}

/// `report.md`, `best-so-far.svg` and `.png`, `report.json` in a folder; gives the report's path.
pub fn write(compared: &RepeatedSearches, folder: &Path) -> Result<PathBuf, Failed> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|error| Failed::Other(format!("{}: {error}", path.display())))
    };
    std::fs::create_dir_all(folder).map_err(|error| Failed::Other(format!("{}: {error}", folder.display())))?;
    let svg = compared.svg().map_err(Failed::other)?;
    if let Some(svg) = &svg {
        write("best-so-far.svg", svg.as_bytes())?;
        write("best-so-far.png", &nasd_report::png(svg).map_err(Failed::other)?)?;
    }
    let report = folder.join("report.md");
    let document =
        Document { searches: compared, differences: compared.differences(), report: report.display().to_string() };
    write("report.json", &serde_json::to_vec_pretty(&document).map_err(Failed::other)?)?;
    write("report.md", compared.markdown(svg.as_ref().map(|_| "best-so-far.svg")).as_bytes())?;
    Ok(report)
}

/// Columns of the terminal; where there is none, enough for any table.
fn terminal_width() -> usize {
    use std::io::IsTerminal;
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    if std::io::stdout().is_terminal() { columns.unwrap_or(160) } else { 400 }
}
