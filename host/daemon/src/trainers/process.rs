//! A trainer in a child process, on a socket that is the child's standard input.
//!
//! The child is killed when it is silent for [`SILENCE`], when what it says cannot be understood, and when its
//! orders end. It ends by itself when this process dies, because the socket closes.

use std::{path::Path, process::Stdio, time::Duration};

use nasd_protocol::{
    frame::{self, HEADER_LEN},
    trainer::{FromTrainer, ToTrainer},
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    sync::mpsc,
};

use super::{TrainerEvent, TrainerId};

/// A trainer speaks every few seconds; after so long without a word it is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// Of the child's command line.
pub struct Arguments<'a> {
    /// Where the program does other things too.
    pub subcommand: Option<&'a str>,
    /// `cpu`, `cuda:0`.
    pub device: &'a str,
    /// Threads.
    pub threads: u32,
    /// Folder of data sets.
    pub data: &'a Path,
    /// Folder of weights.
    pub weights: &'a Path,
}

type Events = mpsc::UnboundedSender<(TrainerId, TrainerEvent)>;

/// Start a child and the task that speaks with it; gives the child's number.
pub fn start(
    id: TrainerId,
    program: &Path,
    arguments: &Arguments<'_>,
    orders: mpsc::UnboundedReceiver<ToTrainer>,
    events: Events,
) -> Option<u32> {
    match spawn(program, arguments) {
        Ok((child, stream)) => {
            let pid = child.id();
            tokio::spawn(async move {
                let reason = converse(id, child, stream, orders, &events).await;
                let _ = events.send((id, TrainerEvent::Lost(reason)));
            });
            pid
        }
        Err(error) => {
            let reason = format!("{}: {error}; build it by `cargo xtask build`", program.display());
            let _ = events.send((id, TrainerEvent::Lost(reason)));
            None
        }
    }
}

fn spawn(program: &Path, arguments: &Arguments<'_>) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(program)
        .args(arguments.subcommand)
        .args(["--channel", "0", "--device", arguments.device, "--threads", &arguments.threads.to_string()])
        .arg("--data")
        .arg(arguments.data)
        .arg("--weights")
        .arg(arguments.weights)
        .env("OMP_NUM_THREADS", arguments.threads.to_string())
        .env("OMP_WAIT_POLICY", "passive")
        // glibc's allocator: maps of a network come from a heap of large pages that it keeps, not from the system each
        // time.
        .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        .env("MALLOC_MMAP_MAX_", "0")
        .env("MALLOC_TRIM_THRESHOLD_", i64::MAX.to_string())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// Carry orders and messages until one side ends; gives why.
async fn converse(
    id: TrainerId,
    mut child: Child,
    stream: UnixStream,
    mut orders: mpsc::UnboundedReceiver<ToTrainer>,
    events: &Events,
) -> String {
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            let bytes = frame::encode(&order).map_err(|error| error.to_string())?;
            writer.write_all(&bytes).await.map_err(|error| error.to_string())?;
        }
        Ok::<(), String>(())
    });
    let reason = loop {
        let message = tokio::time::timeout(SILENCE, read::<FromTrainer>(&mut reader)).await;
        match message {
            Ok(Ok(message)) => {
                if events.send((id, TrainerEvent::Said(Box::new(message)))).is_err() {
                    break "it is not needed any more".to_owned();
                }
            }
            Ok(Err(reason)) => break reason,
            Err(_) => break format!("the trainer was silent for {} s", SILENCE.as_secs()),
        }
    };
    writing.abort();
    let _ = child.start_kill();
    match child.wait().await {
        Ok(status) => format!("{reason}; the trainer ended with {status}"),
        Err(error) => format!("{reason}; {error}"),
    }
}

/// The next message of the other side's.
pub async fn read<T: DeserializeOwned>(reader: &mut (impl AsyncReadExt + Unpin)) -> Result<T, String> {
    let mut header = [0u8; HEADER_LEN];
    reader.read_exact(&mut header).await.map_err(|_| "the channel closed".to_owned())?;
    let header = frame::parse_header(header).map_err(|error| error.to_string())?;
    let mut body = vec![0u8; header.length as usize];
    reader.read_exact(&mut body).await.map_err(|_| "the channel closed in a message".to_owned())?;
    frame::check_body(header, &body).map_err(|error| error.to_string())?;
    frame::decode_body(&body).map_err(|error| error.to_string())
}
