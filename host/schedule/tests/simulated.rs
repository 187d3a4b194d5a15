//! Whole months of schedules on a simulated clock: daylight-saving changes, downtimes, runs that overlap.
#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::{SignedDuration, Timestamp};
use nasd_schedule::{Action, CatchUp, Overlap, Schedule, ScheduleError, Starter, Timetable};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(start: &[&str], zone: &str) -> Schedule {
    Schedule {
        start: start.iter().map(|&start| start.to_owned()).collect(),
        time_zone: zone.to_owned(),
        catch_up: CatchUp::Skip,
        overlap: Overlap::Skip,
    }
}

fn timetable(start: &[&str], zone: &str) -> Timetable {
    Timetable::new(&schedule(start, zone), at("2026-01-01T00:00:00Z")).unwrap()
}

/// All starts in `from .. to`.
fn starts(table: &Timetable, from: &str, to: &str) -> Vec<String> {
    let (mut now, end) = (at(from), at(to));
    let mut starts = Vec::new();
    while let Some(next) = table.next_after(now).filter(|next| *next < end) {
        starts.push(next.to_string());
        now = next;
    }
    starts
}

#[test]
fn a_fixed_time_comes_once_a_day_whatever_the_clocks_do() {
    // Berlin 2026: the hour from 2:00 is left out on 29 March and comes twice on 25 October.
    for (from, to) in
        [("2026-03-15T00:00:00Z", "2026-04-14T00:00:00Z"), ("2026-10-10T00:00:00Z", "2026-11-09T00:00:00Z")]
    {
        for time in ["30 2 * * *", "0 3 * * *", "0 12 * * *"] {
            let starts = starts(&timetable(&[time], "Europe/Berlin"), from, to);
            assert_eq!(starts.len(), 30, "{time} from {from}: {starts:?}");
        }
    }
    let march = starts(&timetable(&["30 2 * * *"], "Europe/Berlin"), "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(march, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    let october = starts(&timetable(&["30 2 * * *"], "Europe/Berlin"), "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
    assert_eq!(october, ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn an_interval_goes_by_elapsed_time() {
    for (zone, from, to) in [
        ("Europe/Berlin", "2026-03-15T00:00:00Z", "2026-04-14T00:00:00Z"),
        ("Europe/Berlin", "2026-10-10T00:00:00Z", "2026-11-09T00:00:00Z"),
        ("America/New_York", "2026-10-20T00:00:00Z", "2026-11-19T00:00:00Z"),
        ("UTC", "2026-10-20T00:00:00Z", "2026-11-19T00:00:00Z"),
    ] {
        let table = timetable(&["*/20 * * * *"], zone);
        let (mut now, end, mut n) = (at(from), at(to), 0);
        while let Some(next) = table.next_after(now).filter(|next| *next <= end) {
            assert_eq!(next.duration_since(now), SignedDuration::from_mins(20), "{zone} after {now}");
            (now, n) = (next, n + 1);
        }
        assert_eq!(n, 30 * 24 * 3, "{zone}");
    }
}

#[test]
fn several_expressions_are_one_timetable() {
    let table = timetable(&["0 8 * * MON-FRI", "0 10 * * SAT", "0 8 1 * *"], "UTC");
    let starts = starts(&table, "2026-07-31T00:00:00Z", "2026-08-04T00:00:00Z");
    let expected = ["2026-07-31T08:00:00Z", "2026-08-01T08:00:00Z", "2026-08-01T10:00:00Z", "2026-08-03T08:00:00Z"];
    assert_eq!(starts, expected);
}

#[test]
fn what_cannot_be_followed_says_why() {
    let now = at("2026-01-01T00:00:00Z");
    let check = |start: &[&str], zone: &str| Timetable::new(&schedule(start, zone), now).unwrap_err();
    assert_eq!(check(&[], "UTC"), ScheduleError::Empty);
    assert!(matches!(check(&["61 * * * *"], "UTC"), ScheduleError::Expression { .. }));
    assert!(matches!(check(&["0 3 * * *"], "Europe/Atlantis"), ScheduleError::TimeZone { .. }));
    assert!(matches!(check(&["0 0 31 2 *"], "UTC"), ScheduleError::Never { .. }));
    let unknown: Result<Schedule, _> = toml::from_str("start = [\"0 3 * * *\"]\ncatchup = \"once\"");
    assert!(unknown.unwrap_err().to_string().contains("catchup"));
}

/// 30 days with a start a day, runs of `run_hours`, and no daemon in `down`; (starts, skipped, missed, replaced).
fn month(catch_up: CatchUp, overlap: Overlap, run_hours: i64, down: &[(&str, &str)]) -> (usize, usize, u64, usize) {
    let table = timetable(&["30 2 * * *"], "Europe/Berlin");
    let (mut now, end) = (at("2026-10-10T00:00:00Z"), at("2026-11-09T00:00:00Z"));
    let mut starter = Starter::new(table.clone(), catch_up, overlap, None, now);
    let mut ends: Option<Timestamp> = None;
    let (mut n_started, mut n_skipped, mut n_missed, mut n_replaced) = (0, 0, 0, 0);
    while now < end {
        now += SignedDuration::from_secs(30);
        if down.iter().any(|(from, to)| (at(from)..at(to)).contains(&now)) {
            // The daemon comes back with what it remembers; the run goes on where it was.
            starter = Starter::new(table.clone(), catch_up, overlap, Some(starter.memory().clone()), now);
            ends = ends.map(|end| end + SignedDuration::from_secs(30));
            continue;
        }
        ends = ends.filter(|end| *end > now);
        for action in starter.tick(now, ends.is_some()) {
            match action {
                Action::Start(_) | Action::Replace(_) => {
                    n_started += 1;
                    n_replaced += usize::from(matches!(action, Action::Replace(_)));
                    ends = Some(now + SignedDuration::from_hours(run_hours));
                }
                Action::Skipped(_) => n_skipped += 1,
                Action::Missed(n, _) => n_missed += n,
                Action::Queued(_) => {}
            }
        }
    }
    (n_started, n_skipped, n_missed, n_replaced)
}

#[test]
fn thirty_days_with_a_change_of_clocks_and_downtimes() {
    let down = [("2026-10-14T20:00:00Z", "2026-10-18T09:00:00Z"), ("2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z")];
    assert_eq!(month(CatchUp::Skip, Overlap::Skip, 5, &[]), (30, 0, 0, 0));
    assert_eq!(month(CatchUp::Skip, Overlap::Skip, 5, &down), (25, 0, 5, 0));
    assert_eq!(month(CatchUp::Once, Overlap::Skip, 5, &down), (27, 0, 5, 0));
}

#[test]
fn runs_longer_than_the_period_are_skipped_queued_or_replaced() {
    assert_eq!(month(CatchUp::Skip, Overlap::Skip, 36, &[]), (15, 15, 0, 0));
    assert_eq!(month(CatchUp::Skip, Overlap::Replace, 36, &[]), (30, 0, 0, 29));
    let (started, skipped, ..) = month(CatchUp::Skip, Overlap::Queue, 36, &[]);
    assert_eq!(started, 20, "one after the other");
    assert!((9..=10).contains(&skipped), "{skipped}");
}

#[test]
fn a_clock_set_back_starts_nothing_twice() {
    let table = timetable(&["0 3 * * *"], "UTC");
    let mut starter = Starter::new(table, CatchUp::Once, Overlap::Skip, None, at("2026-05-01T00:00:00Z"));
    assert_eq!(starter.tick(at("2026-05-01T03:00:01Z"), false), [Action::Start(at("2026-05-01T03:00:00Z"))]);
    assert_eq!(starter.tick(at("2026-05-01T02:50:00Z"), false), []);
    assert_eq!(starter.tick(at("2026-05-01T03:00:30Z"), false), []);
    assert_eq!(starter.wake_at(), Some(at("2026-05-02T03:00:00Z")));
}
