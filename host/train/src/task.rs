//! The data of a task: which images train, which validate, which test.

use std::path::PathBuf;
use std::sync::Arc;

use nasd_data::{DataFolder, ImageSet, Split, split_train_validation};
use nasd_protocol::trainer::TaskData;
use nasd_space::{RandomSource, StreamRandom};

use crate::error::{Result, TrainError};

/// Loads data sets; keeps the last one.
#[derive(Debug)]
pub struct DataSource {
    root: PathBuf,
    last: Option<(Arc<ImageSet>, String)>,
}

/// A task's splits.
#[derive(Debug)]
pub struct TaskSplits {
    /// The whole set.
    pub set: Arc<ImageSet>,
    /// To train on.
    pub train: Split,
    /// To validate on.
    pub validation: Split,
}

impl DataSource {
    /// Of the data folder `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, last: None }
    }

    /// The data set `data` names, if its digest is the one asked for.
    pub fn set(&mut self, data: &TaskData) -> Result<Arc<ImageSet>> {
        let kept = self.last.take().filter(|(set, _)| set.name == data.name);
        let (set, digest) = match kept {
            Some(kept) => kept,
            None => {
                let set = DataFolder::open(&self.root)
                    .load(&data.name)
                    .map_err(|error| TrainError::Data(error.to_string()))?;
                let digest = set.digest();
                (Arc::new(set), digest)
            }
        };
        self.last = Some((Arc::clone(&set), digest.clone()));
        if !data.digest.is_empty() && data.digest != digest {
            let wanted = &data.digest;
            return Err(TrainError::Data(format!("{}: its digest is {digest}, not {wanted}", data.name)));
        }
        Ok(set)
    }

    /// The task's splits. `everything` puts the validation images among the training images.
    pub fn splits(&mut self, data: &TaskData, everything: bool) -> Result<TaskSplits> {
        let set = self.set(data)?;
        let fraction = if everything { 0.0 } else { data.validation_fraction };
        let (mut train, validation) = split_train_validation(set.train.len(), fraction, data.seed);
        if data.data_fraction < 1.0 {
            let kept = (train.len() as f64 * data.data_fraction.max(0.0)).round() as usize;
            shuffle(&mut train, &mut StreamRandom::new(data.seed, "data fraction"));
            train.truncate(kept.max(1));
        }
        let subset = |indices: &[u32]| set.train.subset(indices).map_err(|error| TrainError::Data(error.to_string()));
        let (train, validation) = (subset(&train)?, subset(&validation)?);
        if train.is_empty() {
            return Err(TrainError::Data(format!("{}: no image is left to train on", data.name)));
        }
        Ok(TaskSplits { set, train, validation })
    }
}

fn shuffle(order: &mut [u32], random: &mut StreamRandom) {
    for last in (1..order.len()).rev() {
        let drawn = random.below(last as u64 + 1) as usize;
        order.swap(last, drawn);
    }
}
