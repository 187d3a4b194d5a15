//! From a source to a data set: recognise the format by the first file that has one, hand the files to its module,
//! see that both splits are there. Nothing is written here; [`crate::DataFolder::import`] does that when all of it
//! has succeeded.

use std::{fmt, path::Path};

use crate::{
    ChannelStatistics, DataError, Format, ImageSet, ImportOptions, cifar, class_folders, idx,
    partition::split_train_validation,
    source::{self, Item, ItemPath, printable},
};

/// A split, as files are sorted into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Train = 0,
    Test = 1,
}

/// A file of a recognised format.
#[derive(Debug)]
pub(crate) struct Found {
    pub part: Option<Part>,
    pub path: ItemPath,
    pub bytes: Vec<u8>,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The name to load it by.
    pub name: String,
    /// The format, recognised or given; `embedded` for the digits.
    pub format: String,
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Class names.
    pub classes: Vec<String>,
    /// Images of each class, training and test.
    pub class_counts: [Vec<u64>; 2],
    /// Of the training split.
    pub statistics: ChannelStatistics,
    /// The canonical digest.
    pub digest: String,
    /// Files that were no part of the data: how many, and the first few.
    pub ignored: (u64, Vec<String>),
}

impl Report {
    pub(crate) fn new(set: &ImageSet, format: String, ignored: (u64, Vec<String>)) -> Self {
        Self {
            name: set.name.clone(),
            format,
            shape: [set.channels, set.height, set.width],
            classes: set.classes.clone(),
            class_counts: [set.class_counts(&set.train), set.class_counts(&set.test)],
            statistics: set.statistics(),
            digest: set.digest(),
            ignored,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [channels, height, width] = self.shape;
        let [train, test] = self.class_counts.each_ref().map(|counts| counts.iter().sum::<u64>());
        writeln!(f, "{}: {} ({channels}x{height}x{width}, {} classes)", self.name, self.format, self.classes.len())?;
        writeln!(f, "  {train} training and {test} test images")?;
        writeln!(f, "  mean {:.4?} std {:.4?}", self.statistics.mean, self.statistics.std)?;
        write!(f, "  digest {}", self.digest)?;
        if self.ignored.0 > 0 {
            write!(f, "\n  {} files ignored: {}", self.ignored.0, self.ignored.1.join(", "))?;
        }
        Ok(())
    }
}

/// The data set in `source`, in memory, with a report. `progress` is told how many files were read.
pub fn decode(
    name: &str,
    source: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<(ImageSet, Report), DataError> {
    check_options(options)?;
    let mut reading = Reading {
        options,
        format: options.format.map(|format| (format, String::new())),
        shown: printable(&source.to_string_lossy()),
        files: Vec::new(),
        bytes: 0,
        images: class_folders::Collector::new(options),
        n_read: 0,
        ignored: (0, Vec::new()),
    };
    let places = match (&options.train, &options.test) {
        (None, None) => vec![(None, source.to_owned())],
        (train, test) => {
            let train = train.iter().map(|path| (Some(Part::Train), source.join(path)));
            train.chain(test.iter().map(|path| (Some(Part::Test), source.join(path)))).collect()
        }
    };
    for (given, place) in places {
        source::walk(&place, &options.limits, &mut |item| {
            reading.meet(item, given)?;
            progress(reading.n_read);
            Ok(())
        })?;
    }
    let ignored = reading.ignored.clone();
    let shown = reading.shown.clone();
    let (mut set, format) = reading.finish(name)?;
    set.name = name.to_owned();
    name_classes(&mut set, options)?;
    fill_test(&mut set, options, &shown)?;
    let report = Report::new(&set, format.to_string(), ignored);
    Ok((set, report))
}

fn check_options(options: &ImportOptions) -> Result<(), DataError> {
    let fault = |option, reason: &str| Err(DataError::BadOption { option, reason: reason.to_owned() });
    match options {
        ImportOptions { size: Some(size), .. } if !(1..=4096).contains(size) => {
            fault("size", "a side is 1 to 4096 pixels")
        }
        ImportOptions { hold_out: Some(fraction), .. } if !(*fraction > 0.0 && *fraction < 1.0) => {
            fault("hold-out", "a fraction is between 0 and 1")
        }
        ImportOptions { train: None, test: Some(_), .. } => fault("test", "give the path of the training images too"),
        _ => Ok(()),
    }
}

struct Reading<'a> {
    options: &'a ImportOptions,
    /// The format and the file it was recognised by (empty if it was given).
    format: Option<(Format, String)>,
    shown: String,
    files: Vec<Found>,
    bytes: u64,
    images: class_folders::Collector<'a>,
    n_read: u64,
    ignored: (u64, Vec<String>),
}

/// Both CIFARs look alike by name; their record sizes are told apart when all files are there.
fn format_of(file_name: &str) -> Option<Format> {
    let lower = file_name.to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| lower.ends_with(suffix));
    if ends(&[".jpg", ".jpeg", ".png"]) {
        Some(Format::ClassFolders)
    } else if ends(&[".bin"]) {
        Some(Format::Cifar10)
    } else if ends(&["-ubyte", ".ubyte", ".idx", ".idx1", ".idx3"]) {
        Some(Format::Idx)
    } else {
        None
    }
}

