//! Who gets into a daemon's API, and what becomes of those who send nonsense.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::{os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};
use serving::{Serving, bench, command, command_at};
use support::{SEARCH, wait_until};

/// Every operation of the document, with something in the place of names.
fn operations() -> Vec<(String, String)> {
    let document = nasd::api::document::openapi();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let names = [("{name}", "test"), ("{number}", "1"), ("{job}", "1"), ("{digest}", "ab")];
        let path = names.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
        for method in item.as_object().unwrap().keys() {
            operations.push((method.to_uppercase(), path.clone()));
        }
    }
    assert!(operations.len() >= 27, "{operations:?}");
    operations
}

#[test]
fn the_committed_document_is_what_the_daemon_serves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json");
    let text = serde_json::to_string_pretty(&nasd::api::document::openapi()).unwrap() + "\n";
    if std::env::var_os("NASD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "host/daemon/tests/openapi.json is out of date; NASD_BLESS=1 writes it anew");
}

#[test]
fn nothing_but_health_answers_without_the_token() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let wrong = format!("Bearer {}", "0".repeat(64));
    for (method, path) in operations() {
        let is_open = ["/live", "/ready"].contains(&&*path);
        for headers in [vec![], vec![("Authorization", &*wrong)], vec![("Authorization", "Basic bmFzZDpuYXNk")]] {
            let answer = daemon.request(&method, &path, &headers, b"");
            assert_eq!(answer.status, if is_open { 200 } else { 401 }, "{method} {path}: {answer:?}");
            assert!(is_open || answer.json()["error"].as_str().unwrap().contains("token"), "{answer:?}");
            assert!(!answer.head.contains("access-control"), "{answer:?}");
        }
    }
    assert_eq!(daemon.request("GET", "/nowhere", &[], b"").status, 401);
    assert!(daemon.ok("GET", "/v1/runs", &Value::Null)["runs"].as_array().unwrap().is_empty());
    assert_eq!(daemon.get("/ready").json(), json!({ "status": "ready" }));
}

#[test]
fn pages_of_other_hosts_and_origins_may_do_nothing_even_with_the_token() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let bearer = daemon.bearer();
    let port = daemon.address.rsplit(':').next().unwrap();
    let with = |name: &str, value: &str| {
        daemon.request("GET", "/v1/runs", &[("Authorization", &bearer), (name, value)], b"").status
    };
    let evil = format!("evil.example:{port}");
    for host in ["evil.example", &evil, "localhost:1", "localhost", "10.0.0.1:80", "\u{e9}:80"] {
        assert_eq!(with("Host", host), 403, "{host}");
    }
    assert_eq!(with("Host", &format!("localhost:{port}")), 200);
    for origin in ["http://evil.example", "null", "http://localhost", &format!("https://localhost:{port}")] {
        assert_eq!(with("Origin", origin), 403, "{origin}");
    }
    assert_eq!(with("Origin", &format!("http://localhost:{port}")), 200);
    let head = format!("GET /v1/runs HTTP/1.1\r\nAuthorization: {bearer}\r\nConnection: close\r\n\r\n");
    assert_eq!(daemon.say(head.as_bytes()).status, 403);
    let preflight = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    let answer = daemon.request("OPTIONS", "/v1/shutdown", &preflight, b"");
    assert_eq!(answer.status, 403);
    assert!(!answer.head.contains("access-control"), "{answer:?}");
    assert_eq!(daemon.get("/live").status, 200);
}

