//! `nasd strategy new`: a crate that is a strategy already.

use std::path::{Path, PathBuf};

use crate::failure::Failed;

const CARGO: &str = include_str!("../../../../plugins/sdk/template/Cargo.toml.in");
const STANDALONE: &str = include_str!("../../../../plugins/sdk/template/standalone.toml.in");
const LIBRARY: &str = include_str!("../../../../plugins/sdk/template/src/lib.rs.in");

/// Names that cargo or the compiler refuses for a library.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "nas-strategy-sdk",
    "schemars",
    "serde",
];

/// The checkout of nasd that a folder lies in.
pub fn checkout(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|folder| folder.join("plugins/sdk/Cargo.toml").is_file()).map(Path::to_owned)
}

/// Write the crate; gives its folder. Without `folder` it goes to `plugins/NAME` of the checkout that the working
/// directory lies in. `sdk` is the SDK's folder, for crates elsewhere.
pub fn create(name: &str, folder: Option<&Path>, sdk: Option<&Path>) -> Result<PathBuf, Failed> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_plain) || name.ends_with('-') {
        let rule = "use lower-case letters, digits and hyphens, a letter first";
        return Err(Failed::Configuration(format!("\"{name}\" cannot name a strategy; {rule}")));
    }
    if RESERVED.contains(&name) {
        return Err(Failed::Configuration(format!("\"{name}\" is a word of Rust's own; choose another name")));
    }
    let root = checkout(Path::new("."));
    let plugins = root.as_ref().map(|root| root.join("plugins"));
    let folder = match (folder, &plugins) {
        (Some(folder), _) => folder.to_owned(),
        (None, Some(plugins)) => {
            let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
            plugins.strip_prefix(&here).map_or_else(|_| plugins.join(name), |plugins| plugins.join(name))
        }
        (None, None) => PathBuf::from(name),
    };
    if folder.exists() {
        return Err(Failed::Configuration(format!("{} is there already; choose another name", folder.display())));
    }
    let absolute = std::path::absolute(&folder).map_err(|error| failed(&folder, &error))?;
    let is_member = plugins.as_ref().is_some_and(|plugins| absolute.parent() == Some(plugins));
    let (sdk, ending) = if is_member {
        ("{ workspace = true }".to_owned(), "")
    } else {
        let own = root.map(|root| root.join("plugins/sdk"));
        let sdk = sdk.map(Path::to_owned).or(own).ok_or_else(|| {
            let remedy = "name the folder `plugins/sdk` of a checkout of nasd by --sdk, or work in a checkout";
            Failed::Configuration(format!("the crate needs the SDK: {remedy}"))
        })?;
        let sdk = sdk.canonicalize().map_err(|error| failed(&sdk, &error))?;
        if !sdk.join("Cargo.toml").is_file() {
            return Err(Failed::Configuration(format!("{} is no crate", sdk.display())));
        }
        (format!("{{ path = {:?} }}", sdk.display().to_string()), STANDALONE)
    };
    let manifest = manifest(name, &sdk, is_member, ending);
    let source = folder.join("src");
    std::fs::create_dir_all(&source).map_err(|error| failed(&source, &error))?;
    for (path, text) in [(folder.join("Cargo.toml"), manifest.as_str()), (source.join("lib.rs"), LIBRARY)] {
        std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(folder)
}

fn manifest(name: &str, sdk: &str, is_member: bool, ending: &str) -> String {
    let manifest = CARGO.replace("{{name}}", name).replace("{{sdk}}", sdk) + ending;
    if !is_member {
        return manifest;
    }
    let inherited = "publish = false\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
    manifest.replacen("publish = false\n", inherited, 1)
}

fn failed(path: &Path, error: &std::io::Error) -> Failed {
    Failed::Other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_outside_a_checkout_is_a_workspace_of_its_own_and_names_the_sdk() {
        let folder = tempfile::tempdir().unwrap();
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk");
        let made = create("my-own", Some(&folder.path().join("my-own")), Some(&sdk)).unwrap();
        let manifest = std::fs::read_to_string(made.join("Cargo.toml")).unwrap();
        let table: toml::Table = manifest.parse().unwrap();
        assert_eq!(table["package"]["name"].as_str(), Some("my-own"));
        assert!(table["dependencies"]["nas-strategy-sdk"]["path"].as_str().unwrap().ends_with("plugins/sdk"));
        assert!(table.contains_key("workspace") && table["profile"].get("component").is_some());
        assert!(std::fs::read_to_string(made.join("src/lib.rs")).unwrap().starts_with("//!"));
    }

    #[test]
    fn a_crate_in_a_checkout_inherits_its_workspaces_licence_and_lints() {
        let manifest = manifest("mine", "{ workspace = true }", true, "");
        let table: toml::Table = manifest.parse().unwrap();
        assert_eq!(table["package"]["license"]["workspace"].as_bool(), Some(true));
        assert_eq!(table["lints"]["workspace"].as_bool(), Some(true));
        assert_eq!(table["lib"]["crate-type"][0].as_str(), Some("cdylib"));
    }

    #[test]
    fn bad_names_and_folders_that_are_there_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "Mine", "1st", "a b", "../x", "a-"] {
            let error = create(name, Some(&folder.path().join("x")), None).unwrap_err();
            assert!(error.to_string().contains("cannot name a strategy"), "{name}: {error}");
        }
        for name in ["fn", "core", "test", "serde"] {
            let error = create(name, Some(&folder.path().join("x")), None).unwrap_err();
            assert!(error.to_string().contains("Rust's own"), "{name}: {error}");
        }
        let error = create("mine", Some(folder.path()), None).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
    }
}
