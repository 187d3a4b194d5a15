//! Makes instances of a run's strategies and lets one take over: from a snapshot if it reads that, else by being
//! shown everything told. One path for new builds, other strategies, returns and resumption.
//!
//! Components run only from the state folder's own copies, named by digest, so what a journal names can always be
//! run again.

use std::{collections::VecDeque, fmt, path::PathBuf, sync::Arc};

use nasd_engine::{
    Resumption, TakenOver, TakeoverOrder,
    search::{SharedLedger, read_ledger},
};
use nasd_protocol::{
    Event, Job, JobId, Record, Setup,
    event::{StrategyIdentity, Takeover},
};
use nasd_space::StreamRandom;
use nasd_store::{Files, Quarantine, Quarantined, RunId, StateFolder};
use nasd_strategy::{CallError, Component, Instance, Limits, Runtime, RuntimeOptions, Services};

use super::{
    compiled_cache,
    services::{LedgerHistory, LogQueue},
};
use crate::{failure::chain, search::Search, task::SearchTask};

/// Purpose of the strategy's random stream.
const STRATEGY_STREAM: &str = "strategy";
/// Told jobs shown at once.
const PAGE: usize = 256;
/// Compiled components kept beside the one at work.
const LOADED: usize = 4;

/// Where a kept run's components are.
struct Kept {
    run: RunId,
    files: Files,
    components: PathBuf,
    quarantine: Quarantine,
}

/// What every instance of a run is made with.
pub struct Strategist {
    /// None: of a run that is not kept, which nobody swaps.
    kept: Option<Kept>,
    seed: u64,
    task: Arc<SearchTask>,
    /// As the run began; parameters may have changed since.
    setup: Setup,
    limits: Limits,
    log: LogQueue,
    loaded: VecDeque<Component>,
}

impl Strategist {
    /// For a search; its strategies log to `log`.
    pub fn new(search: &Search, log: LogQueue) -> Self {
        Self {
            kept: None,
            seed: search.file.seed,
            task: search.task.clone(),
            setup: search.setup.clone(),
            limits: search.file.strategy.limits.clone(),
            log,
            loaded: VecDeque::from([search.component.clone()]),
        }
    }

    /// Of a run in a state folder.
    pub fn kept(mut self, state: &StateFolder, run: &RunId) -> Self {
        self.kept = Some(Kept {
            run: run.clone(),
            files: state.files().clone(),
            components: state.components_folder(),
            quarantine: state.quarantine(),
        });
        self
    }

    /// Go on with the setup that a journal says the run began with: the strategy in the search's file may by now be
    /// one that took over since.
    pub fn begun_with(&mut self, records: &[Record]) {
        if let Some(Event::Begun { setup, .. }) = records.first().map(|record| &record.event) {
            self.setup = (**setup).clone();
        }
    }

    /// Where log lines go.
    pub fn log(&self) -> &LogQueue {
        &self.log
    }

    /// Keep a component that failed out of every run until an operator clears it.
    pub fn quarantine(&self, who: &StrategyIdentity, message: &str) {
        let Some(kept) = &self.kept else { return };
        let entry = Quarantined {
            digest: who.digest.clone(),
            name: who.name.clone(),
            run: kept.run.to_string(),
            message: message.to_owned(),
        };
        if let Err(error) = kept.quarantine.add(&entry) {
            tracing::error!(error = chain(&error), digest = who.digest, "a failed component is not kept out");
        }
    }

    /// The strategy of a run that is taken up again.
    pub async fn take_up(&mut self, resumption: &Resumption) -> Result<Instance, String> {
        let ledger = resumption.search.ledger();
        match &resumption.takeover {
            Some(order) => Ok(self.take_over(order, ledger).await?.0),
            None => {
                let component = self.component(&resumption.strategy.digest).await?;
                self.instance(&component, ledger).await.map_err(|error| chain(&error))
            }
        }
    }

    /// Have a component at hand.
    pub fn keep(&mut self, component: Component) {
        self.loaded.retain(|other| other.digest() != component.digest());
        self.loaded.push_back(component);
        while self.loaded.len() > LOADED {
            self.loaded.pop_front();
        }
    }

