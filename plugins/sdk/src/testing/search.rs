//! A search in miniature: asks a strategy, scores what it proposes, tells it.

use std::collections::VecDeque;
use std::marker::PhantomData;

use super::Host;
use super::host::Costs;
use crate::log::Level;
use crate::{
    Answer, Architecture, Gene, Job, JobId, Measure, Outcome, Proposal, Request, Running, Setup, Strategy, Work,
};

/// In which order jobs in flight end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As they were handed out.
    FirstIn,
    /// The newest first.
    LastIn,
}

/// What happened in a search.
#[derive(Debug, PartialEq)]
pub struct Record {
    /// Everything asked for, in order.
    pub asked: Vec<Proposal>,
    /// Everything told, in order.
    pub told: Vec<Job>,
    /// Why the strategy finished; none if the jobs ran out.
    pub finished: Option<String>,
    /// What it recommends at the end, at most ten.
    pub recommended: Vec<Architecture>,
    /// Lines logged.
    pub lines: Vec<(Level, String)>,
    /// Scalars charted.
    pub charts: Vec<(String, f64)>,
    /// Words drawn.
    pub draws: u64,
}

impl Record {
    /// Values of one chart, in order.
    pub fn chart(&self, name: &str) -> Vec<f64> {
        self.charts.iter().filter(|(chart, _)| chart == name).map(|(_, value)| *value).collect()
    }

    /// Architectures of all trainings asked for, in order.
    pub fn architectures(&self) -> Vec<Architecture> {
        let train = |proposal: &Proposal| match &proposal.work {
            Work::Train(training) => Some(training.architecture.clone()),
            _ => None,
        };
        self.asked.iter().filter_map(train).collect()
    }
}

/// A search to run. See the [module](super).
pub struct Search<S, F> {
    setup: Setup,
    evaluate: F,
    seed: u64,
    slots: u32,
    jobs: u64,
    delivery: Delivery,
    restore_before_every_call: bool,
    replayed: Vec<Job>,
    costs: Option<Costs>,
    strategy: PhantomData<S>,
}

impl<S: Strategy, F: FnMut(&Proposal) -> Outcome> Search<S, F> {
    /// A search of 100 jobs on one slot, with seed 0; `evaluate` stands for the training.
    pub fn new(setup: Setup, evaluate: F) -> Self {
        Self {
            setup,
            evaluate,
            seed: 0,
            slots: 1,
            jobs: 100,
            delivery: Delivery::FirstIn,
            restore_before_every_call: false,
            replayed: Vec::new(),
            costs: None,
            strategy: PhantomData,
        }
    }

    /// The seed of the random stream.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Jobs in flight at most.
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// Jobs in all.
    pub fn jobs(mut self, jobs: u64) -> Self {
        self.jobs = jobs;
        self
    }

    /// The order in which jobs end.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Save and restore into a new instance before every call.
    pub fn restore_before_every_call(mut self) -> Self {
        self.restore_before_every_call = true;
        self
    }

    /// Take a search over: these jobs were told to a strategy before this one.
    pub fn replaying(mut self, told: Vec<Job>) -> Self {
        self.replayed = told;
        self
    }

    /// Answer `costs.of`, and with it the setup's constraints, by a function.
    pub fn costs(mut self, costs: impl Fn(&[Gene]) -> Result<Vec<Measure>, String> + 'static) -> Self {
        self.costs = Some(Box::new(costs));
        self
    }

