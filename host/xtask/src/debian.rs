//! A private toolchain for strategies from Debian's packages, for machines whose rustup cannot download.
//!
//! Debian ships a rustc together with the sources of its standard library (`rustc-web`, `rust-web-src`).
//! The packages are unpacked into the cache folder, nothing is installed, and no step needs root: apt's
//! lists are kept there too. The standard library is then compiled once for the guest target.
//!
//! Three details are load-bearing. The linker is the project toolchain's `rust-lld`, by symbolic link: a
//! copy would not find its libraries. The library is built with bitcode, because components are built
//! with link-time optimisation. And no version is pinned: security updates move it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::{self, Cache};
use crate::command;
use crate::guest::TARGET;
use crate::progress::Step;

const HOST: &str = "x86_64-unknown-linux-gnu";

/// Finds its libraries beside itself, so that the finished folder can be renamed into place.
const WRAPPER: &str = r#"#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
LD_LIBRARY_PATH=$here/root/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
exec "$here/root/usr/bin/rustc" "$@"
"#;

const MANIFEST: &str = r#"[package]
name = "stdbuild"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
panic = "abort"
"#;

/// The compiler in a finished folder.
pub fn rustc(folder: &Path) -> PathBuf {
    folder.join("bin/rustc")
}

/// Whether an earlier call of [`build`] came to its end here.
pub fn is_complete(folder: &Path) -> bool {
    folder.join("complete").is_file()
}

/// Builds the toolchain for `root`'s project into `folder`. Downloaded packages of an interrupted attempt
/// are used again.
pub fn build(cache: &Cache, folder: &Path, root: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("Debian's packages are used on Linux on x86-64 only");
    }
    let remedy = "it is part of Debian and its kin, whose packages are used here";
    for program in ["apt-get", "apt-cache", "dpkg"] {
        command::need(program, remedy)?;
    }
    cache.need_space(2500, "the toolchain for strategies while it is built")?;
    let linker = project_linker(root)?;

    let draft = cache.place("partial-guest-toolchain");
    let packages = draft.join("packages");
    std::fs::create_dir_all(&packages).with_context(|| format!("{} cannot be made", packages.display()))?;
    download(&draft, &packages)?;
    unpack(&draft, &packages)?;
    place_tools(&draft, &linker)?;
    compile_std(&draft)?;

    let write = std::fs::write(draft.join("complete"), "");
    write.context("the finished toolchain cannot be marked as such")?;
    for spent in ["packages", "apt", "stdbuild"] {
        cache::remove(&draft.join(spent))?;
    }
    cache::remove(folder)?;
    std::fs::rename(&draft, folder).with_context(|| format!("{} cannot be put in place", folder.display()))
}

/// Folder of the linkers in the project's own toolchain.
fn project_linker(root: &Path) -> Result<PathBuf> {
    let mut ask = Command::new("rustc");
    ask.current_dir(root).args(["--print", "sysroot"]);
    let sysroot = PathBuf::from(command::capture(&mut ask)?.trim());
    let folder = sysroot.join("lib/rustlib").join(HOST).join("bin");
    if !folder.join("rust-lld").is_file() {
        bail!("this Rust has no rust-lld in {}: install it with rustup", folder.display());
    }
    Ok(folder)
}

/// apt with lists and archives of its own, so that neither root is needed nor the system's touched.
fn apt(program: &str, draft: &Path) -> Command {
    let mut apt = Command::new(program);
    for (key, folder) in [("Dir::State", "apt/state"), ("Dir::Cache", "apt/cache")] {
        apt.arg("-o").arg(option(key, &draft.join(folder)));
    }
    apt.args(["-o", "APT::Sandbox::User=root"]).env("LC_ALL", "C");
    apt
}

fn option(key: &str, folder: &Path) -> OsString {
    let mut text = OsString::from(format!("{key}="));
    text.push(folder);
    text
}

