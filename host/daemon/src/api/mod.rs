//! The HTTP API of a daemon: documents of [`crate::serve::views`] over [`Daemon`], for clients on this machine.
//!
//! [`guard`] lets in whom may come in, `extract` reads what they send, the other modules answer, each a group of
//! endpoints; [`document`] describes all of it. Nothing here decides anything about searches. What is wrong with a
//! request is its sender's (4xx, a line that says what and what to do); a 5xx is the daemon's own trouble.

pub mod document;
pub mod error;
mod events;
mod extract;
pub mod guard;
mod operations;
mod runs;
mod searches;
pub mod server;
mod strategies;
pub mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use tokio::sync::Semaphore;

use crate::{
    logging::Levels,
    serve::{changes::MAX_COMPONENT, daemon::Daemon, refusal::Refusal},
};
use error::ApiError;
use guard::Guard;

/// Longest document sent, in bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;
/// Streams of events at a time.
const MAX_STREAMS: usize = 64;
/// Longest answer to most requests.
const QUICK: Duration = Duration::from_secs(30);
/// Longest answer where a component is compiled, checked, and shown a whole history.
const SLOW: Duration = Duration::from_secs(600);

/// What endpoints work on.
#[derive(Clone)]
pub struct Context {
    daemon: Daemon,
    guard: Arc<Guard>,
    levels: Levels,
    streams: Arc<Semaphore>,
}

impl Context {
    /// Of this daemon, for clients that pass the guard.
    pub fn new(daemon: Daemon, guard: Guard, levels: Levels) -> Self {
        Self { daemon, guard: Arc::new(guard), levels, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }
}

/// All endpoints; [`document`] has the same ones.
fn endpoints() -> Router<Context> {
    let within = |limit| middleware::from_fn(move |request, next| within(limit, request, next));
    let quick = Router::new()
        .route("/live", get(operations::live))
        .route("/ready", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(operations::openapi))
        .route("/v1/log-level", put(operations::log_level))
        .route("/v1/shutdown", post(operations::shutdown))
        .route("/v1/searches", get(searches::list).post(searches::submit))
        .route("/v1/searches/{name}", get(searches::show))
        .route("/v1/searches/{name}/runs", post(searches::rerun))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/{name}/{number}", get(runs::show))
        .route("/v1/runs/{name}/{number}/jobs", get(runs::jobs))
        .route("/v1/runs/{name}/{number}/jobs/{job}", get(runs::job))
        .route("/v1/runs/{name}/{number}/curve", get(runs::curve))
        .route("/v1/runs/{name}/{number}/log", get(runs::log))
        .route("/v1/runs/{name}/{number}/pause", post(runs::pause))
        .route("/v1/runs/{name}/{number}/resume", post(runs::resume))
        .route("/v1/runs/{name}/{number}/stop", post(runs::stop))
        .route("/v1/quarantine", get(strategies::quarantine))
        .route("/v1/quarantine/{digest}", delete(strategies::release))
        .layer(DefaultBodyLimit::max(MAX_DOCUMENT))
        .layer(within(QUICK));
    let slow = Router::new()
        .route("/v1/runs/{name}/{number}/swap", post(runs::swap))
        .route("/v1/runs/{name}/{number}/rollback", post(runs::roll_back))
        .route("/v1/runs/{name}/{number}/fork", post(runs::fork))
        .layer(DefaultBodyLimit::max(MAX_DOCUMENT))
        .layer(within(SLOW));
    let uploads = Router::new()
        .route("/v1/strategies", get(strategies::list).post(strategies::upload))
        .layer(DefaultBodyLimit::max(MAX_COMPONENT))
        .layer(within(SLOW));
    let streams = Router::new().route("/v1/runs/{name}/{number}/events", get(events::events));
    quick.merge(slow).merge(uploads).merge(streams)
}

/// The API as a service.
pub fn router(context: Context) -> Router {
    endpoints()
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::unknown_method)
        .layer(middleware::from_fn_with_state(context.clone(), guard::guard))
        .with_state(context)
}

/// Answer in time, or say that it was too late.
async fn within(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("no answer within {} s; what was ordered may still happen", limit.as_secs());
            ApiError::from(Refusal::unavailable(message)).into_response()
        }
    }
}

/// Do something that waits for the disk; it comes to its end even if the client does not wait for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::from(Refusal::internal(error)))?;
    done.map_err(ApiError::from)
}

/// The same for what waits for other tasks.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::spawn(work).await.map_err(|error| ApiError::from(Refusal::internal(error)))?;
    done.map_err(ApiError::from)
}
