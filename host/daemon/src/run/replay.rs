//! `nasd replay`: drives a run's strategies anew from its journal and finds the first call that comes out
//! differently.
//!
//! The components are the state folder's own copies, by the digests that the journal names, so what is compared
//! is what ran.

use std::path::Path;

use nasd_engine::{Replay, Replayed};
use nasd_protocol::{Record, event::Observation};
use nasd_store::RunId;
use nasd_strategy::Instance;
use serde::Serialize;

use super::{drive::ANSWERS, past::Past, services::LogQueue, strategist::Strategist};
use crate::{
    failure::{Failed, chain},
    search::Places,
};

/// The first call that came out differently.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The record that says what came of it then.
    pub sequence: u64,
    /// The call.
    pub call: &'static str,
    /// Who is the cause: `host`, if imports answered the call otherwise than then, else `guest`.
    pub by: &'static str,
    /// What came of it then.
    pub expected: String,
    /// What came of it now.
    pub found: String,
}

/// What came of a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `name/17`.
    pub run: String,
    /// Calls made.
    pub calls: u64,
    /// Strategies that took over.
    pub swaps: u64,
    /// None: every call came out as it did.
    pub difference: Option<Difference>,
}

/// Replay a run. `beside` is the folder that a space file named in its configuration lies in.
pub async fn replay(run: &RunId, places: &Places, beside: &Path) -> Result<Report, Failed> {
    let Past { state, records, search } = Past::of(run, places, beside, None).await?;
    let mut strategist = Strategist::new(&search, LogQueue::default()).kept(&state, run);
    let mut replay = Replay::new(search.plan.clone(), search.task.clone(), &records).map_err(Failed::other)?;
    let mut outcome = Report { run: run.to_string(), calls: 0, swaps: 0, difference: None };
    let ledger = replay.ledger().clone();
    let mut instance = strategist.instance(&search.component, &ledger).await.map_err(Failed::other)?;
    while let Some((sequence, call, random)) = replay.next_call().map_err(Failed::other)? {
        outcome.calls += 1;
        let compared = match call {
            Replayed::TakeOver(order) => {
                outcome.swaps += 1;
                match strategist.take_over(&order, &ledger).await {
                    Ok((next, _)) => {
                        instance = next;
                        Ok(())
                    }
                    Err(message) => Err(("take-over", format!("{:?}", order.via), message)),
                }
            }
            call => compare(&mut instance, &search.setup, &replay, call).await,
        };
        let compared = compared.and_then(|()| match random {
            Some(expected) if instance.random_position() != expected => {
                let found = format!("{} words drawn", instance.random_position());
                Err(("random", format!("{expected} words drawn"), found))
            }
            _ => Ok(()),
        });
        if let Err((call, expected, found)) = compared {
            let by = blame(&records, sequence, instance.last_call().answers);
            outcome.difference = Some(Difference { sequence, call, by, expected, found });
            break;
        }
    }
    Ok(outcome)
}

/// Who is the cause of a difference: the host if imports answered the call otherwise than then, else the guest.
fn blame(records: &[Record], sequence: u64, answers: Option<u64>) -> &'static str {
    let record = records.iter().find(|record| record.sequence == sequence);
    let then = record.and_then(|record| record.observed.get(ANSWERS));
    let now = answers.map(|answers| Observation::Text(format!("{answers:016x}")));
    match then == now.as_ref() {
        true => "guest",
        false => "host",
    }
}

type Compared = Result<(), (&'static str, String, String)>;

async fn compare(
    instance: &mut Instance,
    setup: &nasd_protocol::Setup,
    replay: &Replay<'_>,
    call: Replayed,
) -> Compared {
    fn same<T: PartialEq + std::fmt::Debug>(
        call: &'static str,
        expected: &T,
        found: Result<T, nasd_strategy::CallError>,
    ) -> Compared {
        match found {
            Ok(found) if found == *expected => Ok(()),
            Ok(found) => Err((call, format!("{expected:?}"), format!("{found:?}"))),
            Err(error) => Err((call, format!("{expected:?}"), chain(&error))),
        }
    }
    match call {
        Replayed::Start => same("start", &(), instance.start(setup).await),
        Replayed::Ask { request, answer } => same("ask", &answer, instance.ask(&request).await),
        Replayed::Tell(job) => same("tell", &(), instance.tell(&job).await),
        Replayed::Judge { job, point, verdict } => same("judge", &verdict, instance.judge(job, &point).await),
        Replayed::Recommend { limit, architectures } => {
            let found = instance.recommend(limit).await.map(|found| replay.complete(found));
            same("recommend", &architectures, found)
        }
        Replayed::TakeOver(_) => Ok(()),
    }
}