fn download(draft: &Path, packages: &Path) -> Result<()> {
    let done = packages.join("complete");
    if done.is_file() {
        return Ok(());
    }
    let step = Step::start("toolchain for strategies", "Debian's packages, 140 MB, half a minute");
    for folder in ["apt/state/lists/partial", "apt/cache/archives/partial"] {
        let folder = draft.join(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    command::capture(apt("apt-get", draft).args(["-q", "update"]))
        .context("apt-get cannot fetch its lists: is there a network?")?;
    let depends = |package: &str| {
        command::capture(apt("apt-cache", draft).args(["depends", package]))
            .with_context(|| format!("apt knows no {package}"))
    };
    let std = dependency(&depends("libstd-rust-web-dev")?, "libstd-rust-web-")
        .context("apt's libstd-rust-web-dev names no standard library")?;
    let llvm = dependency(&depends(&std)?, "libllvm").with_context(|| format!("apt's {std} names no LLVM"))?;
    let mut fetch = apt("apt-get", draft);
    fetch.current_dir(packages).args([
        "-q",
        "download",
        "rustc-web",
        "libstd-rust-web-dev",
        "rust-web-src",
        &std,
        &llvm,
    ]);
    command::capture(&mut fetch).context("apt-get cannot download: is there a network?")?;
    std::fs::write(&done, "").context("the downloaded packages cannot be marked as such")?;
    step.done();
    Ok(())
}

/// The first package that is depended on, of those whose name is `prefix` and a version.
fn dependency(depends: &str, prefix: &str) -> Option<String> {
    depends.lines().find_map(|line| {
        let name = line.trim().strip_prefix("Depends: ")?;
        let version = name.strip_prefix(prefix)?;
        let numeric = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.');
        numeric.then(|| name.to_owned())
    })
}

fn unpack(draft: &Path, packages: &Path) -> Result<()> {
    let step = Step::start("toolchain for strategies", "unpacking, about 15 seconds");
    let root = draft.join("root");
    cache::remove(&root)?;
    for entry in std::fs::read_dir(packages).context("the packages cannot be listed")? {
        let path = entry.context("the packages cannot be listed")?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            command::capture(Command::new("dpkg").arg("-x").arg(&path).arg(&root))?;
        }
    }
    step.done();
    Ok(())
}

fn place_tools(draft: &Path, linker: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = draft.join("root/usr/lib/rustlib").join(HOST).join("bin");
    let make =
        |folder: &Path| std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()));
    make(&folder)?;
    for tool in ["rust-lld", "wasm-component-ld"] {
        let link = folder.join(tool);
        // Present after an interrupted attempt; a stale one fails at the first use with its name.
        if link.symlink_metadata().is_err() {
            symlink(linker.join(tool), &link).with_context(|| format!("{} cannot be linked", link.display()))?;
        }
    }
    let wrapper = rustc(draft);
    make(&draft.join("bin"))?;
    std::fs::write(&wrapper, WRAPPER)
        .and_then(|()| std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)))
        .with_context(|| format!("{} cannot be written", wrapper.display()))
}

fn compile_std(draft: &Path) -> Result<()> {
    let step = Step::start("toolchain for strategies", "standard library, about 1 minute");
    let build = draft.join("stdbuild");
    cache::fresh(&build.join("src"))?;
    std::fs::write(build.join("Cargo.toml"), MANIFEST)
        .and_then(|()| std::fs::write(build.join("src/lib.rs"), ""))
        .with_context(|| format!("{} cannot be written", build.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut compile = Command::new(cargo);
    compile
        .current_dir(&build)
        .env("RUSTC", rustc(draft))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", build.join("target"))
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes")
        .args(["build", "--release", "-Z", "build-std=std,panic_abort", "--target", TARGET]);
    command::capture(&mut compile).context(
        "the standard library could not be compiled; its dependencies come from crates.io: is there a \
         network?",
    )?;
    let library = draft.join("root/usr/lib/rustlib").join(TARGET).join("lib");
    cache::fresh(&library)?;
    let built = build.join("target").join(TARGET).join("release/deps");
    for entry in std::fs::read_dir(&built).context("the compiled library cannot be listed")? {
        let path = entry.context("the compiled library cannot be listed")?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) =
            name.filter(|name| name.starts_with("lib") && name.ends_with(".rlib") && !name.starts_with("libstdbuild"))
        else {
            continue;
        };
        std::fs::copy(&path, library.join(&name)).with_context(|| format!("{name} cannot be put in place"))?;
    }
    step.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versioned_package_is_picked_out_of_aptss_dependencies() {
        let depends = "libstd-rust-web-dev\n  Depends: libc6\n  Depends: libstd-rust-web-1.96\n\
                       Suggests: libstd-rust-web-dev-windows\n";
        let found = dependency(depends, "libstd-rust-web-");
        assert_eq!(found.as_deref(), Some("libstd-rust-web-1.96"));
        let depends = "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\n";
        assert_eq!(dependency(depends, "libllvm").as_deref(), Some("libllvm22"));
        assert_eq!(dependency("x\n  Depends: libllvm-dev\n", "libllvm"), None);
    }
}
