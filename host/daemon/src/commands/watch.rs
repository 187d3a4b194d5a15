//! `nasd strategy watch`: the author's loop. Each time a strategy changes it is built, checked and run against the
//! search's own strategy, seed by seed, on results that are known at once; one line says what the change did.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use nasd_report::repeated::RepeatedSearch;
use nasd_strategy::{
    Runtime, RuntimeOptions,
    conformance::{CheckOptions, check},
};
use notify::{RecursiveMode, Watcher};
use tokio::sync::watch;

use super::{compare, new_strategy::checkout, print};
use crate::{
    configuration::{self, SearchFile},
    failure::Failed,
    run::{self, compiled_cache},
    search::{self, Places, Search},
};

/// A save is several changes of files: so long nothing changes before it is looked at.
const QUIET: Duration = Duration::from_millis(150);
/// What strategies are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";

/// How to watch.
pub struct Watching {
    /// A component, or a crate's folder.
    pub strategy: PathBuf,
    /// The search whose strategy it is compared with.
    pub search: PathBuf,
    /// Settings over the search.
    pub settings: Vec<String>,
    /// The strategy's parameters as TOML's inline table or JSON; none: its defaults.
    pub parameters: Option<String>,
    /// Seeds.
    pub repetitions: usize,
    /// Where things are.
    pub places: Places,
    /// Look once, do not wait for changes.
    pub once: bool,
}

/// What is watched.
enum Source {
    Component(PathBuf),
    Crate(PathBuf),
}

impl Watching {
    /// Watch until interrupted.
    pub async fn run(&self, interrupt: watch::Receiver<bool>) -> Result<(), Failed> {
        let source = self.source()?;
        let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
        let file = configuration::read(&self.search, &self.settings)?;
        let baseline = search::resolve(file.clone(), &self.search, &self.places, &runtime).await?;
        if !baseline.task.method().is_instant() {
            return Err(Failed::Configuration(format!(
                "{}: its results take training; watch with a search of a table or a test function",
                self.search.display()
            )));
        }
        let (_watcher, changes) = watcher(&source)?;
        let begun = Instant::now();
        let known = self.repeat(&baseline, &interrupt)?;
        print(&format!(
            "{} with {}: {} seeds in {:.1} s; waiting for changes of {}",
            baseline.file.name,
            baseline.identity.name,
            self.repetitions,
            begun.elapsed().as_secs_f64(),
            self.strategy.display()
        ));
        let mut last_digest = String::new();
        loop {
            match self.look(&source, &runtime, &file, &baseline, &known, &mut last_digest, &interrupt).await {
                Ok(Some(line)) => print(&line),
                Ok(None) => {}
                Err(Failed::Interrupted(reason)) => return Err(Failed::Interrupted(reason)),
                Err(failed) if self.once => return Err(failed),
                Err(failed) => print(&format!("{failed}")),
            }
            if self.once {
                return Ok(());
            }
            if !wait(&changes, &source, &interrupt) {
                return Err(Failed::Interrupted("no longer watching".into()));
            }
        }
    }

    fn source(&self) -> Result<Source, Failed> {
        if !self.strategy.exists() {
            return Err(Failed::Configuration(format!("{}: there is no such file or folder", self.strategy.display())));
        }
        if self.strategy.join("Cargo.toml").is_file() {
            return Ok(Source::Crate(self.strategy.clone()));
        }
        if self.strategy.extension().is_some_and(|extension| extension == "wasm") {
            return Ok(Source::Component(self.strategy.clone()));
        }
        let remedy = "name a component (*.wasm) or the folder of a crate, as `nasd strategy new` makes";
        Err(Failed::Configuration(format!("{}: {remedy}", self.strategy.display())))
    }

