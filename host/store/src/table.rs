//! A sorted table of bytes: sled on disk, or a map in memory for copies that are made and thrown away.
//!
//! Each value carries a CRC32C of key and value, so that damage which sled does not notice is noticed here. sled
//! 0.34 can panic while it recovers a folder; [`Table::open`] turns that into an error. Writes go in batches that
//! are applied whole, and are durable after [`Table::flush`].

use std::{
    collections::BTreeMap,
    ops::Bound,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{PoisonError, RwLock},
};

/// Why the table cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// sled says so.
    #[error("the result store failed")]
    Sled(#[from] sled::Error),
    /// sled panicked.
    #[error("the result store could not be opened: {0}")]
    Panicked(String),
    /// A value is not what was written.
    #[error("a value of the result store is damaged")]
    Damaged,
}

/// Keys with new values; none: removed.
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Looks at a key and its value; `false` ends the walk.
pub(crate) type Visit<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<bool, E> + 'a;

#[derive(Debug)]
pub(crate) enum Table {
    Sled(sled::Db),
    Memory(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>),
}

/// Which way to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// sled's page cache, in bytes: small, because the system caches the file too and a daemon of weeks fills any.
const CACHE: u64 = 1 << 20;

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = checksum(key, value).to_le_bytes().to_vec();
    sealed.extend_from_slice(value);
    sealed
}

fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], TableError> {
    let (written, value) = sealed.split_first_chunk::<4>().ok_or(TableError::Damaged)?;
    if u32::from_le_bytes(*written) == checksum(key, value) { Ok(value) } else { Err(TableError::Damaged) }
}

impl Table {
    pub fn memory() -> Self {
        Self::Memory(RwLock::default())
    }

    pub fn open(folder: &Path) -> Result<Self, TableError> {
        // The store is flushed at moments of our choosing, after the journal.
        let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None);
        quietly(|| Ok(Self::Sled(config.open()?)))
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        match self {
            Self::Sled(db) => match db.get(key)? {
                Some(sealed) => Ok(Some(unseal(key, &sealed)?.to_vec())),
                None => Ok(None),
            },
            Self::Memory(map) => Ok(map.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()),
        }
    }

    pub fn contains(&self, key: &[u8]) -> Result<bool, TableError> {
        match self {
            Self::Sled(db) => Ok(db.contains_key(key)?),
            Self::Memory(map) => Ok(map.read().unwrap_or_else(PoisonError::into_inner).contains_key(key)),
        }
    }

    pub fn apply(&self, changes: Changes) -> Result<(), TableError> {
        match self {
            Self::Sled(db) => {
                let mut batch = sled::Batch::default();
                for (key, value) in changes {
                    match value {
                        Some(value) => batch.insert(key.as_slice(), seal(&key, &value)),
                        None => batch.remove(key),
                    }
                }
                db.apply_batch(batch)?;
            }
            Self::Memory(map) => {
                let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in changes {
                    match value {
                        Some(value) => map.insert(key, value),
                        None => map.remove(&key),
                    };
                }
            }
        }
        Ok(())
    }

    /// Walk the keys that begin with `prefix`, ascending from `from` on (if longer than the prefix) or
    /// descending from the last, until `visit` says `false`.
    pub fn walk<E: From<TableError>>(
        &self,
        prefix: &[u8],
        from: &[u8],
        order: Order,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        let low = Bound::Included(from.max(prefix));
        let after = successor(prefix);
        let high = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        match self {
            Self::Sled(db) => {
                let range = db.range::<&[u8], (Bound<&[u8]>, Bound<&[u8]>)>((low, high));
                let mut step = |item: sled::Result<(sled::IVec, sled::IVec)>| {
                    let (key, sealed) = item.map_err(TableError::from)?;
                    visit(&key, unseal(&key, &sealed)?)
                };
                match order {
                    Order::Ascending => all_ok(range, &mut step),
                    Order::Descending => all_ok(range.rev(), &mut step),
                }
            }
            Self::Memory(map) => {
                let map = map.read().unwrap_or_else(PoisonError::into_inner);
                let range = map.range::<[u8], _>((low, high));
                let mut step = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(key, value);
                match order {
                    Order::Ascending => all_ok(range, &mut step),
                    Order::Descending => all_ok(range.rev(), &mut step),
                }
            }
        }
    }

    pub fn flush(&self) -> Result<(), TableError> {
        if let Self::Sled(db) = self {
            db.flush()?;
        }
        Ok(())
    }
}

fn all_ok<T, E>(items: impl Iterator<Item = T>, step: &mut dyn FnMut(T) -> Result<bool, E>) -> Result<(), E> {
    for item in items {
        if !step(item)? {
            break;
        }
    }
    Ok(())
}

/// The first key after all that begin with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            return Some(after);
        }
    }
    None
}

/// Run what may panic in sled, and make an error of a panic.
pub(crate) fn quietly<T, E: From<TableError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(TableError::Panicked(text.unwrap_or_else(|| "it panicked".to_owned())).into())
    })
}
