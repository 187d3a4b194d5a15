//! What can go wrong in the trainer, and the kind of failure a strategy is told.
//!
//! Only what another attempt can cure is `infrastructure`, which the daemon retries: the file system, the device, a
//! panic. What libtorch refuses (shapes, types, arguments) it refuses every time, so it fails the job once.

use nasd_network::NetworkError;
use nasd_protocol::contract::{Failure, FailureKind};
use tch::TchError;

/// An error of the training core. `Display` is one line.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A graph that cannot be computed.
    #[error("node \"{node}\": {reason}")]
    Graph {
        /// The node's stable id.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// Genes that do not fit the graph.
    #[error("decision {decision}: {reason}")]
    Architecture {
        /// Index of the decision.
        decision: u32,
        /// What is wrong.
        reason: String,
    },
    /// An order this trainer cannot carry out.
    #[error("{0}")]
    Unsupported(String),
    /// A data set that cannot be used.
    #[error("data: {0}")]
    Data(String),
    /// A checkpoint that is absent or not what was expected.
    #[error("checkpoint {digest}: {reason}")]
    Checkpoint {
        /// Its digest.
        digest: String,
        /// What is wrong.
        reason: String,
    },
    /// The loss is not a number.
    #[error("the loss became {loss} in minibatch {minibatch}; a lower learning rate or clipping may help")]
    Diverged {
        /// Counted from the start of training.
        minibatch: u64,
        /// The value.
        loss: f64,
    },
    /// The daemon took the job back.
    #[error("cancelled")]
    Cancelled,
    /// The file system.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A graph whose shapes do not follow.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// libtorch, while it computed a node.
    #[error("node \"{node}\": libtorch: {}", first_line(.source))]
    Operation {
        /// The node's stable id.
        node: String,
        /// The cause.
        source: TchError,
    },
    /// libtorch.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] TchError),
    /// A kernel was given what does not fit.
    #[error("a kernel of the trainer: {0}")]
    Kernel(#[from] nasd_kernels::Mismatch),
    /// A panic, caught.
    #[error("the trainer's code panicked: {0}")]
    Panic(String),
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, TrainError>;

impl TrainError {
    /// The kind of failure this is to a strategy.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Architecture { .. } => FailureKind::InvalidArchitecture,
            Self::Graph { .. } | Self::Network(_) | Self::Unsupported(_) | Self::Data(_) => FailureKind::Unsupported,
            Self::Checkpoint { .. } => FailureKind::MissingWeights,
            Self::Diverged { .. } => FailureKind::Diverged,
            Self::Cancelled => FailureKind::Cancelled,
            Self::Torch(source) | Self::Operation { source, .. } => of_libtorch(&source.to_string()),
            Self::File { .. } | Self::Kernel(_) | Self::Panic(_) => FailureKind::Infrastructure,
        }
    }

    /// As it is told.
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind(), message: self.to_string() }
    }

    /// The same, with the node that was being computed.
    pub(crate) fn at(self, node: &str) -> Self {
        match self {
            Self::Torch(source) => Self::Operation { node: node.to_owned(), source },
            other => other,
        }
    }

    pub(crate) fn graph(node: &str, reason: impl Into<String>) -> Self {
        Self::Graph { node: node.to_owned(), reason: reason.into() }
    }
}

/// The kind of a libtorch error, by libtorch's own words on CPU and on CUDA.
fn of_libtorch(message: &str) -> FailureKind {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "bad_alloc"]) {
        FailureKind::OutOfMemory
    } else if says(&[
        "CUDA error",
        "CUDA driver",
        "cuDNN error",
        "CUDNN_STATUS",
        "CUBLAS_STATUS",
        "could not create a primitive",
    ]) {
        FailureKind::Infrastructure
    } else {
        FailureKind::Unsupported
    }
}

/// libtorch appends a C++ stack to its messages.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_attempt_can_cure_is_infrastructure() {
        let refused = tch::Tensor::zeros([2, 3], (tch::Kind::Float, tch::Device::Cpu));
        let refused = refused.f_matmul(&refused).expect_err("shapes do not fit");
        let cases = [
            (TrainError::Torch(refused), FailureKind::Unsupported),
            (torch("CUDA out of memory. Tried to allocate 2.00 GiB"), FailureKind::OutOfMemory),
            (
                torch("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
                FailureKind::OutOfMemory,
            ),
            (torch("CUDA error: unspecified launch failure"), FailureKind::Infrastructure),
            (torch("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), FailureKind::Infrastructure),
            (TrainError::Panic("index out of bounds".into()), FailureKind::Infrastructure),
            (TrainError::Diverged { minibatch: 3, loss: f64::NAN }, FailureKind::Diverged),
        ];
        for (error, kind) in cases {
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.at("node").kind(), kind);
        }
    }

    #[test]
    fn an_error_of_libtorch_is_one_line_and_names_the_node() {
        let error = torch("sizes differ\nException raised from somewhere").at("cell0/output");
        assert_eq!(error.to_string(), "node \"cell0/output\": libtorch: Internal torch error: sizes differ");
    }

    fn torch(message: &str) -> TrainError {
        TrainError::Torch(TchError::Torch(message.into()))
    }
}
