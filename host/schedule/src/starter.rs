//! Decides about each start that is due: now, later, or not at all.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::timetable::{CatchUp, Overlap, Timetable};

/// A start that is looked at this late still counts as on time.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// What has to be remembered across restarts: keep it wherever it survives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memory {
    /// Every start due up to then was decided about.
    pub considered: Timestamp,
    /// A start that waits for the end of a run.
    pub waiting: Option<Timestamp>,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a run, for the start that was due then.
    Start(Timestamp),
    /// Stop the run under way and start another.
    Replace(Timestamp),
    /// A start is left out: a run is under way.
    Skipped(Timestamp),
    /// Starts were missed while nobody looked; how many, the last of them.
    Missed(u64, Timestamp),
    /// A start waits for the run's end.
    Queued(Timestamp),
}

/// The starts of one search.
#[derive(Clone, Debug)]
pub struct Starter {
    timetable: Timetable,
    catch_up: CatchUp,
    overlap: Overlap,
    memory: Memory,
}

impl Starter {
    /// A search that is scheduled from now on, or goes on with what was remembered of it.
    pub fn new(
        timetable: Timetable,
        catch_up: CatchUp,
        overlap: Overlap,
        memory: Option<Memory>,
        now: Timestamp,
    ) -> Self {
        let memory = memory.unwrap_or(Memory { considered: now, waiting: None });
        Self { timetable, catch_up, overlap, memory }
    }

    /// What to remember.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// When to look again at the latest: the next start due.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timetable.next_after(self.memory.considered)
    }

    /// Look at the clock. Times before what was considered (a clock set back) change nothing.
    pub fn tick(&mut self, now: Timestamp, is_running: bool) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut is_running = is_running;
        let on_time_from = now.checked_sub(GRACE).unwrap_or(Timestamp::MIN);
        let mut missed: Option<(u64, Timestamp)> = None;
        while let Some(due) = self.timetable.next_after(self.memory.considered).filter(|due| *due <= now) {
            self.memory.considered = due;
            if due < on_time_from {
                missed = Some((missed.map_or(1, |(n, _)| n + 1), due));
            } else {
                self.flush_missed(&mut missed, &mut is_running, &mut actions);
                self.decide(due, &mut is_running, &mut actions);
            }
        }
        self.flush_missed(&mut missed, &mut is_running, &mut actions);
        self.memory.considered = self.memory.considered.max(now);
        if !is_running && let Some(due) = self.memory.waiting.take() {
            actions.push(Action::Start(due));
        }
        actions
    }

    fn flush_missed(&mut self, missed: &mut Option<(u64, Timestamp)>, is_running: &mut bool, out: &mut Vec<Action>) {
        let Some((n, last)) = missed.take() else { return };
        out.push(Action::Missed(n, last));
        if self.catch_up == CatchUp::Once {
            self.decide(last, is_running, out);
        }
    }

    fn decide(&mut self, due: Timestamp, is_running: &mut bool, out: &mut Vec<Action>) {
        let action = match (*is_running, self.overlap) {
            (false, _) => Action::Start(due),
            (true, Overlap::Skip) => Action::Skipped(due),
            (true, Overlap::Replace) => Action::Replace(due),
            (true, Overlap::Queue) if self.memory.waiting.is_some() => Action::Skipped(due),
            (true, Overlap::Queue) => {
                self.memory.waiting = Some(due);
                Action::Queued(due)
            }
        };
        *is_running = true;
        out.push(action);
    }
}
