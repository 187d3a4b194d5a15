//! Talks to a daemon of this machine over its API: finds it, has its token, reads its answers.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, http::Response};

use crate::{
    api::token,
    commands::serve::address_path,
    failure::Failed,
    serve::views::{ErrorView, RunPage},
};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for an answer; the daemon's own limit is shorter.
const ANSWER: Duration = Duration::from_secs(630);

/// A daemon to talk to.
pub struct Client {
    agent: Agent,
    base: String,
    token: String,
    /// For errors.
    whose: String,
}

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its number.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its document.
    pub data: String,
}

impl Client {
    /// The daemon at a URL, else that of a state folder; `NASD_TOKEN` goes before the folder's token.
    pub fn find(state: &Path, url: Option<&str>) -> Result<Self, Failed> {
        let given = env::var("NASD_TOKEN").ok().filter(|token| !token.is_empty());
        let (base, whose) = match url {
            Some(url) => (url.trim_end_matches('/').to_owned(), url.to_owned()),
            None => {
                let address = std::fs::read_to_string(address_path(state)).map_err(|_| no_daemon(state))?;
                (format!("http://{}", address.trim()), format!("the daemon of {}", state.display()))
            }
        };
        let token = match (given, url) {
            (Some(token), _) => token,
            (None, Some(_)) if !token::path(state).exists() => {
                let problem = "NASD_TOKEN is not set; it is the text in the file `token` of the daemon's state folder";
                return Err(Failed::Configuration(problem.to_owned()));
            }
            (None, _) => token::read(state)?,
        };
        if !base.starts_with("http://") {
            return Err(Failed::Configuration(format!("--daemon {base}: write it as http://127.0.0.1:7878")));
        }
        // A proxy has no business between a client and its own machine, and must not see the token.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .build();
        Ok(Self { agent: agent.into(), base, token, whose })
    }

    /// The daemon that has this state folder, if one does.
    pub fn of_state(state: &Path) -> Option<Self> {
        let client = Self::find(state, None).ok()?;
        client.get_text("/live").is_ok().then_some(client)
    }

    /// GET a document.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.read(&self.get_text(path)?)
    }

    /// GET a document as it is.
    pub fn get_text(&self, path: &str) -> Result<String, Failed> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", self.bearer());
        self.text(request.call())
    }

    /// POST a document; the answer as it is.
    pub fn post_text(&self, path: &str, document: &impl Serialize) -> Result<String, Failed> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", self.bearer());
        self.text(request.send_json(document))
    }

    /// A stream of events, from the one after `after` on.
    pub fn events(&self, path: &str, after: Option<u64>) -> Result<Stream, Failed> {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", self.bearer());
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after.to_string());
        }
        let response = self.accepted(request.call())?;
        Ok(Stream(BufReader::new(Box::new(response.into_body().into_reader()))))
    }

    /// A document that was got as text.
    pub fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Failed> {
        serde_json::from_str(text)
            .map_err(|error| Failed::Other(format!("{}: its answer is none that this nasd knows: {error}", self.whose)))
    }

    /// `name/17` as it is; of a name alone, its latest run.
    pub fn run(&self, run: &str) -> Result<String, Failed> {
        if run.contains('/') {
            return Ok(run.parse::<nasd_store::RunId>().map_err(Failed::configuration)?.to_string());
        }
        nasd_store::RunId::new(run, 0).map_err(Failed::configuration)?;
        let (mut last, mut after) = (None, String::new());
        loop {
            let page: RunPage = self.get(&format!("/v1/runs?limit=1000&search={run}{after}"))?;
            last = page.runs.last().map(|view| view.run.clone()).or(last);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        last.ok_or_else(|| Failed::Other(format!("there is no run of `{run}`; `nasd list` says which there are")))
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn text(&self, answered: Result<Response<Body>, ureq::Error>) -> Result<String, Failed> {
        let mut response = self.accepted(answered)?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string();
        text.map_err(|error| Failed::Other(format!("{}: {error}", self.whose)))
    }

    fn accepted(&self, answered: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failed> {
        let mut response = answered.map_err(|error| match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Failed::Other(format!("{} does not run at {}; `nasd serve` starts one", self.whose, self.base))
            }
            error => Failed::Other(format!("{} at {}: {error}", self.whose, self.base)),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let line = serde_json::from_str::<ErrorView>(&text).map(|view| view.error);
        let line = line.unwrap_or_else(|_| format!("{} answers {status}", self.whose));
        Err(match status.as_u16() {
            400 | 422 => Failed::Configuration(line),
            401 => Failed::Configuration(format!("{} does not know the token: {line}", self.whose)),
            _ => Failed::Other(line),
        })
    }
}

fn no_daemon(state: &Path) -> Failed {
    let state = state.display();
    Failed::Other(format!(
        "no daemon runs on {state}; start one with `nasd serve --state {state}`, or name another with --state or --daemon"
    ))
}

/// Events as they come.
pub struct Stream(BufReader<Box<dyn std::io::Read>>);

impl Iterator for Stream {
    type Item = std::io::Result<ServerEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut event = ServerEvent::default();
        let mut line = String::new();
        loop {
            line.clear();
            match self.0.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            let text = line.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                if event == ServerEvent::default() {
                    continue; // a comment that keeps the connection
                }
                return Some(Ok(event));
            }
            match text.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
                Some(("id", id)) => event.id = id.parse().ok(),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => event.data.push_str(data),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_read_from_a_stream_and_what_keeps_it_alive_is_none() {
        let text = ":\n\nid: 7\nevent: told\ndata: {\"job\":1}\n\n:\n\nevent: end\ndata: {}\n\nid: 8\n";
        let stream = Stream(BufReader::new(Box::new(text.as_bytes())));
        let events: Vec<ServerEvent> = stream.map(Result::unwrap).collect();
        let told = ServerEvent { id: Some(7), name: "told".into(), data: "{\"job\":1}".into() };
        assert_eq!(events, [told, ServerEvent { id: None, name: "end".into(), data: "{}".into() }]);
    }
}
