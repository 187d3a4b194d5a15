//! What went wrong, as an HTTP answer: a status and one line, also for what axum itself refuses.

use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, Uri, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};

use crate::serve::{
    refusal::{Refusal, RefusalKind},
    views::ErrorView,
};

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// With a status and a line for people.
    pub fn new(status: StatusCode, message: impl std::fmt::Display) -> Self {
        Self { status, message: message.to_string() }
    }

    /// What could not be read.
    pub fn bad(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Bad => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            RefusalKind::Internal => {
                tracing::error!(error = refusal.message, "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, refusal.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorView { error: self.message })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// For paths that are none.
pub async fn unknown_path(uri: Uri) -> ApiError {
    let message = format!("there is nothing at {}; /openapi.json says what there is", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, message)
}

/// For methods that a path does not have.
pub async fn unknown_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not take {method}; /openapi.json says what it takes", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}
