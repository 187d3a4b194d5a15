//! Compiled functions on disk, so that a new build of a strategy compiles only what changed since the last.
//!
//! The compiler names a function by a digest of its code and of its own settings, without the addresses it refers to;
//! equal names mean equal machine code. (The converse does not hold: about one function in ten gets another name each
//! time, and is compiled anew. So do functions that refer to static data which moved.) What a compilation adds is written as one pack: the functions one after the
//! other, then an index of their names, places and digests, then a digest of the index. So a pack is opened by reading
//! its end, a function is read alone and checked alone, and between two compilations nothing stays in memory. Packs are
//! bounded as compiled components are ([`crate::kept`]); one that goes takes functions with it that the next
//! compilation adds again.
//!
//! A store that cannot be read or written is a slower compilation and nothing else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wasmtime::CacheStore;

use crate::kept::{Kept, touch};

/// Says what digests are of; a new layout takes a new text.
const CONTEXT: &str = "nasd compiled functions 1";

/// Ends the name of a pack.
const ENDING: &str = ".functions";

/// What all packs may take on disk: a strategy in Rust takes about 1 MB, one in Python some tens.
const BYTES: u64 = 256 << 20;
/// How many there may be: each is opened once by a process that compiles.
const FILES: usize = 200;

/// Bytes of a name and of a digest.
const KEY: usize = 32;
/// Bytes of a place in the index: name, offset, length, digest.
const ROW: usize = KEY + 8 + 8 + KEY;
/// Bytes at the end of a pack: number of rows, digest of the index.
const END: u64 = 8 + KEY as u64;

type Key = [u8; KEY];

/// A store of compiled functions.
#[derive(Debug)]
pub(crate) struct Functions {
    kept: Arc<Kept>,
    /// Digest of what compiled code depends on; until it is known there are no functions.
    compatibility: OnceLock<String>,
    known: Mutex<Known>,
}

/// What is known while a compilation goes on.
#[derive(Debug, Default)]
struct Known {
    packs: Vec<Pack>,
    /// The pack a function is in, its place there.
    places: HashMap<Key, (usize, Place)>,
    /// Functions that this compilation added.
    added: Vec<(Key, Vec<u8>)>,
}

#[derive(Debug)]
struct Pack {
    path: PathBuf,
    file: Arc<File>,
    /// A function was taken from it.
    is_used: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: u64,
    digest: Key,
}

impl Functions {
    /// The store in a folder.
    pub fn new(kept: Arc<Kept>) -> Self {
        Self { kept, compatibility: OnceLock::new(), known: Mutex::default() }
    }

    /// Say for which compiler and settings the functions are.
    pub fn of(&self, compatibility: String) {
        let _ = self.compatibility.set(compatibility);
    }

    /// A compilation begins: see which packs there are.
    pub fn begin(&self) {
        let Some(ending) = self.ending() else { return };
        let mut known = Known::default();
        for entry in self.kept.list(&ending).unwrap_or_default() {
            let path = entry.path;
            match open(&self.kept, &path) {
                Ok(Some((file, rows))) => {
                    let pack = known.packs.len();
                    known.packs.push(Pack { path, file: Arc::new(file), is_used: false });
                    rows.into_iter().for_each(|(key, place)| _ = known.places.entry(key).or_insert((pack, place)));
                }
                Ok(None) => remove(&path),
                Err(_) => {} // gone meanwhile
            }
        }
        *self.known() = known;
    }

    /// A compilation is over: keep what it added.
    pub fn end(&self) {
        let Known { packs, mut added, .. } = std::mem::take(&mut *self.known());
        packs.iter().filter(|pack| pack.is_used).for_each(|pack| touch(&pack.file));
        let Some(ending) = self.ending().filter(|_| !added.is_empty()) else { return };
        // The same functions make the same pack, in whatever order they were compiled.
        added.sort_unstable();
        added.dedup_by_key(|(key, _)| *key);
        let (body, index, name) = layout(&added);
        let path = self.kept.path(&format!("{name}{ending}"));
        let count = (added.len() as u64).to_le_bytes();
        if let Err(error) = self.kept.write(&path, &[&body, &index, &count, &digest_of(&index)]) {
            tracing::warn!(file = %path.display(), %error, "compiled functions are not kept");
        }
        self.kept.prune(ENDING, BYTES, FILES);
    }

