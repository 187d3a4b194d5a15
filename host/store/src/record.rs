//! What a journal's records say as a whole: the digest of the deterministic lane, and lines for people.

use nasd_protocol::{
    Event, Lane, Record,
    frame::{self, FrameError},
};
use serde_json::Value;

/// The digest of a run, record by record: BLAKE3 over the BLAKE3 hashes of its deterministic events (MessagePack
/// with field names, as in the journal) in order, without those that a later `resumed` supersedes. Sequence
/// numbers and all that was observed stay out.
#[derive(Clone, Debug, Default)]
pub struct RunDigest {
    events: Vec<(u64, blake3::Hash)>,
    superseded: Vec<(u64, u64)>,
}

impl RunDigest {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next record.
    pub fn add(&mut self, record: &Record) -> Result<(), FrameError> {
        if let Event::Resumed { supersedes, .. } = record.event {
            self.superseded.push(supersedes);
        }
        if record.event.lane() == Lane::Deterministic {
            let body = frame::encode_body(&record.event)?;
            self.events.push((record.sequence, blake3::hash(&body)));
        }
        Ok(())
    }

    /// 64 hexadecimal digits.
    pub fn finish(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"nasd run digest 1");
        for (sequence, hash) in &self.events {
            if !is_superseded(&self.superseded, *sequence) {
                hasher.update(hash.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The digest of a run's records; see [`RunDigest`].
pub fn digest<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<String, FrameError> {
    let mut digest = RunDigest::new();
    for record in records {
        digest.add(record)?;
    }
    Ok(digest.finish())
}

/// The ranges of sequence numbers that resumptions among the records supersede.
pub fn superseded<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<(u64, u64)> {
    records
        .into_iter()
        .filter_map(|record| match record.event {
            Event::Resumed { supersedes, .. } => Some(supersedes),
            _ => None,
        })
        .collect()
}

/// Whether a deterministic event with this number is superseded.
pub fn is_superseded(superseded: &[(u64, u64)], sequence: u64) -> bool {
    superseded.iter().any(|(from, to)| (*from..*to).contains(&sequence))
}

/// A record as one line of JSON: `sequence`, `lane`, `superseded`, `event` and its fields, `observed`. A strategy's
/// snapshot is named by length and BLAKE3 rather than written out.
pub fn json_line(record: &Record, superseded: bool) -> Result<String, serde_json::Error> {
    let mut line = serde_json::Map::new();
    let lane = match record.event.lane() {
        Lane::Deterministic => "deterministic",
        Lane::Observed => "observed",
    };
    line.insert("sequence".into(), record.sequence.into());
    line.insert("lane".into(), lane.into());
    line.insert("superseded".into(), superseded.into());
    if let Value::Object(fields) = serde_json::to_value(&record.event)? {
        line.extend(fields);
    }
    if let Event::Savepoint { snapshot, .. } = &record.event
        && let Some(bytes) = line.get_mut("snapshot").and_then(|snapshot| snapshot.get_mut("bytes"))
    {
        *bytes = serde_json::json!({
            "length": snapshot.bytes.len(),
            "blake3": blake3::hash(&snapshot.bytes).to_hex().as_str(),
        });
    }
    if !record.observed.is_empty() {
        line.insert("observed".into(), serde_json::to_value(&record.observed)?);
    }
    serde_json::to_string(&Value::Object(line))
}

/// All records as JSON lines.
pub fn print(records: &[Record], out: &mut impl std::io::Write) -> std::io::Result<()> {
    let ranges = superseded(records);
    for record in records {
        let hidden = record.event.lane() == Lane::Deterministic && is_superseded(&ranges, record.sequence);
        writeln!(out, "{}", json_line(record, hidden)?)?;
    }
    Ok(())
}
