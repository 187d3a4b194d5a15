//! The peers: independent PyTorch scripts (tests/peers) that the training core is compared with.
//!
//! They need a full torch in Python, 4.7 GB that nothing else of the project needs, so they have a virtual
//! environment in the cache folder that only this command makes. `cargo xtask test` compares with small
//! files that the scripts wrote earlier instead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::{self, Cache};
use crate::command;
use crate::libtorch;
use crate::progress::Step;
use crate::project::Project;
use crate::work;

/// Folder of the scripts.
const SCRIPTS: &str = "tests/peers";

/// Builds, makes the environment of the peers, and compares: networks by files written now (`names` of cases; all
/// without), then counts by `nasd space cost`.
pub fn parity(project: &Project, names: &[OsString]) -> Result<()> {
    let scripts = project.root.join(SCRIPTS);
    if !scripts.is_dir() {
        bail!("{SCRIPTS} is missing from this checkout");
    }
    let python = provide(project, &Cache::open()?)?;
    let environment = work::build_with_tests(project)?;

    let step = Step::start("networks in PyTorch", "about a minute");
    let written = project.target.join("parity");
    cache::fresh(&written)?;
    let script = |name: &str| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(scripts.join(name)).env("NASD", project.binary("nasd"));
        command
    };
    command::run(script("golden.py").arg(&written).args(names))?;
    step.done();

    let step = Step::start("comparison with them", "about a minute");
    let mut cargo = project.cargo();
    cargo.args(["test", "--workspace", "--test", "parity"]).envs(environment);
    // A case that was not named is compared with its committed file.
    cargo.env("NASD_GOLDEN", &written);
    command::run(&mut cargo)?;
    step.done();

    let step = Step::start("comparison of parameters and FLOPs", "about a minute");
    command::run(&mut script("counts.py"))?;
    step.done();
    Ok(())
}

/// The Python of the environment, made when it is not there.
pub fn python(project: &Project) -> Result<PathBuf> {
    provide(project, &Cache::open()?)
}

/// The Python of the environment; made anew when the requirements change.
fn provide(project: &Project, cache: &Cache) -> Result<PathBuf> {
    let list = project.root.join("tests/peers/requirements.txt");
    let wanted = std::fs::read_to_string(&list).with_context(|| format!("{} cannot be read", list.display()))?;
    let folder = cache.place("peers");
    let python = folder.join("bin/python3");
    if is_current(&folder, &wanted) {
        return Ok(python);
    }
    let _lock = cache.lock()?;
    if is_current(&folder, &wanted) {
        return Ok(python);
    }
    libtorch::need_pip()?;
    cache.need_space(8000, "PyTorch for the comparison")?;
    cache::remove(&folder)?;
    let step = Step::start("PyTorch for the comparison", "4.7 GB on disk, a few minutes");
    command::capture(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("python3 cannot make a virtual environment (Debian: apt-get install python3-venv)")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--progress-bar", "off"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(&list);
    command::capture(&mut pip).context("PyTorch could not be installed: is there a network?")?;
    std::fs::write(stamp(&folder), &wanted).context("the environment cannot be marked as done")?;
    step.done();
    Ok(python)
}

/// Virtual environments hold absolute paths and cannot be renamed into place: a stamp says that one is done.
fn stamp(folder: &Path) -> PathBuf {
    folder.join("complete")
}

fn is_current(folder: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(stamp(folder)).is_ok_and(|made| made == wanted)
}
