//! `tenure demo`: three instances, a simulated Twitch, and everything that can happen to them, before your eyes.

mod instance;
mod leaders;
mod places;
mod script;
mod summary;
mod view;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tenure_bus::{Bus, Subjects};
use tenure_twitch_sim::{Sim, SimConfig, StartRule, Verdict};

use instance::{Common, Instance};
use leaders::Leaders;
use places::{Places, Tally};
use script::{Stage, Timeline};
use summary::Summary;

use crate::exit::{End, Exit};
use crate::output;
use crate::signals::{self, Signals};

/// Flags of `tenure demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Three real `tenure ingest` processes read a simulated Twitch; one publishes. Then its worker is \
killed, its host is lost, it is stopped past its lease and continued, all are restarted in turn, \
its chat connection is reset, and the bus is locked. In the end a checker, which knows only what \
the simulator sent and what the bus holds, counts what was lost and what was doubled. The files \
stay, for a look with sqlite3.

With --store and --bus the same plays over your servers, under names of the demo's own; they may \
be restarted meanwhile, and are where --restart-store and --restart-bus say how.

Examples:
  tenure demo
  tenure demo --seconds 40 --json
  tenure demo --store redis://127.0.0.1:6379 --bus nats://127.0.0.1:4222 \\
    --restart-bus 'docker restart nats'

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
    /// Store of the leases [default: a SQLite file in the demo's folder]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Bus for the envelopes [default: a SQLite file in the demo's folder]
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// A shell command that restarts the store's server: one more fault
    #[arg(long, value_name = "CMD", requires = "store")]
    restart_store: Option<String>,
    /// A shell command that restarts the bus's server: one more fault
    #[arg(long, value_name = "CMD", requires = "bus")]
    restart_bus: Option<String>,
    /// Print one JSON object at the end, on stdout
    #[arg(long)]
    json: bool,
}

/// The demo's ttl: short, so that a lost host is over soon.
const TTL: Duration = Duration::from_secs(2);
/// What the instances may hold a message for, where nobody says otherwise: a bus that is made must outlast it.
const RING_AGE: Duration = Duration::from_secs(600);
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
            eprintln!("tenure: {}: the demo was broken off", signals::name(signal));
            return Ok(End::asked(signal).take());
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
    let places = Places::new(args, &folder).map_err(Exit::usage)?;
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
        places: places.clone(),
        irc: format!("irc://{}", sim.addresses().irc),
        channels,
        ttl: TTL,
    };
    let store = crate::store::open(&places.store).await?;
    let bus = crate::bus::open(&places.bus, &Subjects::new(&places.bus_prefix), RING_AGE).await?;
    let leaders = Leaders::watch(store, places.lease.clone());
    let instances = NAMES.iter().map(|name| Instance::start(name, &common)).collect::<Result<Vec<_>>>()?;
    let timeline = Arc::new(Mutex::new(Timeline::default()));
    let mut stage = Stage {
        instances,
        leaders: leaders.clone(),
        sim: Arc::clone(&sim),
        timeline: Arc::clone(&timeline),
        places: places.clone(),
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
    let verdict = settle(&sim, &places, bus.as_ref()).await;
    let counted = stage.counted().await;
    end(stage).await?;
    view.stop().await;
    played.with_context(|| format!("the demo broke off; its files are in {}", folder.display()))?;
    // Judged once more when every process has ended: nothing may come late.
    let (verdict, tally) = places.judge(&sim, bus.as_ref()).await.or(verdict)?;
    Summary::new(verdict, tally, counted, &timeline, places, &folder, seconds)
}

/// Waits until everything that was sent is on the bus, or long enough for every repair.
async fn settle(sim: &Arc<Sim>, places: &Places, bus: &dyn Bus) -> Result<(Verdict, Tally)> {
    let give_up = tenure::now() + Duration::from_secs(20);
    loop {
        let judged = places.judge(sim, bus).await?;
        if judged.0.lost.count == 0 || tenure::now() > give_up {
            return Ok(judged);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
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
