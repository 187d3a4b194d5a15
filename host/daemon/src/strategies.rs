//! Where strategies' components are found: by path, or by name in the folders given.

use std::path::{Path, PathBuf};

use crate::failure::Failed;

/// Folders that hold `<name>.wasm`: `$NASD_STRATEGIES`, `strategies` in the state folder, what `cargo xtask
/// build` made below the working directory.
pub fn folders(state: &Path) -> Vec<PathBuf> {
    let own = std::env::var_os("NASD_STRATEGIES").map(PathBuf::from);
    own.into_iter().chain([state.join("strategies"), PathBuf::from("target/strategies")]).collect()
}

/// A component's bytes; `beside` is the folder that relative paths start from.
pub fn find(component: &str, beside: &Path, folders: &[PathBuf]) -> Result<Vec<u8>, Failed> {
    let path = locate(component, beside, folders)?;
    std::fs::read(&path).map_err(|error| {
        let path = path.display();
        Failed::Configuration(format!("strategy {path}: {error}; name a component's file, or a strategy by its name"))
    })
}

/// Where a component is; whether there is anything at a path that was given is not looked at.
pub fn locate(component: &str, beside: &Path, folders: &[PathBuf]) -> Result<PathBuf, Failed> {
    if component.ends_with(".wasm") || component.ends_with(".wat") {
        return Ok(beside.join(component));
    }
    let path = folders.iter().map(|folder| folder.join(format!("{component}.wasm"))).find(|path| path.is_file());
    path.ok_or_else(|| {
        Failed::Configuration(format!(
            "there is no strategy `{component}`; {}",
            match list(folders).as_slice() {
                [] =>
                    "none is built: run `cargo xtask build`, or set NASD_STRATEGIES to the folder of components".into(),
                known => {
                    let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
                    format!("there are: {}", names.join(", "))
                }
            }
        ))
    })
}

/// Names and paths of all components in the folders, the first of a name only.
pub fn list(folders: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let mut known: Vec<(String, PathBuf)> = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            if let (Some(name), Some("wasm")) = (name, path.extension().and_then(|e| e.to_str()))
                && !known.iter().any(|(other, _)| *other == name)
            {
                known.push((name, path));
            }
        }
    }
    known.sort();
    known
}