    fn repeat(
        &self,
        search: &Search,
        interrupt: &watch::Receiver<bool>,
    ) -> Result<Vec<nasd_report::repeated::Repetition>, Failed> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        tokio::task::block_in_place(|| run::repeat(search, self.repetitions, threads, interrupt))
    }

    /// Build, check, compare; gives the line, or nothing if the component is the one looked at last.
    #[allow(clippy::too_many_arguments)]
    async fn look(
        &self,
        source: &Source,
        runtime: &Runtime,
        file: &SearchFile,
        baseline: &Search,
        known: &[nasd_report::repeated::Repetition],
        last_digest: &mut String,
        interrupt: &watch::Receiver<bool>,
    ) -> Result<Option<String>, Failed> {
        let begun = Instant::now();
        let component = match source {
            Source::Component(path) => path.clone(),
            Source::Crate(folder) => build(folder)?,
        };
        let built = begun.elapsed();
        let bytes = std::fs::read(&component)
            .map_err(|error| Failed::Configuration(format!("{}: {error}", component.display())))?;
        let loaded = runtime.load(&bytes).map_err(Failed::configuration)?;
        if loaded.digest() == last_digest.as_str() {
            return Ok(None);
        }
        last_digest.clear();
        last_digest.push_str(loaded.digest());

        let parameters = self.parameters()?;
        let json = serde_json::to_string(&parameters).map_err(Failed::other)?;
        let options = CheckOptions { parameters: json, ..CheckOptions::default() };
        let report = check(runtime, &loaded, options).await;
        if let Some(broken) = report.checks.iter().find(|check| !check.passed) {
            return Err(Failed::Other(format!("it breaks the contract: {}: {}", broken.name, broken.detail)));
        }
        let checked = begun.elapsed() - built;

        let mut file = file.clone();
        file.strategy.component = component
            .canonicalize()
            .map_err(|error| Failed::Other(format!("{}: {error}", component.display())))?
            .display()
            .to_string();
        file.strategy.parameters = parameters;
        let search = search::resolve(file, &self.search, &self.places, runtime).await?;
        let repetitions = self.repeat(&search, interrupt)?;
        let row = |name: &str, search: &Search, repetitions: &[nasd_report::repeated::Repetition]| RepeatedSearch {
            name: name.to_owned(),
            strategy: format!("{} {}", search.identity.name, search.identity.version),
            repetitions: repetitions.to_vec(),
        };
        let (theirs, ours) = (baseline.identity.name.clone(), search.identity.name.clone());
        let ours_name = if ours == theirs { format!("{ours} (new)") } else { ours.clone() };
        let rows = vec![row(&theirs, baseline, known), row(&ours_name, &search, &repetitions)];
        let compared = compare::compared(&[baseline, &search], rows)?;
        let folder = self.places.state.join("comparisons").join(format!("watch-{ours}"));
        let report = compare::write(&compared, &folder)?;
        let difference = compared.differences().first().map(|difference| compared.difference_line(difference));
        let total = begun.elapsed();
        Ok(Some(format!(
            "{}   [built in {:.1} s, checked in {:.1} s, searched and drawn in {:.1} s; {}]",
            difference.unwrap_or_else(|| format!("{ours_name}: nothing to compare, no search found anything")),
            built.as_secs_f64(),
            checked.as_secs_f64(),
            (total - built - checked).as_secs_f64(),
            report.with_file_name("best-so-far.png").display()
        )))
    }

    fn parameters(&self) -> Result<toml::Table, Failed> {
        let Some(text) = &self.parameters else { return Ok(toml::Table::new()) };
        if let Ok(table) = serde_json::from_str(text) {
            return Ok(table);
        }
        let table: Result<toml::Table, _> = toml::from_str(&format!("parameters = {text}"));
        let table = table.ok().and_then(|mut table| table.remove("parameters")).and_then(|value| match value {
            toml::Value::Table(table) => Some(table),
            _ => None,
        });
        table
            .ok_or_else(|| Failed::Configuration(format!("--parameters {text}: write {{ name = value, ... }} or JSON")))
    }
}

