//! The user's cache folder: where downloads are kept for every checkout.
//!
//! A thing in it is complete or absent: it is made in a folder beside its place and renamed when it is
//! done. A lock keeps two checkouts from fetching the same thing at once.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::progress::note;

/// `$XDG_CACHE_HOME/nasd`, or `~/.cache/nasd`.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the folder and makes it.
    pub fn open() -> Result<Self> {
        let root = locate(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
            .context("no cache folder: set XDG_CACHE_HOME or HOME to an absolute path")?;
        std::fs::create_dir_all(&root)
            .with_context(|| format!("the cache folder {} cannot be made", root.display()))?;
        Ok(Cache { root })
    }

    /// The place of one thing in the cache.
    pub fn place(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Waits until no other checkout is provisioning; the lock ends when the value is dropped.
    pub fn lock(&self) -> Result<File> {
        let path = self.place("lock");
        let file = File::create(&path).with_context(|| format!("the lock {} cannot be made", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                note("another checkout is provisioning; waiting for it");
                file.lock().with_context(|| format!("{} cannot be locked", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
            }
        }
        Ok(file)
    }

    /// An error when the disk has less room than `megabytes` for `what`.
    pub fn need_space(&self, megabytes: u64, what: &str) -> Result<()> {
        let listing = command::capture(Command::new("df").arg("-Pk").arg(&self.root))?;
        let Some(free) = free_kilobytes(&listing).map(|kilobytes| kilobytes / 1024) else {
            return Ok(());
        };
        if free < megabytes {
            bail!(
                "not enough disk: {what} needs {megabytes} MB and {} has {free} MB left; free some, \
                 or set XDG_CACHE_HOME to a folder on another disk",
                self.root.display()
            );
        }
        Ok(())
    }
}

/// Removes a folder if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Makes an empty folder, whatever an interrupted attempt left there.
pub fn fresh(folder: &Path) -> Result<()> {
    remove(folder)?;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// As the XDG base directory specification says: a relative path is ignored.
fn locate(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    xdg.and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(".cache")))
        .map(|base| base.join("nasd"))
}

/// Reads `df -Pk`: the second line's fourth column.
fn free_kilobytes(listing: &str) -> Option<u64> {
    listing.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_follows_the_xdg_specification() {
        let cases = [
            (Some("/c"), Some("/home/u"), Some("/c/nasd")),
            (Some("relative"), Some("/home/u"), Some("/home/u/.cache/nasd")),
            (Some(""), Some("/home/u"), Some("/home/u/.cache/nasd")),
            (None, Some("/home/u"), Some("/home/u/.cache/nasd")),
            (None, None, None),
        ];
        for (xdg, home, expected) in cases {
            let found = locate(xdg.map(OsString::from), home.map(OsString::from));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{xdg:?} {home:?}");
        }
    }

    #[test]
    fn free_space_is_read_from_the_portable_format_of_df() {
        let listing = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                       /dev/vda 264025672 18000000 77594624 19% /\n";
        assert_eq!(free_kilobytes(listing), Some(77_594_624));
        assert_eq!(free_kilobytes("df: no file systems processed\n"), None);
    }
}
