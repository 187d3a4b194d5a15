//! Writes a run down: the journal first, the result store once the journal is durable.

use std::collections::BTreeMap;

use nasd_protocol::{Event, Record, event::Observation};
use nasd_store::{Journal, ResultStore, RunId, Span};

use crate::failure::Failed;

/// Journal and result store of one run.
pub struct Recorder {
    journal: Journal,
    results: ResultStore,
    run: RunId,
    /// Written, not yet durable.
    pending: Vec<(Record, Span)>,
    needs_sync: bool,
}

impl Recorder {
    /// On an open journal.
    pub fn new(journal: Journal, results: ResultStore, run: RunId) -> Self {
        Self { journal, results, run, pending: Vec::new(), needs_sync: false }
    }

    /// Append an event; `durable` asks for a sync before anything follows from it.
    pub fn append(
        &mut self,
        event: Event,
        mut observed: BTreeMap<String, Observation>,
        durable: bool,
    ) -> Result<(), Failed> {
        if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)
            && !matches!(event, Event::Charted { .. } | Event::Reported { .. })
        {
            observed.insert("time".into(), Observation::Number(now.as_millis() as f64 / 1e3));
        }
        let record = Record { sequence: self.journal.next_sequence(), event, observed };
        let span = self.journal.append_record(&record).map_err(Failed::other)?;
        self.pending.push((record, span));
        self.needs_sync |= durable;
        Ok(())
    }

    /// Whether something waits for a sync.
    pub fn needs_sync(&self) -> bool {
        self.needs_sync
    }

    /// Make everything durable, then known to the result store.
    pub fn sync(&mut self) -> Result<(), Failed> {
        self.journal.sync().map_err(Failed::other)?;
        self.needs_sync = false;
        for (record, span) in self.pending.drain(..) {
            if let Err(error) = self.results.apply(&self.run, &record, span) {
                // The journal has it; `nasd store rebuild` brings the index up again.
                tracing::warn!(run = %self.run, %error, "the result store does not take a record; the journal has it");
            }
        }
        Ok(())
    }

    /// Close in good order; gives the result store back.
    pub fn close(mut self) -> Result<ResultStore, Failed> {
        self.sync()?;
        if let Err(error) = self.results.flush() {
            tracing::warn!(%error, "the result store could not be flushed");
        }
        Ok(self.results)
    }
}
