//! Who may come in: whoever has the token, through the loopback interface, and not a web page.
//!
//! A page in the operator's browser can send requests to this machine. It cannot know the token; beside that, a name
//! that its author points at this machine is no name of the daemon's (`Host`), and a browser says where a page comes
//! from (`Origin`). No header here ever invites another origin.

use std::{net::IpAddr, panic::AssertUnwindSafe};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
        uri::Authority,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use futures_util::FutureExt;

use super::{Context, error::ApiError};
use crate::serve::refusal::Refusal;

/// Answer without a token.
const OPEN: [&str; 2] = ["/live", "/ready"];

/// What it takes to come in.
#[derive(Clone, Debug)]
pub struct Guard {
    port: u16,
    token: blake3::Hash,
}

impl Guard {
    /// For a daemon that listens on this port.
    pub fn new(port: u16, token: &str) -> Self {
        Self { port, token: blake3::hash(token.as_bytes()) }
    }

    /// Why a request may not come in, if it may not.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let forbidden = |message: String| Err(ApiError::new(StatusCode::FORBIDDEN, message));
        let named: Vec<Option<&str>> = headers.get_all(HOST).iter().map(|name| name.to_str().ok()).collect();
        let host = uri.authority().map(Authority::as_str).or_else(|| named.first().copied().flatten());
        let is_named_well = named.iter().all(|name| name.is_some_and(|name| self.is_own(name)));
        if !is_named_well || !host.is_some_and(|host| self.is_own(host)) {
            let port = self.port;
            return forbidden(format!("Host is none of this daemon's; ask 127.0.0.1:{port} or localhost:{port}"));
        }
        let is_own = |origin: &HeaderValue| {
            let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            authority.is_some_and(|authority| self.is_own(authority))
        };
        if !headers.get_all(ORIGIN).iter().all(is_own) {
            return forbidden("Origin is not this daemon: web pages may not use it".to_owned());
        }
        if OPEN.contains(&uri.path()) || self.knows_token(headers) {
            return Ok(());
        }
        let message = "send `Authorization: Bearer TOKEN`; TOKEN is in the file `token` of the daemon's state folder";
        Err(ApiError::new(StatusCode::UNAUTHORIZED, message))
    }

    /// Digests of equal length are compared, in constant time.
    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = given.and_then(|given| given.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && blake3::hash(token.trim().as_bytes()) == self.token
    }

    /// A name or address of this machine, with the daemon's port.
    fn is_own(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback =
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        is_loopback && authority.port_u16().unwrap_or(80) == self.port
    }
}

/// The guard before all endpoints.
pub async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let mut response = match context.guard.check(request.uri(), request.headers()) {
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            let message = "a defect of the daemon; its log says where";
            ApiError::from(Refusal::internal(message)).into_response()
        }),
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(path: &str, headers: &[(&str, &str)]) -> u16 {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let checked = Guard::new(7878, "secret").check(&path.parse().unwrap(), &headers);
        checked.map_or_else(|error| error.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn the_token_opens_everything_and_nothing_else_does() {
        let host = ("host", "127.0.0.1:7878");
        assert_eq!(check("/v1/runs", &[host]), 401);
        assert_eq!(check("/nowhere", &[host]), 401);
        for header in ["secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "Bearer SECRET"]
        {
            assert_eq!(check("/v1/runs", &[host, ("authorization", header)]), 401, "{header}");
        }
        for header in ["Bearer secret", "bearer secret", "BEARER  secret"] {
            assert_eq!(check("/v1/runs", &[host, ("authorization", header)]), 200, "{header}");
        }
        assert_eq!(check("/live", &[host]), 200);
        assert_eq!(check("/ready?x=1", &[host]), 200);
        assert_eq!(check("/live/", &[host]), 401);
    }

    #[test]
    fn other_hosts_and_origins_stay_out_even_with_the_token() {
        let token = ("authorization", "Bearer secret");
        for host in ["localhost:7878", "LOCALHOST:7878", "127.0.0.1:7878", "[::1]:7878", "127.1.2.3:7878"] {
            assert_eq!(check("/v1/runs", &[token, ("host", host)]), 200, "{host}");
        }
        let others = [
            "",
            "localhost",
            "127.0.0.1:80",
            "evil.example:7878",
            "localhost.evil.example:7878",
            "10.0.0.1:7878",
            "user@127.0.0.1:7878",
            "127.0.0.1:7878/x",
            "localhost:7878,localhost:7878",
        ];
        for host in others {
            assert_eq!(check("/v1/runs", &[token, ("host", host)]), 403, "{host}");
            assert_eq!(check("/live", &[("host", host)]), 403, "{host}");
        }
        assert_eq!(check("/v1/runs", &[token]), 403);
        assert_eq!(check("http://evil.example/live", &[("host", "localhost:7878")]), 403);
        let host = ("host", "localhost:7878");
        assert_eq!(check("/v1/runs", &[token, host, ("host", "evil.example:7878")]), 403);
        for origin in ["null", "http://evil.example", "https://localhost:7878", "http://localhost:8080", "file://"] {
            assert_eq!(check("/v1/runs", &[token, host, ("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(check("/v1/runs", &[token, host, ("origin", "http://127.0.0.1:7878")]), 200);
    }
}
