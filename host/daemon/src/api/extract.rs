//! What clients send, read with limits: documents, names of runs, queries. What cannot be read is refused in the words
//! of the rest of the API.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts},
};
use nasd_store::RunId;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::error::ApiError;

/// Longest wait for a document.
const DOCUMENT: Duration = Duration::from_secs(20);
/// Longest wait for a component.
const UPLOAD: Duration = Duration::from_secs(120);

/// A JSON object; nothing, or `null`, stands for `{}`.
pub struct Document<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Document<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = is_json(request.headers());
        let bytes = body(request, state, DOCUMENT).await?;
        if !bytes.is_empty() && !is_json {
            let message = "send a JSON document, with `Content-Type: application/json`";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let bytes = match bytes.trim_ascii() {
            b"" | b"null" => b"{}",
            bytes => bytes,
        };
        if let [b'[', ..] = bytes {
            // A record would be read from it, by the order of its fields.
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "the document: send an object, not a list"));
        }
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let (place, inner) = (if path == "." { String::new() } else { format!(" at `{path}`") }, error.inner());
            let status = if inner.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            ApiError::new(status, format!("the document{place}: {inner}"))
        })?;
        reader.end().map_err(|error| ApiError::bad(format!("the document: {error}")))?;
        Ok(Self(read))
    }
}

/// Bytes as they are.
pub struct Upload(pub Vec<u8>);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        body(request, state, UPLOAD).await.map(|bytes| Self(bytes.into()))
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S, limit: Duration) -> Result<Bytes, ApiError> {
    let too_late = |_| {
        let message = format!("the request did not come within {} s", limit.as_secs());
        ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
    };
    let read = tokio::time::timeout(limit, Bytes::from_request(request, state)).await.map_err(too_late)?;
    read.map_err(|rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = "the request is longer than 1 MiB (a component: 64 MiB)";
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        _ => ApiError::bad(rejection.body_text()),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Parameters after the `?`.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(read)| Self(read)).map_err(|rejection| ApiError::bad(rejection.body_text()))
    }
}

/// Parts of the path.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(read)| Self(read)).map_err(|rejection| ApiError::bad(rejection.body_text()))
    }
}

/// A run in a path.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RunPath {
    /// The search's name.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length = 100)]
    name: String,
    /// The run's number.
    #[param(minimum = 0, maximum = 4294967295_u32)]
    number: u32,
}

impl RunPath {
    /// The run.
    pub fn run(&self) -> Result<RunId, ApiError> {
        RunId::new(&self.name, self.number).map_err(ApiError::bad)
    }
}

/// A job in a path.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct JobPath {
    /// The search's name.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length = 100)]
    name: String,
    /// The run's number.
    #[param(minimum = 0, maximum = 4294967295_u32)]
    number: u32,
    /// The job's number.
    #[param(minimum = 0)]
    job: u64,
}

impl JobPath {
    /// The run and the job.
    pub fn run_and_job(&self) -> Result<(RunId, u64), ApiError> {
        Ok((RunId::new(&self.name, self.number).map_err(ApiError::bad)?, self.job))
    }
}

/// A search in a path.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SearchPath {
    /// The search's name.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length = 100)]
    pub name: String,
}
