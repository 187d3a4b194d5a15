//! What can be wrong with data, one variant a cause. Every message is one line: the file, the place in the file,
//! what is wrong, and what to do about it. File names come from archives that anyone may have written, so control
//! characters in them are escaped before they get here (see `source::printable`).

/// An error of this crate. `Display` is complete and one line: file, record or line, remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file or folder is not there.
    #[error("{file}: no such file or folder; check the path")]
    NotFound {
        /// The path as given.
        file: String,
    },
    /// The operating system refused to read.
    #[error("{file}: cannot be read ({reason}); check its permissions and the disk")]
    Unreadable {
        /// The file.
        file: String,
        /// The operating system's words.
        reason: String,
    },
    /// The operating system refused to write.
    #[error("{file}: cannot be written ({reason}); check the free space and permissions, nothing was imported")]
    Unwritable {
        /// The file.
        file: String,
        /// The operating system's words.
        reason: String,
    },
    /// No data set of this name.
    #[error("data set \"{name}\" is not in {folder} (there: {known}); import it with `nasd data import {name} PATH`")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The data folder.
        folder: String,
        /// Names that would load, comma-separated.
        known: String,
    },
    /// A name that cannot be a folder's.
    #[error(
        "\"{name}\" cannot name a data set; use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// `digits` is embedded.
    #[error("\"{name}\" is the data set that nasd carries with it; import under another name")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A set of this name exists.
    #[error("data set \"{name}\" is already in {folder}; choose another name, or say that it may be replaced")]
    AlreadyImported {
        /// The name.
        name: String,
        /// The data folder.
        folder: String,
    },
    /// An option with an impossible value.
    #[error("option {option}: {reason}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Nothing recognisable in the source.
    #[error(
        "{file}: no known format (found: {found}); known are CIFAR binaries (*.bin), idx files, and train/CLASS/*.jpg or *.png with test/ or val/ beside train/, also in .gz, .xz and .tar"
    )]
    UnknownFormat {
        /// The source.
        file: String,
        /// The first files met.
        found: String,
    },
    /// Two formats in one source.
    #[error(
        "{file}: looks like {format}, but {other_file} like {other_format}; name the format, or a folder with one data set"
    )]
    MixedFormats {
        /// First recognised file.
        file: String,
        /// Its format.
        format: String,
        /// The file that disagrees.
        other_file: String,
        /// Its format.
        other_format: String,
    },
    /// The first bytes are not what they should be.
    #[error(
        "{file}: starts with {found}, {expected} was expected; the file is damaged or of another kind, fetch it again"
    )]
    WrongMagic {
        /// The file.
        file: String,
        /// What should be there.
        expected: String,
        /// What is there, in hexadecimal.
        found: String,
    },
    /// A compressed stream or an archive does not decode.
    #[error("{file}: damaged or cut short ({reason}); fetch it again")]
    Damaged {
        /// The file.
        file: String,
        /// The decoder's words.
        reason: String,
    },
    /// Fewer bytes than the header promises.
    #[error("{file}: cut short, {found} bytes where its header promises {expected}; fetch it again")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// More bytes than the header promises.
    #[error("{file}: {excess} bytes after the end of the data; fetch it again, or cut them off")]
    TrailingBytes {
        /// The file.
        file: String,
        /// How many.
        excess: u64,
    },
    /// A file of fixed records whose size is no multiple.
    #[error(
        "{file}: record {record} is incomplete, {excess} of {record_bytes} bytes; the file is cut short or has something appended, fetch it again"
    )]
    IncompleteRecord {
        /// The file.
        file: String,
        /// The record, from 1.
        record: u64,
        /// Bytes of it there.
        excess: u64,
        /// Bytes a record.
        record_bytes: u64,
    },
    /// A label that no class has.
    #[error(
        "{file}: record {record} has label {label}, the classes are 0 to {last}; the file is damaged or of another kind"
    )]
    LabelOutOfRange {
        /// The file.
        file: String,
        /// The record, from 1.
        record: u64,
        /// The label.
        label: u32,
        /// The largest possible label.
        last: u32,
    },
    /// Images and labels in different numbers.
    #[error(
        "{labels_file}: {labels} labels for the {images} images of {images_file}; both must come from the same release"
    )]
    CountMismatch {
        /// The file of labels.
        labels_file: String,
        /// How many labels.
        labels: u64,
        /// The file of images.
        images_file: String,
        /// How many images.
        images: u64,
    },
    /// A class without images.
    #[error("{folder}: class folder without images; put .jpg or .png files there, or remove it")]
    EmptyClass {
        /// The folder.
        folder: String,
    },
    /// A class of one split that the training split has not.
    #[error("{file}: class \"{class}\" has no training images; add train/{class}, or remove it")]
    UntrainedClass {
        /// The first such file.
        file: String,
        /// The class.
        class: String,
    },
    /// An image outside a class folder.
    #[error("{file}: not in a class folder; the layout is train/CLASS/FILE and test/CLASS/FILE (or val/)")]
    NoClassFolder {
        /// The image.
        file: String,
    },
    /// A split has no images.
    #[error(
        "{file}: no {split} images; name the files by split (train, test), give the paths of both, or hold out a part of the training images"
    )]
    MissingSplit {
        /// The source.
        file: String,
        /// `training` or `test`.
        split: &'static str,
    },
    /// A file that could be of either split.
    #[error("{file}: neither \"train\" nor \"test\" is in its name; rename it, or give the paths of both splits")]
    UnclearSplit {
        /// The file.
        file: String,
    },
    /// Images of different sizes.
    #[error("{file}: {found} pixels, but {first_file} has {first}; give a size to resize and crop to")]
    SizeDiffers {
        /// The file.
        file: String,
        /// Its `width x height`.
        found: String,
        /// The file it was compared with.
        first_file: String,
        /// Its `width x height`.
        first: String,
    },
    /// An image that does not decode.
    #[error("{file}: not a readable image ({reason}); replace or remove it")]
    BadImage {
        /// The file.
        file: String,
        /// The decoder's words.
        reason: String,
    },
    /// Over a limit.
    #[error("{file}: {what} of more than {limit}; if the file is to be trusted, raise the limit {option}")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// Its name in [`crate::Limits`].
        option: &'static str,
    },
    /// A line of a CSV file.
    #[error("{file}: line {line}: {reason}")]
    BadLine {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A manifest that cannot be read.
    #[error("{file}: {place}{reason}; import the data set again")]
    BadManifest {
        /// The manifest.
        file: String,
        /// `line N: ` or empty.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The data are not those that were imported.
    #[error(
        "{file}: digest {found}, {expected} was imported; the file has changed or is damaged, import the data set again"
    )]
    DigestDiffers {
        /// The packed file.
        file: String,
        /// The manifest's digest.
        expected: String,
        /// The digest of what is there.
        found: String,
    },
    /// An image number outside a split.
    #[error("image {index} was asked for, the split has {count}; use indices below the count")]
    NoSuchImage {
        /// The index.
        index: u64,
        /// Images of the split.
        count: u64,
    },
}
