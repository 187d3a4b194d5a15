//! Searches: what there is, what is submitted, and further runs of them.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    Context, blocking,
    error::ApiError,
    extract::{Document, Named, SearchPath},
};
use crate::serve::views::{RerunOrder, RunView, SearchView, Submission};

/// Searches that the daemon knows, from its folder and submitted.
#[utoipa::path(get, path = "/v1/searches", tag = "searches",
    responses((status = 200, description = "By name; files that cannot be read last.", body = Vec<SearchView>)))]
pub async fn list(State(context): State<Context>) -> Result<Json<Vec<SearchView>>, ApiError> {
    blocking(move || Ok(context.daemon.searches())).await.map(Json)
}

/// Submit a search, or another text for one that was submitted. It runs at once, or by its schedule.
#[utoipa::path(post, path = "/v1/searches", tag = "searches", request_body = Submission, responses(
    (status = 201, description = "It is known, durably.", body = SearchView),
    (status = 409, description = "A file of the daemon's folder has this name.", body = crate::serve::views::ErrorView)))]
pub async fn submit(
    State(context): State<Context>,
    Document(submission): Document<Submission>,
) -> Result<(StatusCode, Json<SearchView>), ApiError> {
    let view = blocking(move || context.daemon.submit(submission)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// A search.
#[utoipa::path(get, path = "/v1/searches/{name}", tag = "searches", params(SearchPath),
    responses((status = 200, description = "It.", body = SearchView)))]
pub async fn show(
    State(context): State<Context>,
    Named(path): Named<SearchPath>,
) -> Result<Json<SearchView>, ApiError> {
    blocking(move || context.daemon.search(&path.name)).await.map(Json)
}

/// Begin another run of a search.
#[utoipa::path(post, path = "/v1/searches/{name}/runs", tag = "searches", params(SearchPath),
    request_body(content = Option<RerunOrder>),
    responses((status = 201, description = "It begins, and will after any crash.", body = RunView)))]
pub async fn rerun(
    State(context): State<Context>,
    Named(path): Named<SearchPath>,
    Document(order): Document<RerunOrder>,
) -> Result<(StatusCode, Json<RunView>), ApiError> {
    let view = blocking(move || context.daemon.rerun(&path.name, &order)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}
