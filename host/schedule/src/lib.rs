//! When a search starts by itself.
//!
//! A [`Timetable`] is cron expressions in a time zone; a [`Starter`] decides, tick by tick, whether a start that is
//! due happens, waits or is left out, given what the search's last run does and what was missed while nobody
//! ticked. Both are pure: the caller has the clock, and 30 days are tested in milliseconds.
//!
//! **What is deliberately absent.** No clock, no timers, no knowledge of what is started.

#![deny(clippy::indexing_slicing)]

mod starter;
mod timetable;

pub use starter::{Action, Memory, Starter};
pub use timetable::{CatchUp, Overlap, Schedule, ScheduleError, Timetable};
