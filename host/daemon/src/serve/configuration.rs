//! `daemon.toml`: where a daemon listens, what it trains on, which folder of searches it watches. Every key has a
//! default; an empty file, or none, is a daemon of this machine's processor.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{configuration::read_text, failure::Failed, run::cores};

/// The file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DaemonFile {
    /// Folder of search files that is watched, relative to this file.
    pub searches: PathBuf,
    /// Where the API listens: an address of the loopback interface. Port 0: any.
    pub listen: SocketAddr,
    /// How long running jobs may take to come to a savepoint when the daemon ends.
    pub drain_seconds: u64,
    /// Until a run that could not go on is tried again; twice as long each time, up to an hour.
    pub retry_seconds: u64,
    /// Let new builds of a strategy's component take over in running searches.
    pub reload: bool,
    /// Where networks are trained; none: the processor.
    pub device: Vec<DeviceFile>,
    /// Log lines.
    pub log: LogFile,
}

impl Default for DaemonFile {
    fn default() -> Self {
        Self {
            searches: "searches".into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7878),
            drain_seconds: 60,
            retry_seconds: 30,
            reload: true,
            device: Vec::new(),
            log: LogFile::default(),
        }
    }
}

/// `[[device]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeviceFile {
    /// `cpu`, `cuda:0`, `null`, `null:20`.
    pub kind: String,
    /// Jobs at a time; none: one a core, one on a GPU.
    #[serde(default)]
    pub trainers: Option<u32>,
    /// Threads of a trainer; none: the cores divided by the trainers.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Threads of the trainer of a one-shot graph; none: all cores. The same on every resumption, or it is not exact.
    #[serde(default)]
    pub shared_threads: Option<u32>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LogFile {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// `info`, or directives like `nasd=debug,info`.
    pub level: String,
}

impl Default for LogFile {
    fn default() -> Self {
        Self { json: false, level: "info".into() }
    }
}

impl DeviceFile {
    /// Jobs at a time.
    pub fn places(&self) -> u32 {
        let usual = if self.kind.starts_with("cuda") { 1 } else { cores() };
        self.trainers.unwrap_or(usual).max(1)
    }

    /// Threads of a trainer.
    pub fn threads(&self) -> u32 {
        self.threads.unwrap_or_else(|| cores() / self.places()).max(1)
    }

    /// Threads of the trainer of a one-shot graph.
    pub fn shared_threads(&self) -> u32 {
        self.shared_threads.unwrap_or_else(cores).max(1)
    }
}

/// Read the file; without one, or where `path` is none and there is no `daemon.toml` here, the defaults.
pub fn read(path: Option<&Path>) -> Result<(DaemonFile, PathBuf), Failed> {
    let path = match path {
        Some(path) => path,
        None if Path::new("daemon.toml").is_file() => Path::new("daemon.toml"),
        None => return Ok((complete(DaemonFile::default()), PathBuf::from("."))),
    };
    let label = path.display();
    let text = read_text(path, "name a daemon's configuration, for example configs/daemon.toml")?;
    let file: DaemonFile = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
        Failed::Configuration(format!("{label}:{line}: {}", error.message().replace('\n', " ")))
    })?;
    let wrong = |key: &str, problem: String| {
        let line = text.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |line| line + 1);
        Failed::Configuration(format!("{label}:{line}: {problem}"))
    };
    if !file.listen.ip().is_loopback() {
        return Err(wrong("listen", format!("listen = {}: give a loopback address, 127.0.0.1:7878", file.listen)));
    }
    for device in &file.device {
        if crate::cli::device(&device.kind).is_err() {
            return Err(wrong(
                "kind",
                format!("kind = {:?}: write cpu, cuda:0 (or another number) or null", device.kind),
            ));
        }
    }
    let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((complete(file), beside.to_owned()))
}

fn complete(mut file: DaemonFile) -> DaemonFile {
    if file.device.is_empty() {
        file.device.push(DeviceFile { kind: "cpu".into(), trainers: None, threads: None, shared_threads: None });
    }
    file
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_says_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/daemon.toml");
        assert_eq!(read(Some(&path)).unwrap().0, complete(DaemonFile::default()));
        let text = std::fs::read_to_string(path).unwrap();
        for key in ["trainers", "threads", "shared-threads"] {
            assert!(text.contains(&format!("# {key} = ")), "{key}");
        }
    }
}