#[test]
fn nonsense_is_its_senders_fault_and_the_daemon_goes_on() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let submission = json!({ "text": SEARCH, "beside": bench.path("") });
    daemon.ok("POST", "/v1/searches", &submission);
    daemon.wait_for("test/1", |run| run["state"] == "ended");
    let bearer = daemon.bearer();
    let json_kind = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    let long = vec![b' '; (1 << 20) + 1];
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 12] = [
        b"{",
        b"[]",
        b"3",
        b"null",
        b"\xff\xfe",
        b"{\"text\": 3}",
        b"{\"text\": \"name = 3\"}",
        b"{\"unknown\": 1}",
        b"{\"seed\": -1}",
        b"{\"at\": 1e300}",
        b"{} {}",
        deep.as_bytes(),
    ];
    for (method, path) in operations() {
        if path == "/v1/shutdown" {
            continue;
        }
        for body in bodies {
            let answer = daemon.request(&method, &path, &json_kind, body);
            assert!(answer.status < 500 && answer.status != 0, "{method} {path} {body:?}: {answer:?}");
            if answer.status >= 400 {
                assert!(!answer.json()["error"].as_str().unwrap().is_empty(), "{answer:?}");
            }
        }
        let takes_document = ["POST", "PUT"].contains(&&*method) && !path.starts_with("/v1/strategies");
        let answer = daemon.request(&method, &path, &json_kind, &long);
        assert!(!takes_document || answer.status == 413, "{method} {path}: {answer:?}");
        let answer = daemon.request(&method, &path, &[("Authorization", &bearer)], b"by=me");
        assert!(!takes_document || answer.status == 415, "{method} {path}: {answer:?}");
        let answer = daemon.request("PATCH", &path, &json_kind, b"{}");
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
        assert!(answer.head.contains("allow: "), "{answer:?}");
    }
    let bad = [
        ("/v1/runs/test", 404),
        ("/v1/runs/test/1/", 404),
        ("/v1/runs//1", 400),
        ("/v1/runs/test/-1", 400),
        ("/v1/runs/test/99999999999", 400),
        ("/v1/runs/%2e%2e/1", 400),
        ("/v1/runs/a%2fb/1", 400),
        ("/v1/runs/%ff/1", 400),
        ("/v1/runs/test/1000", 404),
        ("/v1/runs/test/1/jobs/0", 404),
        ("/v1/runs/test/1/jobs/18446744073709551615", 404),
        ("/v1/runs/test/1/jobs/18446744073709551616", 400),
        ("/v1/runs/test/1/jobs?limit=0", 400),
        ("/v1/runs/test/1/jobs?limit=1001", 400),
        ("/v1/runs/test/1/jobs?from=-1", 400),
        ("/v1/runs/test/1/jobs?nothing=1", 400),
        ("/v1/runs/test/1/jobs?from=18446744073709551615", 200),
        ("/v1/runs/test/1/log?after=18446744073709551615", 200),
        ("/v1/runs/test/1/events?after=18446744073709551615", 200),
        ("/v1/runs/test/1/events?after=x", 400),
        ("/v1/runs?state=asleep", 400),
        ("/v1/runs?after=test", 400),
        ("/v1/searches/%00", 404),
        ("/v2/runs", 404),
        ("/", 404),
    ];
    for (path, status) in bad {
        assert_eq!(daemon.get(path).status, status, "{path}");
    }
    for request in [&b"\r\n\r\n"[..], b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", &[b'A'; 100_000]] {
        let status = daemon.say_all(request).status;
        assert!(status == 0 || (400..500).contains(&status), "{status}");
    }
    // Said to be short, and is long; said to be long, and too long.
    let head = |length: usize| {
        let address = &daemon.address;
        format!(
            "POST /v1/searches HTTP/1.1\r\nHost: {address}\r\nAuthorization: {bearer}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    assert_eq!(daemon.say(format!("{}{{\"text\"", head(1)).as_bytes()).status, 400);
    assert_eq!(daemon.say(&[head(65 << 20).as_bytes(), &long].concat()).status, 413);
    let kind = [("Authorization", &*bearer), ("Content-Type", "application/wasm")];
    for (name, bytes) in [("x", &b"not a component"[..]), ("", b""), ("..%2fx", b""), ("x", b"")] {
        let answer = daemon.request("POST", &format!("/v1/strategies?name={name}"), &kind, bytes);
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(daemon.request("POST", "/v1/strategies", &kind, b"").status, 400);
    assert_eq!(daemon.get("/live").status, 200);
    assert_eq!(daemon.run("test/1")["state"], "ended");
    let log = std::fs::read_to_string(bench.path("log")).unwrap();
    assert!(!log.contains("a request failed") && !log.contains("panicked"), "{log}");
}

#[test]
fn the_log_can_be_made_to_say_more_and_less() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    assert_eq!(daemon.ok("PUT", "/v1/log-level", &json!({ "level": "nasd=debug,warn" }))["level"], "nasd=debug,warn");
    for level in ["", "loud=very", "info,=,", &"x".repeat(10_000)] {
        let answer = daemon.send("PUT", "/v1/log-level", &json!({ "level": level }));
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    let n_lines = || std::fs::read_to_string(bench.path("log")).unwrap().lines().count();
    daemon.ok("PUT", "/v1/log-level", &json!({ "level": "error" }));
    let before = n_lines();
    daemon.ok("PUT", "/v1/log-level", &json!({ "level": "error" }));
    assert_eq!(n_lines(), before);
}

#[test]
fn a_second_daemon_on_the_same_folder_and_other_bad_starts_are_refused() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let fails = |state: &str, address: &str| {
        let output = command_at(&bench, state, address).stderr(std::process::Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = fails("state", "127.0.0.1:0");
    assert_eq!(code, Some(1));
    assert!(said.contains("is in use by another nasd"), "{said}");
    let (code, said) = fails("other", &daemon.address);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--listen names another address"), "{said}");
    let (code, said) = fails("other", "0.0.0.0:0");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("loopback"), "{said}");
    std::fs::write(bench.path("other/token"), "0123456789012345678901234567890123456789").unwrap();
    std::fs::set_permissions(bench.path("other/token"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, said) = fails("other", "127.0.0.1:0");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("others can read it (mode 0640)"), "{said}");
    std::fs::write(bench.path("daemon.toml"), "searchs = 1").unwrap();
    let (code, said) = fails("other", "127.0.0.1:0");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("daemon.toml:1: unknown field `searchs`"), "{said}");
    assert_eq!(daemon.get("/live").status, 200);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn systemd_is_told_when_the_daemon_is_ready_and_when_it_ends() {
    let bench = bench();
    let socket = std::os::unix::net::UnixDatagram::bind(bench.path("notify")).unwrap();
    socket.set_read_timeout(Some(serving::LONG)).unwrap();
    let said = || {
        let mut bytes = [0; 256];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..n]).trim().to_owned()
    };
    let mut command = command(&bench, "state");
    command.env("NOTIFY_SOCKET", bench.path("notify"));
    let daemon = Serving::spawn(&bench, "state", command);
    assert_eq!(said(), "READY=1");
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(said(), "STOPPING=1");
}

#[test]
fn too_many_streams_of_events_are_refused_and_places_come_free_again() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let text = SEARCH.replace("jobs = 300", "jobs = 10000000");
    daemon.ok("POST", "/v1/searches", &json!({ "text": text, "beside": bench.path("") }));
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(5));
    daemon.ok("POST", "/v1/runs/test/1/pause", &Value::Null);
    daemon.wait_for("test/1", |run| run["state"] == "paused");
    let head = format!(
        "GET /v1/runs/test/1/events?after=1000000 HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n",
        daemon.address,
        daemon.bearer()
    );
    let opened: Vec<std::net::TcpStream> = (0..64)
        .map(|_| {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(&daemon.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut begun = [0; 15];
            stream.read_exact(&mut begun).unwrap();
            assert_eq!(&begun, b"HTTP/1.1 200 OK");
            stream
        })
        .collect();
    assert_eq!(daemon.get("/v1/runs/test/1/events?after=1000000").status, 429);
    assert_eq!(daemon.get("/live").status, 200);
    drop(opened);
    assert!(wait_until(serving::LONG, || daemon.get("/v1/runs/test/1/events?follow=false").status == 200));
}