    fn ending(&self) -> Option<String> {
        self.compatibility.get().map(|compatibility| format!("-{compatibility}{ENDING}"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pack that has a function and its place there.
    fn find(&self, key: &[u8]) -> Option<(usize, Arc<File>, Place)> {
        let mut known = self.known();
        let &(number, place) = known.places.get(key)?;
        let pack = known.packs.get_mut(number)?;
        pack.is_used = true;
        Some((number, pack.file.clone(), place))
    }

    /// Take nothing more from a pack.
    fn give_up(&self, number: usize) {
        let mut known = self.known();
        known.places.retain(|_, (pack, _)| *pack != number);
        if let Some(pack) = known.packs.get(number) {
            remove(&pack.path);
        }
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let (pack, file, place) = self.find(key)?;
        let mut code = vec![0; usize::try_from(place.length).ok()?];
        let read = file.read_exact_at(&mut code, place.offset);
        if read.is_err() || digest_of(&code) != place.digest {
            self.give_up(pack);
            return None;
        }
        Some(Cow::Owned(code))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        let Ok(key) = key.try_into() else { return false };
        self.known().added.push((key, code));
        true
    }
}

/// Body and index of a pack, and its name.
fn layout(functions: &[(Key, Vec<u8>)]) -> (Vec<u8>, Vec<u8>, String) {
    let mut body = Vec::with_capacity(functions.iter().map(|(_, code)| code.len()).sum());
    let mut index = Vec::with_capacity(functions.len() * ROW);
    for (key, code) in functions {
        index.extend(key);
        index.extend((body.len() as u64).to_le_bytes());
        index.extend((code.len() as u64).to_le_bytes());
        index.extend(digest_of(code));
        body.extend(code);
    }
    let name = blake3::hash(&index).to_hex().to_string();
    (body, index, name)
}

fn remove(path: &Path) {
    tracing::warn!(file = %path.display(), "compiled functions are damaged or not ours; compiling anew");
    let _ = fs::remove_file(path);
}

/// Where the functions of a pack lie.
type Places = Vec<(Key, Place)>;

/// Open a pack and read its index; none: it must not be used.
fn open(kept: &Kept, path: &Path) -> io::Result<Option<(File, Places)>> {
    let Some(file) = kept.read(path)? else { return Ok(None) };
    let rows = read_index(&file)?;
    Ok(rows.map(|rows| (file, rows)))
}

fn read_index(file: &File) -> io::Result<Option<Vec<(Key, Place)>>> {
    let Some(end) = file.metadata()?.len().checked_sub(END) else { return Ok(None) };
    let mut count = [0; 8];
    file.read_exact_at(&mut count, end)?;
    let mut digest = [0; KEY];
    file.read_exact_at(&mut digest, end + 8)?;
    let length = u64::from_le_bytes(count).checked_mul(ROW as u64);
    let Some((begin, length)) = length.and_then(|length| Some((end.checked_sub(length)?, length))) else {
        return Ok(None);
    };
    let mut index = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut index, begin)?;
    if digest_of(&index) != digest {
        return Ok(None);
    }
    let (rows, _) = index.as_chunks::<ROW>();
    Ok(Some(rows.iter().filter_map(|row| read_row(row, begin)).collect()))
}

/// A row whose place lies in a body of that many bytes.
fn read_row(row: &[u8; ROW], body: u64) -> Option<(Key, Place)> {
    let (key, rest) = row.split_first_chunk::<KEY>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let digest = *rest.first_chunk::<KEY>()?;
    let place = Place { offset: u64::from_le_bytes(*offset), length: u64::from_le_bytes(*length), digest };
    (place.offset.checked_add(place.length)? <= body).then_some((*key, place))
}

fn digest_of(bytes: &[u8]) -> Key {
    blake3::derive_key(CONTEXT, bytes)
}
