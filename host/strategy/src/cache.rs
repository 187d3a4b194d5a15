//! Compiled components on disk, so that a start with known strategies compiles nothing.
//!
//! A file is named by the component's BLAKE3 digest and a digest of everything the compiler's output depends
//! on (its version, settings, this processor's features), and ends in a digest of its own contents. Running
//! such a file is running native code, which nothing can verify: so the folder must belong to us and be
//! writable by nobody else, each file likewise, and a file that does not match its digest is deleted and
//! compiled anew. Whoever can write as this user could replace the daemon as well.
//!
//! The cache never makes loading fail: what cannot be read is compiled, what cannot be written is not cached.

use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::RuntimeError;

/// Bytes of the digest that ends a file.
const TRAILER: usize = blake3::OUT_LEN;

/// Says what the trailer is a digest of; a new layout takes a new text.
const TRAILER_CONTEXT: &str = "nasd compiled strategy cache 1";

/// A folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Digest of what compiled code depends on.
    compatibility: String,
    /// Our user, as the file system numbers it.
    owner: u64,
    /// Makes names of temporary files distinct within this process.
    counter: AtomicU64,
}

impl Cache {
    /// Open the cache at `folder`, making it where it is absent; refused if others could have written to it.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, RuntimeError> {
        let refuse = |message: String| RuntimeError::Cache { folder: folder.display().to_string(), message };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(|error| refuse(error.to_string()))?;
        let metadata = fs::metadata(folder).map_err(|error| refuse(error.to_string()))?;
        if metadata.mode() & 0o022 != 0 {
            return Err(refuse(format!(
                "others may write to it (mode {:o}), and what is in it is run; `chmod go-w` it",
                metadata.mode() & 0o7777
            )));
        }
        let mut cache = Self {
            folder: folder.to_owned(),
            compatibility: compatibility(engine),
            owner: u64::from(metadata.uid()),
            counter: AtomicU64::new(0),
        };
        // A file we make belongs to us; so the folder's owner can be compared without asking the system who we are.
        let probe = cache.temporary_path();
        let made = create(&probe).and_then(|file| file.metadata()).map_err(|error| refuse(error.to_string()))?;
        let _ = fs::remove_file(&probe);
        if made.uid() != metadata.uid() {
            return Err(refuse("it belongs to another user, and what is in it is run".to_owned()));
        }
        cache.owner = u64::from(made.uid());
        Ok(cache)
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

    /// Keep the compiled form of the component with `digest`.
    pub(crate) fn put(&self, digest: &str, component: &Component) {
        let path = self.path(digest);
        let written = component.serialize().map_err(io::Error::other).and_then(|code| self.write(&path, &code));
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "compiled strategy is not cached");
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{}.cwasm", self.compatibility))
    }

    fn temporary_path(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!(".{}-{number}.tmp", std::process::id()))
    }

    /// None: the file is there and must not be run.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if u64::from(metadata.uid()) != self.owner || metadata.mode() & 0o022 != 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let Some(length) = bytes.len().checked_sub(TRAILER) else { return Ok(None) };
        let trailer = bytes.split_off(length);
        Ok((trailer == trailer_of(&bytes)).then_some(bytes))
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let temporary = self.temporary_path();
        let written = create(&temporary)
            .and_then(|mut file| {
                file.write_all(code)?;
                file.write_all(&trailer_of(code))?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn create(path: &Path) -> io::Result<fs::File> {
    let _ = fs::remove_file(path);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn trailer_of(code: &[u8]) -> [u8; TRAILER] {
    blake3::derive_key(TRAILER_CONTEXT, code)
}

/// Digest of everything that decides whether compiled code can be used by `engine`.
fn compatibility(engine: &Engine) -> String {
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
