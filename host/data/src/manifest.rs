//! The manifest of an imported data set: what it should be, so that `verify` can say what differs.

use serde::{Deserialize, Serialize};

use crate::{ImageSet, Report};

/// `manifest.toml` beside the packed file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Of this file's layout.
    pub version: u32,
    /// The format it was imported from.
    pub format: String,
    /// The packed file, in the same folder.
    pub file: String,
    /// BLAKE3 of the packed file, which is the data set's digest.
    pub digest: String,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub max_value: u8,
    pub train: usize,
    pub test: usize,
    pub classes: Vec<String>,
    pub train_per_class: Vec<u64>,
    pub test_per_class: Vec<u64>,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
}

pub(crate) const VERSION: u32 = 1;

impl Manifest {
    pub fn new(set: &ImageSet, report: &Report) -> Self {
        let [train_per_class, test_per_class] = report.class_counts.clone();
        Self {
            version: VERSION,
            format: report.format.clone(),
            file: format!("{}.images", report.digest.get(..16).unwrap_or("packed")),
            digest: report.digest.clone(),
            channels: set.channels,
            height: set.height,
            width: set.width,
            max_value: set.max_value,
            train: set.train.len(),
            test: set.test.len(),
            classes: set.classes.clone(),
            train_per_class,
            test_per_class,
            mean: report.statistics.mean.clone(),
            std: report.statistics.std.clone(),
        }
    }
}
