//! The worker: reads chat, leads, publishes. Its supervisor proves its death.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use futures_util::FutureExt;
use rustix::event::{PollFd, PollFlags, poll};
use tenure_ingest::{Daemon, Shutdown};

use super::config::Config;
use super::{http, service};
use crate::exit::Exit;
use crate::signals::{self, Signals};

/// Runs the daemon until a signal or the supervisor's death ends it.
pub(crate) fn run(config: Config, supervised: bool) -> Result<()> {
    end_with_any_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let outcome = runtime.block_on(serve(config, supervised).boxed_local());
    // A store call that still blocks a thread must not delay a worker that has released.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    outcome
}

async fn serve(config: Config, supervised: bool) -> Result<()> {
    let shutdown = Shutdown::default();
    if supervised {
        follow_supervisor(shutdown.clone())?;
    }
    let mut signals = Signals::listen()?;
    let manager = service::manager(supervised);
    let (asked, ending) = (shutdown.clone(), Arc::clone(&manager));
    tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::info!(component = "ingest", "{}: draining", signals::name(signal));
        ending.set_stopping();
        asked.drain();
        // The supervisor acts on a second signal: it kills this process, and proves its death.
        loop {
            signals.next().await;
        }
    });
    // The endpoints start first, so that a start that hangs can be inspected.
    let endpoints = match config.http {
        Some(address) => Some(http::start(address, config.store.clone()).await.map_err(Exit::unreachable)?),
        None => None,
    };
    let store = crate::store::open(&config.store).await?;
    let bus = crate::bus::open(&config.bus, &config.ingest.subjects, config.ingest.ring.age).await?;
    let output = Arc::new(AtomicBool::new(false));
    if tenure_bus_open::is_standard_output(&config.bus) {
        follow_output(shutdown.clone(), Arc::clone(&output))?;
    }
    let daemon = Daemon::new(config.ingest, Arc::clone(&store), bus).map_err(|error| match error {
        tenure_ingest::DaemonError::Bus(_) | tenure_ingest::DaemonError::Election(_) => Exit::usage(error),
        other => anyhow::Error::new(other),
    })?;
    if let Some(endpoints) = &endpoints {
        endpoints.show(daemon.view(), Arc::clone(&store));
    }
    let reporting = tokio::spawn(service::report(Arc::clone(&manager), daemon.view(), Arc::clone(&store)));
    let ended = daemon.run(shutdown).await;
    reporting.abort();
    manager.finish().await;
    ended.context("the daemon ended")?;
    if output.load(Ordering::Acquire) {
        return Err(Exit::output_closed(anyhow::anyhow!("nobody reads standard output any more")));
    }
    Ok(())
}

/// Shuts down when the supervisor has gone, which the end of stdin shows: nobody would prove this worker's death any
/// more.
fn follow_supervisor(shutdown: Shutdown) -> Result<()> {
    let watch = move || {
        wait_for_the_end_of_stdin();
        tracing::warn!(component = "ingest", "the supervisor has gone: stopping, releasing, exiting");
        shutdown.hurry();
    };
    std::thread::Builder::new().name("supervisor-watch".into()).spawn(watch).context("cannot start a thread")?;
    Ok(())
}

/// Blocks until the process at the other end of stdin has gone.
pub(super) fn wait_for_the_end_of_stdin() {
    let mut bytes = [0; 64];
    while matches!(rustix::io::read(rustix::stdio::stdin(), &mut bytes), Ok(1..) | Err(rustix::io::Errno::INTR)) {}
}

/// Shuts down when the reader of stdout has gone: a pipe gets no new reader, so everything published to it would be
/// lost.
fn follow_output(shutdown: Shutdown, closed: Arc<AtomicBool>) -> Result<()> {
    let watch = move || {
        let stdout = rustix::stdio::stdout();
        // No event is requested, so that only errors and the reader's end wake the poll.
        let mut output = [PollFd::new(&stdout, PollFlags::empty())];
        while matches!(poll(&mut output, None), Ok(0) | Err(rustix::io::Errno::INTR)) {}
        tracing::error!(
            component = "ingest",
            errorCode = "output_closed",
            "nobody reads standard output any more: ending"
        );
        closed.store(true, Ordering::Release);
        shutdown.hurry();
    };
    std::thread::Builder::new().name("output-watch".into()).spawn(watch).context("cannot start a thread")?;
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
