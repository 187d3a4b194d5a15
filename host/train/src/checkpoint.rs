//! Checkpoints: safetensors files named by the BLAKE3 of their bytes.
//!
//! Weights and buffers have their own names, so a checkpoint is also an export; optimiser state has prefixes
//! (`momentum/`, `pending/`, `average/`). Everything else (epoch, positions, curve) is one JSON value in the file's metadata. A file
//! is written beside its place, flushed to the disk and renamed, so a name never stands for half a file; the bytes
//! follow from the content, so equal states have equal names.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use nasd_protocol::contract::Point;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::average::Average;
use crate::error::{Result, TrainError};
use crate::optimizer::Sgd;
use crate::weights::Weights;

const METADATA_KEY: &str = "nasd";
const MOMENTUM: &str = "momentum/";
const AVERAGE: &str = "average/";
/// Prefix of an unfinished accumulation.
pub const PENDING: &str = "pending/";

/// Where a training or a session stood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// A stand-alone training.
    Training {
        /// Epochs done.
        epoch: u32,
        /// Epochs its schedules span.
        schedule: u32,
        /// Its seed: order and augmentation go on from it.
        seed: u64,
        /// So far.
        curve: Vec<Point>,
    },
    /// A session on a one-shot graph.
    Session {
        /// Weight updates made.
        updates: u64,
        /// Shared steps made, which number the dropouts.
        steps: u64,
        /// Number of the next training minibatch.
        train: u64,
        /// Number of the next validation minibatch.
        validation: u64,
        /// Steps accumulated and not yet applied.
        pending: u32,
        /// Names of the weights that have a pending gradient.
        pending_names: Vec<String>,
    },
}

/// A checkpoint read back.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its digest.
    pub digest: String,
    /// Where it stood.
    pub position: Position,
    tensors: BTreeMap<String, Tensor>,
}

/// The folder of weights files.
#[derive(Clone, Debug)]
pub struct WeightsFolder {
    root: PathBuf,
}

impl WeightsFolder {
    /// At `root`, which is made when first written to.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the file of a digest lies.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.root.join(format!("{digest}.safetensors"))
    }

    /// Write durably; gives the digest.
    pub fn write(
        &self,
        weights: &Weights,
        optimizer: &Sgd,
        pending: Option<&Tensor>,
        average: Option<&Average>,
        position: &Position,
    ) -> Result<String> {
        let mut parts: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut add = |name: String, tensor: &Tensor| -> Result<()> {
            let (dtype, bytes) = bytes_of(tensor)?;
            let shape = tensor.size().iter().map(|&extent| usize::try_from(extent).unwrap_or_default()).collect();
            parts.push((name, dtype, shape, bytes));
            Ok(())
        };
        for (index, parameter) in weights.parameters().iter().enumerate() {
            if let Some(view) = weights.view(index) {
                add(parameter.name.clone(), view)?;
            }
        }
        let optional = [(MOMENTUM, Some(optimizer.momentum())), (PENDING, pending)];
        for (prefix, flat) in optional {
            let Some(flat) = flat else { continue };
            for (index, _) in weights.trained_spans() {
                if let (Some(parameter), Some(part)) = (weights.parameters().get(index), weights.part_of(flat, index)?)
                {
                    add(format!("{prefix}{}", parameter.name), &part)?;
                }
            }
        }
        if let Some(average) = average.map(Average::values) {
            for (index, parameter) in weights.parameters().iter().enumerate() {
                let flat = if parameter.kind.is_trained() { &average.trained } else { &average.buffers };
                if let Some(part) = weights.part_of(flat, index)? {
                    add(format!("{AVERAGE}{}", parameter.name), &part)?;
                }
            }
        }
        let broken = |reason: String| TrainError::Checkpoint { digest: "being written".into(), reason };
        let metadata = serde_json::to_string(position).map_err(|error| broken(error.to_string()))?;
        let views = parts
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                let view = TensorView::new(*dtype, shape.clone(), bytes);
                view.map(|view| (name.as_str(), view)).map_err(|error| broken(error.to_string()))
            })
            .collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| broken(error.to_string()))?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        self.store(&digest, &bytes)?;
        Ok(digest)
    }

    fn store(&self, digest: &str, bytes: &[u8]) -> Result<()> {
        let place = self.path(digest);
        if place.exists() {
            return Ok(());
        }
        let beside = self.root.join(format!(".{digest}.{}", std::process::id()));
        let at = |path: &std::path::Path| {
            let path = path.display().to_string();
            move |source| TrainError::File { path, source }
        };
        fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &place)?;
            File::open(&self.root)?.sync_all()
        });
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(at(&place))
    }

    /// Read and check the file of a digest.
    pub fn read(&self, digest: &str) -> Result<Checkpoint> {
        let broken = |reason: String| TrainError::Checkpoint { digest: digest.to_owned(), reason };
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err(broken("is not a digest of 64 hexadecimal figures".into()));
        }
        let bytes = fs::read(self.path(digest)).map_err(|error| broken(format!("cannot be read ({error})")))?;
        if blake3::hash(&bytes).to_hex().as_str() != digest {
            return Err(broken("its bytes have another digest; the file is damaged".into()));
        }
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| broken(error.to_string()))?;
        let position = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(METADATA_KEY))
            .ok_or_else(|| broken("says nothing of its position".into()))?;
        let position = serde_json::from_str(position).map_err(|error| broken(error.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::F64 => Kind::Double,
                other => return Err(broken(format!("\"{name}\" is of type {other:?}"))),
            };
            let shape: Vec<i64> = view.shape().iter().map(|&extent| extent as i64).collect();
            tensors.insert(name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?);
        }
        Ok(Checkpoint { digest: digest.to_owned(), position, tensors })
    }
}

