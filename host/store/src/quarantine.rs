//! Components that failed in a run: kept out of every run until an operator clears them.
//!
//! One small file a component, named by its digest, so that the folder can be read (and cleared) by hand.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    files::{Files, write_whole},
    state::StateError,
};

/// Why a component is in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// BLAKE3 of the component.
    pub digest: String,
    /// The strategy's name.
    pub name: String,
    /// The run it failed in, `name/17`.
    pub run: String,
    /// How.
    pub message: String,
}

/// The folder of quarantined components.
#[derive(Clone, Debug)]
pub struct Quarantine {
    files: Files,
    folder: PathBuf,
}

impl Quarantine {
    /// On a folder, which is made when it is needed.
    pub fn new(files: Files, folder: &Path) -> Self {
        Self { files, folder: folder.to_owned() }
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        let is_digest = !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_digest.then(|| self.folder.join(digest))
    }

    /// Put a component in, durably. One that is in stays as it is.
    pub fn add(&self, entry: &Quarantined) -> Result<(), StateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { what: "writing", path, source }
        };
        let Some(path) = self.path(&entry.digest) else {
            return Err(failed(&self.folder)(io::Error::other(format!("{:?} is no digest", entry.digest))));
        };
        self.files.create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        if self.files.exists(&path) {
            return Ok(());
        }
        let text = serde_json::to_vec(entry).map_err(|error| failed(&path)(error.into()))?;
        write_whole(&*self.files, &path, &text).map_err(failed(&path))?;
        self.files.sync_dir(&self.folder).map_err(failed(&self.folder))
    }

    /// Why a component is in, if it is. A file that cannot be read keeps its component in.
    pub fn get(&self, digest: &str) -> Option<Quarantined> {
        let path = self.path(digest)?;
        if !self.files.exists(&path) {
            return None;
        }
        let entry = self.files.read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let unread = || Quarantined {
            digest: digest.to_owned(),
            name: String::new(),
            run: String::new(),
            message: format!("{} cannot be read", path.display()),
        };
        Some(entry.unwrap_or_else(unread))
    }

    /// All of them.
    pub fn list(&self) -> Vec<Quarantined> {
        let names = self.files.list(&self.folder).unwrap_or_default();
        names.iter().filter(|name| !name.contains('.')).filter_map(|digest| self.get(digest)).collect()
    }

    /// Clear a component; gives whether it was in.
    pub fn release(&self, digest: &str) -> Result<bool, StateError> {
        let Some(path) = self.path(digest).filter(|path| self.files.exists(path)) else { return Ok(false) };
        let failed = |source| StateError::Io { what: "removing", path: path.clone(), source };
        self.files.remove(&path).map_err(failed)?;
        self.files.sync_dir(&self.folder).map_err(failed)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::RealFiles;

    #[test]
    fn a_component_stays_in_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(RealFiles::shared(), &folder.path().join("quarantine"));
        assert_eq!(quarantine.list(), []);
        let entry = |message: &str| Quarantined {
            digest: "ab12".into(),
            name: "random".into(),
            run: "digits/3".into(),
            message: message.into(),
        };
        quarantine.add(&entry("trapped in ask")).unwrap();
        quarantine.add(&entry("again")).unwrap();
        assert_eq!(quarantine.get("ab12"), Some(entry("trapped in ask")));
        assert_eq!(quarantine.list().len(), 1);
        assert!(quarantine.release("ab12").unwrap());
        assert!(!quarantine.release("ab12").unwrap());
        assert_eq!(quarantine.get("ab12"), None);
        assert!(quarantine.add(&Quarantined { digest: "../x".into(), ..entry("") }).is_err());
    }
}
