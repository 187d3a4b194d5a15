//! Wraps a core WebAssembly module into a component.
//!
//! rustc produces a core module for `wasm32-unknown-unknown`; `wit-bindgen` left a description of the
//! strategy's world in it as custom sections. Encoding the two as a component gives a file that imports
//! the contract's interfaces and nothing else.
//!
//! A crate of its own, not a module of `xtask`: the encoder takes a minute to compile, and
//! `cargo xtask` should speak within seconds of a fresh clone.

use std::io;
use std::path::{Path, PathBuf};

/// Why a module could not be turned into a component file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The core module could not be read.
    #[error("the core module {} cannot be read", path.display())]
    Read {
        /// The module's file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The module is not a strategy: no world inside, or one that does not fit its code.
    #[error(
        "{} is not a module of a strategy: it must be built from a crate that exports one \
         through the SDK's macro",
        path.display()
    )]
    Encode {
        /// The module's file.
        path: PathBuf,
        /// What the encoder said.
        source: anyhow::Error,
    },
    /// The component could not be written.
    #[error("the component {} cannot be written", path.display())]
    Write {
        /// The component's file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Reads the core module `module` and writes it as a component to `component`, by rename, so that a
/// daemon that watches the folder never sees half a file.
///
/// Returns whether the file changed: an equal one keeps its time, so that nothing is reloaded for it.
///
/// # Errors
/// When a file cannot be read or written, and when the module holds no strategy.
pub fn wrap_file(module: &Path, component: &Path) -> Result<bool, Error> {
    let bytes = std::fs::read(module).map_err(|source| Error::Read { path: module.to_path_buf(), source })?;
    let encoded = wrap(&bytes).map_err(|source| Error::Encode { path: module.to_path_buf(), source })?;
    if std::fs::read(component).is_ok_and(|old| old == encoded) {
        return Ok(false);
    }
    let failed = |source| Error::Write { path: component.to_path_buf(), source };
    let draft = component.with_extension(format!("wasm.{}", std::process::id()));
    std::fs::write(&draft, encoded).map_err(failed)?;
    std::fs::rename(&draft, component).map_err(failed)?;
    Ok(true)
}

fn wrap(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    wit_component::ComponentEncoder::default().validate(true).module(module)?.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest core module: magic number and version.
    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_file_that_is_no_wasm_is_named_in_the_error() {
        let folder = std::env::temp_dir().join(format!("componentize-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let module = folder.join("text.wasm");
        std::fs::write(&module, "not wasm").unwrap();
        let error = wrap_file(&module, &folder.join("out.wasm")).unwrap_err();
        assert!(matches!(error, Error::Encode { .. }), "{error:?}");
        assert!(error.to_string().contains("text.wasm"), "{error}");
        assert!(!folder.join("out.wasm").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_equal_component_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("componentize-same-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (module, component) = (folder.join("core.wasm"), folder.join("out.wasm"));
        std::fs::write(&module, EMPTY_MODULE).unwrap();
        assert!(wrap_file(&module, &component).unwrap());
        assert!(!wrap_file(&module, &component).unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
