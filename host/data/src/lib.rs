//! Data sets: import, verify, decode.
//!
//! A data set is an [`ImageSet`]: unsigned bytes in memory, a training and a test split, class names. Three ways
//! lead to one: the embedded `digits` (nothing to import), a [`DataFolder`] of imported sets (one packed file and
//! a small manifest each), and an import from the layouts that data sets are published in (CIFAR binaries, MNIST's
//! idx files, class folders of images; plain, compressed, or in tar archives).
//!
//! What is imported is untrusted: sizes are checked before memory is taken ([`Limits`]), nothing is unpacked to
//! disk, and whatever is wrong is a [`DataError`] of one line that names the file, the place in it and the remedy.
//!
//! What this crate does not do: normalise, augment, batch. That is the trainer's, on whole batches as tensors.

mod cifar;
mod class_folders;
mod digits;
mod error;
mod folder;
mod idx;
mod import;
mod manifest;
mod options;
mod packed;
mod partition;
mod set;
mod source;

pub use digits::{digits, parse_digits_csv};
pub use error::DataError;
pub use folder::{DataFolder, Difference, Listing, Verification};
pub use import::{Report, decode};
pub use options::{Colour, Format, ImportOptions, Limits};
pub use partition::split_train_validation;
pub use set::{ChannelStatistics, ImageSet, Split};
