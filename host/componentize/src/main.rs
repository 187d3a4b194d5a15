//! `componentize MODULE COMPONENT [MODULE COMPONENT]...`: wraps core modules into components.
//!
//! Called by `cargo xtask build` with one pair a strategy; prints one line a component on stderr.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.is_empty() {
        bail!("usage: componentize MODULE COMPONENT [MODULE COMPONENT]...");
    }
    for pair in arguments.chunks(2) {
        let [module, component] = pair else {
            bail!("a module without a component to write: give them in pairs");
        };
        let component = Path::new(component);
        let changed = nasd_componentize::wrap_file(Path::new(module), component)?;
        let bytes = std::fs::metadata(component).with_context(|| format!("{} vanished", component.display()))?.len();
        let word = if changed { "written" } else { "unchanged" };
        eprintln!("       {} {word} ({} KB)", component.display(), bytes.div_ceil(1024));
    }
    Ok(())
}
