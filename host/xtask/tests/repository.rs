//! Rules of the repository that no compiler checks.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Files that git would commit: tracked ones, and new ones that it does not ignore.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .unwrap();
    assert!(output.status.success(), "these tests need a git checkout");
    let names = String::from_utf8(output.stdout).unwrap();
    names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

fn files_ending(extension: &str) -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|path| path.extension().is_some_and(|it| it == extension) && root().join(path).is_file());
    files
}

/// Where a line promises work without saying in which issue: the markers are put together here so that
/// this file does not contain them.
fn promises_without_issue(line: &str) -> bool {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    markers.iter().any(|marker| {
        line.match_indices(marker).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + marker.len()..];
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let stands_alone = !before.is_some_and(word) && !after.starts_with(word);
            let number = after.strip_prefix("(#").map(|rest| rest.chars().take_while(char::is_ascii_digit).count());
            stands_alone && number.is_none_or(|digits| digits == 0)
        })
    })
}

#[test]
fn promises_name_an_issue() {
    assert!(promises_without_issue(concat!("// TO", "DO: later")));
    assert!(promises_without_issue(concat!("// FIX", "ME(someone): later")));
    assert!(!promises_without_issue(concat!("// TO", "DO(#12): later")));
    assert!(!promises_without_issue("toDOs and mastodon"));
    let mut found = Vec::new();
    for extension in ["rs", "toml", "md", "py", "wit", "sh", "wat"] {
        for path in files_ending(extension) {
            for (index, line) in read(path.to_str().unwrap()).lines().enumerate() {
                if promises_without_issue(line) {
                    found.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "write the issue's number, as in (#12):\n{}", found.join("\n"));
}

#[test]
fn every_toml_file_parses() {
    let files = files_ending("toml");
    assert!(files.len() > 5, "only {} TOML files found", files.len());
    for path in files {
        // Folders of deliberately broken input.
        if path.components().any(|part| part.as_os_str() == "bad") {
            continue;
        }
        if let Err(error) = read(path.to_str().unwrap()).parse::<toml::Table>() {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn the_changelog_has_a_place_for_what_is_unreleased() {
    let text = read("CHANGELOG.md");
    assert!(text.lines().any(|line| line.trim() == "## [Unreleased]"), "add `## [Unreleased]`");
}

#[test]
fn the_readme_opens_with_the_two_commands() {
    let text = read("README.md");
    let top: Vec<&str> = text.lines().take(40).collect();
    for command in ["cargo xtask run", "cargo xtask test"] {
        assert!(top.iter().any(|line| line.contains(command)), "README.md: {command} is not at the top");
    }
}

#[test]
fn every_crate_inherits_the_workspaces_lints_and_licence() {
    for path in files_ending("toml") {
        let in_crate = path.starts_with("host") || path.starts_with("plugins");
        if !in_crate || path.file_name().is_none_or(|name| name != "Cargo.toml") || path.components().count() != 3 {
            continue;
        }
        let manifest: toml::Table = read(path.to_str().unwrap()).parse().unwrap();
        let inherits = |table: &str, key: &str| {
            let value = manifest.get(table).and_then(|table| table.get(key));
            let value = value.and_then(|value| if key == "license" { value.get("workspace") } else { Some(value) });
            value.and_then(toml::Value::as_bool) == Some(true)
        };
        assert!(inherits("lints", "workspace"), "{}: [lints] workspace = true", path.display());
        assert!(inherits("package", "license"), "{}: license.workspace = true", path.display());
    }
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let silent: Vec<String> = files_ending("rs")
        .iter()
        .filter(|path| !read(path.to_str().unwrap()).starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "open these files with `//!`:\n{}", silent.join("\n"));
}

#[test]
fn the_top_level_is_what_the_architecture_says() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "host",
        "plugins",
        "wit",
        "configs",
        "tests",
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "clippy.toml",
        "deny.toml",
        "rust-toolchain.toml",
        "rustfmt.toml",
    ];
    for path in files() {
        let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
        assert!(first.starts_with('.') || allowed.contains(&first), "{} at the top level", first);
    }
}
