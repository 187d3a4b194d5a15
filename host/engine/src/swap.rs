//! Replacing the strategy of a running search.
//!
//! A new build, another strategy, changed parameters, a return to the one before, and giving up on one that
//! fails are one path: at a call boundary the current strategy is saved, the next one takes over (from a
//! snapshot and told what that misses, or started anew and shown everything told), the journal says so durably,
//! and a savepoint of the next one follows. Jobs in flight never notice.
//!
//! A swap that somebody asked for happens only where the run can be taken up again from it: with shared weights
//! that is where no shared job is in flight. A failing call may happen anywhere; the return that follows it is
//! either such a place too, or happens again by itself when the run is driven anew from an earlier savepoint.
//!
//! Making instances is the caller's: the engine says of whom, from what.

use std::collections::BTreeMap;

use nasd_protocol::{
    Event, JobId, Snapshot,
    event::{Observation, RunEnding, SharedCheckpoint, StrategyIdentity, SwapCause, Takeover},
};

use crate::{
    plan::Budget,
    search::{Call, Command, Search, read_ledger},
};

/// Strategies that can be returned to at most; their snapshots are held in memory.
const MAX_LINEAGE: usize = 8;

/// A strategy to put in place of the current one. Its component is checked and kept by whoever orders it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapOrder {
    /// Who.
    pub to: StrategyIdentity,
    /// Its parameters, as JSON.
    pub parameters: String,
    /// Why.
    pub cause: SwapCause,
    /// Who ordered it.
    pub by: String,
}

/// Another budget, another number of slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjustment {
    /// When the search stops asking.
    pub budget: Budget,
    /// Jobs in flight at most; 0 counts as 1.
    pub slots: u32,
    /// Who ordered it.
    pub by: String,
}

/// What somebody wants of a running search.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Forward(SwapOrder),
    Back { by: String },
    Adjust(Adjustment),
}

/// How a strategy is to take over.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeoverOrder {
    /// Who.
    pub to: StrategyIdentity,
    /// Its parameters, as JSON.
    pub parameters: String,
    /// The state to restore, if it reads that; then tell it `missed`.
    pub snapshot: Option<Snapshot>,
    /// Told jobs that the snapshot knows nothing of, in told order.
    pub missed: Vec<JobId>,
    /// Where its random stream stands.
    pub random: u64,
    /// Weight updates on the shared weights so far.
    pub steps_done: u64,
    /// What a journal says how it was done; none: restore if it reads the snapshot, else start it anew and
    /// replay all told jobs.
    pub via: Option<Takeover>,
}

/// A strategy took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// How.
    pub via: Takeover,
    /// Position of its random stream now.
    pub random: u64,
}

/// The time a strategy had the search.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tenure {
    pub(crate) identity: StrategyIdentity,
    pub(crate) parameters: String,
    /// How it left: its state, and how many jobs had been told.
    pub(crate) left: Option<(Option<Snapshot>, usize)>,
}

/// An attempt under way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempt {
    to: StrategyIdentity,
    parameters: String,
    cause: SwapCause,
    by: String,
    message: Option<String>,
    /// Strategies given up on.
    back: u32,
    /// The current one's state.
    saved: Option<Snapshot>,
    /// Whether the current one can go on if this fails.
    has_fallback: bool,
    is_savepoint: bool,
}

/// Where a change of strategy stands.
#[derive(Debug, Default)]
pub(crate) enum Swapping {
    #[default]
    No,
    /// Waits for a place where it may happen.
    Wanted(Change),
    /// The current strategy is being saved for it.
    Saving(Change),
    /// The next one is taking over.
    TakingOver(Box<Attempt>),
}

impl Search {
    /// Say who has the search from the start. Without it nobody can take over.
    pub fn with_strategy(mut self, identity: StrategyIdentity, parameters: String) -> Self {
        self.lineage = vec![Tenure { identity, parameters, left: None }];
        self
    }

    /// Who has the search, with what parameters.
    pub fn strategy(&self) -> Option<(&StrategyIdentity, &str)> {
        self.lineage.last().map(|tenure| (&tenure.identity, tenure.parameters.as_str()))
    }

    /// Who would have it after a return.
    pub fn previous_strategy(&self) -> Option<&StrategyIdentity> {
        let before = self.lineage.len().checked_sub(2)?;
        self.lineage.get(before).map(|tenure| &tenure.identity)
    }

    /// Whether a change of strategy was asked for and is not done.
    pub fn is_swapping(&self) -> bool {
        !matches!(self.swapping, Swapping::No)
    }

    pub(crate) fn want(&mut self, change: Change, out: &mut Vec<Command>) {
        let refusal = if self.is_swapping() {
            Some("another change of strategy is under way; try again")
        } else if self.lineage.is_empty() || matches!(change, Change::Back { .. }) && self.lineage.len() < 2 {
            Some("there is no strategy to go back to")
        } else if self.has_already(&change) {
            Some("it has the search already")
        } else if self.is_ending() {
            Some("the run is being suspended or ends")
        } else {
            None
        };
        match refusal {
            Some(message) => self.refuse(&change, message.to_owned(), out),
            None => self.swapping = Swapping::Wanted(change),
        }
    }

