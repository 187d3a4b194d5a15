//! The null trainer as a process of its own, behind the same socket and frames as a real one: `nasd null-trainer`,
//! which nobody starts by hand. It has no heartbeat, as no order takes long.

use std::{os::fd::AsFd, path::Path, time::Duration};

use nasd_protocol::{frame, trainer::ToTrainer};
use nasd_store::{RealFiles, WeightsFolder};
use tokio::{io::AsyncWriteExt, net::UnixStream, sync::mpsc};

use super::{TrainerEvent, null, process};
use crate::failure::Failed;

/// Serve on standard input, a socket, until it closes.
pub async fn serve_null(weights: &Path) -> Result<(), Failed> {
    let descriptor = std::io::stdin().as_fd().try_clone_to_owned().map_err(Failed::other)?;
    let stream = std::os::unix::net::UnixStream::from(descriptor);
    stream.set_nonblocking(true).map_err(Failed::other)?;
    let (mut reader, mut writer) = UnixStream::from_std(stream).map_err(Failed::other)?.into_split();
    let (orders, receiver) = mpsc::unbounded_channel();
    let (events, mut said) = mpsc::unbounded_channel();
    null::start(0, WeightsFolder::new(RealFiles::shared(), weights), Duration::ZERO, receiver, events);
    tokio::spawn(async move {
        while let Some((_, event)) = said.recv().await {
            let TrainerEvent::Said(message) = event else { return };
            let Ok(bytes) = frame::encode(&*message) else { return };
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    while let Ok(order) = process::read::<ToTrainer>(&mut reader).await {
        if orders.send(order).is_err() {
            break;
        }
    }
    Ok(())
}
