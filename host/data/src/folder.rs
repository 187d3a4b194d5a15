//! A folder of imported data sets: `ROOT/NAME/manifest.toml` and a packed file beside it, named by its digest.
//!
//! An import decodes everything in memory first, then writes the packed file and last the manifest, each to a
//! temporary name, synced and renamed. The manifest names the packed file, so its rename is the moment the data set
//! exists, or is replaced; whatever fails before leaves what was there, and nothing new.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    DataError, ImageSet, ImportOptions, Report, digits, import,
    manifest::{self, Manifest},
    packed,
    source::printable,
};

const MANIFEST: &str = "manifest.toml";

/// A folder of imported data sets; `digits` is in every one. The folder need not exist before the first import.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
}

/// A data set that [`DataFolder::load`] would find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its name.
    pub name: String,
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// Number of classes.
    pub classes: usize,
    /// The canonical digest.
    pub digest: String,
    /// The format it was imported from; `embedded` for the digits.
    pub format: String,
}

/// One field in which data and manifest differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The manifest's field.
    pub field: &'static str,
    /// The manifest's value.
    pub expected: String,
    /// The value computed from the data.
    pub found: String,
}

/// The result of [`DataFolder::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Everything computed again from the data.
    pub report: Report,
    /// What differs from the manifest; empty if nothing does.
    pub differences: Vec<Difference>,
}

impl DataFolder {
    /// The folder at `root`.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A data set by name, checked against its digest.
    pub fn load(&self, name: &str) -> Result<ImageSet, DataError> {
        if name == digits::NAME {
            return digits::digits();
        }
        let (manifest, file) = self.manifest(name)?;
        packed::decode(name, &shown(&file), &sound(&manifest, &file)?)
    }

    /// What is known of a data set, once its bytes are those that were imported: before a search begins on it.
    pub fn check(&self, name: &str) -> Result<Listing, DataError> {
        if name == digits::NAME {
            return embedded();
        }
        let (manifest, file) = self.manifest(name)?;
        sound(&manifest, &file)?;
        Ok(listing(name.to_owned(), manifest))
    }

    /// All data sets, `digits` first, then by name. A folder without a manifest is no data set.
    pub fn list(&self) -> Result<Vec<Listing>, DataError> {
        let mut listings = vec![embedded()?];
        for name in self.names()? {
            let (manifest, _) = self.manifest(&name)?;
            listings.push(listing(name, manifest));
        }
        Ok(listings)
    }

    /// Import `source` (a file, folder or archive) as `name`.
    pub fn import(&self, name: &str, source: &Path, options: &ImportOptions) -> Result<Report, DataError> {
        self.import_with(name, source, options, &mut |_| {})
    }

    /// Like [`DataFolder::import`]; `progress` is told how many files were read.
    pub fn import_with(
        &self,
        name: &str,
        source: &Path,
        options: &ImportOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Report, DataError> {
        check_name(name)?;
        if name == digits::NAME {
            return Err(DataError::ReservedName { name: name.to_owned() });
        }
        let folder = self.root.join(name);
        if !options.replace && folder.join(MANIFEST).exists() {
            return Err(DataError::AlreadyImported { name: name.to_owned(), folder: shown(&self.root) });
        }
        let (set, report) = import::decode(name, source, options, progress)?;
        let manifest = Manifest::new(&set, &report);
        let text = toml::to_string(&manifest).map_err(|error| DataError::Unwritable {
            file: shown(&folder.join(MANIFEST)),
            reason: printable(&error.to_string()),
        })?;
        let existed = folder.exists();
        let written = write(&folder, &manifest.file, &set)
            .and_then(|()| write_atomically(&folder.join(MANIFEST), |file| file.write_all(text.as_bytes())));
        match written {
            Ok(()) => remove_others(&folder, &manifest.file),
            Err(error) => {
                if !existed {
                    // The error that led here is the one to report.
                    let _ = fs::remove_dir_all(&folder);
                }
                return Err(error);
            }
        }
        Ok(report)
    }

    /// Compute counts, statistics and digest again, and compare them with the manifest.
    pub fn verify(&self, name: &str) -> Result<Verification, DataError> {
        if name == digits::NAME {
            // Its digest is part of the program and checked by loading.
            let report = Report::new(&digits::digits()?, "embedded".to_owned(), (0, Vec::new()));
            return Ok(Verification { report, differences: Vec::new() });
        }
        let (manifest, file) = self.manifest(name)?;
        let set = packed::decode(name, &shown(&file), &read(&file)?)?;
        let report = Report::new(&set, manifest.format.clone(), (0, Vec::new()));
        let found = Manifest { file: manifest.file.clone(), ..Manifest::new(&set, &report) };
        Ok(Verification { report, differences: differences(&manifest, &found) })
    }

    fn names(&self) -> Result<Vec<String>, DataError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&self.root, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&self.root, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if check_name(&name).is_ok() && name != digits::NAME && entry.path().join(MANIFEST).is_file() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn manifest(&self, name: &str) -> Result<(Manifest, PathBuf), DataError> {
        check_name(name)?;
        let folder = self.root.join(name);
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut known = vec![digits::NAME.to_owned()];
                known.extend(self.names()?);
                let (name, folder) = (name.to_owned(), shown(&self.root));
                return Err(DataError::UnknownSet { name, folder, known: known.join(", ") });
            }
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let fault =
            |place, reason: &str| DataError::BadManifest { file: shown(&path), place, reason: printable(reason) };
        let text = std::str::from_utf8(&bytes).map_err(|_| fault(String::new(), "not text"))?;
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            fault(format!("line {}: ", before.matches('\n').count() + 1), error.message())
        })?;
        if manifest.version != manifest::VERSION {
            let reason = format!("version {}, this nasd reads {}", manifest.version, manifest::VERSION);
            return Err(fault(String::new(), &reason));
        }
        if Path::new(&manifest.file).file_name() != Some(manifest.file.as_ref()) {
            return Err(fault(String::new(), "`file` is not the name of a file beside it"));
        }
        let file = folder.join(&manifest.file);
        Ok((manifest, file))
    }
}

