//! What was synced survives everything; what was not may vanish, but never corrupts what was.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{collections::BTreeMap, io, path::Path};

use common::{asked, records, run, told};
use nasd_protocol::{Event, Record};
use nasd_store::{
    FileSystem, Journal, JournalError, JournalReader, WeightsFolder, digest,
    fault::{Fault, FaultyFiles, Survival},
    record,
};

const SURVIVALS: [Survival; 7] = [
    Survival::LoseUnsynced,
    Survival::KeepAll,
    Survival::Torn(1),
    Survival::Torn(300),
    Survival::Torn(777),
    Survival::Torn(999),
    Survival::Zeros,
];

fn path() -> &'static Path {
    Path::new("/state/journal")
}

fn disk() -> FaultyFiles {
    let files = FaultyFiles::new();
    files.create_dir_all(Path::new("/state")).unwrap();
    files
}

/// Create or take up the journal and append what it lacks of `all`, syncing after every third record; how many
/// records are known to be durable, counting from `durable`.
fn write(files: &FaultyFiles, all: &[Record], durable: &mut u64) -> Result<(), JournalError> {
    let mut journal = if files.exists(path()) {
        Journal::open(files.shared(), path())?.0
    } else {
        Journal::create(files.shared(), path())?
    };
    *durable = (*durable).max(journal.durable());
    for record in all.iter().skip(journal.next_sequence() as usize) {
        journal.append_record(record)?;
        if record.sequence % 3 == 2 {
            *durable = journal.sync()?;
        }
    }
    *durable = journal.sync()?;
    Ok(())
}

