//! `tenure demo`: three instances, a simulated Twitch, and everything that can happen to them, before your eyes.

mod instance;
mod leaders;
mod script;
mod summary;
mod view;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tenure_core::LeaseKey;
use tenure_twitch_sim::{Checker, Sim, SimConfig, StartRule, Verdict};

use instance::{Common, Instance};
use leaders::Leaders;
use script::{Stage, Timeline};
use summary::Summary;

use crate::signals::Signals;
use crate::{exit, output};

/// Flags of `tenure demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Three real `tenure ingest` processes read a simulated Twitch; one publishes. Then its worker is killed, its host is
lost, it is stopped past its lease and continued, all are restarted in turn, its chat connection is reset, and the bus
is locked. In the end a checker, which knows only what the simulator sent and what the bus holds, counts what was lost
and what was doubled. The files stay, for a look with sqlite3.

Exit code: 0 if nothing was lost or doubled, else 1.")]
pub(crate) struct Args {
    /// How long to chat; longer where the faults need it
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Messages a second, over all channels
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// Channels
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=90))]
    channels: u16,
    /// What the simulated chat follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object at the end, on stdout
    #[arg(long)]
    json: bool,
}

/// The demo's ttl: short, so that a lost host is over soon.
const TTL: Duration = Duration::from_secs(2);
/// The instances.
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Runs the demo.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    crate::logs::start("warn", crate::logs::Format::Text, "tenure-demo");
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            summary = demo(&args) => summary.map(Ok),
            // What was on the stage is dropped, and with it every instance is killed.
            signal = signals.next() => Ok(Err(signal)),
        }
    });
    // The view leaves the terminal as it found it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let summary = match outcome? {
        Ok(summary) => summary,
        Err(signal) => {
            eprintln!("tenure: {signal}: the demo was broken off");
            return Ok(ExitCode::from(exit::after(signal)));
        }
    };
    if args.json {
        output::line(summary.to_json())?;
    } else {
        output::line(summary.to_text())?;
    }
    Ok(if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn demo(args: &Args) -> Result<Summary> {
    let folder = tempfile::Builder::new().prefix("tenure-demo-").tempdir()?.keep();
    let (leases, chat) = (folder.join("leases.db"), folder.join("chat.db"));
    let channels = SimConfig::numbered_channels(usize::from(args.channels));
    let sim = SimConfig {
        channels: channels.clone(),
        rate: f64::from(args.rate),
        seed: args.seed,
        start: StartRule::WhenClients(NAMES.len()),
        // Budgets of real Twitch would only make the demo's restarts slow.
        join_budget: None,
        auth_budget: None,
        queue_bytes: 64 << 20,
        ..SimConfig::default()
    };
    let sim = Arc::new(Sim::start(sim).await.context("cannot start the simulated Twitch")?);
    let common = Common {
        folder: folder.clone(),
        store: format!("sqlite:{}", leases.display()),
        bus: format!("sqlite:{}", chat.display()),
        irc: format!("irc://{}", sim.addresses().irc),
        channels,
        ttl: TTL,
    };
    let store = tenure_open::open(&common.store).await.context("cannot open the demo's store")?;
    let leaders = Leaders::watch(store, LeaseKey::new("system/ircLeader")?);
    let instances = NAMES.iter().map(|name| Instance::start(name, &common)).collect::<Result<Vec<_>>>()?;
    let timeline = Arc::new(Mutex::new(Timeline::default()));
    let mut stage = Stage {
        instances,
        leaders: leaders.clone(),
        sim: Arc::clone(&sim),
        timeline: Arc::clone(&timeline),
        bus_file: chat.clone(),
        ttl: TTL,
        began: tenure::now(),
    };
    stage.all_ready().await.context("the demo cannot start; see the logs in its folder")?;
    stage.began = tenure::now();
    let span = Duration::from_secs(args.seconds);
    let view = view::View::start(args.json, &stage, span, folder.clone());
    let played = stage.play(span).await;
    if played.is_ok() {
        tokio::time::sleep((stage.began + span).since(tenure::now())).await;
    }
    let seconds = tenure::now().since(stage.began).as_secs_f64();
    sim.stop_chat().await;
    sim.drained(Duration::from_secs(10)).await;
    let verdict = settle(&sim, &chat).await;
    end(stage).await?;
    view.stop().await;
    played.with_context(|| format!("the demo broke off; its files are in {}", folder.display()))?;
    // Judged once more when every process has ended: nothing may come late.
    let verdict = judge(&sim, &chat).or(verdict)?;
    Summary::new(verdict, &timeline, &chat, &folder, seconds)
}

/// Waits until everything that was sent is on the bus, or long enough for every repair.
async fn settle(sim: &Arc<Sim>, chat: &std::path::Path) -> Result<Verdict> {
    let give_up = tenure::now() + Duration::from_secs(20);
    loop {
        let verdict = judge(sim, chat)?;
        if verdict.lost.count == 0 || tenure::now() > give_up {
            return Ok(verdict);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The verdict of the ledger and the bus's file alone.
fn judge(sim: &Sim, chat: &std::path::Path) -> Result<Verdict> {
    let mut checker = Checker::new(&sim.ledger());
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(chat, flags).context("cannot read the demo's bus")?;
    connection.busy_timeout(Duration::from_secs(10))?;
    let mut rows =
        connection.prepare("SELECT body FROM envelopes WHERE subject = 'internal.ingress.v1' ORDER BY pos")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        checker.envelope(row.get_ref(0)?.as_bytes()?);
    }
    Ok(checker.verdict())
}

async fn end(mut stage: Stage) -> Result<()> {
    for instance in &stage.instances {
        instance.terminate()?;
    }
    for instance in &mut stage.instances {
        instance.wait_end().await?;
    }
    Ok(())
}
