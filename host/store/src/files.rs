//! The few file operations that durability rests on, as a trait: the real ones, and in [`crate::fault`] ones
//! that fail or stop at a chosen operation.
//!
//! A file's bytes are durable after [`AppendFile::sync_data`], its name after [`FileSystem::sync_dir`] of its
//! folder. Nothing here retries: after a failed sync it is unknown what is on disk, so the caller gives up.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// A file written from its end.
pub trait AppendFile: Send + Debug {
    /// Append all of `bytes`; after an error any part of them may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Make all that was written durable.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// An exclusive lock, given back when dropped or when the process ends, however it ends.
pub trait FileLock: Send + Sync + Debug {}

/// What journal, weights and state folder do with files.
pub trait FileSystem: Send + Sync + Debug {
    /// A new, empty file; `AlreadyExists` if the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// An existing file, to be written from its end.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;
    /// All bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// A stream of a file's bytes from `offset` on.
    fn open_read(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Length of a file, in bytes.
    fn length(&self, path: &Path) -> io::Result<u64>;
    /// Cut a file to `length` bytes, durably.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Give a file another name in place of what has it; durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Remove a file; durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Make a folder and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Make the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &Path) -> bool;
    /// Lock a file (made if absent) for this holder alone; `WouldBlock` if another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
    /// Whether other programs and libraries (trainers, sled) find the same files under the same paths.
    fn is_on_disk(&self) -> bool {
        false
    }
}

/// Ending of names of files being written.
const UNFINISHED: &str = ".unfinished";

/// Two writers to one name would have one unfinished file.
static WRITING: Mutex<()> = Mutex::new(());

/// Write a file whole or not at all, in place of what has its name: under another name, synced, renamed. The name is
/// durable after `sync_dir`. Writers of a process wait for each other: several runs keep the same component.
pub fn write_whole(files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let unfinished = path.with_file_name(name);
    if files.exists(&unfinished) {
        files.remove(&unfinished)?;
    }
    let mut file = files.create_new(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    files.rename(&unfinished, path)
}

/// A file system shared by whoever writes.
pub type Files = Arc<dyn FileSystem>;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl RealFiles {
    /// As the shared form everything takes.
    pub fn shared() -> Files {
        Arc::new(Self)
    }
}

#[derive(Debug)]
struct RealAppend(File);

impl AppendFile for RealAppend {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Holds the lock as long as the file is open.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl FileLock for RealLock {}

impl FileSystem for RealFiles {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Box::new(RealAppend(file)))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(RealAppend(OpenOptions::new().append(true).open(path)?)))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
    fn open_read(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // The folder of a bare name is the current one.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
    fn is_on_disk(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn several_writers_of_one_name_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("component.wasm");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_whole(&RealFiles, path, &[writer; 1000]).unwrap();
                    }
                });
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 1000 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    }
}
