//! Strategies' snapshots, read natively by what their components export. The first byte picks the strategy, the rest is
//! the snapshot; it is read as it is and with its checksum put right.
//!
//! What a strategy restores it has to live with: asked, told, judged and saved, it answers or says what is wrong. In a
//! component a panic would cost the run a savepoint; here it is a finding.

use nas_strategy_sdk::{
    Answer, Gene, Job, Outcome, ProgressReport, Proposal, Request, Running, Setup, Snapshot, SnapshotFormat, Strategy,
    Work, fingerprint,
    testing::{
        Host, edges_cell, mixed_space, one_max, ones, setup, shared_evaluations, shared_steps, trained, with_parameters,
    },
};

/// One strategy's part in the target.
struct Reader {
    read: fn(&[u8]),
    specimens: fn() -> Vec<Vec<u8>>,
}

macro_rules! readers {
    ($($strategy:ty, $setup:expr;)*) => {
        [$(Reader { read: |bytes| read_one::<$strategy>($setup, bytes), specimens: || specimens_of::<$strategy>($setup) }),*]
    };
}

/// In the order of the letters `a`, `b` ... that pick them.
const READERS: [Reader; 11] = readers! {
    random::Random, setup(mixed_space());
    regularized_evolution::RegularizedEvolution, setup(mixed_space());
    local_search::LocalSearch, setup(mixed_space());
    grid::Grid, setup(mixed_space());
    reinforce::Reinforce, setup(mixed_space());
    tpe::Tpe, setup(mixed_space());
    darts::Darts, setup(cell());
    enas::Enas, with_parameters(setup(cell()), r#"{"controller-size": 4}"#);
    one_shot::OneShot, setup(cell());
    random_sharing::RandomSharing, setup(cell());
    spos::Spos, setup(one_max(6));
};

fn cell() -> nas_strategy_sdk::SearchSpace {
    edges_cell(1, 2, &["none", "skip_connect", "conv"])
}

/// The target.
pub fn read(bytes: &[u8]) {
    let Some((first, snapshot)) = bytes.split_first() else { return };
    let Some(reader) = READERS.get(usize::from(first.wrapping_sub(b'a'))) else { return };
    (reader.read)(snapshot);
    let mut repaired = snapshot.to_vec();
    if let Some((checksum, body)) = repaired.split_first_chunk_mut() {
        *checksum = fingerprint(body).to_le_bytes();
    }
    if repaired != snapshot {
        (reader.read)(&repaired);
    }
}

/// Sound ones: of every strategy as it begins, after a few jobs, and after more.
pub fn specimens() -> Vec<Vec<u8>> {
    let lettered = (b'a'..).zip(&READERS);
    let of_one = |(letter, reader): (u8, &Reader)| {
        let specimens = (reader.specimens)();
        specimens.into_iter().map(move |snapshot| [&[letter], snapshot.as_slice()].concat())
    };
    lettered.flat_map(of_one).collect()
}

fn format<S: Strategy>() -> SnapshotFormat {
    SnapshotFormat { name: S::ABOUT.name.to_owned(), version: S::SNAPSHOT_VERSION }
}

fn request(next_id: u64, in_flight: Vec<u64>) -> Request {
    Request { slots: 2, next_id, in_flight, jobs_left: Some(10), budget_used: 0.5 }
}

/// A result as a trainer might have it.
fn outcome(proposal: &Proposal) -> Outcome {
    let share = |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / 8.0;
    match &proposal.work {
        Work::Train(_) => trained(ones(proposal)),
        Work::TrainShared(_) => shared_steps(proposal, |step| {
            let slopes = |gene: &Gene| match gene {
                Gene::Mixture(options) => vec![0.5; options.len()],
                _ => Vec::new(),
            };
            (1.0, step.architecture.iter().map(slopes).collect())
        }),
        Work::EvaluateShared(_) => shared_evaluations(proposal, share),
    }
}

/// Ask, then tell what was asked for; the id after the last one. None: it said what is wrong, after which a strategy is
/// never called again.
fn turn<S: Strategy>(running: &mut Running<S>, next_id: u64) -> Option<u64> {
    Host::with(|host| host.allow_draws(true));
    let Answer::Work(proposals) = running.ask(&request(next_id, Vec::new())).ok()? else { return Some(next_id) };
    let mut id = next_id;
    for proposal in proposals {
        let outcome = Some(outcome(&proposal));
        let job = Job { id, proposal, outcome, cost: 1.0 };
        Host::with(|host| host.jobs.insert(id, job.clone()));
        if let Some(Outcome::Trained(trained)) = &job.outcome
            && let Some(point) = trained.curve.first()
        {
            running.judge(&ProgressReport { job: id, reached: point.clone() });
        }
        running.tell(&job).ok()?;
        id += 1;
    }
    Some(id)
}

fn specimens_of<S: Strategy>(setup: Setup) -> Vec<Vec<u8>> {
    Host::new(&setup.space, 1).install();
    let mut running = Running::<S>::start(setup).expect("the strategy starts");
    let mut next_id = 1;
    let mut specimens = vec![running.save().expect("its state can be written").bytes];
    for turns in [2, 12] {
        for _ in 0..turns {
            next_id = turn(&mut running, next_id).expect("the strategy goes on");
        }
        specimens.push(running.save().expect("its state can be written").bytes);
    }
    specimens.dedup();
    specimens
}

fn read_one<S: Strategy>(setup: Setup, bytes: &[u8]) {
    let mut host = Host::new(&setup.space, 1);
    host.allow_draws(false);
    host.install();
    let snapshot = Snapshot { format: format::<S>(), bytes: bytes.to_vec(), needs_weights: Vec::new() };
    let Ok(mut running) = Running::<S>::restore(setup.clone(), &snapshot) else { return };
    let saved = running.save().expect("what was restored can be written");
    let _ = running.recommend(3);
    assert!(Running::<S>::restore(setup.clone(), &saved).is_ok(), "a snapshot of what was restored is refused");
    if turn(&mut running, 1_000).and_then(|next_id| turn(&mut running, next_id)).is_none() {
        return;
    }
    Host::with(|host| host.allow_draws(false));
    let _ = running.recommend(3);
    let saved = running.save().expect("what was restored can be written");
    assert!(Running::<S>::restore(setup, &saved).is_ok(), "a snapshot after two turns is refused");
}
