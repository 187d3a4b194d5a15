//! Walks a source: a file, a folder, an archive, and what is inside, to any sensible depth. Compression and tar are
//! recognised by their first bytes, decoded as streams, and never unpacked to disk; a tar entry's path is only a
//! name here, so one that climbs out (`../`) can do no harm and is skipped with links and devices.
//!
//! What this module does not do: know data formats. It hands out `(path, reader)`, in name order for folders and in
//! archive order for archives.

use std::{
    cell::Cell,
    fs,
    io::{self, Cursor, Read},
    path::Path,
    rc::Rc,
};

use crate::{DataError, Limits};

const MAX_DEPTH: usize = 24;
const MAX_LONG_NAME: u64 = 1 << 16;
/// Memory for an xz dictionary; `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 256 * 1024;
const GZIP: &[u8] = &[0x1F, 0x8B, 0x08];
const XZ: &[u8] = &[0xFD, b'7', b'z', b'X', b'Z', 0];

/// Where an item is.
#[derive(Debug, Clone)]
pub(crate) struct ItemPath {
    /// For messages: the path as given, archives as if they were folders; printable.
    pub shown: String,
    /// Below the source, `/`-separated, without the suffixes of compression and archives.
    pub relative: String,
    /// Whether it is the source itself: an archive's name is then no part of the paths in it.
    is_source: bool,
}

impl ItemPath {
    fn join(&self, part: &str) -> ItemPath {
        let relative = if self.relative.is_empty() { part.to_owned() } else { format!("{}/{part}", self.relative) };
        ItemPath {
            shown: format!("{}/{}", self.shown.trim_end_matches('/'), printable(part)),
            relative,
            is_source: false,
        }
    }

    fn without_suffix(&self) -> ItemPath {
        let lower = self.relative.to_ascii_lowercase();
        let cut = |n: usize| self.relative.get(..self.relative.len() - n).unwrap_or_default().to_owned();
        let relative = if lower.ends_with(".tgz") || lower.ends_with(".txz") {
            cut(4) + ".tar"
        } else if lower.ends_with(".gz") || lower.ends_with(".xz") {
            cut(3)
        } else {
            self.relative.clone()
        };
        ItemPath { shown: self.shown.clone(), relative, is_source: self.is_source }
    }

    /// The last part of the relative path.
    pub fn file_name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or_default()
    }
}

/// What the walk meets.
pub(crate) enum Item<'a> {
    /// A folder, on disk or named by an archive.
    Folder(&'a ItemPath),
    /// A file, decompressed.
    File(&'a ItemPath, FileReader<'a>),
    /// Something that is not looked into: a link or device in an archive, a path that climbs out.
    Skipped(&'a ItemPath),
}

/// The contents of a file, read only if wanted.
pub(crate) struct FileReader<'a> {
    reader: Box<dyn Read + 'a>,
    shown: &'a str,
    meter: &'a Meter,
    packed: bool,
}

impl FileReader<'_> {
    /// The whole file, at most `Limits::file_bytes`.
    pub fn read_all(self) -> Result<Vec<u8>, DataError> {
        let limit = self.meter.limits.file_bytes;
        let mut bytes = Vec::new();
        match self.reader.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
            Err(error) => Err(self.meter.fault(self.shown, &error, self.packed)),
            Ok(_) if bytes.len() as u64 > limit => {
                Err(DataError::TooLarge { file: self.shown.to_owned(), what: "a file", limit, option: "file_bytes" })
            }
            Ok(_) => Ok(bytes),
        }
    }
}

struct Meter {
    limits: Limits,
    unpacked: Rc<Cell<u64>>,
    n_items: Cell<u64>,
}

impl Meter {
    fn fault(&self, shown: &str, error: &io::Error, packed: bool) -> DataError {
        let file = shown.to_owned();
        if self.unpacked.get() > self.limits.unpacked_bytes {
            let limit = self.limits.unpacked_bytes;
            return DataError::TooLarge { file, what: "decompressed data", limit, option: "unpacked_bytes" };
        }
        let reason = printable(&error.to_string());
        if packed { DataError::Damaged { file, reason } } else { DataError::Unreadable { file, reason } }
    }

    fn count(&self, shown: &str) -> Result<(), DataError> {
        self.n_items.set(self.n_items.get() + 1);
        let limit = self.limits.files;
        if self.n_items.get() > limit {
            return Err(DataError::TooLarge {
                file: shown.to_owned(),
                what: "a number of files",
                limit,
                option: "files",
            });
        }
        Ok(())
    }
}

/// Counts what a decompressor produces, and stops it at the limit.
struct Metered<R> {
    inner: R,
    unpacked: Rc<Cell<u64>>,
    limit: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked.set(self.unpacked.get().saturating_add(count as u64));
        if self.unpacked.get() > self.limit {
            return Err(io::Error::other("limit on decompressed bytes"));
        }
        Ok(count)
    }
}

type Visit<'v> = dyn FnMut(Item<'_>) -> Result<(), DataError> + 'v;