fn read(files: &FaultyFiles) -> Result<Vec<Record>, JournalError> {
    JournalReader::open(&files.shared(), path())?.collect()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_synced_and_a_second_run_completes() {
    let all = records(run(4));
    let whole = disk();
    write(&whole, &all, &mut 0).unwrap();
    assert_eq!(read(&whole).unwrap(), all);
    let operations = whole.operations();
    assert!(operations > 15, "{operations}");
    for at in 0..operations {
        let files = disk();
        files.set_faults(&[Fault::Stop(at)]);
        let mut durable = 0;
        // The write of the last mark may fail unnoticed: everything is durable then.
        let ended = write(&files, &all, &mut durable);
        assert!(ended.is_err() || durable == all.len() as u64);
        for survival in SURVIVALS {
            let mut after = files.after_crash(survival);
            if after.exists(path()) {
                let found = read(&after).unwrap();
                assert!(found.len() as u64 >= durable, "operation {at}, {survival:?}");
                assert_eq!(found, all[..found.len()], "operation {at}, {survival:?}");
            } else {
                assert_eq!(durable, 0);
            }
            // Taken up again, and stopped again at any operation of that.
            let mut again = 0;
            let mut steps = 0;
            loop {
                after.set_faults(&[Fault::Stop(after.operations() + steps)]);
                let mut durable_now = durable.max(again);
                let ended = write(&after, &all, &mut durable_now);
                assert!(durable_now >= durable, "operation {at}, {survival:?}");
                again = durable_now;
                if ended.is_ok() && again == all.len() as u64 {
                    break;
                }
                after = after.after_crash(survival);
                steps += 1;
            }
            after.set_faults(&[]);
            assert_eq!(read(&after.after_crash(Survival::LoseUnsynced)).unwrap(), all, "operation {at}, {survival:?}");
        }
    }
}

#[test]
fn after_a_failed_operation_the_journal_refuses_and_what_was_synced_is_there() {
    let all = records(run(4));
    let whole = disk();
    write(&whole, &all, &mut 0).unwrap();
    for at in 0..whole.operations() {
        let files = disk();
        files.set_faults(&[Fault::Fail(at, io::ErrorKind::Other)]);
        let Ok(mut journal) = Journal::create(files.shared(), path()) else { continue };
        let mut durable = 0;
        let mut failed = false;
        for record in &all {
            let appended = journal.append_record(record).map(|_| ());
            let done = appended
                .and_then(|()| if record.sequence % 3 == 2 { journal.sync().map(|n| durable = n) } else { Ok(()) });
            if done.is_err() {
                failed = true;
                assert!(matches!(journal.append_record(record), Err(JournalError::Poisoned { .. })), "operation {at}");
                assert!(matches!(journal.sync(), Err(JournalError::Poisoned { .. })), "operation {at}");
                break;
            }
        }
        assert!(failed || journal.sync().is_err() || journal.durable() == all.len() as u64, "operation {at}");
        for survival in SURVIVALS {
            let found = read(&files.after_crash(survival)).unwrap();
            assert!(found.len() as u64 >= durable && found == all[..found.len()], "operation {at}, {survival:?}");
        }
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_the_run_goes_on_once_there_is_room() {
    let all = records(run(4));
    let files = disk();
    files.set_faults(&[Fault::Full(8)]);
    let mut durable = 0;
    let error = write(&files, &all, &mut durable).unwrap_err();
    assert_eq!(error.to_string(), "writing /state/journal failed");
    let JournalError::Io { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(durable > 0);
    files.set_faults(&[]);
    write(&files, &all, &mut durable).unwrap();
    assert_eq!(read(&files).unwrap(), all);
}

#[test]
fn a_torn_end_is_cut_off_reported_and_kept_beside() {
    let all = records(run(2));
    let files = disk();
    let mut journal = Journal::create(files.shared(), path()).unwrap();
    for record in &all[..3] {
        journal.append_record(record).unwrap();
    }
    journal.sync().unwrap();
    let whole = files.length(path()).unwrap();
    files.tamper(path(), |bytes| bytes.extend([9, 9, 9])).unwrap();
    let (journal, found, torn) = Journal::open(files.shared(), path()).unwrap();
    assert_eq!(found, all[..3]);
    let torn = torn.unwrap();
    assert_eq!((torn.offset, torn.length), (whole, 3));
    assert_eq!(files.read(&torn.kept).unwrap(), [9, 9, 9]);
    assert_eq!(journal.next_sequence(), 3);
    assert!(Journal::open(files.shared(), path()).unwrap().2.is_none());
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_does_no_harm() {
    let all = records(run(1));
    let whole = disk();
    write(&whole, &all, &mut 0).unwrap();
    let length = whole.length(path()).unwrap() as usize;
    let mut corrupt = 0;
    for bit in 0..length * 8 {
        let files = whole.after_crash(Survival::KeepAll);
        files.tamper(path(), |bytes| bytes[bit / 8] ^= 1 << (bit % 8)).unwrap();
        match Journal::open(files.shared(), path()) {
            Err(JournalError::Corrupt { sequence, offset, durable, .. }) => {
                corrupt += 1;
                assert!(offset <= bit as u64 / 8 && offset < durable && sequence <= all.len() as u64, "bit {bit}");
                // Nothing was changed.
                assert_eq!(files.length(path()).unwrap() as usize, length);
            }
            Err(error) => panic!("bit {bit}: {error}"),
            // Only the last mark is followed by nothing.
            Ok((_, found, torn)) => assert!(found == all && torn.is_some(), "bit {bit}"),
        }
    }
    assert!(corrupt > length * 7, "{corrupt}");
}

#[test]
fn another_file_is_not_taken_for_a_journal() {
    let files = disk();
    files.create_new(path()).unwrap().write_all(b"# notes that are not a journal").unwrap();
    let error = Journal::open(files.shared(), path()).unwrap_err();
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
}

#[test]
fn a_reader_beside_the_writer_sees_whole_records_only() {
    let all = records(run(2));
    let files = disk();
    let mut journal = Journal::create(files.shared(), path()).unwrap();
    journal.append_record(&all[0]).unwrap();
    let first = journal.append_record(&all[1]).unwrap();
    journal.sync().unwrap();
    assert_eq!(read(&files).unwrap(), all[..2]);
    // From a known place on.
    let second = journal.append_record(&all[2]).unwrap();
    journal.sync().unwrap();
    let mut reader = JournalReader::open_at(&files.shared(), path(), first.end, 2).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), all[2]);
    assert_eq!(reader.span(), second);
    // A record half written is passed over in silence.
    files.tamper(path(), |bytes| bytes.truncate(second.end as usize - 1)).unwrap();
    assert_eq!(read(&files).unwrap(), all[..2]);
}

#[test]
fn the_digest_is_that_of_the_run_whatever_happened_on_the_way() {
    let straight = records(run(2));
    let expected = digest(&straight).unwrap();
    // The same run, stopped after job 0 was told and asked for job 1, then resumed from the beginning of that.
    let events = run(2);
    let mut bumpy = events[..7].to_vec();
    bumpy.push(Event::Resumed { savepoint: None, supersedes: (6, 7) });
    bumpy.push(Event::Logged { level: nasd_protocol::LogLevel::Info, message: "again".into() });
    bumpy.extend_from_slice(&events[6..]);
    let mut bumpy = records(bumpy);
    bumpy.iter_mut().for_each(|record| record.observed = BTreeMap::new());
    assert_eq!(digest(&bumpy).unwrap(), expected);
    let mut other = run(2);
    other[6] = asked(5);
    assert_ne!(digest(&records(other)).unwrap(), expected);
    let mut reordered = run(2);
    reordered.swap(5, 9);
    assert_ne!(digest(&records(reordered)).unwrap(), expected);

    let mut lines = Vec::new();
    record::print(&bumpy, &mut lines).unwrap();
    let lines: Vec<serde_json::Value> =
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), bumpy.len());
    assert_eq!((&lines[6]["event"], &lines[6]["superseded"]), (&"asked".into(), &true.into()));
    assert_eq!((&lines[9]["lane"], &lines[9]["superseded"]), (&"deterministic".into(), &false.into()));
}

#[test]
fn a_journal_in_memory_reads_back() {
    let (mut journal, files) = Journal::in_memory().unwrap();
    let all = records(run(2));
    for record in &all {
        journal.append_record(record).unwrap();
    }
    journal.sync().unwrap();
    let back: Vec<Record> = JournalReader::open(&files, journal.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(back, all);
}

#[test]
fn damage_in_the_middle_is_never_a_torn_end() {
    let all = records(run(4));
    let whole = disk();
    write(&whole, &all, &mut 0).unwrap();
    let length = whole.length(path()).unwrap() as usize;
    type Damage = fn(&mut Vec<u8>, usize);
    let damages: [Damage; 4] = [
        |bytes, at| bytes[at..at + 40].fill(0),
        |bytes, at| bytes[at..at + 40].fill(0xff),
        |bytes, at| drop(bytes.drain(at..at + 5)),
        |bytes, at| bytes.splice(at..at, [1, 2, 3]).for_each(drop),
    ];
    for at in (0..length - 200).step_by(7) {
        for damage in damages {
            let files = whole.after_crash(Survival::KeepAll);
            files.tamper(path(), |bytes| damage(bytes, at)).unwrap();
            let error = Journal::open(files.shared(), path()).unwrap_err();
            assert!(matches!(error, JournalError::Corrupt { .. }), "byte {at}: {error}");
        }
    }
}

#[test]
fn records_out_of_sequence_are_refused() {
    let files = disk();
    let mut journal = Journal::create(files.shared(), path()).unwrap();
    let record = Record { sequence: 1, event: told(0), observed: BTreeMap::new() };
    assert!(matches!(journal.append_record(&record), Err(JournalError::OutOfSequence { expected: 0, found: 1 })));
    assert_eq!(journal.append(told(0), BTreeMap::new()).unwrap(), 0);
}

#[test]
fn weights_are_there_whole_or_not_at_all() {
    let folder = Path::new("/state/weights");
    let script = |files: &FaultyFiles, stored: &mut Vec<String>| {
        let weights = WeightsFolder::new(files.shared(), folder);
        for bytes in [&b"first"[..], b"second", b"first"] {
            match weights.put(bytes) {
                Ok(digest) => stored.push(digest),
                Err(_) => return,
            }
        }
    };
    let fresh = || {
        let files = disk();
        files.create_dir_all(folder).unwrap();
        files
    };
    let whole = fresh();
    script(&whole, &mut vec![]);
    for at in 0..whole.operations() {
        for fault in [Fault::Stop(at), Fault::Fail(at, io::ErrorKind::StorageFull)] {
            let files = fresh();
            files.set_faults(&[fault]);
            let mut stored = vec![];
            script(&files, &mut stored);
            for survival in SURVIVALS {
                let after = files.after_crash(survival);
                let weights = WeightsFolder::new(after.shared(), folder);
                for digest in &stored {
                    assert!(weights.open(digest).is_ok(), "{fault:?}, {survival:?}");
                }
                let mut again = vec![];
                script(&after, &mut again);
                assert_eq!(again.len(), 3, "{fault:?}, {survival:?}");
                assert!(again.iter().all(|digest| weights.open(digest).is_ok()), "{fault:?}, {survival:?}");
                let collected = weights.collect(&again[..1].iter().cloned().collect()).unwrap();
                assert_eq!(collected.kept, 1);
                assert_eq!(after.list(folder).unwrap(), again[..1]);
            }
        }
    }
}

#[test]
fn damaged_and_missing_weights_are_named() {
    let folder = Path::new("/state/weights");
    let files = disk();
    files.create_dir_all(folder).unwrap();
    let weights = WeightsFolder::new(files.shared(), folder);
    let digest = weights.put(b"bytes").unwrap();
    files.tamper(&folder.join(&digest), |bytes| bytes[0] ^= 1).unwrap();
    assert!(weights.open(&digest).unwrap_err().to_string().contains("are damaged"));
    assert!(weights.open(&"0".repeat(64)).unwrap_err().to_string().contains("may have been collected"));
    assert!(weights.open("../journal").unwrap_err().to_string().contains("is not a digest"));
}

#[test]
fn what_a_trainer_wrote_is_collected_and_removed_by_its_digest_too() {
    let folder = Path::new("/state/weights");
    let files = disk();
    files.create_dir_all(folder).unwrap();
    let weights = WeightsFolder::new(files.shared(), folder);
    let digests = ["a", "b", "c"].map(|digit| digit.repeat(64));
    for digest in &digests {
        files.create_new(&folder.join(format!("{digest}.safetensors"))).unwrap();
    }
    files.create_new(&folder.join("notes.safetensors")).unwrap();
    let [first, second, third] = &digests;
    weights.remove(second).unwrap();
    weights.remove(second).unwrap();
    let collected = weights.collect(&[first.clone()].into()).unwrap();
    assert_eq!((collected.kept, collected.removed), (1, 1));
    assert_eq!(files.list(folder).unwrap(), [format!("{first}.safetensors"), "notes.safetensors".to_owned()]);
    assert!(weights.remove(third).is_ok() && weights.remove("../journal").is_err());
}
