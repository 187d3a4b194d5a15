//! Files in memory that fail, or stop as in a crash, at a chosen operation: how everything that must be durable
//! is tested, for *every* operation of a short run.
//!
//! Writes, syncs, renames, removals, cuts and creations count as operations. A file's bytes are durable up to
//! its last successful sync, its name since the last sync of its folder (folders themselves at once). After a
//! *failed* sync the bytes it was for never become durable, whatever later syncs say: that is what operating
//! systems do. [`FaultyFiles::after_crash`] gives what a machine finds when it comes up again.
//!
//! Without a plan nothing fails, and this is a file system in memory for simulated runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::files::{AppendFile, FileLock, FileSystem, Files};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation with this number (from 0) fails, half done if it is a write; the next ones work.
    Fail(u64, io::ErrorKind),
    /// The operation with this number fails and so does everything after it.
    Stop(u64),
    /// Everything from this operation on fails for lack of space, but reading, renaming and removing.
    Full(u64),
}

/// What of the unsynced survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing: neither bytes nor names.
    LoseUnsynced,
    /// Everything.
    KeepAll,
    /// All names, and of each file's unsynced bytes the first so many thousandths.
    Torn(u32),
    /// All names and lengths, but unsynced bytes are zeros (delayed allocation).
    Zeros,
}

#[derive(Clone, Debug, Default)]
struct Node {
    bytes: Vec<u8>,
    synced: usize,
    /// A sync failed: what was not durable then never will be.
    lost: bool,
}

#[derive(Debug, Default)]
struct Disk {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    faults: Vec<Fault>,
    operations: u64,
    stopped: bool,
}

/// Which kind of operation is under way.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Space,
    Nothing,
}

impl Disk {
    fn alive(&self) -> io::Result<()> {
        if self.stopped { Err(io::Error::other("stopped by the test")) } else { Ok(()) }
    }

