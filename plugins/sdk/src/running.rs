//! A strategy at work: the contract's calls, turned into those of [`Strategy`].
//!
//! The component's exports are this and nothing more, so native tests drive the same code.

use crate::{
    Answer, Architecture, Descriptor, Job, ProgressReport, Request, RestoreError, Setup, Snapshot, SnapshotFormat,
    Strategy, StrategyError, Verdict, parameters, snapshot,
};

/// A strategy with its state.
pub struct Running<S: Strategy> {
    strategy: S,
    state: S::State,
}

impl<S: Strategy> Running<S> {
    /// What the strategy is and needs.
    pub fn describe() -> Descriptor {
        Descriptor {
            name: S::ABOUT.name.to_owned(),
            version: S::ABOUT.version.to_owned(),
            summary: S::ABOUT.summary.to_owned(),
            parameters_schema: Some(parameters::schema::<S::Parameters>()),
            reads: vec![Self::format()],
            needs: S::NEEDS,
        }
    }

    fn format() -> SnapshotFormat {
        SnapshotFormat { name: S::ABOUT.name.to_owned(), version: S::SNAPSHOT_VERSION }
    }

    fn make(setup: Setup) -> Result<S, StrategyError> {
        let missing = S::NEEDS.difference(setup.offers);
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter_names().map(|(name, _)| name).collect();
            let names = names.join(", ").to_lowercase().replace('_', "-");
            return Err(StrategyError::UnsupportedSpace(format!("the task does not offer {names}")));
        }
        let parameters = parameters::parse(&setup.parameters).map_err(StrategyError::InvalidParameters)?;
        S::new(setup, parameters)
    }

    /// Begin a search.
    pub fn start(setup: Setup) -> Result<Self, StrategyError> {
        let strategy = Self::make(setup)?;
        let state = strategy.begin()?;
        Ok(Self { strategy, state })
    }

    /// Go on from a snapshot.
    pub fn restore(setup: Setup, snapshot: &Snapshot) -> Result<Self, RestoreError> {
        if snapshot.format != Self::format() {
            return Err(RestoreError::UnknownFormat);
        }
        let strategy = Self::make(setup).map_err(|error| RestoreError::IncompatibleSetup(text(error)))?;
        let state: S::State = snapshot::decode(&snapshot.bytes).map_err(RestoreError::Corrupt)?;
        strategy.accept(&state).map_err(RestoreError::IncompatibleSetup)?;
        Ok(Self { strategy, state })
    }

    /// Jobs told before this strategy took over.
    pub fn replay(&mut self, jobs: &[Job]) -> Result<(), StrategyError> {
        jobs.iter().try_for_each(|job| self.strategy.replay(&mut self.state, job))
    }

    /// See [`Strategy::ask`].
    pub fn ask(&mut self, request: &Request) -> Result<Answer, StrategyError> {
        self.strategy.ask(&mut self.state, request)
    }

    /// See [`Strategy::tell`].
    pub fn tell(&mut self, job: &Job) -> Result<(), StrategyError> {
        self.strategy.tell(&mut self.state, job)
    }

    /// See [`Strategy::judge`].
    pub fn judge(&mut self, report: &ProgressReport) -> Verdict {
        self.strategy.judge(&mut self.state, report)
    }

    /// See [`Strategy::recommend`].
    pub fn recommend(&self, limit: u32) -> Vec<Architecture> {
        let mut recommended = self.strategy.recommend(&self.state, limit);
        recommended.truncate(limit as usize);
        recommended
    }

    /// The state as bytes.
    pub fn save(&self) -> Result<Snapshot, StrategyError> {
        Ok(Snapshot {
            format: Self::format(),
            bytes: snapshot::encode(&self.state)?,
            needs_weights: self.strategy.needs_weights(&self.state),
        })
    }

    /// What never changes.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// What changes.
    pub fn state(&self) -> &S::State {
        &self.state
    }
}

fn text(error: StrategyError) -> String {
    match error {
        StrategyError::InvalidParameters(text)
        | StrategyError::UnsupportedSpace(text)
        | StrategyError::Internal(text) => text,
    }
}
