//! How a command fails, and with which exit code: 1 failed (the disk, too), 64 bad configuration or data, 130 interrupted.

use std::{error::Error, fmt::Display};

/// Why a command failed: one line for people.
#[derive(Debug)]
pub enum Failed {
    /// What was given is wrong: a file, a setting, data. Nothing was written.
    Configuration(String),
    /// It could not be done.
    Other(String),
    /// What was written cannot be made durable: a full disk, a failed sync. What was acknowledged before is kept.
    Storage(String),
    /// Interrupted; what was done is kept.
    Interrupted(String),
}

impl Failed {
    /// Of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failed::Other(_) | Failed::Storage(_) => 1,
            Failed::Configuration(_) => 64,
            Failed::Interrupted(_) => 130,
        }
    }

    /// Bad configuration or data.
    pub fn configuration(error: impl Error) -> Self {
        Failed::Configuration(chain(&error))
    }

    /// What was written cannot be made durable.
    pub fn storage(error: impl Error) -> Self {
        Failed::Storage(chain(&error))
    }

    /// Anything else, with the causes behind it.
    pub fn other(error: impl Error) -> Self {
        Failed::Other(chain(&error))
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace('\n', " ")
}

impl Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Configuration(line) | Failed::Other(line) | Failed::Storage(line) | Failed::Interrupted(line) => {
                formatter.write_str(line)
            }
        }
    }
}

impl Error for Failed {}
