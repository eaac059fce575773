//! Measures Tenure beside its peers, in alternating pairs of CPU time.

mod channels;
mod clock;
mod corpus;
mod envelope;
mod failover;
mod handoff;
mod idle;
mod latency;
mod machine;
mod memory;
mod nats;
mod node;
mod pairs;
mod parse;
mod renew;
mod report;
mod run;
mod servers;
mod sqlite;
mod takeover;
mod tmi_envelope;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::pairs::Effort;
use crate::report::Report;

/// Measures Tenure beside its peers.
#[derive(Debug, Parser)]
#[command(name = "tenure-benches", version)]
struct Args {
    /// Three short pairs in place of nine
    #[arg(long)]
    quick: bool,
    /// Only groups whose name contains this: parse, envelope, sqlite, memory, channels, nats, renew, handoff, takeover,
    /// run, idle
    #[arg(long, value_name = "GROUP", default_value = "")]
    only: String,
    /// Where the results go as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the results go as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// The folder with peer.mjs and its packages; without it the rows beside Node are left out
    #[arg(long, value_name = "FOLDER")]
    node: Option<PathBuf>,
    /// A Python 3 that has python-redis-lock; without it the row beside it is left out
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// The program `tenure`; without it the rows about it are left out
    #[arg(long, value_name = "PROGRAM")]
    tenure: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts for which this program starts itself as another process.
#[derive(Debug, Subcommand)]
enum Part {
    /// Hands one lease over, on every store in one run, beside what people use on the same server
    Handoff(failover::Options),
    #[command(hide = true)]
    ServeTls { folder: PathBuf },
    #[command(hide = true)]
    IdleBare { port: u16, ca: PathBuf, connections: usize },
    #[command(hide = true)]
    IdleOurs { port: u16, ca: PathBuf, connections: usize },
    #[command(hide = true)]
    Listen { port: u16, ca: PathBuf, channels: usize, lines_each: u64 },
    #[command(hide = true)]
    Candidate { kind: String, url: String, key: String, ttl_ms: Option<u64> },
    #[command(hide = true)]
    Hold { url: String, seconds: u64 },
    #[command(hide = true)]
    Work { path: PathBuf },
}

fn main() -> Result<()> {
    let args = Args::parse();
    match &args.part {
        None => measure(&args),
        Some(Part::ServeTls { folder }) => {
            memory::raise_open_files();
            memory::server::serve(folder)
        }
        Some(Part::IdleBare { port, ca, connections }) => answer(&memory::bare::hold(*port, ca, *connections)?),
        Some(Part::IdleOurs { port, ca, connections }) => answer(&memory::ours::hold(*port, ca, *connections)?),
        Some(Part::Listen { port, ca, channels, lines_each }) => {
            answer(&memory::ours::listen(*port, ca, *channels, *lines_each)?)
        }
        Some(Part::Handoff(options)) => failover::run(options),
        Some(Part::Candidate { kind, url, key, ttl_ms }) => {
            handoff::candidate_process::run(kind, url, key, ttl_ms.map(Duration::from_millis))
        }
        Some(Part::Work { path }) => takeover::command::run(path),
        Some(Part::Hold { url, seconds }) => answer(&idle::holder::hold(url, *seconds)?),
    }
}

fn measure(args: &Args) -> Result<()> {
    let effort = if args.quick { Effort::QUICK } else { Effort::FULL };
    let lines = corpus::distinct_lines()?;
    let circumstances = vec![
        format!("{} CPUs, {}", thread::available_parallelism().map_or(0, usize::from), machine::cpu_name()),
        format!("{} pairs, CPU time, at least {} ms a batch", effort.pairs, effort.batch.as_millis()),
        format!("{}, node {}", machine::version_of("rustc"), machine::version_of("node")),
    ];
    let mut report = Report { circumstances, ..Report::default() };
    let wanted = |group: &str| {
        let wanted = group.contains(&args.only);
        if wanted {
            eprintln!("measuring: {group}");
        }
        wanted
    };
    if wanted(parse::GROUP) {
        parse::measure(&mut report, effort, &lines)?;
    }
    if wanted(envelope::GROUP) {
        envelope::measure(&mut report, effort, &lines, args.node.as_deref())?;
    }
    if wanted(sqlite::GROUP) {
        sqlite::measure(&mut report, effort, &lines)?;
    }
    if wanted(memory::GROUP) {
        memory::measure(&mut report, effort, if args.quick { 50 } else { 500 })?;
    }
    if wanted(channels::GROUP) {
        channels::measure(&mut report, effort, &lines)?;
    }
    if wanted(nats::GROUP) {
        nats::measure(&mut report, effort, &lines)?;
    }
    if wanted(renew::GROUP) {
        renew::measure(&mut report, effort)?;
    }
    if wanted(handoff::GROUP) {
        handoff::measure(&mut report, effort, args.python.as_deref())?;
    }
    if wanted(takeover::GROUP) {
        takeover::measure(&mut report, effort, args.tenure.as_deref())?;
    }
    if wanted(run::GROUP) {
        run::measure(&mut report, effort, args.tenure.as_deref())?;
    }
    if wanted(idle::GROUP) {
        idle::measure(&mut report, effort)?;
    }
    print!("{}", report.markdown());
    if let Some(path) = &args.json {
        write(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    if let Some(path) = &args.markdown {
        write(path, &report.markdown())?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints a part's result for the process that started it.
fn answer<T: serde::Serialize>(value: &T) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
