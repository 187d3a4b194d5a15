//! `nasd serve`: the daemon's process, from its configuration to its end.
//!
//! It ends on SIGTERM, SIGINT or by the API: runs under way come to a savepoint, within a deadline; a second signal ends
//! it at once, and loses nothing that was acknowledged either.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use sd_notify::NotifyState;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use super::{print, print_json, run::interruption};
use crate::{
    api::{self, Context, guard::Guard, token},
    cli::{Arguments, Serve},
    failure::Failed,
    logging::{self, Levels},
    run::cores,
    serve::{self, configuration::DaemonFile, daemon::Daemon},
};

/// Where a daemon says where it listens.
pub fn address_path(state: &Path) -> PathBuf {
    state.join("address")
}

/// Run the command.
pub fn run(arguments: &Arguments, serve: &Serve, data: &Path) -> Result<ExitCode, Failed> {
    let (mut file, beside) = serve::configuration::read(serve.config.as_deref())?;
    if let Some(listen) = serve.listen {
        if !listen.ip().is_loopback() {
            let problem = format!("--listen {listen}: give a loopback address, 127.0.0.1:7878");
            return Err(Failed::Configuration(problem));
        }
        file.listen = listen;
    }
    let levels = logging::start(arguments.log.as_deref().unwrap_or(&file.log.level), file.log.json)?;
    // Some of a run's work waits for the disk.
    let workers = cores() as usize + 4;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.map_err(Failed::other)?;
    let served = runtime.block_on(async {
        let daemon = serve::open(&file, &beside, &arguments.state, data)?;
        attend(arguments, &file, daemon, levels).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn attend(arguments: &Arguments, file: &DaemonFile, daemon: Daemon, levels: Levels) -> Result<ExitCode, Failed> {
    let state = &arguments.state;
    let mut interrupt = interruption()?;
    let token = token::find_or_make(state)?;
    let listener = TcpListener::bind(file.listen).await.map_err(|error| {
        Failed::Other(format!("listening on {}: {error}; --listen names another address, port 0 any", file.listen))
    })?;
    let address = listener.local_addr().map_err(Failed::other)?;
    daemon.begin_work()?;
    let (close, closing) = watch::channel(false);
    let router = api::router(Context::new(daemon.clone(), Guard::new(address.port(), &token), levels));
    let answering = tokio::spawn(api::server::serve(listener, router, closing));
    let mut following = {
        let daemon = daemon.clone();
        tokio::spawn(async move { daemon.go_on().await })
    };
    announce(arguments, address)?;
    let mut ending = daemon.ending();
    tokio::select! {
        biased;
        _ = interrupt.wait_for(|is_interrupted| *is_interrupted) => tracing::info!("the daemon is to end, by a signal"),
        _ = ending.wait_for(|is_ending| *is_ending) => {}
        // Without schedules and folders it is no daemon; another start may do better.
        broken = &mut following => tracing::error!(?broken, "nothing follows schedules and folders any more"),
    }
    let is_broken = following.is_finished() && !*daemon.ending().borrow();
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let is_drained = drain(&daemon, Duration::from_secs(file.drain_seconds)).await;
    close.send_replace(true);
    let _ = answering.await;
    let _ = std::fs::remove_file(address_path(state));
    daemon.close();
    tracing::info!("the daemon has ended");
    if is_drained && !is_broken { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::FAILURE) }
}

/// Say where it listens: to people, to clients, to systemd.
fn announce(arguments: &Arguments, address: SocketAddr) -> Result<(), Failed> {
    let path = address_path(&arguments.state);
    let part = path.with_extension("part");
    let written = std::fs::write(&part, format!("{address}\n")).and_then(|()| std::fs::rename(&part, &path));
    written.map_err(|error| Failed::Other(format!("{}: {error}", path.display())))?;
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    tracing::info!(%address, state = %arguments.state.display(), "the daemon listens");
    if arguments.json {
        return print_json(&json!({ "address": address.to_string(), "state": arguments.state }));
    }
    print(&format!(
        "nasd listens on http://{address}; runs and token are in {}; SIGTERM or Ctrl-C ends it",
        arguments.state.display()
    ));
    Ok(())
}

/// Whether all runs came to a savepoint in time.
async fn drain(daemon: &Daemon, limit: Duration) -> bool {
    daemon.end();
    if tokio::time::timeout(limit, daemon.drained()).await.is_ok() {
        return true;
    }
    let runs = daemon.under_way().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    eprintln!(
        "nasd: error: {runs} did not come to a savepoint within {} s (drain-seconds); what they had is in their journals, \
         and they go on from there",
        limit.as_secs()
    );
    false
}