impl Reading<'_> {
    fn meet(&mut self, item: Item<'_>, given: Option<Part>) -> Result<(), DataError> {
        let (path, reader) = match item {
            Item::Folder(path) => {
                self.images.folder(path, given);
                return Ok(());
            }
            Item::Skipped(path) => {
                self.ignore(path);
                return Ok(());
            }
            Item::File(path, reader) => (path, reader),
        };
        let given_format =
            self.options.format.map(|format| if format == Format::Cifar100 { Format::Cifar10 } else { format });
        let hidden = path.file_name().starts_with('.');
        let format =
            format_of(path.file_name()).filter(|format| !hidden && given_format.is_none_or(|given| given == *format));
        let Some(format) = format else {
            self.ignore(path);
            return Ok(());
        };
        match &self.format {
            None => self.format = Some((format, path.shown.clone())),
            Some((first, file)) if given_format.is_none() && *first != format => {
                return Err(DataError::MixedFormats {
                    file: file.clone(),
                    format: first.to_string(),
                    other_file: path.shown.clone(),
                    other_format: format.to_string(),
                });
            }
            Some(_) => {}
        }
        self.n_read += 1;
        let mut found = Found { part: given, path: path.clone(), bytes: reader.read_all()? };
        if format == Format::ClassFolders {
            return self.images.file(found);
        }
        self.bytes = self.bytes.saturating_add(found.bytes.len() as u64);
        let limit = self.options.limits.set_bytes;
        if self.bytes > limit {
            return Err(DataError::TooLarge { file: path.shown.clone(), what: "data", limit, option: "set_bytes" });
        }
        let by_name = match format {
            Format::Idx => idx::part_of(path.file_name()),
            _ => cifar_part_of(path),
        };
        let all_train = self.options.hold_out.map(|_| Part::Train);
        found.part = given.or(by_name).or(all_train);
        self.files.push(found);
        Ok(())
    }

    fn ignore(&mut self, path: &ItemPath) {
        self.ignored.0 += 1;
        if self.ignored.1.len() < 5 {
            self.ignored.1.push(path.shown.clone());
        }
    }

    fn finish(mut self, name: &str) -> Result<(ImageSet, Format), DataError> {
        let Some((format, _)) = self.format.take().filter(|_| self.n_read > 0) else {
            let found = if self.ignored.1.is_empty() { "nothing".to_owned() } else { self.ignored.1.join(", ") };
            return Err(DataError::UnknownFormat { file: self.shown, found });
        };
        self.files.sort_by(|a, b| a.path.relative.cmp(&b.path.relative));
        let set = match format {
            Format::ClassFolders => self.images.finish()?,
            Format::Idx => idx::decode(name, self.files)?,
            Format::Cifar10 | Format::Cifar100 => {
                let format = self.options.format.unwrap_or_else(|| cifar::recognise(&self.files));
                return Ok((cifar::decode(self.files, format)?, format));
            }
        };
        Ok((set, format))
    }
}

fn cifar_part_of(path: &ItemPath) -> Option<Part> {
    let lower = path.file_name().to_ascii_lowercase();
    let (train, test) = (lower.contains("train") || lower.contains("data_batch"), lower.contains("test"));
    match (train, test) {
        (true, false) => Some(Part::Train),
        (false, true) => Some(Part::Test),
        _ => None,
    }
}

fn name_classes(set: &mut ImageSet, options: &ImportOptions) -> Result<(), DataError> {
    let Some(classes) = &options.classes else {
        return Ok(());
    };
    if classes.len() != set.classes.len() {
        let reason = format!("{} names for {} classes; give one each", classes.len(), set.classes.len());
        return Err(DataError::BadOption { option: "classes", reason });
    }
    set.classes.clone_from(classes);
    Ok(())
}

fn fill_test(set: &mut ImageSet, options: &ImportOptions, shown: &str) -> Result<(), DataError> {
    let missing = |split| Err(DataError::MissingSplit { file: shown.to_owned(), split });
    match options.hold_out {
        _ if set.train.is_empty() => missing("training"),
        Some(_) if !set.test.is_empty() => Err(DataError::BadOption {
            option: "hold-out",
            reason: "the source has test images of its own; leave the option out".to_owned(),
        }),
        Some(fraction) => {
            let (mut train, mut test) = split_train_validation(set.train.len(), fraction, 0);
            train.sort_unstable();
            test.sort_unstable();
            set.test = set.train.subset(&test)?;
            set.train = set.train.subset(&train)?;
            if set.test.is_empty() { missing("test") } else { Ok(()) }
        }
        None if set.test.is_empty() => missing("test"),
        None => Ok(()),
    }
}
