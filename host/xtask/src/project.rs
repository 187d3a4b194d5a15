//! Where the project and its build folder lie, and how cargo is called in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command;

/// The checkout that is being worked on.
pub struct Project {
    /// Folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// Cargo's build folder.
    pub target: PathBuf,
    packages: Vec<Value>,
}

/// A crate in plugins/ that is shipped as a component.
#[derive(Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The package's name, and the component's: `regularized-evolution`.
    pub name: String,
    /// Whether it is built as a library that can be loaded (`crate-type` has `cdylib`).
    pub loadable: bool,
}

impl Project {
    /// Asks cargo about the workspace that this program belongs to.
    pub fn find() -> Result<Self> {
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let mut cargo = cargo_in(&own);
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata: Value = serde_json::from_str(&command::capture(&mut cargo)?)
            .context("cargo metadata printed something that is not JSON")?;
        let path = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .with_context(|| format!("cargo metadata has no {key}: is this cargo older than 1.95?"))
        };
        Ok(Project {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            packages: metadata.get("packages").and_then(Value::as_array).cloned().unwrap_or_default(),
        })
    }

    /// A cargo call in the project's folder, as a developer would type it there.
    pub fn cargo(&self) -> Command {
        cargo_in(&self.root)
    }

    /// A program that the build made.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Where components of strategies are put.
    pub fn strategies(&self) -> PathBuf {
        self.target.join("strategies")
    }

    /// Every crate in plugins/ except the SDK, by name.
    pub fn plugins(&self) -> Vec<Plugin> {
        plugins_in(&self.packages, &self.root.join("plugins"))
    }
}

fn plugins_in(packages: &[Value], folder: &Path) -> Vec<Plugin> {
    let sdk = folder.join("sdk");
    let mut plugins: Vec<Plugin> = packages
        .iter()
        .filter(|package| {
            let manifest = package.get("manifest_path").and_then(Value::as_str).map(Path::new);
            manifest.is_some_and(|path| path.starts_with(folder) && !path.starts_with(&sdk))
        })
        .filter_map(|package| {
            let name = package.get("name")?.as_str()?.to_owned();
            let targets = package.get("targets").and_then(Value::as_array)?;
            let loadable = targets
                .iter()
                .filter_map(|target| target.get("crate_types")?.as_array())
                .flatten()
                .any(|kind| kind == "cdylib");
            Some(Plugin { name, loadable })
        })
        .collect();
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    plugins
}

/// Cargo sets variables about this program's own package when it runs it; a cargo started from here must
/// not see them, so that build scripts run under the same environment as from a shell.
fn cargo_in(folder: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(program);
    cargo.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if name.to_str().is_some_and(|name| own.iter().any(|prefix| name.starts_with(prefix))) {
            cargo.env_remove(name);
        }
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, manifest: &str, crate_types: &[&str]) -> Value {
        serde_json::json!({
            "name": name,
            "manifest_path": manifest,
            "targets": [{ "crate_types": crate_types }, { "crate_types": ["bin"] }],
        })
    }

    #[test]
    fn plugins_are_the_crates_in_plugins_but_not_the_sdk() {
        let packages = [
            package("random", "/p/plugins/random/Cargo.toml", &["cdylib", "rlib"]),
            package("nas-strategy-sdk", "/p/plugins/sdk/Cargo.toml", &["lib"]),
            package("darts", "/p/plugins/darts/Cargo.toml", &["lib"]),
            package("nasd", "/p/host/daemon/Cargo.toml", &["lib"]),
        ];
        let plugin = |name: &str, loadable| Plugin { name: name.to_owned(), loadable };
        assert_eq!(plugins_in(&packages, Path::new("/p/plugins")), [plugin("darts", false), plugin("random", true)]);
    }

    #[test]
    fn a_spawned_cargo_does_not_see_the_variables_of_this_package() {
        let cargo = cargo_in(Path::new("/"));
        let passed_on =
            cargo.get_envs().any(|(name, value)| name.to_string_lossy().starts_with("CARGO_PKG_") && value.is_some());
        assert!(!passed_on);
    }
}