/// Visit everything in `source`.
pub(crate) fn walk(source: &Path, limits: &Limits, visit: &mut Visit<'_>) -> Result<(), DataError> {
    let meter = Meter { limits: limits.clone(), unpacked: Rc::default(), n_items: Cell::new(0) };
    let shown = printable(&source.to_string_lossy());
    let relative = if source.is_dir() {
        String::new()
    } else {
        source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    on_disk(source, &ItemPath { shown, relative, is_source: true }, &meter, visit, 0)
}

fn on_disk(path: &Path, at: &ItemPath, meter: &Meter, visit: &mut Visit<'_>, depth: usize) -> Result<(), DataError> {
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { file: at.shown.clone() },
        _ => DataError::Unreadable { file: at.shown.clone(), reason: printable(&error.to_string()) },
    };
    check_depth(at, depth)?;
    meter.count(&at.shown)?;
    let kind = fs::metadata(path).map_err(fault)?;
    if kind.is_dir() {
        visit(Item::Folder(at))?;
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(fault)? {
            names.push(entry.map_err(fault)?.file_name());
        }
        names.sort();
        for name in names {
            on_disk(&path.join(&name), &at.join(&name.to_string_lossy()), meter, visit, depth + 1)?;
        }
        Ok(())
    } else if kind.is_file() {
        let file = fs::File::open(path).map_err(fault)?;
        stream(Box::new(io::BufReader::with_capacity(1 << 16, file)), at, meter, visit, false, depth)
    } else {
        visit(Item::Skipped(at))
    }
}

fn check_depth(at: &ItemPath, depth: usize) -> Result<(), DataError> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(DataError::Damaged { file: at.shown.clone(), reason: format!("nested more than {MAX_DEPTH} deep") })
}

fn stream(
    mut reader: Box<dyn Read + '_>,
    at: &ItemPath,
    meter: &Meter,
    visit: &mut Visit<'_>,
    packed: bool,
    depth: usize,
) -> Result<(), DataError> {
    check_depth(at, depth)?;
    let mut head = Vec::new();
    reader.by_ref().take(512).read_to_end(&mut head).map_err(|error| meter.fault(&at.shown, &error, packed))?;
    let lower = at.relative.to_ascii_lowercase();
    let named = |suffixes: &[&str]| suffixes.iter().any(|suffix| lower.ends_with(suffix));
    let is_gzip = head.starts_with(GZIP);
    let is_xz = head.starts_with(XZ);
    let is_tar = head.get(257..262) == Some(b"ustar".as_slice()) || named(&[".tar"]);
    for (is, suffixes, expected) in
        [(is_gzip, [".gz", ".tgz"], "gzip (1f 8b 08)"), (is_xz, [".xz", ".txz"], "xz (fd 37 7a 58 5a 00)")]
    {
        if !is && named(&suffixes) {
            return Err(DataError::WrongMagic {
                file: at.shown.clone(),
                expected: expected.to_owned(),
                found: hexadecimal(&head),
            });
        }
    }
    let whole = Cursor::new(head).chain(reader);
    let unpacked: Box<dyn Read + '_> = if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if is_xz {
        Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, XZ_MEMORY_KIB))
    } else if is_tar {
        return archive(whole, at, meter, visit, depth);
    } else {
        let reader = FileReader { reader: Box::new(whole), shown: &at.shown, meter, packed };
        return visit(Item::File(at, reader));
    };
    let limit = meter.limits.unpacked_bytes;
    let metered = Metered { inner: unpacked, unpacked: Rc::clone(&meter.unpacked), limit };
    let buffered = io::BufReader::with_capacity(1 << 16, metered);
    stream(Box::new(buffered), &at.without_suffix(), meter, visit, true, depth + 1)
}

/// The tar reader runs raw: it applies no extension by itself, so a hostile header cannot make it take memory.
/// Long names (GNU `L`, pax `path`) are read here, at most [`MAX_LONG_NAME`] bytes.
fn archive(
    reader: impl Read,
    at: &ItemPath,
    meter: &Meter,
    visit: &mut Visit<'_>,
    depth: usize,
) -> Result<(), DataError> {
    let fault = |error: io::Error| meter.fault(&at.shown, &error, true);
    let relative = match at.relative.strip_suffix(".tar") {
        _ if at.is_source => "",
        Some(stem) => stem,
        None => &at.relative,
    };
    let root = ItemPath { shown: at.shown.clone(), relative: relative.to_owned(), is_source: false };
    let mut archive = tar::Archive::new(reader);
    let mut long_name: Option<Vec<u8>> = None;
    for entry in archive.entries().map_err(fault)?.raw(true) {
        let mut entry = entry.map_err(fault)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let mut bytes = Vec::new();
            entry.by_ref().take(MAX_LONG_NAME).read_to_end(&mut bytes).map_err(fault)?;
            if kind.is_gnu_longname() {
                bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
                long_name = Some(bytes);
            } else {
                let extensions = tar::PaxExtensions::new(&bytes).flatten();
                let path = extensions.filter(|extension| extension.key_bytes() == b"path").last();
                long_name = path.map(|extension| extension.value_bytes().to_vec()).or(long_name);
            }
            continue;
        }
        if kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).into_owned();
        let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.is_empty() {
            continue;
        }
        let inner = root.join(&parts.join("/"));
        meter.count(&inner.shown)?;
        let climbs = name.starts_with('/') || parts.contains(&"..") || parts.len() > MAX_DEPTH;
        if climbs || !(kind.is_dir() || kind.is_file() || kind.is_contiguous()) {
            visit(Item::Skipped(&inner))?;
        } else if kind.is_dir() {
            visit(Item::Folder(&inner))?;
        } else {
            let expected = entry.size();
            let exact = Exact { inner: entry, remaining: expected };
            stream(Box::new(exact), &inner, meter, visit, true, depth + 1)?;
        }
    }
    Ok(())
}

/// An archive entry that ends before its header says so is an error, not a short file.
struct Exact<R> {
    inner: R,
    remaining: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.remaining = self.remaining.saturating_sub(count as u64);
        if count == 0 && !buffer.is_empty() && self.remaining > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside this file"));
        }
        Ok(count)
    }
}

/// Text on one line: control characters are escaped, and what is very long is cut.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == 400 {
            shown.push_str("...");
            break;
        }
        match character {
            '\u{2028}' | '\u{2029}' => shown.extend(character.escape_unicode()),
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

/// The first four bytes, for messages.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing (the file is empty)".to_owned();
    }
    bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
