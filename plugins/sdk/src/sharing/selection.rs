//! The last phase of searches that do not adapt: many samples evaluated, and the best of them once more.
//!
//! Samples are judged on the same few minibatches; the finalists on the whole validation split, so that the
//! winner is not the luckiest on a few. Jobs are told by their notes.

use serde::{Deserialize, Serialize};

use super::{Candidate, Evaluation, Phase, Ranking, Session, rank_agreement, scores};
use crate::{Architecture, Job, JobId, Proposal, Request, Setup, StrategyError, Work, history, log, space};

const SAMPLES: &str = "samples";
const FINALISTS: &str = "finalists";
const COMPARED: &str = "compared";

/// How many samples, and what is done with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    evaluation: Evaluation,
    whole: Evaluation,
    /// Ways of evaluating that the samples are judged by as well, for whoever compares.
    compared: Vec<Evaluation>,
    samples: u64,
    samples_per_job: u32,
    finalists: u32,
    kept: u32,
}

/// Where it stands. Part of a strategy's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// Samples told, failed ones too.
    sampled: u64,
    samples: Ranking,
    /// Jobs that evaluated samples; kept where they are evaluated in other ways, too.
    jobs: Vec<JobId>,
    /// Jobs of those, asked for or told.
    compared: u64,
    /// Of them told.
    told_compared: u64,
    are_finalists_out: bool,
    /// By the whole validation split.
    finalists: Ranking,
}

impl Selection {
    /// `samples` in jobs of `samples_per_job`; the `finalists` best of them are evaluated on the whole split, if
    /// `evaluation` does not do that already; `kept` are remembered.
    pub fn new(
        evaluation: Evaluation,
        samples: u32,
        samples_per_job: u32,
        finalists: u32,
        kept: u32,
    ) -> Result<Self, StrategyError> {
        let counts = [("samples", samples), ("samples-per-job", samples_per_job), ("kept", kept)];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(StrategyError::InvalidParameters(format!("{name}: at least 1")));
        }
        let whole = evaluation.on_all();
        let compared = Vec::new();
        Ok(Self { evaluation, whole, compared, samples: u64::from(samples), samples_per_job, finalists, kept })
    }

    /// The samples are also evaluated in these ways, which decides nothing.
    pub fn comparing(self, compared: Vec<Evaluation>) -> Self {
        Self { compared, ..self }
    }

    /// Evaluations for the free slots; `sample` makes what is evaluated.
    pub fn ask(
        &self,
        selected: &mut Selected,
        session: &mut Session,
        request: &Request,
        mut sample: impl FnMut() -> Result<Architecture, StrategyError>,
    ) -> Result<Phase, StrategyError> {
        let mut proposals = Vec::new();
        for id in (request.next_id..).take(request.slots as usize) {
            let in_flight = session.evaluations_planned() - session.evaluated();
            let left = self.samples.saturating_sub(selected.sampled + in_flight);
            let size = left.min(u64::from(self.samples_per_job));
            if size == 0 || selected.are_finalists_out {
                break;
            }
            let samples = (0..size).map(|_| sample()).collect::<Result<_, _>>()?;
            let proposal = self.evaluation.propose(samples).note(SAMPLES);
            session.hand_out(id, &proposal);
            proposals.push(proposal);
        }
        if !proposals.is_empty() {
            return Ok(Phase::Work(proposals));
        }
        if !session.is_idle() {
            return Ok(Phase::InFlight);
        }
        if let Some(proposal) = self.compare(selected) {
            session.hand_out(request.next_id, &proposal);
            return Ok(Phase::Work(vec![proposal]));
        }
        let n_finalists = selected.samples.len().min(self.finalists as usize);
        if selected.are_finalists_out || self.evaluation.is_whole() || n_finalists < 2 {
            return Ok(Phase::Over);
        }
        selected.are_finalists_out = true;
        let finalists = selected.samples.architectures().take(n_finalists).cloned().collect();
        let proposal = self.whole.propose(finalists).note(FINALISTS);
        session.hand_out(request.next_id, &proposal);
        Ok(Phase::Work(vec![proposal]))
    }

    /// The next of the samples' jobs in the next of the other ways.
    fn compare(&self, selected: &mut Selected) -> Option<Proposal> {
        let n_jobs = selected.jobs.len() as u64;
        let way = selected.compared.checked_div(n_jobs)?;
        let evaluation = self.compared.get(usize::try_from(way).ok()?)?;
        let job = selected.jobs.get(usize::try_from(selected.compared % n_jobs).ok()?)?;
        selected.compared += 1;
        let Work::EvaluateShared(work) = history::get(*job)?.proposal.work else { return None };
        Some(evaluation.propose(work.architectures).note(COMPARED))
    }

    /// Takes in what a job said of samples and finalists. Other jobs are left alone.
    pub fn learn(&self, setup: &Setup, selected: &mut Selected, job: &Job) {
        let Work::EvaluateShared(work) = &job.proposal.work else {
            return;
        };
        let candidates = scores(setup, job).into_iter().filter(|(genes, _)| space::check(genes).is_ok());
        let candidates = candidates.map(|(genes, score)| Candidate { job: job.id, architecture: genes.clone(), score });
        let at_most = self.kept.max(self.finalists) as usize;
        match job.proposal.note.as_str() {
            SAMPLES if self.evaluation.made(job) => {
                selected.sampled += work.architectures.len() as u64;
                if !self.compared.is_empty() {
                    selected.jobs.push(job.id);
                }
                candidates.for_each(|candidate| selected.samples.join(candidate, at_most));
                if let Some(best) = selected.samples.best().first() {
                    log::chart("best sample", best.score);
                }
            }
            COMPARED => {
                let told = selected.told_compared + 1;
                selected.told_compared = told;
                selected.compared = selected.compared.max(told);
            }
            FINALISTS if self.whole.made(job) => {
                selected.are_finalists_out = true;
                candidates.for_each(|candidate| selected.finalists.join(candidate, at_most));
                let both =
                    |finalist: &Candidate| Some((selected.samples.score(&finalist.architecture)?, finalist.score));
                let judged: Vec<(f64, f64)> = selected.finalists.best().iter().filter_map(both).collect();
                if let Some(agreement) = rank_agreement(&judged) {
                    log::chart("rank agreement with whole validation", agreement);
                }
            }
            _ => {}
        }
    }
}

impl Selected {
    /// Samples told, failed ones too.
    pub fn sampled(&self) -> u64 {
        self.sampled
    }

    /// Finalists first, then the other samples; best first.
    pub fn best(&self) -> impl Iterator<Item = &Candidate> {
        let others = self.samples.best().iter();
        self.finalists.best().iter().chain(others.filter(|other| self.finalists.score(&other.architecture).is_none()))
    }
}
