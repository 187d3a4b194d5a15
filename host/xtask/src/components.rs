//! Builds every strategy in plugins/ and wraps it into a component in target/strategies.
//!
//! Strategies share the workspace's lock file and are compiled in one cargo call, so that features of
//! their dependencies do not depend on which of them is asked for. They have a build folder of their own,
//! because their compiler may be another one than the host's; it is void when that compiler changes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache;
use crate::command;
use crate::guest::{Guest, TARGET};
use crate::progress::{Step, note};
use crate::project::Project;

/// The profile in the workspace's Cargo.toml that strategies are shipped with.
const PROFILE: &str = "component";

/// Builds what is out of date, of all strategies or of those named.
pub fn build(project: &Project, guest: &Guest, names: &[OsString]) -> Result<()> {
    let mut plugins = project.plugins();
    if let Some(unknown) = names.iter().find(|name| !plugins.iter().any(|plugin| plugin.name.as_str() == **name)) {
        bail!("there is no strategy {} in plugins/", unknown.display());
    }
    if !names.is_empty() {
        plugins.retain(|plugin| names.iter().any(|name| plugin.name.as_str() == *name));
    }
    if let Some(plugin) = plugins.iter().find(|plugin| !plugin.loadable) {
        bail!(
            "the strategy {} cannot be loaded: add `[lib] crate-type = [\"cdylib\", \"rlib\"]` to its \
             Cargo.toml",
            plugin.name
        );
    }
    if plugins.is_empty() {
        return Ok(());
    }
    let folder = project.target.join("guest");
    prepare_folder(&folder, &guest.identity)?;

    let step = Step::start("strategies", "about 1 minute at first, seconds after an edit");
    let mut cargo = project.cargo();
    cargo
        .args(["build", "--lib", "--keep-going", "--target", TARGET, "--profile", PROFILE])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTC", &guest.rustc)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(project));
    for plugin in &plugins {
        cargo.arg("-p").arg(&plugin.name);
    }
    command::run(&mut cargo).context(
        "a strategy in plugins/ does not compile for WebAssembly (a native build may still work: look \
         for operating-system calls, threads or C code in its dependencies)",
    )?;

    let modules = folder.join(TARGET).join(PROFILE);
    let strategies = project.strategies();
    std::fs::create_dir_all(&strategies).with_context(|| format!("{} cannot be made", strategies.display()))?;
    let mut stale = Vec::new();
    for plugin in &plugins {
        let module = modules.join(format!("{}.wasm", plugin.name.replace('-', "_")));
        if !module.is_file() {
            bail!("the strategy {} was built, but there is no {}", plugin.name, module.display());
        }
        let wrapping = Wrapping {
            component: strategies.join(format!("{}.wasm", plugin.name)),
            stamp: module.with_extension("wrapped"),
            module,
        };
        if wrapping.is_stale() {
            stale.push(wrapping);
        }
    }
    if !stale.is_empty() {
        wrap(project, &stale)?;
    }
    step.done();
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    note(&format!("strategies in {}: {}", strategies.display(), names.join(", ")));
    Ok(())
}

/// A build by another compiler, or against another build of its standard library, must not be mixed in.
fn prepare_folder(folder: &Path, identity: &str) -> Result<()> {
    let stamp = folder.join("compiler");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == identity) {
        return Ok(());
    }
    cache::fresh(folder)?;
    std::fs::write(&stamp, identity).with_context(|| format!("{} cannot be written", stamp.display()))
}

/// Vector instructions, and paths that are the same in every checkout: a component's digest is its
/// identity in journals, and panic messages hold paths.
fn flags(project: &Project) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+simd128,+relaxed-simd");
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let mut renamed = vec![(project.root.clone(), "nasd")];
    renamed.extend(home.map(|home| (home, "cargo")));
    for (from, to) in renamed {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push(format!("={to}"));
    }
    flags
}

/// A module and the component that is made of it.
struct Wrapping {
    module: PathBuf,
    component: PathBuf,
    /// Written when it was made last: the component's own time stays when its bytes do.
    stamp: PathBuf,
}

impl Wrapping {
    fn is_stale(&self) -> bool {
        let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        match (time(&self.module), time(&self.stamp)) {
            (Ok(module), Ok(stamp)) => module > stamp || !self.component.is_file(),
            _ => true,
        }
    }
}

fn wrap(project: &Project, stale: &[Wrapping]) -> Result<()> {
    let mut cargo = project.cargo();
    cargo.args(["build", "--quiet", "--workspace", "--bin", "componentize"]);
    command::run(&mut cargo)?;
    let mut componentize = Command::new(project.binary("componentize"));
    componentize.args(stale.iter().flat_map(|wrapping| [&wrapping.module, &wrapping.component]));
    command::run(&mut componentize)?;
    for wrapping in stale {
        std::fs::write(&wrapping.stamp, "")
            .with_context(|| format!("{} cannot be written", wrapping.stamp.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_folder_of_another_compiler_is_emptied() {
        let folder = std::env::temp_dir().join(format!("xtask-guest-{}", std::process::id()));
        prepare_folder(&folder, "rustc 1").unwrap();
        std::fs::write(folder.join("old"), "").unwrap();
        prepare_folder(&folder, "rustc 1").unwrap();
        assert!(folder.join("old").exists());
        prepare_folder(&folder, "rustc 2").unwrap();
        assert!(!folder.join("old").exists());
        cache::remove(&folder).unwrap();
    }

    #[test]
    fn a_component_is_stale_when_it_is_absent_or_its_module_is_newer() {
        let folder = std::env::temp_dir().join(format!("xtask-stale-{}", std::process::id()));
        cache::fresh(&folder).unwrap();
        let wrapping = Wrapping {
            module: folder.join("m.wasm"),
            component: folder.join("c.wasm"),
            stamp: folder.join("m.wrapped"),
        };
        std::fs::write(&wrapping.module, "").unwrap();
        assert!(wrapping.is_stale(), "never wrapped");
        std::fs::write(&wrapping.stamp, "").unwrap();
        assert!(wrapping.is_stale(), "component removed");
        std::fs::write(&wrapping.component, "").unwrap();
        assert!(!wrapping.is_stale());
        let earlier = std::time::SystemTime::UNIX_EPOCH;
        std::fs::File::open(&wrapping.stamp).unwrap().set_modified(earlier).unwrap();
        assert!(wrapping.is_stale(), "module compiled again");
        cache::remove(&folder).unwrap();
    }
}
