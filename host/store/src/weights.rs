//! Weights as files named by the BLAKE3 digest of what they hold.
//!
//! A file is there whole or not at all: written under another name, synced, renamed, the folder synced. Equal
//! bytes are kept once. Which files are still needed is for the caller to say: [`WeightsFolder::collect`].

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use crate::files::Files;

/// Why weights cannot be stored or had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file operation failed.
    #[error("{what} {} failed", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not 64 hexadecimal digits in lower case.
    #[error("{digest:?} is not a digest: 64 hexadecimal digits in lower case are")]
    NotADigest {
        /// What was given.
        digest: String,
    },
    /// There is no such file.
    #[error("weights {digest} are not in {}; they may have been collected: see `[weights] keep`", folder.display())]
    Missing {
        /// The digest.
        digest: String,
        /// The folder.
        folder: PathBuf,
    },
    /// The bytes are not those the file is named by.
    #[error("weights {digest} in {} are damaged: their digest is {found}; remove the file and train again", folder.display())]
    Damaged {
        /// The file's name.
        digest: String,
        /// The digest of its bytes.
        found: String,
        /// The folder.
        folder: PathBuf,
    },
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files kept.
    pub kept: u64,
    /// Files removed, unfinished ones included.
    pub removed: u64,
    /// Bytes freed.
    pub bytes: u64,
}

/// A folder of weights.
#[derive(Clone, Debug)]
pub struct WeightsFolder {
    files: Files,
    folder: PathBuf,
}

/// Ending of names of files being written.
const UNFINISHED: &str = ".unfinished";

/// Extension of the files that trainers write.
const TRAINER: &str = "safetensors";

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl WeightsFolder {
    /// The weights in `folder`, which must exist.
    pub fn new(files: Files, folder: &Path) -> Self {
        Self { files, folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn io_error(&self, what: &'static str) -> impl FnOnce(io::Error) -> WeightsError {
        let path = self.folder.clone();
        move |source| WeightsError::Io { what, path, source }
    }

    /// Where weights with this digest lie, if they are there.
    pub fn path(&self, digest: &str) -> Result<PathBuf, WeightsError> {
        if !is_digest(digest) {
            return Err(WeightsError::NotADigest { digest: digest.to_owned() });
        }
        Ok(self.folder.join(digest))
    }

    /// Whether weights with this digest are there.
    pub fn contains(&self, digest: &str) -> bool {
        self.path(digest).is_ok_and(|path| self.files.exists(&path))
    }

    /// Store bytes durably; their digest.
    pub fn put(&self, bytes: &[u8]) -> Result<String, WeightsError> {
        let digest = blake3::hash(bytes).to_hex().to_string();
        let path = self.folder.join(&digest);
        if self.files.exists(&path) {
            // Whoever wrote it may have stopped before the name was durable.
            self.files.sync_dir(&self.folder).map_err(self.io_error("syncing"))?;
            return Ok(digest);
        }
        let unfinished = self.folder.join(format!("{digest}{UNFINISHED}"));
        if self.files.exists(&unfinished) {
            self.files.remove(&unfinished).map_err(self.io_error("cleaning"))?;
        }
        let mut file = self.files.create_new(&unfinished).map_err(self.io_error("writing to"))?;
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        written.map_err(self.io_error("writing to"))?;
        self.files.rename(&unfinished, &path).map_err(self.io_error("renaming in"))?;
        self.files.sync_dir(&self.folder).map_err(self.io_error("syncing"))?;
        Ok(digest)
    }

    /// The bytes with this digest, checked.
    pub fn open(&self, digest: &str) -> Result<Vec<u8>, WeightsError> {
        let path = self.path(digest)?;
        let (digest, folder) = (digest.to_owned(), self.folder.clone());
        let bytes = match self.files.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(WeightsError::Missing { digest, folder });
            }
            Err(source) => return Err(WeightsError::Io { what: "reading", path, source }),
        };
        let found = blake3::hash(&bytes).to_hex().to_string();
        if found == digest { Ok(bytes) } else { Err(WeightsError::Damaged { digest, found, folder }) }
    }

    /// Remove weights that nothing needs any more, the host's or a trainer's; those that are not there are no error.
    pub fn remove(&self, digest: &str) -> Result<(), WeightsError> {
        let path = self.path(digest)?;
        for path in [path.with_extension(TRAINER), path] {
            if self.files.exists(&path) {
                self.files.remove(&path).map_err(self.io_error("cleaning"))?;
            }
        }
        Ok(())
    }

    /// Remove all weights but `roots`, and unfinished files. Files with other names are left alone. Nothing may
    /// be writing meanwhile.
    pub fn collect(&self, roots: &BTreeSet<String>) -> Result<Collected, WeightsError> {
        let mut collected = Collected::default();
        for name in self.files.list(&self.folder).map_err(self.io_error("listing"))? {
            let is_unfinished = name.strip_suffix(UNFINISHED).is_some_and(is_digest);
            let digest = name.strip_suffix(TRAINER).and_then(|name| name.strip_suffix('.')).unwrap_or(&name);
            if !is_unfinished && !is_digest(digest) {
                continue;
            }
            if roots.contains(digest) {
                collected.kept += 1;
                continue;
            }
            let path = self.folder.join(&name);
            collected.bytes += self.files.length(&path).map_err(self.io_error("listing"))?;
            self.files.remove(&path).map_err(self.io_error("cleaning"))?;
            collected.removed += 1;
        }
        self.files.sync_dir(&self.folder).map_err(self.io_error("syncing"))?;
        Ok(collected)
    }
}
