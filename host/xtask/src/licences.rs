//! The check of dependencies' licences and sources against deny.toml.
//!
//! The file is cargo-deny's, and cargo-deny reads it where it is installed. This check needs a second
//! instead of cargo-deny's minutes of compiling, and covers what continuous integration needs: each
//! dependency's licence expression is satisfied by the allowed licences or by an exception that names the
//! crate, and comes from an allowed registry or the workspace. It does not know advisories.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

use crate::command;
use crate::progress::note;
use crate::project::Project;

const POLICY: &str = "deny.toml";

/// What deny.toml says, as far as this check reads it.
struct Policy {
    allowed: Vec<String>,
    exceptions: BTreeMap<String, Vec<String>>,
    registries: Vec<String>,
}

/// Checks all packages of the lock file; prints each violation on its own line.
pub fn check(project: &Project) -> Result<()> {
    let path = project.root.join(POLICY);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let policy = Policy::parse(&text)?;
    let mut cargo = project.cargo();
    cargo.args(["metadata", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&command::capture(&mut cargo)?)
        .context("cargo metadata printed something that is not JSON")?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("cargo metadata lists no packages")?;

    let mut violations: Vec<String> = packages.iter().filter_map(|package| policy.violation(package)).collect();
    violations.extend(policy.unused_exceptions(packages));
    for violation in &violations {
        note(violation);
    }
    if !violations.is_empty() {
        bail!("{} of {} packages violate {POLICY}", violations.len(), packages.len());
    }
    note(&format!("licences and sources of {} packages obey {POLICY}", packages.len()));
    Ok(())
}

impl Policy {
    fn parse(text: &str) -> Result<Self> {
        let file: toml::Table = text.parse().with_context(|| format!("{POLICY} is not TOML"))?;
        let table = |name: &str| {
            file.get(name).and_then(toml::Value::as_table).with_context(|| format!("{POLICY} has no [{name}]"))
        };
        let licences = table("licenses")?;
        let mut exceptions = BTreeMap::new();
        let listed = licences.get("exceptions").and_then(toml::Value::as_array);
        for exception in listed.into_iter().flatten() {
            let name = exception
                .get("crate")
                .and_then(toml::Value::as_str)
                .with_context(|| format!("an exception in {POLICY} has no `crate`"))?;
            exceptions.insert(name.to_owned(), strings(exception.get("allow")));
        }
        Ok(Policy {
            allowed: strings(licences.get("allow")),
            exceptions,
            registries: strings(table("sources")?.get("allow-registry")),
        })
    }

    /// What is wrong with a package of `cargo metadata`, in one line.
    fn violation(&self, package: &Value) -> Option<String> {
        let field = |key: &str| package.get(key).and_then(Value::as_str);
        let name = field("name").unwrap_or("?");
        let title = format!("{name} {}", field("version").unwrap_or("?"));
        if let Some(source) = field("source") {
            let address = source.strip_prefix("registry+").or(source.strip_prefix("sparse+"));
            if !address.is_some_and(|address| self.registries.iter().any(|known| known == address)) {
                return Some(format!("{title} comes from {source}, which is no allowed source"));
            }
        }
        let Some(licence) = field("license") else {
            return Some(format!("{title} names no licence"));
        };
        let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
            Ok(expression) => expression,
            Err(error) => {
                return Some(format!("{title}: `{licence}` is no licence: {}", error.reason));
            }
        };
        let extra = self.exceptions.get(name);
        let allowed = |wanted: &LicenseReq| {
            let wanted = wanted.to_string();
            self.allowed.contains(&wanted) || extra.is_some_and(|extra| extra.contains(&wanted))
        };
        (!expression.evaluate(allowed)).then(|| format!("{title} has the licence {licence}"))
    }

    /// Exceptions for crates that are no dependency any more.
    fn unused_exceptions(&self, packages: &[Value]) -> Vec<String> {
        let used = |name: &String| packages.iter().any(|package| package.get("name").is_some_and(|it| it == name));
        self.exceptions
            .keys()
            .filter(|name| !used(name))
            .map(|name| format!("{POLICY} has an exception for {name}, which is no dependency"))
            .collect()
    }
}

fn strings(value: Option<&toml::Value>) -> Vec<String> {
    let list = value.and_then(toml::Value::as_array).into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn policy() -> Policy {
        Policy::parse(
            r#"
            [licenses]
            allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            exceptions = [{ crate = "font", allow = ["OFL-1.1"] }]
            [sources]
            allow-registry = ["https://github.com/rust-lang/crates.io-index"]
            "#,
        )
        .unwrap()
    }

    fn package(name: &str, licence: Option<&str>, source: Option<&str>) -> Value {
        serde_json::json!({ "name": name, "version": "1.0.0", "license": licence, "source": source })
    }

    #[test]
    fn packages_are_judged_by_licence_and_source() {
        let cases = [
            ("a", Some("MIT"), Some(INDEX), None),
            ("a", Some("MIT OR GPL-3.0"), Some(INDEX), None),
            ("a", Some("MIT/Apache-2.0"), Some(INDEX), None),
            ("a", Some("Apache-2.0 WITH LLVM-exception"), Some(INDEX), None),
            ("own", Some("MIT OR Apache-2.0"), None, None),
            ("font", Some("MIT AND OFL-1.1"), Some(INDEX), None),
            ("a", Some("MIT AND OFL-1.1"), Some(INDEX), Some("a 1.0.0 has the licence MIT AND OFL-1.1")),
            ("a", Some("GPL-3.0"), Some(INDEX), Some("a 1.0.0 has the licence GPL-3.0")),
            ("a", None, Some(INDEX), Some("a 1.0.0 names no licence")),
            (
                "a",
                Some("MIT"),
                Some("git+https://example.org/a"),
                Some("a 1.0.0 comes from git+https://example.org/a, which is no allowed source"),
            ),
        ];
        for (name, licence, source, expected) in cases {
            let found = policy().violation(&package(name, licence, source));
            assert_eq!(found.as_deref(), expected, "{name} {licence:?} {source:?}");
        }
    }

    #[test]
    fn an_exception_for_a_crate_that_is_gone_is_reported() {
        let packages = [package("a", Some("MIT"), None)];
        assert_eq!(
            policy().unused_exceptions(&packages),
            ["deny.toml has an exception for font, which is no dependency"]
        );
    }
}
