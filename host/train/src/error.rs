//! What can go wrong in the trainer, and the kind of failure a strategy is told.

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
    /// libtorch.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] TchError),
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
            Self::Graph { .. } | Self::Unsupported(_) | Self::Data(_) => FailureKind::Unsupported,
            Self::Checkpoint { .. } => FailureKind::MissingWeights,
            Self::Diverged { .. } => FailureKind::Diverged,
            Self::Cancelled => FailureKind::Cancelled,
            Self::Torch(error) if is_out_of_memory(&error.to_string()) => FailureKind::OutOfMemory,
            Self::File { .. } | Self::Torch(_) | Self::Panic(_) => FailureKind::Infrastructure,
        }
    }

    /// As it is told.
    pub fn failure(&self) -> Failure {
        Failure { kind: self.kind(), message: self.to_string() }
    }

    pub(crate) fn graph(node: &str, reason: impl Into<String>) -> Self {
        Self::Graph { node: node.to_owned(), reason: reason.into() }
    }
}

/// libtorch's own words for it, on CPU and on CUDA.
fn is_out_of_memory(message: &str) -> bool {
    ["out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED"].iter().any(|words| message.contains(words))
}

/// libtorch appends a C++ stack to its messages.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
