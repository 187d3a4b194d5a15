//! The folder on disk in which compiled code is kept: whose it must be, how files get there, which go first.
//!
//! What is in it is run as native code, which nothing can verify: so the folder must belong to us and be writable by
//! nobody else, each file likewise. Whoever can write as this user could replace the daemon as well. Files come by
//! renaming, so that another process finds all of one or none; they are not synced, because every reader checks a
//! digest and can do without: after a power failure the worst is to compile again.
//!
//! The folder is bounded. What was used longest ago goes first; a file's time of modification is its last use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::RuntimeError;

/// An unfinished file this old was left by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Ends the name of an unfinished file.
const UNFINISHED: &str = ".tmp";

/// A folder that only we write to.
#[derive(Debug)]
pub(crate) struct Kept {
    folder: PathBuf,
    /// Our user, as the file system numbers it.
    owner: u32,
    /// Makes names of unfinished files distinct within this process.
    counter: AtomicU64,
}

/// A file in it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub path: PathBuf,
    pub bytes: u64,
    pub used: SystemTime,
}

impl Kept {
    /// Open `folder`, making it where it is absent; refused if others could have written to it.
    pub fn open(folder: &Path) -> Result<Self, RuntimeError> {
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
        let mut kept = Self { folder: folder.to_owned(), owner: metadata.uid(), counter: AtomicU64::new(0) };
        // A file we make belongs to us; so the folder's owner can be compared without asking the system who we are.
        let probe = kept.unfinished();
        let made = create(&probe).and_then(|file| file.metadata()).map_err(|error| refuse(error.to_string()))?;
        let _ = fs::remove_file(&probe);
        if made.uid() != metadata.uid() {
            return Err(refuse("it belongs to another user, and what is in it is run".to_owned()));
        }
        kept.owner = made.uid();
        Ok(kept)
    }

    /// Where a file of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Open a file to read; none: it is there and must not be run.
    pub fn read(&self, path: &Path) -> io::Result<Option<File>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let is_ours = metadata.is_file() && metadata.uid() == self.owner && metadata.mode() & 0o022 == 0;
        Ok(is_ours.then_some(file))
    }

    /// Put a file in place, all of it or nothing.
    pub fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let unfinished = self.unfinished();
        let written = create(&unfinished)
            .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Files whose name ends so, the one used last first.
    pub fn list(&self, ending: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let Some(true) = entry.file_name().to_str().map(|name| name.ends_with(ending)) else { continue };
            let Ok(metadata) = entry.metadata() else { continue }; // another process removed it
            if let (true, Ok(used)) = (metadata.is_file(), metadata.modified()) {
                entries.push(Entry { path: entry.path(), bytes: metadata.len(), used });
            }
        }
        entries.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        Ok(entries)
    }

    /// Remove the files with that ending that were used longest ago, until no more than so many bytes and files are
    /// left, and what killed processes left unfinished. Another process may be about to read what goes: it compiles.
    pub fn prune(&self, ending: &str, bytes: u64, files: usize) {
        let (mut n_bytes, mut n_files) = (0, 0);
        for entry in self.list(ending).unwrap_or_default() {
            n_bytes += entry.bytes;
            n_files += 1;
            if n_bytes > bytes || n_files > files {
                let _ = fs::remove_file(&entry.path);
            }
        }
        let now = SystemTime::now();
        for entry in self.list(UNFINISHED).unwrap_or_default() {
            if now.duration_since(entry.used).is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(&entry.path);
            }
        }
    }

    fn unfinished(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!(".{}-{number}{UNFINISHED}", std::process::id()))
    }
}

/// Say that a file was used now.
pub(crate) fn touch(file: &File) {
    let _ = file.set_modified(SystemTime::now());
}

fn create(path: &Path) -> io::Result<File> {
    let _ = fs::remove_file(path);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Files of 100 bytes used one after the other, the first one first.
    fn filled(folder: &Path, names: &[&str]) -> Kept {
        let kept = Kept::open(folder).unwrap();
        for (number, name) in names.iter().enumerate() {
            kept.write(&kept.path(name), &[&[0; 60], &[1; 40]]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(1000 - number as u64);
            File::open(kept.path(name)).unwrap().set_modified(used).unwrap();
        }
        kept
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        for (bytes, files, left) in [
            (400, 9, vec!["a.x", "b.x", "c.x", "d.x"]),
            (399, 9, vec!["a.x", "c.x", "d.x"]),
            (9999, 2, vec!["a.x", "d.x"]),
            (100, 9, vec!["a.x"]),
            (99, 9, vec![]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let kept = filled(folder.path(), &["a.x", "b.x", "c.x", "d.x", "e.y"]);
            touch(&kept.read(&kept.path("a.x")).unwrap().unwrap());
            kept.prune(".x", bytes, files);
            let left: Vec<_> = left.into_iter().chain(["e.y"]).collect();
            assert_eq!(names(folder.path()), left, "{bytes} bytes, {files} files");
        }
    }

    #[test]
    fn only_files_that_nobody_finishes_any_more_go_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let kept = filled(folder.path(), &[".1-0.tmp", ".1-1.tmp", "a.x"]);
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        File::open(kept.path(".1-0.tmp")).unwrap().set_modified(long_ago).unwrap();
        kept.prune(".x", 1000, 10);
        assert_eq!(names(folder.path()), [".1-1.tmp", "a.x"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_what_others_may_write_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let kept = filled(folder.path(), &["a.x"]);
        fs::create_dir(kept.path("b.x")).unwrap();
        assert!(kept.write(&kept.path("b.x"), &[b"text"]).is_err(), "a folder is in its place");
        assert_eq!(names(folder.path()), ["a.x", "b.x"]);
        assert!(kept.read(&kept.path("c.x")).is_err());
        assert!(kept.read(&kept.path("a.x")).unwrap().is_some());
        fs::set_permissions(kept.path("a.x"), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(kept.read(&kept.path("a.x")).unwrap().is_none());
    }
}
