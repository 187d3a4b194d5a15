//! Writes a run down: the journal first, the result store once the journal is durable.

use std::collections::BTreeMap;

use nasd_protocol::{Event, Record, event::Observation};
use nasd_store::{Journal, ResultStore, RunId, Span};

use crate::failure::Failed;

/// Writes one run down.
pub struct Recorder {
    sink: Sink,
    needs_sync: bool,
}

enum Sink {
    /// Boxed, as the other is small.
    Kept(Box<Kept>),
    /// Nothing survives this process.
    Memory(Vec<Record>),
}

struct Kept {
    journal: Journal,
    results: ResultStore,
    run: RunId,
    /// Written, not yet durable.
    pending: Vec<(Record, Span)>,
}

impl Recorder {
    /// On an open journal.
    pub fn new(journal: Journal, results: ResultStore, run: RunId) -> Self {
        let kept = Kept { journal, results, run, pending: Vec::new() };
        Self { sink: Sink::Kept(Box::new(kept)), needs_sync: false }
    }

    /// Of a run that is not kept.
    pub fn in_memory() -> Self {
        Self { sink: Sink::Memory(Vec::new()), needs_sync: false }
    }

    /// Append an event; `durable` asks for a sync before anything follows from it.
    pub fn append(
        &mut self,
        event: Event,
        mut observed: BTreeMap<String, Observation>,
        durable: bool,
    ) -> Result<(), Failed> {
        self.needs_sync |= durable;
        let kept = match &mut self.sink {
            Sink::Kept(kept) => kept,
            Sink::Memory(records) => {
                records.push(Record { sequence: records.len() as u64, event, observed });
                return Ok(());
            }
        };
        if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)
            && !matches!(event, Event::Charted { .. } | Event::Reported { .. })
        {
            observed.insert("time".into(), Observation::Number(now.as_millis() as f64 / 1e3));
        }
        let record = Record { sequence: kept.journal.next_sequence(), event, observed };
        let span = kept.journal.append_record(&record).map_err(Failed::other)?;
        kept.pending.push((record, span));
        Ok(())
    }

    /// Whether something waits for a sync.
    pub fn needs_sync(&self) -> bool {
        self.needs_sync
    }

    /// Make everything durable, then known to the result store.
    pub fn sync(&mut self) -> Result<(), Failed> {
        self.needs_sync = false;
        let Sink::Kept(kept) = &mut self.sink else { return Ok(()) };
        if let Err(error) = kept.journal.sync() {
            self.needs_sync = true;
            return Err(Failed::other(error));
        }
        for (record, span) in kept.pending.drain(..) {
            if let Err(error) = kept.results.apply(&kept.run, &record, span) {
                // The journal has it; `nasd store rebuild` brings the index up again.
                tracing::warn!(run = %kept.run, %error, "the result store does not take a record; the journal has it");
            }
        }
        Ok(())
    }

    /// Close in good order.
    pub fn close(mut self) -> Result<(), Failed> {
        self.sync()?;
        if let Sink::Kept(kept) = self.sink
            && let Err(error) = kept.results.flush()
        {
            tracing::warn!(%error, "the result store could not be flushed");
        }
        Ok(())
    }

    /// What a run that is not kept has journalled.
    pub fn into_records(self) -> Vec<Record> {
        match self.sink {
            Sink::Kept(_) => Vec::new(),
            Sink::Memory(records) => records,
        }
    }
}
