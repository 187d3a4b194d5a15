//! Writes a run down: the journal first, the result store once the journal is durable.

use std::{collections::BTreeMap, sync::Arc};

use nasd_protocol::{Event, Record, event::Observation};
use nasd_store::{Journal, ResultStore, RunId, Span};

use crate::failure::Failed;

/// Writes one run down.
pub struct Recorder {
    sink: Sink,
    need: Need,
    /// Results can be had again at no cost.
    is_cheap: bool,
}

/// What follows from what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Nothing,
    /// Whoever waits may go on: what a crash takes comes about again.
    Word,
    /// Whoever waits may go on once it is on disk.
    Sync,
}

enum Sink {
    /// Boxed, as the other is small.
    Kept(Box<Kept>),
    /// Nothing survives this process.
    Memory(Vec<Record>),
}

struct Kept {
    journal: Journal,
    results: Arc<ResultStore>,
    run: RunId,
    /// Written, not yet durable.
    pending: Vec<(Record, Span)>,
}

impl Recorder {
    /// On an open journal. Where results are known at once (`is_cheap`) one that is lost with its telling is asked for
    /// and found again, so it is not waited for; savepoints and what ends a run are.
    pub fn new(journal: Journal, results: Arc<ResultStore>, run: RunId, is_cheap: bool) -> Self {
        let kept = Kept { journal, results, run, pending: Vec::new() };
        Self { sink: Sink::Kept(Box::new(kept)), need: Need::Nothing, is_cheap }
    }

    /// Of a run that is not kept.
    pub fn in_memory() -> Self {
        Self { sink: Sink::Memory(Vec::new()), need: Need::Nothing, is_cheap: true }
    }

    /// Append an event; `durable` asks for a sync before anything follows from it.
    pub fn append(
        &mut self,
        event: Event,
        mut observed: BTreeMap<String, Observation>,
        durable: bool,
    ) -> Result<(), Failed> {
        let is_result = matches!(event, Event::Arrived { .. });
        self.need = self.need.max(match durable {
            false => Need::Nothing,
            true if self.is_cheap && is_result => Need::Word,
            true => Need::Sync,
        });
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
        let span = kept.journal.append_record(&record).map_err(Failed::storage)?;
        kept.pending.push((record, span));
        Ok(())
    }

    /// Whether something waits for [`Recorder::settle`].
    pub fn is_waited_for(&self) -> bool {
        self.need != Need::Nothing
    }

    /// Do what is needed so that whoever waits may go on.
    pub fn settle(&mut self) -> Result<(), Failed> {
        if self.need == Need::Word {
            self.need = Need::Nothing;
            return Ok(());
        }
        self.sync()
    }

    /// Make everything durable, then known to the result store.
    pub fn sync(&mut self) -> Result<(), Failed> {
        self.need = Need::Nothing;
        let Sink::Kept(kept) = &mut self.sink else { return Ok(()) };
        if let Err(error) = kept.journal.sync() {
            self.need = Need::Sync;
            return Err(Failed::storage(error));
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

    /// Number of the first event that is not durable.
    pub fn durable(&self) -> u64 {
        match &self.sink {
            Sink::Kept(kept) => kept.journal.durable(),
            Sink::Memory(records) => records.len() as u64,
        }
    }

    /// Whether everything appended is durable.
    pub fn is_synced(&self) -> bool {
        match &self.sink {
            Sink::Kept(kept) => kept.journal.durable() == kept.journal.next_sequence(),
            Sink::Memory(_) => true,
        }
    }

    /// What a run that is not kept has journalled.
    pub fn into_records(self) -> Vec<Record> {
        match self.sink {
            Sink::Kept(_) => Vec::new(),
            Sink::Memory(records) => records,
        }
    }
}
