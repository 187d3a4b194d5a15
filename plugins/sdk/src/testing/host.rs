//! What the double knows, and the imports that ask it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use nasd_space::{Prepared, RandomSource, StreamRandom};

use super::convert::{guest_genes, plain_genes, plain_space};
use crate::log::Level;
use crate::{Architecture, Bound, Gene, Job, JobId, Measure, SearchSpace, measure};

/// Costs of an architecture.
pub(crate) type Costs = Box<dyn Fn(&[Gene]) -> Result<Vec<Measure>, String>>;

/// The host of the current thread.
pub struct Host {
    space: Prepared<nasd_space::SearchSpace>,
    random: StreamRandom,
    may_draw: bool,
    pub(crate) costs: Option<Costs>,
    /// The search's constraints, which `space.check` looks at.
    pub constraints: Vec<Bound>,
    /// Jobs handed out; their outcomes are none until told.
    pub jobs: BTreeMap<JobId, Job>,
    /// Lines logged.
    pub lines: Vec<(Level, String)>,
    /// Scalars charted.
    pub charts: Vec<(String, f64)>,
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

impl Host {
    /// A host of a space, its random stream at the beginning.
    pub fn new(space: &SearchSpace, seed: u64) -> Self {
        let space =
            Prepared::new(plain_space(space)).unwrap_or_else(|error| panic!("the test's space is wrong: {error}"));
        Self {
            space,
            random: StreamRandom::new(seed, "strategy"),
            may_draw: true,
            costs: None,
            constraints: Vec::new(),
            jobs: BTreeMap::new(),
            lines: Vec::new(),
            charts: Vec::new(),
        }
    }

    /// Answer `costs.of` by a function.
    pub fn with_costs(mut self, costs: impl Fn(&[Gene]) -> Result<Vec<Measure>, String> + 'static) -> Self {
        self.costs = Some(Box::new(costs));
        self
    }

    /// Make it the thread's, in place of any before it.
    pub fn install(self) {
        HOST.set(Some(self));
    }

    /// Take the thread's away.
    pub fn remove() -> Option<Host> {
        HOST.take()
    }

    /// Look at or change the thread's host.
    pub fn with<T>(look: impl FnOnce(&mut Host) -> T) -> T {
        HOST.with_borrow_mut(|host| match host {
            Some(host) => look(host),
            None => panic!("no test host on this thread: `Host::new(..).install()` first"),
        })
    }

    /// Whether a call that follows may draw random numbers.
    pub fn allow_draws(&mut self, may_draw: bool) {
        self.may_draw = may_draw;
    }

    /// Words drawn so far.
    pub fn position(&self) -> u64 {
        self.random.position()
    }

    /// Whether an architecture can stand alone; if not, which rule it breaks.
    pub fn check(&self, architecture: &[Gene]) -> Result<(), String> {
        self.space.space().check(&plain_genes(architecture)).map_err(|violation| violation.to_string())
    }

    /// Whether an architecture can be used in shared work.
    pub fn check_shared(&self, architecture: &[Gene]) -> Result<(), String> {
        self.space.space().check_shared(&plain_genes(architecture)).map_err(|violation| violation.to_string())
    }

    fn costs_of(&self, architecture: &[Gene]) -> Result<Vec<Measure>, String> {
        match &self.costs {
            Some(costs) => costs(architecture),
            None => Err("the test host was given no costs".to_owned()),
        }
    }

    /// The first bound that an architecture's costs break.
    fn broken_bound(&self, architecture: &[Gene], bounds: &[Bound]) -> Option<String> {
        if bounds.is_empty() {
            return None;
        }
        let costs = match self.costs_of(architecture) {
            Ok(costs) => costs,
            Err(message) => return Some(message),
        };
        let broken = |bound: &&Bound| {
            let value = measure(&costs, &bound.metric).unwrap_or(f64::NAN);
            let within =
                bound.at_least.is_none_or(|limit| value >= limit) && bound.at_most.is_none_or(|limit| value <= limit);
            !within
        };
        bounds.iter().find(broken).map(|bound| format!("{} lies beyond its bound", bound.metric))
    }

    fn stream(&mut self) -> &mut StreamRandom {
        assert!(self.may_draw, "random numbers drawn where the contract forbids it (new, replay, save, recommend)");
        &mut self.random
    }
}

fn answer(found: Result<nasd_space::Architecture, nasd_space::SpaceError>) -> Result<Architecture, String> {
    found.map(|genes| guest_genes(&genes)).map_err(|error| error.to_string())
}

/// Functions of the same names and types as the bindings' imports.
pub mod imports {
    /// The interface `random`.
    pub mod random {
        use super::super::*;

        /// The next word.
        pub fn next_u64() -> u64 {
            Host::with(|host| host.stream().next_u64())
        }

        /// Uniform in [0, 1).
        pub fn next_f64() -> f64 {
            Host::with(|host| host.stream().next_f64())
        }

