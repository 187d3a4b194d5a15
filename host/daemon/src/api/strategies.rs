//! Components: which there are, uploads, and the quarantine.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Context, blocking,
    error::ApiError,
    extract::{Asked, Named, Upload},
    to_its_end,
};
use crate::serve::views::{ComponentView, QuarantineView};

/// What an upload is called.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadName {
    /// The strategy's name, for search files and swaps.
    #[param(pattern = "^[A-Za-z0-9_-]+$", max_length = 100)]
    name: String,
}

/// A component in a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DigestPath {
    /// BLAKE3 of the component.
    #[param(pattern = "^[0-9a-f]{64}$")]
    digest: String,
}

/// Components that searches can use by name.
#[utoipa::path(get, path = "/v1/strategies", tag = "strategies",
    responses((status = 200, description = "By name.", body = Vec<ComponentView>)))]
pub async fn list(State(context): State<Context>) -> Result<Json<Vec<ComponentView>>, ApiError> {
    blocking(move || Ok(context.daemon.components())).await.map(Json)
}

/// Upload a component: its bytes are the request's. One of this name is replaced; where new builds are looked for,
/// running searches take it up.
#[utoipa::path(post, path = "/v1/strategies", tag = "strategies", params(UploadName),
    request_body(content_type = "application/wasm", content = Vec<u8>), responses(
    (status = 201, description = "It is kept, durably.", body = ComponentView)))]
pub async fn upload(
    State(context): State<Context>,
    Asked(asked): Asked<UploadName>,
    Upload(bytes): Upload,
) -> Result<(StatusCode, Json<ComponentView>), ApiError> {
    let view = to_its_end(async move { context.daemon.upload(&asked.name, bytes).await }).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Components that failed in a run and are kept out of all others.
#[utoipa::path(get, path = "/v1/quarantine", tag = "strategies",
    responses((status = 200, description = "All of them.", body = Vec<QuarantineView>)))]
pub async fn quarantine(State(context): State<Context>) -> Result<Json<Vec<QuarantineView>>, ApiError> {
    blocking(move || Ok(context.daemon.quarantined())).await.map(Json)
}

/// Let a component out of quarantine.
#[utoipa::path(delete, path = "/v1/quarantine/{digest}", tag = "strategies", params(DigestPath),
    responses((status = 204, description = "It is out.")))]
pub async fn release(State(context): State<Context>, Named(path): Named<DigestPath>) -> Result<StatusCode, ApiError> {
    blocking(move || context.daemon.release(&path.digest)).await?;
    Ok(StatusCode::NO_CONTENT)
}
