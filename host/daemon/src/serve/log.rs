//! What strategies logged: lines from the journal, which keeps all of them.

use std::collections::VecDeque;

use nasd_protocol::{Event, LogLevel, Record, event::Observation};
use nasd_store::RunId;

use super::{
    daemon::Daemon,
    refusal::Refusal,
    views::{LogLine, LogPage},
};

impl Daemon {
    /// Lines after an event: the first `limit` of them, or the last.
    pub fn log(&self, run: &RunId, after: Option<u64>, limit: usize, is_last: bool) -> Result<LogPage, Refusal> {
        let mut events = self.events(run, after)?;
        let mut page: VecDeque<LogLine> = VecDeque::new();
        while let Some(records) = events.past()? {
            for line in records.iter().filter_map(line) {
                if page.len() == limit {
                    if !is_last {
                        let next = page.back().map(|line| line.event);
                        return Ok(LogPage { lines: page.into(), next });
                    }
                    page.pop_front();
                }
                page.push_back(line);
            }
        }
        Ok(LogPage { lines: page.into(), next: None })
    }
}

fn line(record: &Record) -> Option<LogLine> {
    let Event::Logged { level, message } = &record.event else { return None };
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let time = match record.observed.get("time") {
        Some(Observation::Number(time)) => Some(*time),
        _ => None,
    };
    Some(LogLine { event: record.sequence, time, level: level.to_owned(), message: message.clone() })
}
