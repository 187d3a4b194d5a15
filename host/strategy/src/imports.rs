//! What the imports of a strategy answer: each a few lines between the guest's types and the run's services,
//! after [`HostState`] has counted the call and looked whether it is allowed here.

use nasd_protocol::LogLevel;
use nasd_space::RandomSource;

use crate::bindings::{costs, history, log, random, space, types};
use crate::convert;
use crate::error::CallError;
use crate::host::HostState;

/// Jobs in one page of history; more are to be asked for page by page.
const MAX_PAGE: u32 = 1_000;

/// Approximate bytes of one page of history.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Draws in one `random.fill`, by the contract.
const MAX_FILL: u32 = 65_536;

/// What a call is worth that runs the network's shape inference, against one that reads a table.
const COSTLY: u64 = 100;

/// What a `space.sample` within bounds is worth, which may try many architectures.
const BOUNDED_SAMPLE: u64 = 1_000;

impl types::Host for HostState {}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, mut message: String) -> wasmtime::Result<()> {
        self.count("log.write", 1)?;
        if message.len() > self.limits.log_line_bytes {
            let end = message.floor_char_boundary(self.limits.log_line_bytes);
            message.truncate(end);
            message.push('…');
        }
        let level = LogLevel::from(level);
        if self.may_log()
            && let Some(services) = &self.services
        {
            services.log.write(level, &message);
        }
        if level == LogLevel::Error {
            self.last_error_line = Some(message);
        }
        Ok(())
    }

    fn chart(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.count("log.chart", 1)?;
        if name.len() <= self.limits.log_line_bytes
            && value.is_finite()
            && self.may_log()
            && let Some(services) = &self.services
        {
            services.log.chart(&name, value);
        }
        Ok(())
    }
}

impl random::Host for HostState {
    fn next_u64(&mut self) -> wasmtime::Result<u64> {
        let drawn = self.drawing("random.next-u64", 1)?.random.next_u64();
        Ok(self.answered(drawn))
    }

    fn next_f64(&mut self) -> wasmtime::Result<f64> {
        let drawn = self.drawing("random.next-f64", 1)?.random.next_f64();
        Ok(self.answered(drawn))
    }

    fn below(&mut self, bound: u64) -> wasmtime::Result<u64> {
        let call = self.call;
        let services = self.drawing("random.below", 1)?;
        if bound == 0 {
            let problem = "the bound is 0".to_owned();
            return self.stop(CallError::MisusedImport { call, import: "random.below", problem });
        }
        let drawn = services.random.below(bound);
        Ok(self.answered(drawn))
    }

    fn fill(&mut self, count: u32) -> wasmtime::Result<Vec<u64>> {
        let call = self.call;
        let services = self.drawing("random.fill", 1 + u64::from(count) / 64)?;
        if count > MAX_FILL {
            let problem = format!("{count} draws at once, at most {MAX_FILL} are allowed");
            return self.stop(CallError::MisusedImport { call, import: "random.fill", problem });
        }
        let drawn: Vec<u64> = (0..count).map(|_| services.random.next_u64()).collect();
        Ok(self.answered(drawn))
    }
}

impl space::Host for HostState {
    fn sample(&mut self, bounds: Vec<types::Bound>) -> wasmtime::Result<Result<types::Architecture, String>> {
        let bounds: Vec<_> = bounds.into_iter().map(convert::host_bound).collect();
        let weight = if bounds.is_empty() { 1 } else { BOUNDED_SAMPLE };
        let services = self.drawing("space.sample", weight)?;
        let sampled = services.space.sample(&mut services.random, &bounds);
        Ok(self.answered(sampled).map(|architecture| convert::guest_architecture(&architecture)))
    }

    fn open_options(&mut self, prefix: types::Architecture) -> wasmtime::Result<Result<Vec<u32>, String>> {
        let prefix = convert::host_architecture(prefix);
        let open = self.services("space.open-options", 1)?.space.open_options(&prefix);
        Ok(self.answered(open))
    }

    fn mutate(
        &mut self,
        parent: types::Architecture,
        changes: u32,
        among: Vec<u32>,
    ) -> wasmtime::Result<Result<types::Architecture, String>> {
        let parent = convert::host_architecture(parent);
        let services = self.drawing("space.mutate", 1)?;
        let mutated = services.space.mutate(&mut services.random, &parent, changes, &among);
        Ok(self.answered(mutated).map(|architecture| convert::guest_architecture(&architecture)))
    }

    fn crossover(
        &mut self,
        first: types::Architecture,
        second: types::Architecture,
    ) -> wasmtime::Result<Result<types::Architecture, String>> {
        let (first, second) = (convert::host_architecture(first), convert::host_architecture(second));
        let services = self.drawing("space.crossover", 1)?;
        let crossed = services.space.crossover(&mut services.random, &first, &second);
        Ok(self.answered(crossed).map(|architecture| convert::guest_architecture(&architecture)))
    }

