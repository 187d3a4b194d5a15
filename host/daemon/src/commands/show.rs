//! `nasd show`: a run, once or as it goes on.

use std::{
    io::IsTerminal,
    process::ExitCode,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    columns::{Side, clock, columns, short},
    list::{state_name, took},
    print,
};
use crate::{
    cli::{Arguments, Show},
    client::Client,
    failure::Failed,
    serve::views::{ChangeView, RunDetails, RunState},
};

/// A run is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Plain lines come at most this often.
const PLAIN: Duration = Duration::from_secs(5);
/// Jobs in flight named at most.
const IN_FLIGHT: usize = 8;

/// Run the command.
pub fn run(arguments: &Arguments, show: &Show) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, show.at.daemon.as_deref())?;
    let run = client.run(&show.run)?;
    let path = format!("/v1/runs/{run}");
    if show.follow {
        follow(&client, &path, arguments.json)?;
    }
    let text = client.get_text(&path)?;
    if arguments.json {
        if !show.follow {
            print(&text);
        }
    } else {
        print(details(&client.read(&text)?).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// A bar on a terminal, lines elsewhere, documents with `--json`; until the run is over.
fn follow(client: &Client, path: &str, is_json: bool) -> Result<(), Failed> {
    let bar = (!is_json && std::io::stderr().is_terminal()).then(|| {
        let bar = ProgressBar::new(1000);
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {percent}% {msg}") {
            bar.set_style(style);
        }
        bar
    });
    let (mut last, mut said): (String, Option<Instant>) = (String::new(), None);
    loop {
        let text = client.get_text(path)?;
        let details: RunDetails = client.read(&text)?;
        let line = progress(&details);
        match &bar {
            Some(bar) => {
                bar.set_prefix(details.run.run.clone());
                // Of a run that is over nothing is said: it stays where it was.
                details.run.budget_used.iter().for_each(|used| bar.set_position((used * 1000.0) as u64));
                bar.set_message(line);
            }
            None if is_json && text != last => print(&text),
            None if !is_json && line != last && said.is_none_or(|said| said.elapsed() >= PLAIN) => {
                let share = details.run.budget_used.map(|share| format!("{:.0}% ", share * 100.0));
                eprintln!("{}: {}{line}", details.run.run, share.unwrap_or_default());
                said = Some(Instant::now());
            }
            None => {}
        }
        if matches!(details.run.state, RunState::Ended | RunState::Foreign) {
            if let Some(bar) = &bar {
                bar.finish_and_clear();
            }
            return Ok(());
        }
        last = if is_json { text } else { progress(&details) };
        std::thread::sleep(LOOK_EVERY);
    }
}

fn progress(details: &RunDetails) -> String {
    let run = &details.run;
    let best = run.best.map(|best| format!(", best {} {best:.4}", run.objective)).unwrap_or_default();
    let state = if run.state == RunState::Running { String::new() } else { format!("{}, ", state_name(run.state)) };
    let reason = run.reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
    format!("{state}{} jobs, {} in flight{best}{reason}", run.jobs, details.in_flight.len())
}

fn details(details: &RunDetails) -> String {
    let run = &details.run;
    let mut lines = vec![match &run.reason {
        Some(reason) => format!("{}: {}, {reason}", run.run, state_name(run.state)),
        None => format!("{}: {}", run.run, state_name(run.state)),
    }];
    let mut say = |name: &str, value: String| lines.push(format!("  {name:<12}{value}"));
    let strategy = &run.strategy;
    if !strategy.name.is_empty() {
        let parameters = match strategy.parameters.as_str() {
            "" | "{}" => String::new(),
            parameters => format!(", {parameters}"),
        };
        let digest = short(&strategy.digest);
        say("strategy", format!("{} {} ({digest}){parameters}", strategy.name, strategy.version));
    }
    if !run.space.is_empty() {
        say("space", run.space.clone());
    }
    let used = run.budget_used.map(|share| format!(", {:.0}% of the budget", share * 100.0)).unwrap_or_default();
    let n_in_flight = match details.in_flight.len() {
        0 => String::new(),
        n => format!(", {n} in flight"),
    };
    say("jobs", format!("{}{n_in_flight}{used}", run.jobs));
    if let Some(best) = run.best {
        say("best", format!("{} {best:.4}", run.objective));
    }
    if let Some(begun) = run.begun_at {
        let word = if run.ended_at.is_some() { "took" } else { "since" };
        say("begun", format!("{}, {word} {}", clock(begun), took(run).unwrap_or_default()));
    }
    say("share", format!("weight {}, priority {}", details.weight, details.priority));
    say("events", details.events.to_string());
    for recommended in &details.recommended {
        say("found", recommended.clone());
    }
    if let Some(report) = &details.report {
        say("report", report.clone());
    }
    let mut text = lines.join("\n");
    text.push('\n');
    let shown: Vec<String> = details
        .in_flight
        .iter()
        .take(IN_FLIGHT)
        .map(|job| format!("{} ({:.0}%)", job.job, job.progress * 100.0))
        .collect();
    if !shown.is_empty() {
        text.push_str(&format!("\nIn flight: {}\n", shown.join(", ")));
    }
    if !details.top.is_empty() {
        text.push_str(&format!("\nBest jobs\n{}", top(details)));
    }
    if !details.changes.is_empty() {
        text.push_str(&format!("\nChanges\n{}", changes(&details.changes)));
    }
    text
}

fn top(details: &RunDetails) -> String {
    let mut measures: Vec<&String> = details.top.iter().flat_map(|job| job.measures.keys()).collect();
    measures.sort_by_key(|name| (**name != details.run.objective, (*name).clone()));
    measures.dedup();
    let mut heading = vec![("JOB", Side::Right)];
    heading.extend(measures.iter().map(|name| (name.as_str(), Side::Right)));
    heading.extend([("COST", Side::Right), ("NOTE", Side::Left)]);
    let rows: Vec<Vec<String>> = details
        .top
        .iter()
        .map(|job| {
            let mut row = vec![job.job.to_string()];
            row.extend(measures.iter().map(|name| match job.measures.get(*name) {
                Some(value) => format!("{value:.4}"),
                None => String::new(),
            }));
            row.extend([job.cost.to_string(), job.note.clone()]);
            row
        })
        .collect();
    columns(&heading, &rows)
}

fn changes(changes: &[ChangeView]) -> String {
    let heading = [
        ("EVENT", Side::Right),
        ("WHEN", Side::Left),
        ("BY", Side::Left),
        ("CAUSE", Side::Left),
        ("FROM", Side::Left),
        ("TO", Side::Left),
        ("HOW", Side::Left),
    ];
    let digest = |digest: &Option<String>| digest.as_deref().map(short).unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            let how = change.message.clone().or_else(|| change.via.clone());
            vec![
                change.event.to_string(),
                change.time.map(clock).unwrap_or_default(),
                change.by.clone(),
                change.cause.clone(),
                digest(&change.from),
                digest(&change.to),
                how.unwrap_or_default(),
            ]
        })
        .collect();
    columns(&heading, &rows)
}
