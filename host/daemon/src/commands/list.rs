//! `nasd list`: runs of a daemon, or its searches.

use std::process::ExitCode;

use super::{
    columns::{Side, clock, columns, now, span},
    print, print_json,
};
use crate::{
    cli::{Arguments, List},
    client::Client,
    failure::Failed,
    serve::views::{RunPage, RunState, RunView, SearchView},
};

/// Run the command.
pub fn run(arguments: &Arguments, list: &List) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, list.at.daemon.as_deref())?;
    if list.searches {
        let text = client.get_text("/v1/searches")?;
        print(if arguments.json { text.clone() } else { searches(&client.read::<Vec<SearchView>>(&text)?) }.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let state = list.state_of.map(|state| format!("&state={}", state_name(state))).unwrap_or_default();
    let (mut views, mut after): (Vec<RunView>, String) = (Vec::new(), String::new());
    loop {
        let page: RunPage = client.get(&format!("/v1/runs?limit=1000{state}{after}"))?;
        views.extend(page.runs);
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    if arguments.json {
        print_json(&views)?;
    } else {
        print(runs(&views).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// A state as the API writes it.
pub fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Starting => "starting",
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Waiting => "waiting",
        RunState::Ended => "ended",
        RunState::Foreign => "foreign",
    }
}

/// How long a run took, or takes.
pub fn took(view: &RunView) -> Option<String> {
    Some(span(view.ended_at.unwrap_or_else(now) - view.begun_at?))
}

fn runs(views: &[RunView]) -> String {
    if views.is_empty() {
        return "There are no runs; `nasd submit SEARCH.toml` begins one.".to_owned();
    }
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            vec![
                view.run.clone(),
                state_name(view.state).to_owned(),
                view.strategy.name.clone(),
                view.best.map(|best| format!("{} {best:.4}", view.objective)).unwrap_or_default(),
                view.jobs.to_string(),
                view.budget_used.map(|share| format!("{:.0}%", share * 100.0)).unwrap_or_default(),
                took(view).unwrap_or_default(),
                view.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let heading = [
        ("RUN", Side::Left),
        ("STATE", Side::Left),
        ("STRATEGY", Side::Left),
        ("BEST", Side::Left),
        ("JOBS", Side::Right),
        ("BUDGET", Side::Right),
        ("TIME", Side::Right),
        ("WHY", Side::Left),
    ];
    columns(&heading, &rows)
}

fn searches(views: &[SearchView]) -> String {
    if views.is_empty() {
        return "There are no searches; `nasd submit SEARCH.toml` adds one, as does a file in the daemon's folder."
            .to_owned();
    }
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            let next = view.next_start.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
            let note = match (&view.error, view.is_removed, view.pending.as_slice()) {
                (Some(_), _, _) => "its file is wrong, see below".to_owned(),
                (None, true, _) => "its file is gone: it starts no more".to_owned(),
                (None, false, []) => view.summary.clone(),
                (None, false, pending) => format!("from the next run on: {}", pending.join(", ")),
            };
            vec![
                view.name.clone(),
                view.last_run.clone().unwrap_or_default(),
                next.map(|at| clock(at.as_second() as f64)).unwrap_or_default(),
                view.file.as_ref().map_or("submitted", |_| "file").to_owned(),
                note,
            ]
        })
        .collect();
    let heading = [
        ("SEARCH", Side::Left),
        ("LAST RUN", Side::Left),
        ("NEXT START", Side::Left),
        ("FROM", Side::Left),
        ("NOTE", Side::Left),
    ];
    let mut text = columns(&heading, &rows);
    for error in views.iter().filter_map(|view| view.error.as_ref()) {
        text.push_str(&format!("\n{error}"));
    }
    text
}