    fn repair(&mut self, architecture: types::Architecture) -> wasmtime::Result<Result<types::Architecture, String>> {
        let architecture = convert::host_architecture(architecture);
        let services = self.drawing("space.repair", 1)?;
        let repaired = services.space.repair(&mut services.random, &architecture);
        Ok(self.answered(repaired).map(|architecture| convert::guest_architecture(&architecture)))
    }

    fn neighbours(
        &mut self,
        of: types::Architecture,
        among: Vec<u32>,
    ) -> wasmtime::Result<Result<Vec<types::Architecture>, String>> {
        let of = convert::host_architecture(of);
        let neighbours = self.services("space.neighbours", 1)?.space.neighbours(&of, &among);
        if let Ok(found) = &neighbours {
            self.work(found.len() as u64)?;
        }
        Ok(self.answered(neighbours).map(|found| found.iter().map(|one| convert::guest_architecture(one)).collect()))
    }

    fn check(&mut self, architecture: types::Architecture) -> wasmtime::Result<Result<(), types::Failure>> {
        let architecture = convert::host_architecture(architecture);
        let checked = self.services("space.check", COSTLY)?.space.check(&architecture);
        Ok(self.answered(checked).map_err(|failure| convert::guest_failure(&failure)))
    }

    fn identity(&mut self, architecture: types::Architecture) -> wasmtime::Result<Result<String, String>> {
        let architecture = convert::host_architecture(architecture);
        let identity = self.services("space.identity", COSTLY)?.space.identity(&architecture);
        Ok(self.answered(identity))
    }
}

impl costs::Host for HostState {
    fn of(&mut self, architecture: types::Architecture) -> wasmtime::Result<Result<Vec<types::Measure>, String>> {
        let architecture = convert::host_architecture(architecture);
        let measured = self.services("costs.of", COSTLY)?.space.costs(&architecture);
        Ok(self.answered(measured).map(|measures| convert::guest_measures(&measures)))
    }

    fn expected(
        &mut self,
        architecture: types::Architecture,
        metric: String,
    ) -> wasmtime::Result<Result<costs::ExpectedCost, String>> {
        let architecture = convert::host_architecture(architecture);
        let expected = self.services("costs.expected", COSTLY)?.space.expected_cost(&architecture, &metric);
        Ok(self.answered(expected).map(convert::guest_expected_cost))
    }
}

impl history::Host for HostState {
    fn get(&mut self, id: u64) -> wasmtime::Result<Option<types::Job>> {
        let job = self.services("history.get", 1)?.history.get(id);
        Ok(self.answered(job).as_ref().map(convert::guest_job))
    }

    fn page(&mut self, start: u64, limit: u32) -> wasmtime::Result<Vec<types::Job>> {
        let jobs = self.services("history.page", 1)?.history.page(start, limit.min(MAX_PAGE));
        let jobs = self.answered(jobs);
        self.work(jobs.len() as u64)?;
        let mut bytes = 0usize;
        // At least one job, however large: only an empty page means the end.
        let cut = jobs.iter().take_while(|job| {
            let fits = bytes < MAX_PAGE_BYTES;
            bytes = bytes.saturating_add(approximate_bytes(job));
            fits
        });
        Ok(cut.map(convert::guest_job).collect())
    }

    fn priors(&mut self, start: u64, limit: u32) -> wasmtime::Result<Vec<history::Prior>> {
        let priors = self.services("history.priors", 1)?.history.priors(start, limit.min(MAX_PAGE));
        self.work(priors.len() as u64)?;
        Ok(self.answered(priors).into_iter().map(convert::guest_prior).collect())
    }
}

/// About what a job takes in a guest's memory: enough to cut pages by.
fn approximate_bytes(job: &nasd_protocol::Job) -> usize {
    use nasd_protocol::{Outcome, Work};
    let genes = |architecture: &nasd_space::Architecture| 16 * architecture.len();
    let work = match &job.proposal.work {
        Work::Train(training) => genes(&training.architecture),
        Work::TrainShared(steps) => steps.iter().map(|step| genes(&step.architecture)).sum(),
        Work::EvaluateShared(evaluation) => evaluation.architectures.iter().map(genes).sum(),
    };
    let outcome = match &job.outcome {
        Some(Outcome::Trained(trained)) => {
            24 * (trained.measures.len() + trained.curve.iter().map(|point| 1 + point.measures.len()).sum::<usize>())
        }
        Some(Outcome::SharedSteps(steps)) => steps
            .iter()
            .map(|step| 24 * step.measures.len() + step.gradients.iter().map(|list| 8 + 4 * list.len()).sum::<usize>())
            .sum(),
        Some(Outcome::SharedEvaluations(evaluations)) => evaluations.iter().map(|measures| 24 * measures.len()).sum(),
        Some(Outcome::Failed(failure)) => failure.message.len(),
        None => 0,
    };
    128 + job.proposal.note.len() + work + outcome
}
