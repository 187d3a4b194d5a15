//! `nasd logs` and `nasd events`: what a run says, as it says it.

use std::process::ExitCode;

use super::{columns::clock, print};
use crate::{
    cli::{Arguments, Events, Logs},
    client::{Client, ServerEvent},
    failure::Failed,
    serve::views::{LogLine, LogPage},
};

/// Pause before a daemon that went away is asked again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
/// It is asked so often.
const TRIES: u32 = 60;

/// `nasd events`: records as `nasd journal print` writes them, one a line.
pub fn events(arguments: &Arguments, command: &Events) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, command.at.daemon.as_deref())?;
    let run = client.run(&command.run)?;
    let kinds = command.kinds.as_ref().map(|kinds| format!("&kinds={kinds}")).unwrap_or_default();
    let path = format!("/v1/runs/{run}/events?follow={}{kinds}", command.follow);
    stream(&client, &path, command.after, command.follow, |event| print(&event.data))?;
    Ok(ExitCode::SUCCESS)
}

/// `nasd logs`.
pub fn logs(arguments: &Arguments, command: &Logs) -> Result<ExitCode, Failed> {
    let client = Client::find(&arguments.state, command.at.daemon.as_deref())?;
    let run = client.run(&command.run)?;
    let text = client.get_text(&format!("/v1/runs/{run}/log?last=true&limit={}", command.last))?;
    let page: LogPage = client.read(&text)?;
    match (arguments.json, command.follow) {
        (true, false) => print(&text),
        (true, true) => page.lines.iter().try_for_each(super::print_json)?,
        (false, _) => page.lines.iter().for_each(|line| print(&shown(line))),
    }
    if command.follow {
        let path = format!("/v1/runs/{run}/events?kinds=logged");
        stream(&client, &path, page.lines.last().map(|line| line.event), true, |event| match line_of(event) {
            Some(_) if arguments.json => print(&event.data),
            Some(line) => print(&shown(&line)),
            None => {}
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Hear a run's events to the end; a daemon that is started again meanwhile goes on with the next one.
fn stream(
    client: &Client,
    path: &str,
    mut after: Option<u64>,
    follows: bool,
    mut hear: impl FnMut(&ServerEvent),
) -> Result<(), Failed> {
    let mut tries = 0;
    loop {
        let events = match client.events(path, after) {
            Ok(events) => events,
            Err(error) if tries == 0 || tries >= TRIES => return Err(error),
            Err(_) => {
                tries += 1;
                std::thread::sleep(AGAIN);
                continue;
            }
        };
        tries = 1;
        for event in events.map_while(Result::ok) {
            match event.name.as_str() {
                "end" => return Ok(()),
                "error" => return Err(Failed::Other(event.data)),
                _ => hear(&event),
            }
            after = event.id.or(after);
        }
        if !follows {
            return Ok(());
        }
        std::thread::sleep(AGAIN);
    }
}

fn line_of(event: &ServerEvent) -> Option<LogLine> {
    let record: serde_json::Value = serde_json::from_str(&event.data).ok()?;
    Some(LogLine {
        event: event.id?,
        time: record.get("observed").and_then(|observed| observed.get("time")).and_then(serde_json::Value::as_f64),
        level: record.get("level")?.as_str()?.to_owned(),
        message: record.get("message")?.as_str()?.to_owned(),
    })
}

fn shown(line: &LogLine) -> String {
    let time = line.time.map(clock).unwrap_or_default();
    format!("{time}  {:<5}  {}", line.level, line.message)
}
