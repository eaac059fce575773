//! `tenure demo`: runs three instances against a simulated Twitch, injects faults, and shows what happens.

mod args;
mod faults;
mod instance;
mod leaders;
mod places;
mod summary;
mod view;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tenure_bus::{Bus, Subjects};
use tenure_twitch_sim::{Sim, SimConfig, StartRule, Verdict};

pub(crate) use args::Args;
use faults::{FaultInjector, Timeline};
use instance::{Common, Instance};
use leaders::Leaders;
use places::{Places, Tally};
use summary::Summary;

use crate::exit::{End, Exit};
use crate::output;
use crate::signals::{self, Signals};

/// The demo's ttl: short, so that a lost host is over soon.
const TTL: Duration = Duration::from_secs(2);
/// How long the instances hold a message by default; a bus that the demo creates must keep its messages for longer.
const RING_AGE: Duration = Duration::from_secs(600);
/// The names of the instances.
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Runs the demo.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    crate::logs::start("warn", crate::logs::Format::Text, "tenure-demo");
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            summary = demo(&args) => summary.map(Ok),
            // Dropping the injector drops the instances, which kills their processes.
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
        // The budgets of the real Twitch would only slow the demo's restarts down.
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
    let mut injector = FaultInjector {
        instances,
        leaders: leaders.clone(),
        sim: Arc::clone(&sim),
        timeline: Arc::clone(&timeline),
        places: places.clone(),
        ttl: TTL,
        began: tenure::now(),
    };
    injector.all_ready().await.context("the demo cannot start; see the logs in its folder")?;
    injector.began = tenure::now();
    let span = Duration::from_secs(args.seconds);
    let view = view::View::start(args.json, &injector, span, folder.clone());
    let injected = injector.inject_all(span).await;
    if injected.is_ok() {
        tokio::time::sleep((injector.began + span).since(tenure::now())).await;
    }
    let seconds = tenure::now().since(injector.began).as_secs_f64();
    sim.stop_chat().await;
    sim.drained(Duration::from_secs(10)).await;
    let verdict = settle(&sim, &places, bus.as_ref()).await;
    let counted = injector.counted().await;
    end(injector).await?;
    view.stop().await;
    injected.with_context(|| format!("the demo broke off; its files are in {}", folder.display()))?;
    // Judged once more after every process has ended, so that late messages count too.
    let (verdict, tally) = places.judge(&sim, bus.as_ref()).await.or(verdict)?;
    Summary::new(verdict, tally, counted, &timeline, places, &folder, seconds)
}

/// Waits until everything that was sent is on the bus, but no longer than every repair takes.
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

async fn end(mut injector: FaultInjector) -> Result<()> {
    for instance in &injector.instances {
        instance.terminate()?;
    }
    for instance in &mut injector.instances {
        instance.wait_end().await?;
    }
    Ok(())
}
