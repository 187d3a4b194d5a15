//! What an import can be told. Every option has a default that suits the published layouts.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::DataError;

/// A layout that data sets are published in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Records of one label byte and 3,072 planar RGB bytes (Krizhevsky 2009).
    Cifar10,
    /// Records of a coarse and a fine label byte and 3,072 planar RGB bytes; the fine label is used.
    Cifar100,
    /// MNIST's idx files: images with magic 0x803, labels with magic 0x801.
    Idx,
    /// `train/CLASS/FILE` and `test/CLASS/FILE` (or `val/`), JPEG or PNG.
    ClassFolders,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 4] = [Format::Cifar10, Format::Cifar100, Format::Idx, Format::ClassFolders];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Cifar10 => "cifar-10",
            Format::Cifar100 => "cifar-100",
            Format::Idx => "idx",
            Format::ClassFolders => "class-folders",
        })
    }
}

impl FromStr for Format {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        Format::ALL.into_iter().find(|format| format.to_string() == text).ok_or_else(|| DataError::BadOption {
            option: "format",
            reason: format!(
                "\"{}\" is no format; known are cifar-10, cifar-100, idx, class-folders",
                crate::source::printable(text)
            ),
        })
    }
}

/// Channels of imported image files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colour {
    /// One channel if every image is grey, else three.
    #[default]
    Auto,
    /// One channel; colours are turned into luma.
    Grey,
    /// Three channels; a grey image has three equal ones.
    Rgb,
}

/// How far an import may go on untrusted files before it stops, so that a small file cannot fill memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all decompression together may produce.
    pub unpacked_bytes: u64,
    /// Bytes of one file, after decompression.
    pub file_bytes: u64,
    /// Bytes that decoding one image may take.
    pub image_bytes: u64,
    /// Bytes of the pixels of the whole set.
    pub set_bytes: u64,
    /// Files and folders met.
    pub files: u64,
}

impl Default for Limits {
    /// Room for ImageNet's files; memory for its pixels at 64 x 64 needs `set_bytes` raised.
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            unpacked_bytes: 256 * 1024 * MIB,
            file_bytes: 512 * MIB,
            image_bytes: 256 * MIB,
            set_bytes: 8 * 1024 * MIB,
            files: 4_000_000,
        }
    }
}

/// Options of an import.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// The format; recognised if `None`.
    pub format: Option<Format>,
    /// The training files or folder, relative to the source; then names need not say the split.
    pub train: Option<PathBuf>,
    /// The test files or folder, relative to the source.
    pub test: Option<PathBuf>,
    /// Resize the short side to this many pixels and crop the centre square. Image files only.
    pub size: Option<usize>,
    /// Channels. Image files only.
    pub colour: Colour,
    /// Class names, in the order of labels, for formats that have none. Not for class folders.
    pub classes: Option<Vec<String>>,
    /// For a source without a test split: the fraction of images to hold out as one (by
    /// [`crate::split_train_validation`] with seed 0).
    pub hold_out: Option<f64>,
    /// Replace a data set of the same name.
    pub replace: bool,
    /// Decoding threads; the machine's cores if `None`.
    pub threads: Option<usize>,
    /// Limits on untrusted input.
    pub limits: Limits,
}
