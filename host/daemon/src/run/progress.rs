//! What a person sees of a run: a bar with time left, best so far and jobs a minute on a terminal, plain lines
//! otherwise, nothing with `--json`. All of it goes to stderr.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use nasd_engine::{Search, search::read_ledger};
use nasd_protocol::{Event, Goal, JobId, Measure, Objective, Outcome, event::Observation};

use super::onlooker::Onlooker;

/// Steps of the bar.
const WHOLE: u64 = 1000;
/// Plain lines come at most this often.
const PLAIN: Duration = Duration::from_secs(5);

/// Shows a run.
pub struct Progress {
    run: String,
    bar: Option<ProgressBar>,
    is_silent: bool,
    objective: Option<Objective>,
    /// Updates that the schedules of shared weights span, if there are some.
    scheduled: Option<u64>,
    best: Option<f64>,
    begun: Instant,
    last: Option<Instant>,
    n_arrived: u64,
}

impl Progress {
    /// Of a run.
    pub fn new(run: String, objective: Option<Objective>, scheduled: Option<u64>, is_silent: bool) -> Self {
        let bar = (!is_silent && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(WHOLE);
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {percent}% {msg} (left {eta})") {
                bar.set_style(style);
            }
            bar.set_prefix(run.clone());
            bar
        });
        Self { run, bar, is_silent, objective, scheduled, best: None, begun: Instant::now(), last: None, n_arrived: 0 }
    }
}

impl Onlooker for Progress {
    fn heard(&mut self, event: &Event, _observed: &BTreeMap<String, Observation>) {
        let Event::Arrived { outcome, .. } = event else { return };
        self.n_arrived += 1;
        let (Outcome::Trained(trained), Some(objective)) = (outcome, &self.objective) else { return };
        if let Some(value) = Measure::find(&trained.measures, &objective.metric) {
            let better = |best: f64| match objective.goal {
                Goal::Maximize => value > best,
                Goal::Minimize => value < best,
            };
            if self.best.is_none_or(better) {
                self.best = Some(value);
            }
        }
    }

    fn heartbeat(&mut self, _job: Option<JobId>, _progress: f64) {
        if let Some(bar) = &self.bar {
            bar.tick();
        }
    }

    fn show(&mut self, engine: &Search) {
        if self.is_silent {
            return;
        }
        let is_due = self.last.is_none_or(|last| last.elapsed() >= PLAIN);
        if self.bar.is_none() && !is_due {
            return;
        }
        let told = read_ledger(engine.ledger()).told().len();
        let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        let rate = if minutes > 0.0 { self.n_arrived as f64 / minutes } else { 0.0 };
        let best = match (&self.objective, self.best) {
            (Some(objective), Some(best)) => format!(", best {} {best:.4}", objective.metric),
            _ => String::new(),
        };
        // Where the schedule ends the training, and not a budget, it says how far that is.
        let trained = self.scheduled.filter(|scheduled| *scheduled > 0);
        let trained = trained.map(|scheduled| (engine.updates() as f64 / scheduled as f64).min(1.0));
        let shared = trained.map_or(String::new(), |share| format!(", shared weights {:.0}% trained", share * 100.0));
        let used = engine.budget_used().max(trained.unwrap_or_default());
        let message = format!("{told} jobs{shared}{best}, {rate:.0} jobs/min");
        match &self.bar {
            Some(bar) => {
                bar.set_position((used * WHOLE as f64) as u64);
                bar.set_message(message);
            }
            None => {
                self.last = Some(Instant::now());
                eprintln!("{}: {:.0}% {message}", self.run, used * 100.0);
            }
        }
    }

    fn gap(&mut self, gap: Duration) {
        tracing::debug!(gap = gap.as_secs_f64(), "between the old strategy's last call and the new one's first");
    }

    fn say(&mut self, line: &str) {
        if self.is_silent {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(format!("{}: {line}", self.run)),
            None => eprintln!("{}: {line}", self.run),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