    fn has_already(&self, change: &Change) -> bool {
        matches!((change, self.lineage.last()), (Change::Forward(order), Some(current))
            if order.to.digest == current.identity.digest && order.parameters == current.parameters)
    }

    fn refuse(&self, change: &Change, message: String, out: &mut Vec<Command>) {
        let to = match change {
            Change::Forward(order) => Some(order.to.clone()),
            Change::Back { .. } => self.previous_strategy().or(self.strategy().map(|(identity, _)| identity)).cloned(),
            Change::Adjust(_) => self.strategy().map(|(identity, _)| identity).cloned(),
        };
        let Some(to) = to else { return };
        let event = Event::SwapRefused { to, message };
        out.push(Command::Journal { event, observed: BTreeMap::new(), durable: true });
    }

    /// A wanted change that cannot happen any more is answered.
    pub(crate) fn drop_wanted(&mut self, out: &mut Vec<Command>) {
        if let Swapping::Wanted(change) = &self.swapping {
            self.refuse(change, "the run is being suspended or ends".to_owned(), out);
            self.swapping = Swapping::No;
        }
    }

    /// Save the current strategy, if a change is wanted.
    pub(crate) fn begin_wanted(&mut self, out: &mut Vec<Command>) -> bool {
        match std::mem::take(&mut self.swapping) {
            Swapping::Wanted(change) => {
                self.swapping = Swapping::Saving(change);
                self.begin_savepoint(out);
                true
            }
            other => {
                self.swapping = other;
                false
            }
        }
    }

    /// The current strategy was saved (none: it failed doing so): let the next one take over.
    pub(crate) fn take_over(&mut self, saved: Option<Snapshot>, out: &mut Vec<Command>) {
        let change = match std::mem::take(&mut self.swapping) {
            Swapping::Saving(change) => change,
            other => {
                self.swapping = other;
                return;
            }
        };
        let has_fallback = saved.is_some();
        let attempt = match change {
            Change::Forward(order) => Attempt {
                to: order.to,
                parameters: order.parameters,
                cause: order.cause,
                by: order.by,
                message: None,
                back: 0,
                saved,
                has_fallback,
                is_savepoint: true,
            },
            Change::Back { by } => match self.attempt_back(1, SwapCause::RollBack) {
                Some(attempt) => Attempt { by, has_fallback, is_savepoint: true, ..attempt },
                None => return,
            },
            Change::Adjust(adjustment) => return self.adjust(adjustment, has_fallback, out),
        };
        self.attempt(attempt, None, out);
    }

    /// The current strategy was saved: from here on the search is to do something else.
    fn adjust(&mut self, adjustment: Adjustment, is_saved: bool, out: &mut Vec<Command>) {
        let Adjustment { budget, slots, by } = adjustment;
        let budget = match serde_json::to_string(&budget) {
            Ok(budget) if is_saved => budget,
            Ok(_) => {
                return self.go_back(1, SwapCause::Trap("save".to_owned()), "it could not be saved".to_owned(), out);
            }
            Err(error) => {
                let change = Change::Adjust(Adjustment { budget, slots, by });
                return self.refuse(&change, error.to_string(), out);
            }
        };
        let event = Event::Adjusted { budget, slots: slots.max(1), random: self.random };
        self.apply_adjusted(&event);
        // No other savepoint follows at once.
        self.swap_checkpoint = None;
        self.record_observed(event, BTreeMap::from([("by".to_owned(), Observation::Text(by))]), true, out);
        out.push(Command::Adopt);
    }

    /// Enter an adjustment.
    pub(crate) fn apply_adjusted(&mut self, event: &Event) {
        let Event::Adjusted { budget, slots, random } = event else { return };
        if let Ok(budget) = serde_json::from_str(budget) {
            self.plan.budget = budget;
        }
        self.plan.slots = (*slots).max(1);
        self.random = *random;
        self.owes_savepoint = false;
        // There may be room again for what it wanted.
        self.is_waiting = false;
    }

    fn attempt_back(&self, back: u32, cause: SwapCause) -> Option<Attempt> {
        let tenure = self.lineage.get(self.lineage.len().checked_sub(1 + back as usize)?)?;
        Some(Attempt {
            to: tenure.identity.clone(),
            parameters: tenure.parameters.clone(),
            cause,
            by: "nasd".to_owned(),
            message: None,
            back,
            saved: None,
            has_fallback: false,
            is_savepoint: !self.has_shared_weights(),
        })
    }

    fn attempt(&mut self, attempt: Attempt, via: Option<Takeover>, out: &mut Vec<Command>) {
        let order = self.takeover_order(&attempt.to, &attempt.parameters, attempt.back, attempt.saved.as_ref(), via);
        self.swapping = Swapping::TakingOver(Box::new(attempt));
        out.push(Command::TakeOver(order));
    }

