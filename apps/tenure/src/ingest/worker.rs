//! The worker: reads, leads, publishes. Its supervisor proves its death.

use std::sync::Arc;

use anyhow::{Context, Result};
use tenure_ingest::{Daemon, Shutdown};
use tenure_store::LeaseStore;

use super::config::Config;
use super::http;
use crate::exit::Exit;

/// Runs the daemon until a signal or the supervisor's death ends it.
pub(crate) fn run(config: Config, supervised: bool) -> Result<()> {
    end_with_any_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let outcome = runtime.block_on(serve(config, supervised));
    // What still blocks a thread (a stuck store) must not keep a worker that has released.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    outcome
}

async fn serve(config: Config, supervised: bool) -> Result<()> {
    let shutdown = Shutdown::default();
    if supervised {
        follow_supervisor(shutdown.clone())?;
    }
    let signals = shutdown.clone();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(component = "ingest", "SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!(component = "ingest", "SIGINT: draining"),
        }
        signals.drain();
    });
    // Endpoints come first: a start that hangs can be looked at.
    let endpoints = match config.http {
        Some(address) => Some(http::start(address, config.store.clone()).await.map_err(Exit::unreachable)?),
        None => None,
    };
    let store = open_store(&config.store).await.map_err(Exit::unreachable)?;
    let bus = crate::bus::open(&config.bus).map_err(Exit::unreachable)?;
    let daemon = Daemon::new(config.ingest, Arc::clone(&store), bus).map_err(|error| match error {
        tenure_ingest::DaemonError::Bus(_) | tenure_ingest::DaemonError::Election(_) => Exit::usage(error),
        other => anyhow::Error::new(other),
    })?;
    if let Some(endpoints) = &endpoints {
        endpoints.show(daemon.view(), store);
    }
    daemon.run(shutdown).await.context("the daemon ended")
}

/// Opens the store, making the default folder where that is where it lives.
pub(crate) async fn open_store(url: &str) -> Result<Arc<dyn LeaseStore>> {
    crate::places::prepare(url)?;
    tenure_open::open(url).await.with_context(|| format!("the store {}", super::settings::without_secrets(url)))
}

/// The supervisor holds the other end of stdin: its end means that nobody would prove this worker's death any more.
fn follow_supervisor(shutdown: Shutdown) -> Result<()> {
    let watch = move || {
        let mut byte = [0];
        loop {
            match rustix::io::read(rustix::stdio::stdin(), &mut byte) {
                Ok(1..) | Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => break,
            }
        }
        tracing::warn!(component = "ingest", "the supervisor has gone: stopping, releasing, exiting");
        shutdown.hurry();
    };
    std::thread::Builder::new().name("supervisor-watch".into()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}

/// A panic in any thread or task ends the whole worker, so that its supervisor acts on it.
fn end_with_any_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::exit(101);
    }));
}
