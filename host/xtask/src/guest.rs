//! A rustc that can compile strategies: one with a standard library for `wasm32-unknown-unknown`.
//!
//! In this order: the user's own (`NASD_GUEST_RUSTC`), the project's toolchain when it has the target, one
//! built earlier in the cache folder, `rustup target add`, and at last one put together from Debian's
//! packages (`debian`), for machines whose rustup cannot download.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::command;
use crate::debian;
use crate::progress::{Step, note};

/// What strategies are compiled for: no operating system, so no ambient capability.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The oldest compiler that the workspace's `rust-version` allows.
const OLDEST: (u32, u32) = (1, 95);

/// The compiler for strategies.
pub struct Guest {
    /// Value of `RUSTC` for cargo.
    pub rustc: PathBuf,
    /// Changes whenever the compiler or its standard library is another: old guest builds are void then.
    pub identity: String,
}

/// Finds such a compiler, or provides it.
pub fn provide(root: &Path, cache: &Cache) -> Result<Guest> {
    if let Some(own) = std::env::var_os("NASD_GUEST_RUSTC") {
        let own = PathBuf::from(own);
        if !has_target(&own) {
            bail!("NASD_GUEST_RUSTC is {}, which has no standard library for {TARGET}", own.display());
        }
        return describe(own);
    }
    // For whoever works on the way through Debian where rustup's works.
    let forced = std::env::var_os("NASD_GUEST_TOOLCHAIN").is_some_and(|value| value == "debian");

    let project = project_rustc(root)?;
    if !forced && has_target(&project) {
        return describe(project);
    }
    let _lock = cache.lock()?;
    let built = cache.place("guest-toolchain");
    if debian::is_complete(&built) && has_target(&debian::rustc(&built)) {
        return describe(debian::rustc(&built));
    }
    if !forced && add_with_rustup(root) && has_target(&project) {
        return describe(project);
    }
    debian::build(cache, &built, root).with_context(|| {
        format!(
            "no standard library for {TARGET}: `rustup target add {TARGET}` does not work here, and it \
             could not be built from Debian's packages either; set NASD_GUEST_RUSTC to a rustc that has it"
        )
    })?;
    describe(debian::rustc(&built))
}

/// The real compiler of the toolchain that rust-toolchain.toml names, not rustup's stand-in for it.
fn project_rustc(root: &Path) -> Result<PathBuf> {
    let mut which = Command::new("rustup");
    which.current_dir(root).args(["which", "rustc"]);
    match command::capture(&mut which) {
        Ok(path) => Ok(PathBuf::from(path.trim())),
        Err(_) => command::need("rustc", "install Rust with rustup (https://rustup.rs)"),
    }
}

fn add_with_rustup(root: &Path) -> bool {
    if command::find("rustup").is_none() {
        return false;
    }
    let step = Step::start(TARGET, "standard library through rustup, 25 MB, a few seconds");
    let mut add = Command::new("rustup");
    add.current_dir(root).args(["target", "add", TARGET]);
    match command::capture(&mut add) {
        Ok(_) => {
            step.done();
            true
        }
        Err(error) => {
            note(&format!("{TARGET}: not through rustup: {error:#}"));
            false
        }
    }
}

/// Whether the compiler works and finds a standard library for the target.
pub fn has_target(rustc: &Path) -> bool {
    std_library(rustc).is_some()
}

/// The target's standard library, where the compiler would look for it.
fn std_library(rustc: &Path) -> Option<PathBuf> {
    let mut ask = Command::new(rustc);
    ask.args(["--print", "target-libdir", "--target", TARGET]);
    let folder = command::capture(&mut ask).ok()?;
    let files = std::fs::read_dir(folder.trim()).ok()?;
    files.flatten().map(|file| file.path()).find(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn describe(rustc: PathBuf) -> Result<Guest> {
    let version = command::capture(Command::new(&rustc).arg("-V"))?;
    if release(&version).is_none_or(|release| release < OLDEST) {
        let (major, minor) = OLDEST;
        bail!("{} is {}, strategies need {major}.{minor} or later", rustc.display(), version.trim());
    }
    // The library's time tells a rebuilt one of the same version from the one before.
    let library = std_library(&rustc).and_then(|file| file.metadata().ok()?.modified().ok());
    let identity = format!("{} {} {library:?}", rustc.display(), version.trim());
    Ok(Guest { rustc, identity })
}

/// Major and minor version in what `rustc -V` prints.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split_whitespace().nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compilers_release_is_read_from_its_version_line() {
        assert_eq!(release("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert_eq!(release("rustc 1.97.0-nightly (abc 2026-05-01)"), Some((1, 97)));
        assert_eq!(release("something else"), None);
        assert!(release("rustc 1.85.0").unwrap() < OLDEST);
    }

    #[test]
    fn a_program_that_is_no_compiler_has_no_target() {
        assert!(!has_target(Path::new("/nowhere/rustc")));
        assert!(!has_target(Path::new("true")));
    }
}
