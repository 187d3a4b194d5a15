//! What is known of a run while it is driven: kept up by its onlooker, read by whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nasd_engine::{Search, search::read_ledger};
use nasd_protocol::{Answer, Event, Goal, JobId, Measure, Objective, Outcome, Record, event::Observation};
use tokio::sync::watch;

use super::{
    metrics::{Metrics, RunLabels},
    views::StrategyView,
};
use crate::run::onlooker::{Called, Onlooker};

/// How things stand.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Who has the search.
    pub strategy: StrategyView,
    /// Jobs handed out.
    pub jobs: u64,
    /// Jobs told.
    pub told: u64,
    /// Jobs under way, and how far their trainers say they are.
    pub in_flight: BTreeMap<JobId, f64>,
    /// The best value of the first objective.
    pub best: Option<f64>,
    /// Share of the budget used.
    pub budget_used: f64,
    /// The last thing said for people.
    pub said: String,
    /// Between an old strategy's last call and a new one's first, the latest last.
    pub gaps: Vec<Duration>,
}

/// Gaps kept.
const GAPS: usize = 10_000;

/// A run under way, as others see it.
#[derive(Debug)]
pub struct Live {
    standing: Mutex<Standing>,
    durable: watch::Sender<u64>,
    objective: Option<Objective>,
}

impl Live {
    /// Of a run whose first objective is this.
    pub fn new(objective: Option<Objective>) -> Arc<Self> {
        Arc::new(Self { standing: Mutex::default(), durable: watch::channel(0).0, objective })
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Number of the first event that is not durable; it changes as the run goes on.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Enter the strategy that a run begins with.
    pub fn begin(&self, strategy: &nasd_protocol::event::StrategyIdentity, parameters: &str) {
        self.lock().strategy = view(strategy, parameters);
    }

    /// Enter a journal that the run is taken up from.
    pub fn catch_up(&self, records: &[Record]) {
        let mut standing = self.lock();
        for record in records {
            self.enter(&mut standing, &record.event);
        }
        standing.in_flight.clear();
        self.durable.send_replace(records.len() as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, standing: &mut Standing, event: &Event) {
        match event {
            Event::Begun { strategy, setup, .. } => {
                standing.strategy = view(strategy, &setup.parameters);
            }
            Event::Swapped { to, parameters, .. } => standing.strategy = view(to, parameters),
            Event::Asked { request, answer: Answer::Work(proposals), .. } => {
                standing.jobs = standing.jobs.max(request.next_id.saturating_sub(1) + proposals.len() as u64);
            }
            Event::Dispatched { job, .. } => {
                standing.in_flight.insert(*job, 0.0);
            }
            Event::Arrived { job, outcome, .. } => {
                standing.in_flight.remove(job);
                if let (Outcome::Trained(trained), Some(objective)) = (outcome, &self.objective)
                    && let Some(value) = Measure::find(&trained.measures, &objective.metric)
                {
                    let is_better = standing.best.is_none_or(|best| match objective.goal {
                        Goal::Maximize => value > best,
                        Goal::Minimize => value < best,
                    });
                    if is_better {
                        standing.best = Some(value);
                    }
                }
            }
            Event::Told { .. } => standing.told += 1,
            _ => {}
        }
    }
}

fn view(strategy: &nasd_protocol::event::StrategyIdentity, parameters: &str) -> StrategyView {
    StrategyView {
        name: strategy.name.clone(),
        version: strategy.version.clone(),
        digest: strategy.digest.clone(),
        parameters: parameters.to_owned(),
    }
}

/// Keeps a [`Live`] and the metrics up.
pub struct Watching {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    labels: RunLabels,
}

impl Watching {
    /// Of a run of this search.
    pub fn new(live: Arc<Live>, metrics: Arc<Metrics>, search: &str) -> Self {
        let labels = RunLabels { search: search.to_owned(), strategy: live.lock().strategy.name.clone() };
        Self { live, metrics, labels }
    }
}

impl Onlooker for Watching {
    fn heard(&mut self, event: &Event, _observed: &BTreeMap<String, Observation>) {
        let mut standing = self.live.lock();
        self.live.enter(&mut standing, event);
        if self.labels.strategy != standing.strategy.name {
            self.labels.strategy.clone_from(&standing.strategy.name);
        }
        self.metrics.heard(&self.labels, event);
        if matches!(event, Event::Arrived { .. })
            && let Some(best) = standing.best
        {
            self.metrics.best(&self.labels, best);
        }
    }

    fn durable(&mut self, sequence: u64) {
        self.live.durable.send_replace(sequence);
    }

    fn called(&mut self, called: &Called<'_>) {
        self.metrics.called(&self.labels, called);
    }

    fn heartbeat(&mut self, job: Option<JobId>, progress: f64) {
        if let Some(job) = job
            && let Some(share) = self.live.lock().in_flight.get_mut(&job)
        {
            *share = progress;
        }
    }

    fn show(&mut self, engine: &Search) {
        let mut standing = self.live.lock();
        standing.budget_used = engine.budget_used();
        standing.told = read_ledger(engine.ledger()).told().len() as u64;
    }

    fn gap(&mut self, gap: Duration) {
        self.metrics.gap(&self.labels, gap);
        let mut standing = self.live.lock();
        if standing.gaps.len() < GAPS {
            standing.gaps.push(gap);
        }
    }

    fn say(&mut self, line: &str) {
        tracing::info!("{line}");
        line.clone_into(&mut self.live.lock().said);
    }
}
