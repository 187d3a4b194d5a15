//! `nasd serve` as a child process, and a client that says exactly what a test wants it to say.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{Bench, SEARCH, signal, wait_until};

/// Longest wait for anything.
pub const LONG: Duration = Duration::from_secs(60);

/// A daemon of four null trainers.
pub struct Serving {
    child: Child,
    pub address: String,
    pub token: String,
    state: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A search file and a daemon's configuration.
pub fn bench() -> Bench {
    let bench = Bench::new(SEARCH, "well-behaved");
    let device = "drain-seconds = 30\n[[device]]\nkind = \"null:5\"\ntrainers = 4\n";
    std::fs::write(bench.path("daemon.toml"), device).unwrap();
    bench
}

/// What the daemon trains on, and how long it may take to end.
pub fn configure(bench: &Bench, device: &str, drain_seconds: u32) {
    let text = format!("drain-seconds = {drain_seconds}\nretry-seconds = 1\n[[device]]\n{device}\n");
    std::fs::write(bench.path("daemon.toml"), text).unwrap();
}

/// What all daemons of this folder logged.
pub fn log(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path("log")).unwrap_or_default()
}

/// Hand a search in; relative paths in it start from the folder.
#[track_caller]
pub fn submit(daemon: &Serving, bench: &Bench, text: &str) {
    let document = serde_json::json!({ "text": text, "beside": bench.path(""), "by": "a test" });
    daemon.ok("POST", "/v1/searches", &document);
}

/// `nasd serve`, not started yet.
pub fn command(bench: &Bench, state: &str) -> Command {
    command_at(bench, state, "127.0.0.1:0")
}

/// The same, listening there.
pub fn command_at(bench: &Bench, state: &str, address: &str) -> Command {
    let mut command = bench.nasd(&["serve", "--json", "--listen", address, "--config"]);
    command.arg(bench.path("daemon.toml")).arg("--state").arg(bench.path(state));
    let log = std::fs::File::options().create(true).append(true).open(bench.path("log")).unwrap();
    command.stdout(Stdio::piped()).stderr(log);
    command
}

impl Serving {
    pub fn start(bench: &Bench, state: &str) -> Self {
        Self::spawn(bench, state, command(bench, state))
    }

    pub fn spawn(bench: &Bench, state: &str, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}; {}", log(bench)));
        let address = said["address"].as_str().unwrap().to_owned();
        let token = std::fs::read_to_string(bench.path(state).join("token")).unwrap().trim().to_owned();
        Self { child, address, token, state: state.to_owned() }
    }

    /// As it stands: head and body of a request, without what is not in them.
    pub fn say(&self, request: &[u8]) -> Answer {
        self.converse(request, false)
    }

    /// The same, and no more is to come.
    pub fn say_all(&self, request: &[u8]) -> Answer {
        self.converse(request, true)
    }

    fn converse(&self, request: &[u8], is_all: bool) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        // A daemon that has heard enough closes.
        let _ = stream.write_all(request);
        if is_all {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.say(&[head.as_bytes(), b"\r\n", body].concat())
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[("Authorization", &self.bearer())], b"")
    }

    pub fn send(&self, method: &str, path: &str, document: &Value) -> Answer {
        let headers = [("Authorization", &*self.bearer()), ("Content-Type", "application/json")];
        self.request(method, path, &headers, document.to_string().as_bytes())
    }

    #[track_caller]
    pub fn ok(&self, method: &str, path: &str, document: &Value) -> Value {
        let answer = if method == "GET" { self.get(path) } else { self.send(method, path, document) };
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    #[track_caller]
    pub fn run(&self, run: &str) -> Value {
        self.ok("GET", &format!("/v1/runs/{run}"), &Value::Null)
    }

    #[track_caller]
    pub fn wait_for(&self, run: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let held = wait_until(LONG, || {
            std::thread::sleep(Duration::from_millis(10));
            let answer = self.get(&format!("/v1/runs/{run}"));
            last = if answer.status == 200 { answer.json() } else { Value::Null };
            !last.is_null() && holds(&last)
        });
        assert!(held, "{run}: {last}");
        last
    }

    /// A command of a client of this daemon.
    pub fn client(&self, bench: &Bench, arguments: &[&str]) -> std::process::Output {
        let mut command = bench.nasd(arguments);
        command.arg("--state").arg(bench.path(&self.state)).env("USER", "operator").env_remove("NASD_TOKEN");
        command.output().unwrap()
    }

    #[track_caller]
    pub fn out(&self, bench: &Bench, arguments: &[&str]) -> String {
        let output = self.client(bench, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn terminate(mut self) -> Option<i32> {
        signal("TERM", self.child.id());
        self.child.wait().unwrap().code()
    }

    /// By SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
