//! A worker: an ordinary user of the library, which acts while it leads and writes down when.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tenure::{Election, Fenced, Leadership, Mandate};
use tokio::signal::unix::{SignalKind, signal};

use crate::journal::{Entry, Journal, boottime};
use crate::sink::{Sink, Written};

/// The argument that makes this program a worker. Behind it: the URL of the store, the key, its own name, the ttl in
/// milliseconds, its journal, the sink.
pub(crate) const MODE: &str = "--worker";
/// How often it acts.
const EVERY: Duration = Duration::from_millis(4);
/// How long an act takes.
const ACT: Duration = Duration::from_millis(1);
/// How long what it has left behind may take to end.
const ENDING: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Args {
    url: String,
    key: String,
    name: String,
    ttl: Duration,
    journal: PathBuf,
    sink: PathBuf,
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [url, key, name, ttl, journal, sink] = arguments else {
        eprintln!("{MODE} URL KEY NAME TTL_MS JOURNAL SINK");
        return ExitCode::FAILURE;
    };
    let args = Args {
        url: url.clone(),
        key: key.clone(),
        name: name.clone(),
        ttl: Duration::from_millis(ttl.parse().unwrap_or(1_500)),
        journal: journal.into(),
        sink: sink.into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let worked = runtime.context("no runtime").and_then(|runtime| runtime.block_on(work(args)));
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Takes part until SIGTERM. SIGUSR1 makes a leader resign, who then campaigns again at once; SIGUSR2 makes it hand over to
/// somebody else.
async fn work(args: Args) -> Result<()> {
    let (mut ends, mut resigns) = (signal(SignalKind::terminate())?, signal(SignalKind::user_defined1())?);
    let mut hands_over = signal(SignalKind::user_defined2())?;
    let store = loop {
        match tenure_open::open(&args.url).await {
            Ok(store) => break store,
            // Where servers are away a worker comes up all the same.
            Err(error) => eprintln!("{}: cannot open yet: {error}", args.name),
        }
        tokio::select! {
            _ = ends.recv() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    };
    let election = Arc::new(Election::builder(store, &args.key).ttl(args.ttl).holder(&args.name).start()?);
    let resigner = tokio::spawn({
        let (election, away_for) = (Arc::clone(&election), args.ttl);
        async move {
            loop {
                tokio::select! {
                    _ = resigns.recv() => election.resign(),
                    _ = hands_over.recv() => {
                        election.set_healthy(false);
                        tokio::time::sleep(away_for).await;
                        election.set_healthy(true);
                    }
                }
            }
        }
    });
    election.run_until(ends.recv(), |leadership| lead(leadership, args.clone())).await?;
    resigner.abort();
    let _ = resigner.await;
    drop(election);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let give_up = boottime() + ENDING;
    while tasks() > 0 && boottime() < give_up {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Journal::append_to(&args.journal)?.write(Entry::Ended { tasks: tasks() })?;
    Ok(())
}

/// Acts on a thread of its own until the leadership is lost; the lease is released after the last act.
async fn lead(leadership: Leadership, args: Args) -> Result<()> {
    let (mandate, stop) = (leadership.mandate(), Arc::new(AtomicBool::new(false)));
    let mut thread = tokio::task::spawn_blocking({
        let stop = Arc::clone(&stop);
        move || act(&mandate, &stop, &args)
    });
    tokio::select! {
        ended = &mut thread => ended?,
        _ = leadership.lost() => {
            stop.store(true, Ordering::Relaxed);
            thread.await?
        }
    }
}

fn act(mandate: &Mandate, stop: &AtomicBool, args: &Args) -> Result<()> {
    let (mut journal, mut sink) = (Journal::append_to(&args.journal)?, Sink::open(&args.sink)?);
    let term = mandate.term();
    while !stop.load(Ordering::Relaxed) {
        // The moment is read first: whoever is current afterwards was current then, whatever came in between.
        let at = boottime();
        if !mandate.is_current() {
            break;
        }
        journal.write(Entry::Begin { at, term: term.get() })?;
        std::thread::sleep(ACT);
        let written = sink.write(term)?;
        if let Written::Refused(fenced) = written {
            journal.write(Entry::Refused { term: term.get() })?;
            if let Fenced::Stale { seen, .. } = fenced {
                mandate.fenced(seen);
            }
        }
        journal.write(Entry::End { at: boottime() })?;
        std::thread::sleep(EVERY);
    }
    Ok(())
}
