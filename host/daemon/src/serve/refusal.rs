//! Why a daemon does not do what it is asked.

use std::fmt::Display;

/// Kinds, as a client has to tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such thing.
    NotFound,
    /// What was sent is wrong.
    Bad,
    /// It cannot be done as things stand.
    Conflict,
    /// The daemon takes nothing on: it is ending, or its disk fails.
    Unavailable,
    /// Something failed here.
    Internal,
}

/// A refusal: one line for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// What, where, what to do.
    pub message: String,
}

impl Refusal {
    /// There is no such thing.
    pub fn not_found(message: impl Display) -> Self {
        Self::new(RefusalKind::NotFound, message)
    }

    /// What was sent is wrong.
    pub fn bad(message: impl Display) -> Self {
        Self::new(RefusalKind::Bad, message)
    }

    /// It cannot be done as things stand.
    pub fn conflict(message: impl Display) -> Self {
        Self::new(RefusalKind::Conflict, message)
    }

    /// The daemon takes nothing on.
    pub fn unavailable(message: impl Display) -> Self {
        Self::new(RefusalKind::Unavailable, message)
    }

    /// Something failed here.
    pub fn internal(message: impl Display) -> Self {
        Self::new(RefusalKind::Internal, message)
    }

    fn new(kind: RefusalKind, message: impl Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}
