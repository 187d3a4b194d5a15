//! Runs: what is known of them, and what operators do to them.

use axum::{Json, extract::State, http::StatusCode};
use nasd_store::RunId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Context, blocking,
    error::ApiError,
    extract::{Asked, Document, JobPath, Named, RunPath},
    to_its_end,
};
use crate::serve::{
    daemon::Daemon,
    queries::{MAX_PAGE, RunFilter},
    refusal::Refusal,
    views::{
        CurvePoint, ErrorView, ForkOrder, JobPage, JobView, LogPage, PlainOrder, RunDetails, RunPage, RunState,
        RunView, SwapOrderView, SwapView,
    },
};

/// Which runs are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Runs {
    /// Of this search.
    #[param(max_length = 100)]
    search: Option<String>,
    /// In this state.
    #[param(inline)]
    state: Option<RunState>,
    /// After this one, `name/17`.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*/[0-9]+$", max_length = 111)]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Jobs {
    /// From this job on.
    #[param(minimum = 0)]
    from: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Which log lines are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Lines {
    /// After this event.
    #[param(minimum = 0)]
    after: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The last ones rather than the first.
    #[serde(default)]
    last: bool,
}

fn expect_limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit {
        None => Ok(100),
        Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError::bad(format!("limit={limit}: from 1 to {MAX_PAGE}"))),
    }
}

/// Runs, those that `nasd run` began too.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(Runs),
    responses((status = 200, description = "A page of them.", body = RunPage)))]
pub async fn list(State(context): State<Context>, Asked(asked): Asked<Runs>) -> Result<Json<RunPage>, ApiError> {
    let after = asked.after.map(|run| run.parse()).transpose().map_err(ApiError::bad)?;
    let limit = Some(expect_limit(asked.limit)?);
    if let Some(search) = asked.search.as_ref().filter(|search| search.len() > 100) {
        return Err(ApiError::bad(format!("search={search}: names are shorter")));
    }
    let filter = RunFilter { search: asked.search, state: asked.state, after, limit };
    blocking(move || context.daemon.runs(&filter)).await.map(Json)
}

/// A run with its best jobs and the changes made to it.
#[utoipa::path(get, path = "/v1/runs/{name}/{number}", tag = "runs", params(RunPath),
    responses((status = 200, description = "It.", body = RunDetails)))]
pub async fn show(State(context): State<Context>, Named(path): Named<RunPath>) -> Result<Json<RunDetails>, ApiError> {
    let run = path.run()?;
    blocking(move || context.daemon.run(&run)).await.map(Json)
}

/// A run's jobs, in order of their numbers.
#[utoipa::path(get, path = "/v1/runs/{name}/{number}/jobs", tag = "runs", params(RunPath, Jobs),
    responses((status = 200, description = "A page of them.", body = JobPage)))]
pub async fn jobs(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Asked(asked): Asked<Jobs>,
) -> Result<Json<JobPage>, ApiError> {
    let (run, limit) = (path.run()?, expect_limit(asked.limit)?);
    blocking(move || context.daemon.jobs(&run, asked.from.unwrap_or(1), limit)).await.map(Json)
}

/// A job.
#[utoipa::path(get, path = "/v1/runs/{name}/{number}/jobs/{job}", tag = "runs", params(JobPath),
    responses((status = 200, description = "It.", body = JobView)))]
pub async fn job(State(context): State<Context>, Named(path): Named<JobPath>) -> Result<Json<JobView>, ApiError> {
    let (run, job) = path.run_and_job()?;
    blocking(move || context.daemon.job(&run, job)).await.map(Json)
}

/// The best value so far, wherever it became better.
#[utoipa::path(get, path = "/v1/runs/{name}/{number}/curve", tag = "runs", params(RunPath),
    responses((status = 200, description = "By job.", body = Vec<CurvePoint>)))]
pub async fn curve(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
) -> Result<Json<Vec<CurvePoint>>, ApiError> {
    let run = path.run()?;
    blocking(move || context.daemon.curve(&run)).await.map(Json)
}

/// What the strategy logged, all of it.
#[utoipa::path(get, path = "/v1/runs/{name}/{number}/log", tag = "runs", params(RunPath, Lines),
    responses((status = 200, description = "A page of lines.", body = LogPage)))]
pub async fn log(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Asked(asked): Asked<Lines>,
) -> Result<Json<LogPage>, ApiError> {
    let (run, limit) = (path.run()?, expect_limit(asked.limit)?);
    blocking(move || context.daemon.log(&run, asked.after, limit, asked.last)).await.map(Json)
}

