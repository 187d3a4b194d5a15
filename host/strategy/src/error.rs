//! What can go wrong with a component, as types: loading it ([`LoadError`]) and calling it ([`CallError`]).
//!
//! Messages say what happened, in which call, and what to do. None of them means that the host is in trouble.

use std::fmt;

use thiserror::Error;

/// The calls of a strategy, and the two moments around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Call {
    Instantiate,
    Describe,
    Start,
    Restore,
    Replay,
    Ask,
    Tell,
    Judge,
    Recommend,
    Save,
}

impl Call {
    /// The function's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Call::Instantiate => "instantiation",
            Call::Describe => "describe",
            Call::Start => "start",
            Call::Restore => "restore",
            Call::Replay => "replay",
            Call::Ask => "ask",
            Call::Tell => "tell",
            Call::Judge => "judge",
            Call::Recommend => "recommend",
            Call::Save => "save",
        }
    }

    /// Whether random numbers may be drawn in it.
    pub fn may_draw(self) -> bool {
        matches!(self, Call::Start | Call::Ask | Call::Tell | Call::Judge)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The runtime could not be set up.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// wasmtime refused the configuration: this machine cannot run compiled components.
    #[error("the WebAssembly engine could not be set up: {message}")]
    Engine {
        /// wasmtime's words.
        message: String,
    },
    /// The cache folder is unusable.
    #[error("the cache of compiled strategies at {folder} cannot be used: {message}; fix it or name another folder")]
    Cache {
        /// The folder.
        folder: String,
        /// Why.
        message: String,
    },
}

/// Bytes that are no strategy this host can run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// Not a component.
    #[error(
        "this is {found}, not a WebAssembly component; build strategies with `cargo xtask build`, or wrap a core module with `wasm-tools component new`"
    )]
    NotAComponent {
        /// What it looks like.
        found: &'static str,
    },
    /// Damaged, or using features the host does not have.
    #[error("the component does not compile: {message}")]
    Invalid {
        /// wasmtime's words.
        message: String,
    },
    /// An import beyond the grant.
    #[error(
        "the component imports {import}, which no strategy is granted; granted are {granted}. Build it for wasm32-unknown-unknown and without WASI"
    )]
    UndeclaredImport {
        /// Full name of the import.
        import: String,
        /// What would have been fine.
        granted: String,
    },
    /// An import of another version of the contract.
    #[error(
        "the component imports {import}, the host offers {offered}: rebuild the strategy with the SDK of contract {version}, or use a host of the strategy's contract"
    )]
    ImportVersion {
        /// Full name of the import.
        import: String,
        /// The host's name for it.
        offered: String,
        /// The host's contract version.
        version: &'static str,
    },
    /// No strategy is exported.
    #[error(
        "the component does not export {wanted}; it exports {found}. A strategy targets the world `search-strategy` of wit/strategy.wit"
    )]
    MissingExport {
        /// What is needed.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// A strategy of another version of the contract is exported.
    #[error(
        "the component exports {found}, the host runs {wanted}: rebuild the strategy with the SDK of contract {version}, or use a host of the strategy's contract"
    )]
    ExportVersion {
        /// What is there.
        found: String,
        /// What is needed.
        wanted: String,
        /// The host's contract version.
        version: &'static str,
    },
    /// The exported interface lacks a function.
    #[error("the component's {interface} has no function `{function}`; rebuild it against the host's wit/strategy.wit")]
    MissingFunction {
        /// The interface.
        interface: String,
        /// The function.
        function: &'static str,
    },
    /// Names agree, types do not.
    #[error(
        "the component's idea of contract {version} differs from the host's: {message}; rebuild it against the host's wit/strategy.wit"
    )]
    Mismatch {
        /// wasmtime's words.
        message: String,
        /// The host's contract version.
        version: &'static str,
    },
}

/// What a strategy said when it refused (`strategy-error`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Its parameters are not what it takes.
    #[error("invalid parameters: {0}")]
    InvalidParameters(String),
    /// It cannot search this space.
    #[error("unsupported space: {0}")]
    UnsupportedSpace(String),
    /// Something else.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What a strategy said when it would not restore a snapshot (`restore-error`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreRefusal {
    /// Not a format it reads.
    #[error("unknown snapshot format")]
    UnknownFormat,
    /// The bytes make no sense.
    #[error("corrupt snapshot: {0}")]
    Corrupt(String),
    /// The snapshot belongs to another setup.
    #[error("snapshot of an incompatible setup: {0}")]
    IncompatibleSetup(String),
}