/// The component of a crate, built.
fn build(folder: &Path) -> Result<PathBuf, Failed> {
    let manifest = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .map_err(|error| Failed::Configuration(format!("{}: {error}", manifest.display())))?;
    let table: toml::Table =
        text.parse().map_err(|error| Failed::Configuration(format!("{}: {error}", manifest.display())))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    let name = name.ok_or_else(|| Failed::Configuration(format!("{}: it names no package", manifest.display())))?;
    let root = checkout(folder);
    let absolute = folder.canonicalize().map_err(|error| Failed::Other(format!("{}: {error}", folder.display())))?;
    if let Some(root) = root.filter(|root| absolute.parent() == Some(&root.join("plugins"))) {
        let mut cargo = Command::new("cargo");
        carry_out(cargo.current_dir(&root).args(["xtask", "strategies", name]))?;
        return Ok(root.join("target/strategies").join(format!("{name}.wasm")));
    }
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(folder)
        .args(["build", "--quiet", "--lib", "--target", TARGET, "--profile", "component", "--target-dir", "target"])
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+simd128,+relaxed-simd");
    if let Some(rustc) = guest_compiler() {
        cargo.env("RUSTC", rustc);
    }
    carry_out(&mut cargo)?;
    let built = folder.join("target").join(TARGET).join("component");
    let module = built.join(format!("{}.wasm", name.replace('-', "_")));
    let component = built.join(format!("{name}.component.wasm"));
    nasd_componentize::wrap_file(&module, &component).map_err(Failed::other)?;
    Ok(component)
}

/// A compiler with a standard library for strategies: the user's own, or the one that `cargo xtask` provided.
fn guest_compiler() -> Option<PathBuf> {
    let own = std::env::var_os("NASD_GUEST_RUSTC").map(PathBuf::from);
    let provided = || Some(compiled_cache()?.parent()?.join("guest-toolchain/bin/rustc"));
    own.or_else(provided).filter(|rustc| rustc.is_file())
}

/// Run a build; its first errors are the message.
fn carry_out(command: &mut Command) -> Result<(), Failed> {
    let output = command.output().map_err(|error| Failed::Other(format!("cargo cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("error")).take(12).collect();
    Err(Failed::Other(format!("it does not build:\n{}", lines.join("\n"))))
}

fn watcher(source: &Source) -> Result<(notify::RecommendedWatcher, Receiver<PathBuf>), Failed> {
    let (sender, receiver) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        for path in event.map(|event| event.paths).unwrap_or_default() {
            let _ = sender.send(path);
        }
    })
    .map_err(Failed::other)?;
    let folders = match source {
        // The file may be replaced by another: its folder stays.
        Source::Component(path) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            vec![(folder.unwrap_or(Path::new(".")).to_owned(), RecursiveMode::NonRecursive)]
        }
        Source::Crate(folder) => {
            vec![(folder.join("src"), RecursiveMode::Recursive), (folder.clone(), RecursiveMode::NonRecursive)]
        }
    };
    for (folder, mode) in folders {
        watcher.watch(&folder, mode).map_err(Failed::other)?;
    }
    Ok((watcher, receiver))
}

/// Wait for a change of what is watched, and until it is quiet; false once interrupted.
fn wait(changes: &Receiver<PathBuf>, source: &Source, interrupt: &watch::Receiver<bool>) -> bool {
    let matters = |path: &PathBuf| match source {
        Source::Component(component) => path.file_name() == component.file_name(),
        Source::Crate(_) => path.extension().is_some_and(|extension| extension == "rs" || extension == "toml"),
    };
    let mut is_changed = false;
    loop {
        match changes.recv_timeout(QUIET) {
            Ok(path) => is_changed |= matters(&path),
            Err(RecvTimeoutError::Timeout) if is_changed => return true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        if *interrupt.borrow() {
            return false;
        }
    }
}
