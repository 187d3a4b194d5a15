//! Cron expressions in a time zone.
//!
//! Five fields, or six with seconds first. Across a change of daylight-saving time an expression with a fixed hour
//! and minute starts once a day whatever the clocks do (in the hour that is left out: when it ends; in the one that
//! comes twice: the first time), one with a wildcard or a step goes by elapsed time, as Vixie cron does.

use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// The `[schedule]` table of a search file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Schedule {
    /// Cron expressions; the search starts whenever one of them says so.
    pub start: Vec<String>,
    /// IANA name of a time zone.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// What becomes of starts that were missed because no daemon was running.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What becomes of a start while the search's last run is under way.
    #[serde(default)]
    pub overlap: Overlap,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What becomes of missed starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// Nothing: the next one that is due starts.
    #[default]
    Skip,
    /// One start, however many were missed.
    Once,
}

/// What becomes of a start while a run is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It waits for the run's end; one waits at most.
    Queue,
    /// The run is stopped for it.
    Replace,
}

/// Why a schedule cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// No expression at all.
    #[error("`schedule.start` is empty: give at least one cron expression, as in [\"0 3 * * *\"]")]
    Empty,
    /// Not a cron expression.
    #[error(
        "`{expression}` in `schedule.start` is no cron expression: {message}; write minute, hour, day, month, weekday"
    )]
    Expression {
        /// What was written.
        expression: String,
        /// What is wrong.
        message: String,
    },
    /// No such time zone.
    #[error("`{name}` in `schedule.time-zone` is no IANA time zone; write one like Europe/Berlin or UTC")]
    TimeZone {
        /// What was written.
        name: String,
    },
    /// It never starts.
    #[error("`{expression}` in `schedule.start` never comes")]
    Never {
        /// What was written.
        expression: String,
    },
}

/// A schedule ready to be asked.
#[derive(Clone, Debug)]
pub struct Timetable {
    starts: Vec<Cron>,
    zone: TimeZone,
}

impl Timetable {
    /// Parse and check; `now` is only for finding out what never comes again.
    pub fn new(schedule: &Schedule, now: Timestamp) -> Result<Self, ScheduleError> {
        if schedule.start.is_empty() {
            return Err(ScheduleError::Empty);
        }
        let zone = TimeZone::get(&schedule.time_zone)
            .map_err(|_| ScheduleError::TimeZone { name: schedule.time_zone.clone() })?;
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let mut starts = Vec::new();
        for expression in &schedule.start {
            let cron = parser.parse(expression).map_err(|error| ScheduleError::Expression {
                expression: expression.clone(),
                message: error.to_string(),
            })?;
            if cron.find_next_occurrence(&now.to_zoned(zone.clone()), false).is_err() {
                return Err(ScheduleError::Never { expression: expression.clone() });
            }
            starts.push(cron);
        }
        Ok(Self { starts, zone })
    }

    /// The first start after `instant`.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let from = instant.to_zoned(self.zone.clone());
        let next = |cron: &Cron| cron.find_next_occurrence(&from, false).ok().map(|zoned| zoned.timestamp());
        self.starts.iter().filter_map(next).filter(|next| *next > instant).min()
    }
}