    /// The component with this digest: at hand, or from the state folder.
    pub async fn component(&mut self, digest: &str) -> Result<Component, String> {
        if let Some(component) = self.loaded.iter().find(|component| component.digest() == digest) {
            return Ok(component.clone());
        }
        let Some(kept) = &self.kept else { return Err(format!("there is no component {digest} here")) };
        let path = kept.components.join(format!("{digest}.wasm"));
        let files = kept.files.clone();
        let load = move || {
            let bytes = files.read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(|error| chain(&error))?;
            runtime.load(&bytes).map_err(|error| chain(&error))
        };
        let component = tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())??;
        if component.digest() != digest {
            return Err(format!("the component kept as {digest} is another one by now; restore its file"));
        }
        self.keep(component.clone());
        Ok(component)
    }

    /// An instance with nothing behind it yet.
    pub async fn instance(&self, component: &Component, ledger: &SharedLedger) -> Result<Instance, CallError> {
        let services = Services {
            random: StreamRandom::new(self.seed, STRATEGY_STREAM),
            space: self.task.clone(),
            history: Arc::new(LedgerHistory(ledger.clone())),
            log: Arc::new(self.log.clone()),
        };
        component.instantiate(services, &self.limits).await
    }

    /// The setup with the parameters of the day.
    pub fn setup(&self, parameters: &str, steps_done: u64) -> Setup {
        let mut setup = self.setup.clone();
        parameters.clone_into(&mut setup.parameters);
        if let Some(shared) = setup.shared_weights.as_mut() {
            shared.steps_done = steps_done;
        }
        setup
    }

    /// Let a strategy take over; the one at work is not touched. One that breaks the contract in doing so is kept out
    /// of every run from then on.
    pub async fn take_over(
        &mut self,
        order: &TakeoverOrder,
        ledger: &SharedLedger,
    ) -> Result<(Instance, TakenOver), String> {
        self.hand_over(order, ledger).await.map_err(|refused| {
            let message = refused.to_string();
            // What the journal says did happen once: it is not this component's fault then.
            if order.via.is_none() && matches!(&refused, NotTaken::Guest(error) if error.is_fault()) {
                self.quarantine(&order.to, &message);
            }
            message
        })
    }

    async fn hand_over(
        &mut self,
        order: &TakeoverOrder,
        ledger: &SharedLedger,
    ) -> Result<(Instance, TakenOver), NotTaken> {
        let component = self.component(&order.to.digest).await.map_err(NotTaken::Host)?;
        let setup = self.setup(&order.parameters, order.steps_done);
        let may_restore = match (&order.snapshot, order.via) {
            (None, _) | (_, Some(Takeover::Replay)) => false,
            (Some(_), Some(Takeover::Restore)) => true,
            (Some(snapshot), None) => {
                let descriptor = component.describe(&self.limits).await?;
                descriptor.reads.contains(&snapshot.format)
            }
        };
        if may_restore && let Some(snapshot) = &order.snapshot {
            let mut instance = self.instance(&component, ledger).await?;
            match instance.restore(&setup, snapshot).await {
                Ok(()) => {
                    instance.seek_random(order.random);
                    for job in jobs(ledger, &order.missed) {
                        instance.tell(&job).await?;
                    }
                    let random = instance.random_position();
                    return Ok((instance, TakenOver { via: Takeover::Restore, random }));
                }
                // It reads the format but not these bytes: it begins anew, unless the journal says that it did not.
                Err(CallError::RestoreRefused(_)) if order.via.is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if order.via == Some(Takeover::Restore) {
            let message = "the snapshot it was restored from is not in the journal";
            return Err(NotTaken::Host(message.to_owned()));
        }
        let mut instance = self.instance(&component, ledger).await?;
        instance.seek_random(order.random);
        instance.start(&setup).await?;
        let told = read_ledger(ledger).told().to_vec();
        for page in told.chunks(PAGE) {
            instance.replay(&jobs(ledger, page)).await?;
        }
        let random = instance.random_position();
        Ok((instance, TakenOver { via: Takeover::Replay, random }))
    }
}

/// Why a strategy did not take over.
#[derive(Debug)]
enum NotTaken {
    /// A call of it failed.
    Guest(CallError),
    /// It never came to that.
    Host(String),
}

impl From<CallError> for NotTaken {
    fn from(error: CallError) -> Self {
        Self::Guest(error)
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(error) => out.write_str(&chain(error)),
            Self::Host(message) => out.write_str(message),
        }
    }
}

fn jobs(ledger: &SharedLedger, ids: &[JobId]) -> Vec<Job> {
    let ledger = read_ledger(ledger);
    ids.iter().filter_map(|&id| ledger.job(id)).collect()
}
