//! A run's events as a stream (server-sent events), from any event on, as they become durable. An event's id is its
//! number in the journal, so a client that was cut off goes on where it was.
//!
//! The stream ends with the run (its last event is `end`), with the daemon, or with the client; a suspended run keeps it
//! open.

use std::{
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream};
use nasd_protocol::Record;
use nasd_store::RunId;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::{
    Context,
    error::ApiError,
    extract::{Asked, Named, RunPath},
};
use crate::serve::{daemon::Daemon, queries::Events, refusal::Refusal, views::RunState};

/// A suspended run is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Sent where there is nothing to say, so that a connection that is gone is found out.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// After this one; none: all. The header `Last-Event-ID` goes before it.
    #[param(minimum = 0)]
    after: Option<u64>,
    /// Of these kinds only, separated by commas: `told,swapped,logged`.
    #[param(pattern = "^[a-z-]+(,[a-z-]+)*$", max_length = 300)]
    kinds: Option<String>,
    /// Go on with events to come; false: end with the last one that there is.
    follow: Option<bool>,
}

/// A run's events, as they become durable.
///
/// Each is an SSE event: its id is the event's number in the journal, its name the event's kind, its data the record as
/// `nasd journal print` writes it. `superseded` says what was known when it was sent: a `resumed` event says which of
/// those before it happen again. `end` comes last, once the run is over.
#[utoipa::path(get, path = "/v1/runs/{name}/{number}/events", tag = "runs",
    params(RunPath, Wanted, ("Last-Event-ID" = Option<u64>, Header, description = "After this event.")), responses(
    (status = 200, description = "A stream.", body = String, content_type = "text/event-stream"),
    (status = 429, description = "There are too many streams.", body = crate::serve::views::ErrorView)))]
pub async fn events(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let run = path.run()?;
    let after = match headers.get("last-event-id") {
        Some(id) => {
            let number = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(number.ok_or_else(|| ApiError::bad(format!("Last-Event-ID: {id:?} is no event's number")))?)
        }
        None => wanted.after,
    };
    let kinds = wanted.kinds.map(|kinds| kinds.split(',').map(str::to_owned).collect());
    let permit = context.streams.clone().try_acquire_owned().map_err(|_| {
        let message = "too many streams of events; close one, or follow fewer runs";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, message)
    })?;
    let following = Following {
        events: context.daemon.events(&run, after)?,
        daemon: context.daemon,
        run,
        kinds,
        follows: wanted.follow.unwrap_or(true),
        waiting: VecDeque::new(),
        is_over: false,
        _permit: permit,
    };
    let stream = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Following {
    daemon: Daemon,
    run: RunId,
    events: Events,
    kinds: Option<BTreeSet<String>>,
    follows: bool,
    waiting: VecDeque<Record>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(record) = self.waiting.pop_front() {
                match self.event(&record) {
                    Ok(Some(event)) => return Some(event),
                    Ok(None) => {}
                    Err(error) => return Some(self.broken(&Refusal::internal(error))),
                }
            }
            if self.is_over {
                return None;
            }
            // Before the events are read: those of its end are among them.
            let is_over = self.is_run_over();
            let more = if self.follows { self.events.next().await } else { self.events.past() };
            match more {
                Ok(Some(records)) => self.waiting.extend(records),
                Ok(None) if is_over || !self.follows => {
                    self.is_over = true;
                    return is_over.then(|| Event::default().event("end").data("{}"));
                }
                Ok(None) => {
                    let mut ending = self.daemon.ending();
                    tokio::select! {
                        _ = ending.wait_for(|is_ending| *is_ending) => return None,
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                }
                Err(error) => return Some(self.broken(&error)),
            }
        }
    }

    fn is_run_over(&self) -> bool {
        let run = self.daemon.run(&self.run);
        run.map_or(true, |details| matches!(details.run.state, RunState::Ended | RunState::Foreign))
    }

    fn broken(&mut self, error: &Refusal) -> Event {
        tracing::error!(run = %self.run, %error, "events cannot be read");
        (self.is_over, self.waiting) = (true, VecDeque::new());
        Event::default().event("error").data(serde_json::json!({ "error": error.message }).to_string())
    }

    fn event(&self, record: &Record) -> Result<Option<Event>, serde_json::Error> {
        let kind = record.event.name();
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(kind)) {
            return Ok(None);
        }
        let line = nasd_store::record::json_line(record, false)?;
        Ok(Some(Event::default().id(record.sequence.to_string()).event(kind).data(line)))
    }
}