    /// Run it.
    ///
    /// # Panics
    /// When the strategy breaks the contract or answers with an error.
    pub fn run(mut self) -> Record {
        let mut host = Host::new(&self.setup.space, self.seed);
        host.jobs.extend(self.replayed.iter().map(|job| (job.id, job.clone())));
        host.costs = self.costs.take();
        host.constraints = self.setup.constraints.clone();
        host.install();
        let mut running = Running::<S>::start(self.setup.clone()).unwrap_or_else(|error| panic!("start: {error:?}"));
        Host::with(|host| host.allow_draws(false));
        running.replay(&self.replayed).unwrap_or_else(|error| panic!("replay: {error:?}"));
        Host::with(|host| host.allow_draws(true));

        let mut next_id: JobId = self.replayed.iter().map(|job| job.id + 1).max().unwrap_or(0);
        let (mut asked, mut told, mut finished) = (Vec::new(), Vec::new(), None);
        let mut in_flight: VecDeque<(JobId, Proposal)> = VecDeque::new();
        let mut waiting = false;
        loop {
            let free = u64::from(self.slots).saturating_sub(in_flight.len() as u64).min(self.jobs - asked.len() as u64);
            if free > 0 && !waiting && finished.is_none() {
                let request = Request {
                    slots: free as u32,
                    next_id,
                    in_flight: in_flight.iter().map(|(id, _)| *id).collect(),
                    jobs_left: Some(self.jobs - asked.len() as u64),
                    budget_used: asked.len() as f64 / self.jobs as f64,
                };
                self.renew(&mut running);
                match running.ask(&request).unwrap_or_else(|error| panic!("ask: {error:?}")) {
                    Answer::Work(proposals) => {
                        assert!(
                            (1..=free as usize).contains(&proposals.len()),
                            "{} items for {free} slots",
                            proposals.len()
                        );
                        for proposal in proposals {
                            check(&proposal);
                            let job = Job { id: next_id, proposal: proposal.clone(), outcome: None, cost: 0.0 };
                            Host::with(|host| host.jobs.insert(next_id, job));
                            asked.push(proposal.clone());
                            in_flight.push_back((next_id, proposal));
                            next_id += 1;
                        }
                    }
                    Answer::Wait => {
                        assert!(!in_flight.is_empty(), "waits with nothing in flight");
                        waiting = true;
                    }
                    Answer::Busy => {}
                    Answer::Finished(reason) => finished = Some(reason),
                }
                continue;
            }
            let ended = match self.delivery {
                Delivery::FirstIn => in_flight.pop_front(),
                Delivery::LastIn => in_flight.pop_back(),
            };
            let Some((id, proposal)) = ended else { break };
            let outcome = Some((self.evaluate)(&proposal));
            let job = Job { id, proposal, outcome, cost: 1.0 };
            Host::with(|host| host.jobs.insert(id, job.clone()));
            self.renew(&mut running);
            running.tell(&job).unwrap_or_else(|error| panic!("tell: {error:?}"));
            told.push(job);
            waiting = false;
        }
        self.renew(&mut running);
        Host::with(|host| host.allow_draws(false));
        let recommended = running.recommend(10);
        for architecture in &recommended {
            Host::with(|host| host.check(architecture))
                .unwrap_or_else(|error| panic!("recommends {architecture:?}: {error}"));
        }
        let Some(host) = Host::remove() else { panic!("the test host was removed") };
        let draws = host.position();
        Record { asked, told, finished, recommended, lines: host.lines, charts: host.charts, draws }
    }

    fn renew(&self, running: &mut Running<S>) {
        if self.restore_before_every_call {
            Host::with(|host| host.allow_draws(false));
            let snapshot = running.save().unwrap_or_else(|error| panic!("save: {error:?}"));
            let restored = Running::restore(self.setup.clone(), &snapshot);
            *running = restored.unwrap_or_else(|error| panic!("restore: {error:?}"));
            Host::with(|host| host.allow_draws(true));
        }
    }
}

fn check(proposal: &Proposal) {
    let standing = |genes: &[Gene]| {
        Host::with(|host| host.check(genes)).unwrap_or_else(|error| panic!("proposes {genes:?}: {error}"));
    };
    let shared = |genes: &[Gene]| {
        Host::with(|host| host.check_shared(genes)).unwrap_or_else(|error| panic!("proposes {genes:?}: {error}"));
    };
    match &proposal.work {
        Work::Train(training) => standing(&training.architecture),
        Work::TrainShared(steps) => {
            assert!(!steps.is_empty(), "proposes no step");
            steps.iter().for_each(|step| shared(&step.architecture));
        }
        Work::EvaluateShared(evaluation) => {
            assert!(!evaluation.architectures.is_empty(), "proposes nothing to evaluate");
            evaluation.architectures.iter().for_each(|genes| shared(genes));
        }
    }
}

/// Runs the search that `make` describes twice, the second time with save and restore before every call, and
/// compares everything. One test that catches forgotten state of any kind.
///
/// # Panics
/// When the two differ.
pub fn assert_restoring_changes_nothing<S: Strategy, F: FnMut(&Proposal) -> Outcome>(make: impl Fn() -> Search<S, F>) {
    let (plain, restored) = (make().run(), make().restore_before_every_call().run());
    assert!(!plain.asked.is_empty(), "nothing was asked for");
    assert_eq!(plain, restored);
}
