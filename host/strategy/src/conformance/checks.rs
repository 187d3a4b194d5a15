//! The promises, one function each. A function gives what was tried, or the first breach.

use nasd_protocol::{Descriptor, Snapshot, SnapshotFormat};

use super::cases::{self, Case};
use super::driver::{Breach, Driver, Entry, Failures, Manner};
use super::{Check, CheckOptions};
use crate::error::{Call, CallError, Refusal};
use crate::runtime::Component;
use crate::validate;

type Finding = Result<String, String>;

/// A suite under way.
pub(super) struct Suite<'a> {
    component: &'a Component,
    options: CheckOptions,
    /// Cases that the strategy starts in.
    cases: Vec<Case>,
    pub(super) descriptor: Option<Descriptor>,
    pub(super) checks: Vec<Check>,
}

impl<'a> Suite<'a> {
    pub(super) fn new(component: &'a Component, options: CheckOptions) -> Self {
        Self { component, options, cases: Vec::new(), descriptor: None, checks: Vec::new() }
    }

    fn note(&mut self, name: &'static str, finding: Finding) -> bool {
        let (passed, detail) = match finding {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.checks.push(Check { name, passed, detail });
        passed
    }

    pub(super) async fn run(&mut self) {
        let described = self.describe().await;
        if !self.note("describe is pure", described) {
            return;
        }
        let started = self.start().await;
        if !self.note("starts in a space it supports", started) {
            return;
        }
        let refused = self.senseless_parameters().await;
        self.note("senseless parameters are an error, not a trap", refused);

        let (proposals, waits) = self.asks().await;
        self.note("asks for no more than its slots, and for valid work only", proposals);
        self.note("never waits with nothing in flight", waits);

        let one = Manner::plain();
        let four = Manner { slots: 4, ..one };
        let same = self.compare(&[(one, one), (four, four)]).await;
        self.note("the same seed and the same results give the same asks", same);
        let asides =
            self.compare(&[(one, Manner { asides: true, ..one }), (four, Manner { asides: true, ..four })]).await;
        self.note("save and recommend change nothing", asides);
        let restart = if self.restores() {
            let pairs = [(one, Manner { restart: true, ..one }), (four, Manner { restart: true, ..four })];
            self.compare(&pairs).await
        } else {
            Ok("does not apply: it reads no snapshot format, so every resume replays the whole search".to_owned())
        };
        self.note("save and restore before every call change nothing", restart);

        let replayed = self.replay().await;
        self.note("replay neither traps nor draws, and the search goes on", replayed);
        let failures = self
            .survive(&[
                Manner { failures: Failures::EverySecond, ..four },
                Manner { failures: Failures::First(8), ..one },
            ])
            .await;
        self.note("failed jobs are survived", failures);
        let foreign = self.survive(&[Manner { foreign: true, ..one }, Manner { foreign: true, ..four }]).await;
        self.note("jobs that another instance asked for are survived", foreign);
        let disorder = self.survive(&[Manner { newest_first: true, ..four }]).await;
        self.note("results out of order are survived", disorder);
        let garbage = self.garbage().await;
        self.note("a garbage snapshot is an error, not a trap", garbage);
        let recommended = self.recommend().await;
        self.note("recommends within its limit and the space", recommended);
    }

    fn restores(&self) -> bool {
        self.descriptor.as_ref().is_some_and(|descriptor| !descriptor.reads.is_empty())
    }

    async fn describe(&mut self) -> Finding {
        let limits = &self.options.limits;
        let first = self.component.describe(limits).await.map_err(|error| error.to_string())?;
        let second = self.component.describe(limits).await.map_err(|error| error.to_string())?;
        if first != second {
            return Err("two instances describe themselves differently".to_owned());
        }
        let detail = format!("{} {}", first.name, first.version);
        self.descriptor = Some(first);
        Ok(detail)
    }

    async fn start(&mut self) -> Finding {
        let needs = self.descriptor.as_ref().map(|descriptor| descriptor.needs).unwrap_or_default();
        let mut refused = Vec::new();
        for case in cases::cases(&needs, &self.options.parameters) {
            match self.driver(&case, Manner::plain()).await {
                Ok(_) => self.cases.push(case),
                Err(CallError::Refused { refusal: Refusal::UnsupportedSpace(why), .. }) => {
                    refused.push(format!("{} (unsupported space: {why})", case.name));
                }
                Err(error) => return Err(format!("{}: {error}", case.name)),
            }
        }
        if self.cases.is_empty() {
            return Err(format!("it starts in none of the built-in spaces; refused: {}", refused.join(", ")));
        }
        let names: Vec<_> = self.cases.iter().map(|case| case.name).collect();
        let refused = if refused.is_empty() { String::new() } else { format!("; refused: {}", refused.join(", ")) };
        Ok(format!("{}{refused}", names.join(", ")))
    }

    async fn senseless_parameters(&self) -> Finding {
        let Some(case) = self.cases.first() else { return Err("no case".to_owned()) };
        for parameters in ["[", "\"text\"", "{\"no-such-parameter\": 1}"] {
            let mut setup = case.setup.clone();
            setup.parameters = parameters.to_owned();
            let case = Case { name: case.name, setup };
            match self.driver(&case, Manner::plain()).await {
                Ok(_) | Err(CallError::Refused { .. }) => {}
                Err(error) => return Err(format!("parameters {parameters}: {error}")),
            }
        }
        Ok("three kinds".to_owned())
    }

    /// Valid work, and waiting: two promises from the same searches.
    async fn asks(&self) -> (Finding, Finding) {
        let mut tried = Vec::new();
        for case in &self.cases {
            for slots in [1, 4] {
                let breach = match self.searched(case, Manner { slots, ..Manner::plain() }).await {
                    Ok(driver) => {
                        tried.push(format!("{} jobs of {} in {slots} slots", driver.told.len(), case.name));
                        continue;
                    }
                    Err(breach) => breach,
                };
                let detail = format!("{}, {slots} slots: {breach}", case.name);
                return match breach {
                    Breach::Call(CallError::InvalidAnswer { call: Call::Ask, problem })
                        if problem == validate::WAITS_FOR_NOTHING =>
                    {
                        (Ok("until it waited".to_owned()), Err(detail))
                    }
                    _ => (Err(detail), Ok("until the breach above".to_owned())),
                };
            }
        }
        (Ok(tried.join(", ")), Ok("in the same searches".to_owned()))
    }

    /// Search in two manners that may not differ in anything the strategy says.
    async fn compare(&self, pairs: &[(Manner, Manner)]) -> Finding {
        let mut compared = 0;
        for case in &self.cases {
            for (plain, other) in pairs {
                let named = |breach: Breach| format!("{}, {} slots: {breach}", case.name, plain.slots);
                let first = self.searched(case, *plain).await.map_err(named)?;
                let second = self.searched(case, *other).await.map_err(named)?;
                compared += first.transcript.len();
                if let Some(difference) = difference(&first.transcript, &second.transcript) {
                    return Err(format!("{}, {} slots: {difference}", case.name, plain.slots));
                }
            }
        }
        Ok(format!("{compared} answers compared"))
    }

    async fn survive(&self, manners: &[Manner]) -> Finding {
        let mut told = 0;
        for case in &self.cases {
            for manner in manners {
                let named = |breach: Breach| format!("{}, {} slots: {breach}", case.name, manner.slots);
                told += self.searched(case, *manner).await.map_err(named)?.told.len();
            }
        }
        Ok(format!("{told} jobs told"))
    }

    async fn replay(&self) -> Finding {
        let mut replayed = 0;
        for case in &self.cases {
            let named = |breach: Breach| format!("{}: {breach}", case.name);
            let manner = Manner { slots: 2, failures: Failures::EverySecond, ..Manner::plain() };
            let mut driver = self.searched(case, manner).await.map_err(named)?;
            let mut next = driver.another().await.map_err(|error| named(error.into()))?;
            next.seek_random(driver.instance.random_position());
            next.start(&case.setup).await.map_err(|error| named(error.into()))?;
            let before = next.random_position();
            // In pages of different lengths, one of them empty.
            let (first, second) = driver.told.split_at(driver.told.len() / 3);
            for page in [first, &[], second] {
                next.replay(page).await.map_err(|error| named(error.into()))?;
                replayed += page.len();
            }
            if next.random_position() != before {
                return Err(format!("{}: it drew random numbers in replay", case.name));
            }
            driver.continue_with(next);
            let more = driver.told.len() as u64 + self.options.jobs / 4;
            driver.run(more).await.map_err(named)?;
        }
        Ok(format!("{replayed} jobs replayed"))
    }

    async fn garbage(&self) -> Finding {
        let mut tried = 0;
        for case in &self.cases {
            let named = |breach: Breach| format!("{}: {breach}", case.name);
            let mut driver = self.searched(case, Manner::plain()).await.map_err(named)?;
            let own = driver.instance.save().await.map_err(|error| named(error.into()))?;
            let unknown = SnapshotFormat { name: "conformance/no such format".to_owned(), version: u32::MAX };
            let mut half = own.bytes.clone();
            half.truncate(half.len() / 2);
            let noise: Vec<u8> = (0..61u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            // A state without bytes says nothing that could be wrong.
            let stateless = own.bytes.is_empty();
            for (what, format, bytes, must_refuse) in [
                ("an unknown format", unknown, own.bytes.clone(), true),
                ("noise", own.format.clone(), noise, !stateless),
                ("no bytes", own.format.clone(), Vec::new(), !stateless),
                ("half of its bytes", own.format.clone(), half, false),
            ] {
                let snapshot = Snapshot { format, bytes, needs_weights: Vec::new() };
                let mut next = driver.another().await.map_err(|error| named(error.into()))?;
                match next.restore(&case.setup, &snapshot).await {
                    Err(CallError::RestoreRefused(_)) => tried += 1,
                    Ok(()) if !must_refuse => tried += 1,
                    Ok(()) => return Err(format!("{}: it restores {what} as if it were a snapshot", case.name)),
                    Err(error) => return Err(format!("{}: {what}: {error}", case.name)),
                }
            }
        }
        Ok(format!("{tried} snapshots tried"))
    }

    async fn recommend(&self) -> Finding {
        let mut recommended = 0;
        for case in &self.cases {
            let named = |breach: Breach| format!("{}: {breach}", case.name);
            let mut driver = self.searched(case, Manner::plain()).await.map_err(named)?;
            for limit in [0, 1, 5] {
                let architectures = driver.instance.recommend(limit).await.map_err(|error| named(error.into()))?;
                for (rank, architecture) in architectures.iter().enumerate() {
                    case.setup
                        .space
                        .check(architecture)
                        .map_err(|broken| format!("{}: architecture {rank} of {limit}: {broken}", case.name))?;
                }
                recommended += architectures.len();
            }
        }
        Ok(format!("{recommended} architectures"))
    }

    async fn driver<'b>(&'b self, case: &'b Case, manner: Manner) -> Result<Driver<'b>, CallError> {
        Driver::start(self.component, case, &self.options.limits, self.options.seed, manner).await
    }

    /// A whole search.
    async fn searched<'b>(&'b self, case: &'b Case, manner: Manner) -> Result<Driver<'b>, Breach> {
        let mut driver = self.driver(case, manner).await?;
        driver.run(self.options.jobs).await?;
        Ok(driver)
    }
}

/// Where two transcripts first differ.
fn difference(first: &[Entry], second: &[Entry]) -> Option<String> {
    for (number, (one, other)) in first.iter().zip(second).enumerate() {
        if one != other {
            return Some(format!("answer {number} was {}, and is {}", shown(one), shown(other)));
        }
    }
    (first.len() != second.len()).then(|| format!("{} answers, and {}", first.len(), second.len()))
}

/// An entry for people, cut where it gets long.
fn shown(entry: &Entry) -> String {
    let mut text = format!("{entry:?}");
    if text.len() > 600 {
        text.truncate(text.floor_char_boundary(600));
        text.push('…');
    }
    text
}
