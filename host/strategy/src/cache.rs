//! Compiled components on disk, so that a start with known strategies compiles nothing.
//!
//! A file is named by the component's BLAKE3 digest and a digest of everything the compiler's output depends
//! on (its version, settings, this processor's features), and ends in a digest of its own contents. A file that does
//! not match it, or that others could have written ([`crate::kept`] says why that matters), is deleted and compiled
//! anew.
//!
//! The cache never makes loading fail: what cannot be read is compiled, what cannot be written is not cached.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::kept::{Kept, touch};

/// Bytes of the digest that ends a file.
const TRAILER: usize = blake3::OUT_LEN;

/// Says what the trailer is a digest of; a new layout takes a new text.
const TRAILER_CONTEXT: &str = "nasd compiled strategy cache 1";

/// Ends the name of a compiled component.
const ENDING: &str = ".cwasm";

/// What all compiled components may take on disk: some hundred in Rust, some dozen in Python.
const BYTES: u64 = 512 << 20;
/// How many there may be.
const FILES: usize = 1000;

/// A folder of compiled components.
pub(crate) struct Cache {
    kept: Arc<Kept>,
    /// Digest of what compiled code depends on.
    compatibility: String,
}

impl Cache {
    /// The cache in a folder.
    pub(crate) fn new(kept: Arc<Kept>, compatibility: String) -> Self {
        Self { kept, compatibility }
    }

    /// The compiled form of the component with `digest`, if it is there, ours and whole.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let code = match self.read(&path) {
            Ok(Some(code)) => code,
            Ok(None) => {
                tracing::warn!(file = %path.display(), "compiled strategy is damaged or not ours; compiling anew");
                let _ = fs::remove_file(&path);
                return None;
            }
            Err(_) => return None,
        };
        // SAFETY: `deserialize` runs what it is given as native code. These bytes were just read from a file
        // that our user owns and nobody else can write, in a folder of which the same was checked on opening,
        // and they match the digest stored with them: they are what `put` below wrote after
        // `Component::serialize`. wasmtime itself checks version and settings.
        #[allow(unsafe_code)]
        let component = unsafe { Component::deserialize(engine, &code) };
        match component {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled strategy does not load; compiling anew");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keep the compiled form of the component with `digest`; what was used longest ago may go for it.
    pub(crate) fn put(&self, digest: &str, component: &Component) {
        let path = self.path(digest);
        let written = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| self.kept.write(&path, &[&code, &trailer_of(&code)]));
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "compiled strategy is not cached");
        }
        self.kept.prune(ENDING, BYTES, FILES);
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.kept.path(&format!("{digest}-{}{ENDING}", self.compatibility))
    }

    /// None: the file is there and must not be run.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = self.kept.read(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let Some(length) = bytes.len().checked_sub(TRAILER) else { return Ok(None) };
        let trailer = bytes.split_off(length);
        if trailer != trailer_of(&bytes) {
            return Ok(None);
        }
        touch(&file);
        Ok(Some(bytes))
    }
}

fn trailer_of(code: &[u8]) -> [u8; TRAILER] {
    blake3::derive_key(TRAILER_CONTEXT, code)
}

/// Digest of everything that decides whether compiled code can be used by `engine`.
pub(crate) fn compatibility(engine: &Engine) -> String {
    struct Digest(blake3::Hasher);
    impl Hasher for Digest {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut digest = Digest(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize().to_hex().chars().take(16).collect()
}
