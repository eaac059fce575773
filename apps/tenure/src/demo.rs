//! `tenure demo`: three instances, a simulated Twitch, and everything that can happen to them, before your eyes.

mod args;
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

pub(crate) use args::Args;
use instance::{Common, Instance};
use leaders::Leaders;
use places::{Places, Tally};
use script::{Stage, Timeline};
use summary::Summary;

use crate::exit::{End, Exit};
use crate::output;
use crate::signals::{self, Signals};

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