/// A call that gave no result. After all but [`CallError::Refused`], [`CallError::RestoreRefused`] and
/// [`CallError::InvalidAnswer`] the instance is dead: make a new one and restore it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The guest trapped: a panic, an `unreachable`, an access out of bounds, stack overflow.
    #[error("strategy trapped in {call}: {reason}{}", panic.as_ref().map(|line| format!("; its last error line: {line}")).unwrap_or_default())]
    Trapped {
        /// In which call.
        call: Call,
        /// wasmtime's words.
        reason: String,
        /// The last line it logged at level error in this call: with the SDK, its panic message.
        panic: Option<String>,
    },
    /// The guest computed for too long.
    #[error(
        "strategy used up its {limit} units of fuel in {call}: an endless loop, or work that should be sliced with `busy`; the limit is `fuel-per-call`"
    )]
    OutOfFuel {
        /// In which call.
        call: Call,
        /// The limit.
        limit: u64,
    },
    /// The guest wanted too much memory, and did not survive being refused it.
    #[error("strategy wanted {asked} bytes of {what} in {call}, the limit `{key}` is {limit}")]
    OutOfMemory {
        /// In which call.
        call: Call,
        /// Memory or table elements.
        what: &'static str,
        /// What it asked for in all.
        asked: usize,
        /// Name of the limit.
        key: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The guest kept the host busy.
    #[error(
        "strategy called the host more than {limit} times in {call} (costly calls count for many); the limit is `host-calls-per-call`"
    )]
    TooManyHostCalls {
        /// In which call.
        call: Call,
        /// The limit.
        limit: u64,
    },
    /// The guest handed over too much at once.
    #[error("strategy handed over more than {limit} bytes in {call}; the limit is `result-bytes`")]
    ResultTooLarge {
        /// In which call.
        call: Call,
        /// The limit.
        limit: usize,
    },
    /// The guest called an import where the contract forbids it.
    #[error("strategy called {import} in {call}, where the contract forbids it{}", if matches!(call, Call::Describe | Call::Instantiate) { " (it calls no import)" } else { " (it draws no random numbers)" })]
    ForbiddenImport {
        /// In which call.
        call: Call,
        /// The import.
        import: &'static str,
    },
    /// The guest used an import in a way that the contract says traps.
    #[error("strategy misused {import} in {call}: {problem}")]
    MisusedImport {
        /// In which call.
        call: Call,
        /// The import.
        import: &'static str,
        /// How.
        problem: String,
    },
    /// The strategy returned an error.
    #[error("strategy refused {call}: {refusal}")]
    Refused {
        /// In which call.
        call: Call,
        /// What it said.
        refusal: Refusal,
    },
    /// The strategy does not take this snapshot.
    #[error("strategy does not restore: {0}")]
    RestoreRefused(RestoreRefusal),
    /// The answer breaks the contract.
    #[error("strategy gave an invalid answer to {call}: {problem}")]
    InvalidAnswer {
        /// In which call.
        call: Call,
        /// What is wrong with it.
        problem: String,
    },
    /// An earlier call killed the instance.
    #[error("strategy instance is dead: {cause}; make a new one and restore it")]
    Dead {
        /// What happened then.
        cause: String,
    },
    /// The host's own machinery failed (no address space for another memory, for example).
    #[error("no instance of the strategy could be made: {message}")]
    Host {
        /// wasmtime's words.
        message: String,
    },
}

impl CallError {
    /// Whether the guest broke the contract or a limit: not where it said no, nor where the host failed.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Trapped { .. }
            | Self::OutOfFuel { .. }
            | Self::OutOfMemory { .. }
            | Self::TooManyHostCalls { .. }
            | Self::ResultTooLarge { .. }
            | Self::ForbiddenImport { .. }
            | Self::MisusedImport { .. }
            | Self::InvalidAnswer { .. } => true,
            Self::Refused { .. } | Self::RestoreRefused(_) | Self::Dead { .. } | Self::Host { .. } => false,
        }
    }
}