    /// What the next strategy takes over, given where this search stands.
    pub(crate) fn takeover_order(
        &self,
        to: &StrategyIdentity,
        parameters: &str,
        back: u32,
        saved: Option<&Snapshot>,
        via: Option<Takeover>,
    ) -> TakeoverOrder {
        let ledger = read_ledger(self.ledger());
        let told = ledger.told();
        let left = self.lineage.len().checked_sub(1 + back as usize).and_then(|place| self.lineage.get(place));
        let (snapshot, missed) = match left.filter(|_| back > 0).and_then(|tenure| tenure.left.as_ref()) {
            Some((snapshot, n_told)) => (snapshot.clone(), told.get(*n_told..).unwrap_or_default().to_vec()),
            None => (saved.cloned(), Vec::new()),
        };
        TakeoverOrder {
            to: to.clone(),
            parameters: parameters.to_owned(),
            snapshot,
            missed,
            random: self.random,
            steps_done: ledger.updates_told(),
            via,
        }
    }

    /// The next strategy took over, or did not.
    pub(crate) fn took_over(&mut self, result: Result<TakenOver, String>, out: &mut Vec<Command>) {
        let attempt = match std::mem::take(&mut self.swapping) {
            Swapping::TakingOver(attempt) => *attempt,
            other => {
                self.swapping = other;
                return;
            }
        };
        match result {
            Ok(taken) => {
                let Some((from, _)) = self.strategy() else { return };
                let event = Event::Swapped {
                    from: from.clone(),
                    to: attempt.to,
                    parameters: attempt.parameters,
                    cause: attempt.cause,
                    via: taken.via,
                    back: attempt.back,
                    random_before: self.random,
                    random: taken.random,
                    is_savepoint: attempt.is_savepoint,
                };
                self.apply_swapped(&event, attempt.saved);
                let mut observed = BTreeMap::from([("by".to_owned(), Observation::Text(attempt.by))]);
                observed.extend(attempt.message.map(|message| ("message".to_owned(), Observation::Text(message))));
                self.record_observed(event, observed, true, out);
                out.push(Command::Adopt);
            }
            Err(message) => {
                let event = Event::SwapRefused { to: attempt.to, message: message.clone() };
                out.push(Command::Journal { event, observed: BTreeMap::new(), durable: true });
                if !attempt.has_fallback {
                    let (cause, back) = match attempt.cause {
                        cause @ SwapCause::Trap(_) => (cause, attempt.back + 1),
                        _ => (SwapCause::Trap("save".to_owned()), attempt.back + 1),
                    };
                    self.go_back(back, cause, attempt.message.unwrap_or(message), out);
                }
            }
        }
    }

    /// A call failed for good: return to the strategy before, if there is one, else the run fails.
    pub(crate) fn call_failed(&mut self, call: &Call, message: String, out: &mut Vec<Command>) {
        if matches!(self.swapping, Swapping::Saving(_)) && *call == Call::Save {
            self.pending_checkpoint = None;
            if !self.has_shared_weights() {
                self.take_over(None, out);
                return;
            }
        }
        match std::mem::take(&mut self.swapping) {
            Swapping::Saving(change) | Swapping::Wanted(change) => {
                self.refuse(&change, format!("the current strategy failed before it: {message}"), out);
            }
            Swapping::No | Swapping::TakingOver(_) => {}
        }
        self.pending_checkpoint = None;
        self.go_back(1, SwapCause::Trap(call.name().to_owned()), message, out);
    }

    fn go_back(&mut self, back: u32, cause: SwapCause, message: String, out: &mut Vec<Command>) {
        match self.attempt_back(back, cause) {
            Some(attempt) => self.attempt(Attempt { message: Some(message), ..attempt }, None, out),
            None => self.fail(message, out),
        }
    }

    /// Enter a swap. `saved` is the state of the strategy that leaves.
    pub(crate) fn apply_swapped(&mut self, event: &Event, saved: Option<Snapshot>) {
        let Event::Swapped { to, parameters, back, random, .. } = event else { return };
        let n_told = read_ledger(self.ledger()).told().len();
        if *back == 0 {
            if let Some(tenure) = self.lineage.last_mut() {
                tenure.left = Some((saved, n_told));
            }
            self.lineage.push(Tenure { identity: to.clone(), parameters: parameters.clone(), left: None });
            if self.lineage.len() > MAX_LINEAGE {
                self.lineage.remove(0);
            }
        } else {
            let kept = self.lineage.len().saturating_sub(*back as usize).max(1);
            self.lineage.truncate(kept);
            if let Some(tenure) = self.lineage.last_mut() {
                tenure.left = None;
            }
        }
        self.random = *random;
        self.owes_savepoint = true;
        self.forget_answers();
    }

    /// The run ended by an operator: an event for whoever closes the journal.
    pub fn stopped(by: &str) -> Event {
        Event::Ended { ending: RunEnding::Stopped(by.to_owned()) }
    }

    /// The checkpoint that goes with a savepoint about to be journalled.
    pub(crate) fn take_checkpoint(&mut self) -> Option<SharedCheckpoint> {
        let checkpoint = self.pending_checkpoint.take().flatten();
        // A savepoint of the next strategy follows at once and holds the same weights.
        if matches!(self.swapping, Swapping::Saving(_)) {
            self.swap_checkpoint.clone_from(&checkpoint);
        }
        checkpoint
    }
}