fn differences(expected: &Manifest, found: &Manifest) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |field, expected: String, found: String| {
        if expected != found {
            differences.push(Difference { field, expected: printable(&expected), found });
        }
    };
    let numbers = |values: &[f64]| values.iter().map(|value| format!("{value:.9}")).collect::<Vec<_>>().join(" ");
    compare("digest", expected.digest.clone(), found.digest.clone());
    compare("channels", expected.channels.to_string(), found.channels.to_string());
    compare("height", expected.height.to_string(), found.height.to_string());
    compare("width", expected.width.to_string(), found.width.to_string());
    compare("max_value", expected.max_value.to_string(), found.max_value.to_string());
    compare("train", expected.train.to_string(), found.train.to_string());
    compare("test", expected.test.to_string(), found.test.to_string());
    compare("classes", expected.classes.join(" "), found.classes.join(" "));
    compare("train_per_class", format!("{:?}", expected.train_per_class), format!("{:?}", found.train_per_class));
    compare("test_per_class", format!("{:?}", expected.test_per_class), format!("{:?}", found.test_per_class));
    compare("mean", numbers(&expected.mean), numbers(&found.mean));
    compare("std", numbers(&expected.std), numbers(&found.std));
    differences
}

/// The bytes of a packed file, if they are those that were imported.
fn sound(manifest: &Manifest, file: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = read(file)?;
    let found = blake3::hash(&bytes).to_hex().to_string();
    if found != manifest.digest {
        return Err(DataError::DigestDiffers { file: shown(file), expected: manifest.digest.clone(), found });
    }
    Ok(bytes)
}

fn embedded() -> Result<Listing, DataError> {
    let digits = digits::digits()?;
    Ok(Listing {
        name: digits.name.clone(),
        shape: [digits.channels, digits.height, digits.width],
        train: digits.train.len(),
        test: digits.test.len(),
        classes: digits.classes.len(),
        digest: digits.digest(),
        format: "embedded".to_owned(),
    })
}

fn listing(name: String, manifest: Manifest) -> Listing {
    Listing {
        name,
        shape: [manifest.channels, manifest.height, manifest.width],
        train: manifest.train,
        test: manifest.test,
        classes: manifest.classes.len(),
        digest: manifest.digest,
        format: manifest.format,
    }
}

fn check_name(name: &str) -> Result<(), DataError> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if starts && name.len() <= 64 && name.chars().all(known) {
        return Ok(());
    }
    Err(DataError::BadName { name: printable(name) })
}

fn write(folder: &Path, file_name: &str, set: &ImageSet) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    write_atomically(&folder.join(file_name), |file| {
        let mut file = io::BufWriter::with_capacity(1 << 20, file);
        let mut result = Ok(());
        packed::encode(set, |bytes| {
            if result.is_ok() {
                result = file.write_all(bytes);
            }
        });
        result.and_then(|()| file.flush())
    })
}

fn write_atomically(path: &Path, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> Result<(), DataError> {
    let temporary = path.with_extension("partial");
    let result = fs::File::create(&temporary)
        .and_then(|mut file| fill(&mut file).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all()));
    result.map_err(|error| {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&temporary);
        unwritable(path, &error)
    })
}

/// Packed files that no manifest names any more; a leftover costs space only.
fn remove_others(folder: &Path, keep: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|suffix| suffix == "images") && entry.file_name() != keep {
            let _ = fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { file: shown(path) },
        _ => unreadable(path, &error),
    })
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn unreadable(path: &Path, error: &io::Error) -> DataError {
    DataError::Unreadable { file: shown(path), reason: printable(&error.to_string()) }
}

fn unwritable(path: &Path, error: &io::Error) -> DataError {
    DataError::Unwritable { file: shown(path), reason: printable(&error.to_string()) }
}