        /// Uniform in `0..bound`.
        pub fn below(bound: u64) -> u64 {
            assert!(bound > 0, "random.below(0)");
            Host::with(|host| host.stream().below(bound))
        }

        /// `count` words.
        pub fn fill(count: u32) -> Vec<u64> {
            assert!(count <= 65_536, "random.fill of {count}");
            Host::with(|host| (0..count).map(|_| host.stream().next_u64()).collect())
        }
    }

    /// The interface `space`.
    pub mod space {
        use super::super::*;
        use crate::{Failure, FailureKind};

        /// A random valid architecture whose costs lie within the bounds.
        pub fn sample(bounds: &[Bound]) -> Result<Architecture, String> {
            Host::with(|host| {
                host.stream();
                for _ in 0..1_000 {
                    let sampled = answer(host.space.sample(&mut host.random))?;
                    if host.broken_bound(&sampled, bounds).is_none() {
                        return Ok(sampled);
                    }
                }
                Err("no sample of a thousand lies within the bounds".to_owned())
            })
        }

        /// Options that leave a valid completion.
        pub fn open_options(prefix: &[Gene]) -> Result<Vec<u32>, String> {
            Host::with(|host| host.space.open_options(&plain_genes(prefix)).map_err(|error| error.to_string()))
        }

        /// `changes` decisions redrawn.
        pub fn mutate(parent: &[Gene], changes: u32, among: &[u32]) -> Result<Architecture, String> {
            Host::with(|host| {
                host.stream();
                answer(host.space.mutate(&mut host.random, &plain_genes(parent), changes, among))
            })
        }

        /// Every gene from one of two.
        pub fn crossover(first: &[Gene], second: &[Gene]) -> Result<Architecture, String> {
            Host::with(|host| {
                host.stream();
                answer(host.space.crossover(&mut host.random, &plain_genes(first), &plain_genes(second)))
            })
        }

        /// Missing and illegal genes drawn.
        pub fn repair(architecture: &[Gene]) -> Result<Architecture, String> {
            Host::with(|host| {
                host.stream();
                answer(host.space.repair(&mut host.random, &plain_genes(architecture)))
            })
        }

        /// One change away.
        pub fn neighbours(of: &[Gene], among: &[u32]) -> Result<Vec<Architecture>, String> {
            let found = Host::with(|host| host.space.neighbours(&plain_genes(of), among));
            found.map(|all| all.iter().map(|genes| guest_genes(genes)).collect()).map_err(|error| error.to_string())
        }

        /// Conditions, rules and constraints.
        pub fn check(architecture: &[Gene]) -> Result<(), Failure> {
            Host::with(|host| {
                let invalid = |message| Failure { kind: FailureKind::InvalidArchitecture, message };
                host.check(architecture).map_err(invalid)?;
                match host.broken_bound(architecture, &host.constraints) {
                    Some(message) => Err(Failure { kind: FailureKind::OverConstraint, message }),
                    None => Ok(()),
                }
            })
        }

        /// The digest of the genes: the double knows no networks.
        pub fn identity(architecture: &[Gene]) -> Result<String, String> {
            Ok(nasd_space::architecture_digest(&plain_genes(architecture)))
        }
    }

    /// The interface `costs`.
    pub mod costs {
        use super::super::*;
        pub use crate::bindings::nas::strategy::costs::ExpectedCost;

        /// By the function given to [`Host::with_costs`].
        pub fn of(architecture: &[Gene]) -> Result<Vec<Measure>, String> {
            Host::with(|host| host.costs_of(architecture))
        }

        /// Not known to the double.
        pub fn expected(_architecture: &[Gene], metric: &str) -> Result<ExpectedCost, String> {
            Err(format!("the test host has no expectation of {metric}"))
        }
    }

    /// The interface `history`.
    pub mod history {
        use super::super::*;
        pub use crate::bindings::nas::strategy::history::Prior;

        /// A job handed out.
        pub fn get(id: JobId) -> Option<Job> {
            Host::with(|host| host.jobs.get(&id).cloned())
        }

        /// Jobs in id order.
        pub fn page(start: JobId, limit: u32) -> Vec<Job> {
            Host::with(|host| host.jobs.range(start..).take(limit as usize).map(|(_, job)| job.clone()).collect())
        }

        /// None.
        pub fn priors(_start: u64, _limit: u32) -> Vec<Prior> {
            Vec::new()
        }
    }

    /// The interface `log`.
    pub mod log {
        use super::super::*;
        pub use crate::bindings::nas::strategy::log::Level;

        /// A line. Without a host it goes nowhere.
        pub fn write(level: Level, message: &str) {
            HOST.with_borrow_mut(|host| {
                if let Some(host) = host {
                    host.lines.push((level, message.to_owned()));
                }
            });
        }

        /// A scalar.
        pub fn chart(name: &str, value: f64) {
            HOST.with_borrow_mut(|host| {
                if let Some(host) = host {
                    host.charts.push((name.to_owned(), value));
                }
            });
        }
    }
}
