//! The trait a strategy implements.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Answer, Architecture, Features, Job, JobId, ProgressReport, Request, Setup, StrategyError, Verdict};

/// What a strategy says of itself. Made by [`about!`](crate::about) from the crate's `Cargo.toml`.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name; also the name of its snapshot format.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// The name, version and description in the `Cargo.toml` of the crate it is called in, as an [`About`].
#[macro_export]
macro_rules! about {
    () => {
        $crate::About {
            name: ::core::env!("CARGO_PKG_NAME"),
            version: ::core::env!("CARGO_PKG_VERSION"),
            summary: ::core::env!("CARGO_PKG_DESCRIPTION"),
        }
    };
}

/// A search strategy: a state machine that is asked for work and told results.
///
/// `self` is fixed for the whole search: parameters and what was derived from the setup. Everything that
/// changes is in [`State`](Self::State). Iterate over ordered collections only (`BTreeMap`, `Vec`): the order
/// of a `HashMap` differs from instance to instance, and with it the search.
///
/// Random numbers may be drawn in `begin`, `ask`, `tell` and `judge` only; elsewhere a draw stops the
/// instance. Numbers drawn ahead belong into the state.
pub trait Strategy: Sized {
    /// Name, version and summary: [`about!()`](crate::about).
    const ABOUT: About;

    /// What it cannot do without.
    const NEEDS: Features = Features::empty();

    /// To be raised when [`State`](Self::State) changes so that older snapshots cannot be read. A new field
    /// with `#[serde(default)]` needs no raise.
    const SNAPSHOT_VERSION: u32 = 1;

    /// What a search file may set under `[strategy.parameters]`. Use `#[serde(default, deny_unknown_fields,
    /// rename_all = "kebab-case")]`; [`NoParameters`](crate::NoParameters) if there are none.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Everything that changes during a search.
    type State: Serialize + DeserializeOwned;

    /// Look at the search and decide whether it can be done. Also called before a state is restored:
    /// it must not draw.
    fn new(setup: Setup, parameters: Self::Parameters) -> Result<Self, StrategyError>;

    /// The state at the beginning of a search. May draw.
    fn begin(&self) -> Result<Self::State, StrategyError>;

    /// Whether a restored state belongs to this setup; if not, what differs.
    fn accept(&self, state: &Self::State) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// One to `request.slots` proposals, or why there are none.
    fn ask(&self, state: &mut Self::State, request: &Request) -> Result<Answer, StrategyError>;

    /// A job ended: one of this strategy's, or one that another strategy asked for before it took over.
    fn tell(&self, state: &mut Self::State, job: &Job) -> Result<(), StrategyError>;

    /// A job told before this strategy took over. Must not draw; by default as [`tell`](Self::tell).
    fn replay(&self, state: &mut Self::State, job: &Job) -> Result<(), StrategyError> {
        self.tell(state, job)
    }

    /// Whether a training goes on. Asked only of proposals with `judge_every`.
    fn judge(&self, state: &mut Self::State, report: &ProgressReport) -> Verdict {
        let _ = (state, report);
        Verdict::Proceed
    }

    /// What it would hand out now, best first, at most `limit`. Empty: the host takes the best by objective.
    fn recommend(&self, state: &Self::State, limit: u32) -> Vec<Architecture> {
        let _ = (state, limit);
        Vec::new()
    }

    /// Jobs whose weights it may still inherit or resume.
    fn needs_weights(&self, state: &Self::State) -> Vec<JobId> {
        let _ = state;
        Vec::new()
    }
}

/// So that `?` works on the answers of [`space`](crate::space) and [`costs`](crate::costs).
impl From<String> for StrategyError {
    fn from(message: String) -> Self {
        StrategyError::Internal(message)
    }
}
