//! What a developer does all day: build, run, test, bench, with one environment for every cargo call.
//!
//! All cargo calls name the whole workspace, because cargo unifies features over the packages that are
//! named: another set of packages would compile the heavy dependencies again.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::command;
use crate::components;
use crate::guest;
use crate::libtorch;
use crate::progress::{Step, note};
use crate::project::Project;

/// What `cargo xtask run` searches.
const QUICK_START: &str = "configs/searches/quick-start.toml";

/// Variables that cargo and the programs it builds need; none of them overrides the user's.
type Environment = Vec<(&'static str, PathBuf)>;

/// Provisions, then builds the programs and the strategies.
pub fn build(project: &Project) -> Result<Environment> {
    let what = ["build", "--workspace", "--bins"];
    provision_and_build(project, what, "15 to 25 minutes on 2 cores in a fresh clone")
}

fn provision_and_build(project: &Project, what: [&str; 3], estimate: &str) -> Result<Environment> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    command::need(&compiler, "install a C++ compiler (Debian: apt-get install g++)")?;
    let cache = Cache::open()?;
    let environment = environment(project, &cache)?;
    let guest = guest::provide(&project.root, &cache)?;

    let step = Step::start("nasd and nasd-trainer", &format!("{estimate}, seconds after an edit"));
    let mut cargo = project.cargo();
    cargo.args(what).envs(environment.clone());
    command::run(&mut cargo)?;
    step.done();
    components::build(project, &guest, &[])?;
    Ok(environment)
}

/// Provisions a compiler for strategies, then builds those alone: all, or those named.
pub fn strategies(project: &Project, names: &[OsString]) -> Result<()> {
    let guest = guest::provide(&project.root, &Cache::open()?)?;
    components::build(project, &guest, names)
}

/// Builds, then becomes `nasd run` with the quick-start search: signals go to it directly.
pub fn run(project: &Project, arguments: &[OsString]) -> Result<()> {
    let environment = build(project)?;
    let search = project.root.join(QUICK_START);
    if !search.is_file() {
        bail!("{QUICK_START} is missing from this checkout");
    }
    note(&format!("nasd run {QUICK_START}"));
    let program = project.binary("nasd");
    let error = Command::new(&program)
        .current_dir(&project.root)
        .args(["run", QUICK_START])
        .args(arguments)
        .envs(environment)
        .exec();
    Err(error).with_context(|| format!("{} could not be started", program.display()))
}

/// Provisions, then builds the programs, the strategies and every test.
///
/// Tests bring dependencies of their own, which switch on features of shared ones: programs are built
/// together with them, else some crates would be compiled twice.
pub fn build_with_tests(project: &Project) -> Result<Environment> {
    let what = ["build", "--workspace", "--all-targets"];
    provision_and_build(project, what, "20 to 30 minutes on 2 cores in a fresh clone")
}

/// Builds, then runs every test of the workspace; the comparison with PyTorch's golden files is among them.
pub fn test(project: &Project, arguments: &[OsString]) -> Result<()> {
    let environment = build_with_tests(project)?;
    let mut cargo = project.cargo();
    cargo.args(["test", "--workspace"]).args(arguments).envs(environment);
    match std::env::var_os("NAS_DATA_DIR").map(PathBuf::from) {
        Some(folder) => {
            // Tests run in their package's folder.
            let folder = folder
                .canonicalize()
                .with_context(|| format!("NAS_DATA_DIR is {}, which is not there: unset it", folder.display()))?;
            cargo.env("NAS_DATA_DIR", folder);
        }
        None => note(
            "NAS_DATA_DIR is not set: tests that read CIFAR-10's images or NAS-Bench-201's tables pass \
             without doing so, and say it",
        ),
    }
    let step = Step::start("tests", "about 10 minutes on 2 cores in a fresh clone");
    command::run(&mut cargo)?;
    step.done();
    Ok(())
}

/// Prints what `eval "$(cargo xtask env)"` sets, for plain cargo.
pub fn print_environment(project: &Project) -> Result<()> {
    for (name, value) in environment_of(project)? {
        println!("export {name}={}", quoted(&value.display().to_string()));
    }
    Ok(())
}

/// What plain cargo needs, as `cargo xtask env` prints it.
pub fn environment_of(project: &Project) -> Result<Environment> {
    environment(project, &Cache::open()?)
}

/// libtorch for the trainer's build; the folder of components for tests and `nasd`, which would not find
/// it by themselves where cargo's build folder is elsewhere.
fn environment(project: &Project, cache: &Cache) -> Result<Environment> {
    let mut environment = libtorch::provide(cache)?;
    if std::env::var_os("NASD_STRATEGIES").is_none() {
        environment.push(("NASD_STRATEGIES", project.strategies()));
    }
    Ok(environment)
}

/// As a POSIX shell reads it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exported_values_survive_a_shell() {
        assert_eq!(quoted("/home/u/.cache/nasd/libtorch-2.13.0"), "/home/u/.cache/nasd/libtorch-2.13.0");
        let text = "it's a $HOME \"folder\"";
        let echoed = Command::new("sh").args(["-c", &format!("printf %s {}", quoted(text))]).output();
        assert_eq!(String::from_utf8(echoed.unwrap().stdout).unwrap(), text);
    }
}