type Ordered = Result<Json<RunView>, ApiError>;

async fn order(
    context: Context,
    path: RunPath,
    carry_out: impl FnOnce(&Daemon, &RunId) -> Result<RunView, Refusal> + Send + 'static,
) -> Ordered {
    let run = path.run()?;
    blocking(move || carry_out(&context.daemon, &run)).await.map(Json)
}

/// Suspend a run until it is resumed; jobs under way are run again then.
#[utoipa::path(post, path = "/v1/runs/{name}/{number}/pause", tag = "runs", params(RunPath),
    request_body(content = Option<PlainOrder>), responses(
    (status = 200, description = "It will be, also after a restart.", body = RunView),
    (status = 409, description = "It is over, or not this daemon's.", body = ErrorView)))]
pub async fn pause(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Document(by): Document<PlainOrder>,
) -> Ordered {
    order(context, path, move |daemon, run| {
        let view = daemon.pause(run)?;
        tracing::info!(%run, by = by.by, "the run is to be suspended");
        Ok(view)
    })
    .await
}

/// Have a suspended run go on.
#[utoipa::path(post, path = "/v1/runs/{name}/{number}/resume", tag = "runs", params(RunPath),
    request_body(content = Option<PlainOrder>), responses(
    (status = 200, description = "It does.", body = RunView),
    (status = 409, description = "It is over, or not this daemon's.", body = ErrorView)))]
pub async fn resume(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Document(by): Document<PlainOrder>,
) -> Ordered {
    order(context, path, move |daemon, run| {
        let view = daemon.resume(run)?;
        tracing::info!(%run, by = by.by, "the run is to go on");
        Ok(view)
    })
    .await
}

/// End a run; what it found so far is reported.
#[utoipa::path(post, path = "/v1/runs/{name}/{number}/stop", tag = "runs", params(RunPath),
    request_body(content = Option<PlainOrder>), responses(
    (status = 200, description = "It ends.", body = RunView),
    (status = 409, description = "It is over, or not this daemon's.", body = ErrorView)))]
pub async fn stop(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Document(by): Document<PlainOrder>,
) -> Ordered {
    let by = by.by.unwrap_or_else(|| "api".to_owned());
    order(context, path, move |daemon, run| daemon.stop(run, &by)).await
}

/// Have another strategy, or the same with other parameters, take a running search over; or say what that would do.
#[utoipa::path(post, path = "/v1/runs/{name}/{number}/swap", tag = "runs", params(RunPath),
    request_body = SwapOrderView, responses(
    (status = 200, description = "It has the run, durably; or what would happen.", body = SwapView),
    (status = 409, description = "It did not pass its checks, or the run is not running.", body = ErrorView)))]
pub async fn swap(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Document(order): Document<SwapOrderView>,
) -> Result<Json<SwapView>, ApiError> {
    let run = path.run()?;
    if order.strategy.is_none() && order.parameters.is_none() {
        return Err(Refusal::bad("name a strategy, or parameters, or both").into());
    }
    to_its_end(async move { context.daemon.swap(&run, &order).await }).await.map(Json)
}

/// Return to the strategy before the last change: it has its state of then, and is told what it missed.
#[utoipa::path(post, path = "/v1/runs/{name}/{number}/rollback", tag = "runs", params(RunPath),
    request_body(content = Option<PlainOrder>), responses(
    (status = 200, description = "It has the run, durably.", body = SwapView),
    (status = 409, description = "There is none before, or the run is not running.", body = ErrorView)))]
pub async fn roll_back(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Document(by): Document<PlainOrder>,
) -> Result<Json<SwapView>, ApiError> {
    let (run, by) = (path.run()?, by.by.unwrap_or_else(|| "api".to_owned()));
    to_its_end(async move { context.daemon.roll_back(&run, &by).await }).await.map(Json)
}

/// Begin a run that shares this one's history up to an event.
#[utoipa::path(post, path = "/v1/runs/{name}/{number}/fork", tag = "runs", params(RunPath),
    request_body = ForkOrder, responses(
    (status = 201, description = "The new run.", body = RunView),
    (status = 409, description = "The run is not this daemon's, or the strategy did not pass.", body = ErrorView)))]
pub async fn fork(
    State(context): State<Context>,
    Named(path): Named<RunPath>,
    Document(order): Document<ForkOrder>,
) -> Result<(StatusCode, Json<RunView>), ApiError> {
    let run = path.run()?;
    let view = to_its_end(async move { context.daemon.fork(&run, &order).await }).await?;
    Ok((StatusCode::CREATED, Json(view)))
}