impl Checkpoint {
    /// Put everything back; the checkpoint must be of the same network.
    pub fn restore(&self, weights: &mut Weights, optimizer: &mut Sgd) -> Result<()> {
        let names: Vec<String> = weights.parameters().iter().map(|parameter| parameter.name.clone()).collect();
        for name in &names {
            let value = self.tensor(name)?;
            weights.set(name, value).map_err(|error| self.broken(error.to_string()))?;
        }
        self.restore_flat(MOMENTUM, weights, optimizer.momentum_mut())
    }

    /// Put the tensors of a prefix back into a flat tensor laid out as the trained weights.
    pub fn restore_flat(&self, prefix: &str, weights: &Weights, flat: &mut Tensor) -> Result<()> {
        for (index, _) in weights.trained_spans() {
            if let (Some(parameter), Some(mut part)) = (weights.parameters().get(index), weights.part_of(flat, index)?)
            {
                let value = self.tensor(&format!("{prefix}{}", parameter.name))?;
                no_grad(|| part.f_copy_(value))?;
            }
        }
        Ok(())
    }

    /// Put a moving average back.
    pub fn restore_average(&self, weights: &Weights, average: &mut Average) -> Result<()> {
        let values = average.values_mut();
        for (index, parameter) in weights.parameters().iter().enumerate() {
            let flat = if parameter.kind.is_trained() { &values.trained } else { &values.buffers };
            if let Some(mut part) = weights.part_of(flat, index)? {
                let value = self.tensor(&format!("{AVERAGE}{}", parameter.name))?;
                no_grad(|| part.f_copy_(value))?;
            }
        }
        Ok(())
    }

    /// Copy weights and buffers of equal name and shape; gives how many were.
    pub fn inherit(&self, weights: &mut Weights) -> Result<usize> {
        weights.inherit(|name| self.tensors.get(name))
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| self.broken(format!("has no \"{name}\"")))
    }

    /// An error about this checkpoint.
    pub fn broken(&self, reason: impl Into<String>) -> TrainError {
        TrainError::Checkpoint { digest: self.digest.clone(), reason: reason.into() }
    }
}

fn bytes_of(tensor: &Tensor) -> Result<(Dtype, Vec<u8>)> {
    let kind = tensor.f_kind()?;
    let (dtype, width) = match kind {
        Kind::Float => (Dtype::F32, 4),
        Kind::Double => (Dtype::F64, 8),
        other => return Err(TrainError::Unsupported(format!("weights of type {other:?}"))),
    };
    let plain = tensor.detach().f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let n = plain.numel();
    let mut bytes = vec![0u8; n * width];
    plain.f_copy_data_u8(&mut bytes, n)?;
    Ok((dtype, bytes))
}
