//! A writer whose lines stay in order, whatever stops it in the middle of a write.
//!
//! ```sh
//! cargo run -p tenure-examples --bin fenced-writer
//! ```
//!
//! Start it in two terminals. Press Ctrl-Z in the one that leads, wait until the other has taken over, and continue the
//! first with `fg`: the line that it was about to write is refused. No question to the lease can prevent that: the writer
//! was stopped *after* it had asked.

mod ledger;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use ledger::{Ledger, Refused};
use tenure::{Election, Fenced, Leadership, Mandate};
use tokio_util::sync::CancellationToken;

/// A writer whose lines stay in order: start it in two terminals, stop one with Ctrl-Z, continue it with fg.
#[derive(Debug, Parser)]
struct Args {
    /// Store of the lease [default: sqlite: in the temporary folder]
    #[arg(long, env = "TENURE_STORE")]
    store: Option<String>,
    /// File to write to [default: tenure-ledger.txt in the temporary folder]
    #[arg(long)]
    file: Option<PathBuf>,
    /// This writer's name
    #[arg(long)]
    name: Option<String>,
    /// Seconds that the lease lasts without renewal
    #[arg(long, default_value_t = 3)]
    ttl_seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let file = args.file.unwrap_or_else(|| std::env::temp_dir().join("tenure-ledger.txt"));
    println!("Writing to {}", file.display());
    let ledger = Ledger::open(&file).with_context(|| format!("cannot open {}", file.display()))?;

    let store = tenure_open::open(&args.store.unwrap_or_else(tenure_examples::default_store)).await?;
    let mut builder = Election::builder(store, "examples/ledger").ttl(Duration::from_secs(args.ttl_seconds));
    if let Some(name) = args.name {
        builder = builder.holder(name);
    }
    let (election, ledger) = (builder.start()?, Arc::new(Mutex::new(ledger)));
    election
        .run_until(tenure_examples::asked_to_stop(), |leadership| write_until_lost(leadership, Arc::clone(&ledger)))
        .await
}

/// Writing blocks, so it has a thread of its own, which is asked to stop, and which the leadership waits for: the lease is
/// released only after the last write. What has not ended at the deadline is left behind; then only the ledger protects.
async fn write_until_lost(leadership: Leadership, ledger: Arc<Mutex<Ledger>>) -> Result<()> {
    println!("Leading under term {}", leadership.term());
    let (mandate, stop) = (leadership.mandate(), CancellationToken::new());
    let mut thread = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || write(&mandate, &ledger, &stop)
    });
    tokio::select! {
        ended = &mut thread => ended?.context("cannot write")?,
        _ = leadership.lost() => {
            stop.cancel();
            thread.await?.context("cannot write")?;
        }
    }
    println!("Leading no longer");
    Ok(())
}

fn write(mandate: &Mandate, ledger: &Mutex<Ledger>, stop: &CancellationToken) -> std::io::Result<()> {
    for number in 1_u64.. {
        // This keeps a writer from trying in vain, nearly always.
        if stop.is_cancelled() || !mandate.is_current() {
            break;
        }
        println!("Writing line {number}");
        // And here is why "nearly": between the question and the write any time may pass. A page is read from a disk, a
        // request waits on a network, somebody presses Ctrl-Z.
        std::thread::sleep(Duration::from_millis(400));
        // This holds always: the sink itself compares the terms.
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match ledger.append(mandate.term(), &format!("line {number}")) {
            Ok(()) => {}
            Err(Refused::Fenced(fenced)) => {
                println!("REFUSED line {number}: {fenced}");
                // The tenure ends here, and the next campaign claims a term above the one that has overtaken us.
                if let Fenced::Stale { seen, .. } = fenced {
                    mandate.fenced(seen);
                }
                break;
            }
            Err(Refused::Io(error)) => return Err(error),
        }
    }
    Ok(())
}