    /// Count an operation and let it fail if planned.
    fn operate(&mut self, needs: Needs) -> io::Result<()> {
        self.alive()?;
        let number = self.operations;
        self.operations += 1;
        for fault in &self.faults {
            match *fault {
                Fault::Fail(at, kind) if at == number => return Err(kind.into()),
                Fault::Stop(at) if at == number => {
                    self.stopped = true;
                    return Err(io::Error::other("stopped by the test"));
                }
                Fault::Full(at) if number >= at && needs == Needs::Space => {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&self, path: &Path) -> io::Result<&Node> {
        let id = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        self.nodes.get(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn node_mut(&mut self, id: usize) -> io::Result<&mut Node> {
        self.nodes.get_mut(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn expect_folder(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() || self.folders.contains(folder) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FaultyFiles {
    disk: Arc<Mutex<Disk>>,
}

impl FaultyFiles {
    /// Without files, without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without files, with faults.
    pub fn with_faults(faults: &[Fault]) -> Self {
        let files = Self::default();
        files.disk().faults = faults.to_vec();
        files
    }

    /// As the shared form everything takes.
    pub fn shared(&self) -> Files {
        Arc::new(self.clone())
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far: run a script once without faults to learn for how many to repeat it.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Faults from now on, in place of those before; numbers go on from [`FaultyFiles::operations`].
    pub fn set_faults(&self, faults: &[Fault]) {
        self.disk().faults = faults.to_vec();
    }

    /// The files as found after a crash at this moment: without faults and locks.
    pub fn after_crash(&self, survival: Survival) -> Self {
        let disk = self.disk();
        let names = match survival {
            Survival::LoseUnsynced => disk.durable_names.clone(),
            Survival::KeepAll | Survival::Torn(_) | Survival::Zeros => disk.names.clone(),
        };
        let mut after = Disk { folders: disk.folders.clone(), ..Disk::default() };
        for (path, id) in names {
            let Some(node) = disk.nodes.get(id) else { continue };
            let unsynced = node.bytes.len().saturating_sub(node.synced);
            let kept = match survival {
                Survival::LoseUnsynced => 0,
                Survival::KeepAll | Survival::Zeros => unsynced,
                Survival::Torn(thousandths) => (unsynced as u64 * u64::from(thousandths.min(1000)) / 1000) as usize,
            };
            let mut bytes: Vec<u8> = node.bytes.iter().copied().take(node.synced + kept).collect();
            if survival == Survival::Zeros {
                bytes.iter_mut().skip(node.synced).for_each(|byte| *byte = 0);
            }
            let synced = bytes.len();
            after.names.insert(path.clone(), after.nodes.len());
            after.durable_names.insert(path, after.nodes.len());
            after.nodes.push(Node { bytes, synced, lost: false });
        }
        Self { disk: Arc::new(Mutex::new(after)) }
    }

    /// Change bytes behind everyone's back: bit rot, a meddling hand.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut disk = self.disk();
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let node = disk.node_mut(id)?;
        change(&mut node.bytes);
        node.synced = node.bytes.len();
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryAppend {
    files: FaultyFiles,
    id: usize,
}

impl AppendFile for MemoryAppend {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.files.disk();
        disk.alive()?;
        let answer = disk.operate(Needs::Space);
        // A stop may leave anything of the write (that is for the survival to say), a failure leaves half.
        let done = match &answer {
            Ok(()) => bytes.len(),
            Err(_) if disk.stopped => bytes.len(),
            Err(_) => bytes.len() / 2,
        };
        disk.node_mut(self.id)?.bytes.extend(bytes.iter().take(done));
        answer
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut disk = self.files.disk();
        disk.alive()?;
        let answer = disk.operate(Needs::Nothing);
        let node = disk.node_mut(self.id)?;
        if answer.is_err() {
            node.lost = true;
        } else if !node.lost {
            node.synced = node.bytes.len();
        }
        answer
    }
}

#[derive(Debug)]
struct MemoryLock {
    files: FaultyFiles,
    path: PathBuf,
}

impl FileLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.files.disk().locks.remove(&self.path);
    }
}

impl FileSystem for FaultyFiles {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut disk = self.disk();
        disk.expect_folder(path)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.operate(Needs::Space)?;
        let id = disk.nodes.len();
        disk.nodes.push(Node::default());
        disk.names.insert(path.to_owned(), id);
        Ok(Box::new(MemoryAppend { files: self.clone(), id }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let disk = self.disk();
        disk.alive()?;
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryAppend { files: self.clone(), id }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = self.disk();
        disk.alive()?;
        Ok(disk.node(path)?.bytes.clone())
    }

    fn open_read(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut cursor = Cursor::new(self.read(path)?);
        cursor.set_position(offset);
        Ok(Box::new(cursor))
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let disk = self.disk();
        disk.alive()?;
        Ok(disk.node(path)?.bytes.len() as u64)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(Needs::Nothing)?;
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let node = disk.node_mut(id)?;
        node.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        node.synced = node.bytes.len();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.expect_folder(to)?;
        disk.operate(Needs::Nothing)?;
        let id = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(Needs::Nothing)?;
        disk.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.alive()?;
        disk.folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(Needs::Nothing)?;
        let here = |name: &PathBuf| name.parent() == Some(path);
        disk.durable_names.retain(|name, _| !here(name));
        let now: Vec<(PathBuf, usize)> =
            disk.names.iter().filter(|(name, _)| here(name)).map(|(name, id)| (name.clone(), *id)).collect();
        disk.durable_names.extend(now);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        disk.alive()?;
        if !disk.folders.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = disk.names.keys().chain(disk.folders.iter());
        let inside = all.filter(|name| name.parent() == Some(path)).filter_map(|name| name.file_name());
        Ok(inside.map(|name| name.to_string_lossy().into_owned()).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn exists(&self, path: &Path) -> bool {
        let disk = self.disk();
        disk.names.contains_key(path) || disk.folders.contains(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let mut disk = self.disk();
        disk.alive()?;
        disk.expect_folder(path)?;
        if !disk.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock { files: self.clone(), path: path.to_owned() }))
    }
}
