//! The template of a new strategy compiles, and its own tests pass: they run as part of this test.

#[path = "../template/src/lib.rs.in"]
mod template;

/// The template's files besides its source, as `nasd strategy new` fills them in.
const MANIFEST: &str = include_str!("../template/Cargo.toml.in");

#[test]
fn the_manifest_has_the_placeholders_that_its_readme_names_and_no_others() {
    let mut left = MANIFEST.to_owned();
    for placeholder in ["{{name}}", "{{sdk}}"] {
        assert!(left.contains(placeholder), "no {placeholder}");
        assert!(include_str!("../template/README.md").contains(placeholder));
        left = left.replace(placeholder, "");
    }
    assert!(!left.contains("{{"), "{left}");
}

#[test]
fn the_manifest_asks_for_the_same_major_versions_as_the_workspace() {
    let workspace = include_str!("../../../Cargo.toml");
    for dependency in ["schemars", "serde"] {
        let version = |manifest: &str| {
            let line = manifest.lines().find(|line| line.starts_with(&format!("{dependency} = {{ version"))).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        assert_eq!(version(MANIFEST), version(workspace), "{dependency}");
    }
}
