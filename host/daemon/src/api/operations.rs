//! Whether the daemon lives, takes things on, and how it does; its log level; its end.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};

use super::{Context, document, error::ApiError, extract::Document};
use crate::serve::{
    refusal::Refusal,
    views::{ErrorView, HealthView, LogLevelOrder},
};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the daemon lives; without a token.
#[utoipa::path(get, path = "/live", tag = "operations", security(()),
    responses((status = 200, description = "It does.", body = HealthView)))]
pub async fn live() -> Json<HealthView> {
    Json(HealthView { status: "live".to_owned() })
}

/// Whether the daemon takes anything on; without a token.
#[utoipa::path(get, path = "/ready", tag = "operations", security(()), responses(
    (status = 200, description = "It does.", body = HealthView),
    (status = 503, description = "It does not: it is ending, or its disk fails.", body = ErrorView)))]
pub async fn ready(State(context): State<Context>) -> Result<Json<HealthView>, ApiError> {
    context.daemon.readiness().map_err(|reason| ApiError::from(Refusal::unavailable(reason)))?;
    Ok(Json(HealthView { status: "ready".to_owned() }))
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "OpenMetrics.", body = String, content_type = OPEN_METRICS)))]
pub async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], context.daemon.metrics())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Value)))]
pub async fn openapi() -> impl IntoResponse {
    Json(document::openapi())
}

/// Log more or less from now on.
#[utoipa::path(put, path = "/v1/log-level", tag = "operations", request_body = LogLevelOrder,
    responses((status = 200, description = "As it is now.", body = LogLevelOrder)))]
pub async fn log_level(
    State(context): State<Context>,
    Document(order): Document<LogLevelOrder>,
) -> Result<Json<LogLevelOrder>, ApiError> {
    context.levels.set(&order.level).map_err(|reason| ApiError::from(Refusal::bad(reason)))?;
    tracing::info!(level = order.level, "another log level");
    Ok(Json(order))
}

/// End the daemon: runs under way come to a savepoint and go on when it is started again.
#[utoipa::path(post, path = "/v1/shutdown", tag = "operations",
    responses((status = 202, description = "It is ending.")))]
pub async fn shutdown(State(context): State<Context>) -> StatusCode {
    tracing::info!("the daemon is to end, by the API");
    context.daemon.end();
    StatusCode::ACCEPTED
}
