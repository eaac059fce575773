//! `tenure demo`: runs three instances against a simulated Twitch, injects faults, and shows what happens.

mod args;
mod faults;
mod files;
mod fleet;
mod instance;
mod leaders;
mod lines;
mod picture;
mod places;
mod plan;
mod score;
mod screen;
mod style;
mod summary;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use rustix::process::Signal;
use tenure_bus::{Bus, Subjects};
use tenure_twitch_sim::{Sim, SimConfig, StartRule, Verdict};

pub(crate) use args::Args;
use faults::FaultInjector;
use files::Files;
use fleet::Fleet;
use instance::{Common, Instance};
use leaders::Leaders;
use places::{Places, Tally};
use plan::{DemoFault, Plan};
use score::{Score, Scorer};
use style::Look;
use summary::Summary;
use view::{Sources, View};

use crate::exit::{End, Exit};
use crate::output;
use crate::signals::{self, Signals};

/// The demo's ttl: short, so that a lost host is over soon.
const TTL: Duration = Duration::from_secs(2);
/// How long the instances hold a message by default; a bus that the demo creates must keep its messages for longer.
const RING_AGE: Duration = Duration::from_secs(600);
/// The names of the instances.
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// The width of the page where standard output is no terminal.
const PAGE_WIDTH: usize = 80;

/// Runs the demo.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    crate::logs::start("warn", crate::logs::Format::Text, "tenure-demo");
    let mut files = Files::new()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = async {
        let mut signals = Signals::listen()?;
        let mut demo = tokio::select! {
            demo = Demo::start(&args, &files) => demo?,
            signal = signals.next() => return Ok(Err((signal, Default::default()))),
        };
        tokio::select! {
            summary = demo.play(&args, &files) => summary.map(Ok),
            // Dropping the demo drops the view, and the instances, which kills their processes.
            signal = signals.next() => Ok(Err((signal, demo.so_far()))),
        }
    };
    let outcome = runtime.block_on(outcome.boxed_local());
    // Tasks that still read the bus close it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let summary = match outcome {
        Ok(Ok(summary)) => summary,
        Ok(Err((signal, so_far))) => return Ok(broken_off(signal, so_far, files)),
        Err(error) => {
            files.keep_logs();
            return Err(error);
        }
    };
    files.keep();
    let stdout = std::io::stdout();
    if args.json {
        output::line(summary.to_json())?;
    } else {
        let width = if stdout.is_terminal() { crate::table::line_width() } else { PAGE_WIDTH };
        output::line(summary.to_text(Look::of(&stdout), width))?;
    }
    Ok(if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the demo as a signal asked for: there is no verdict, so no files stay.
fn broken_off(signal: Signal, (elapsed, score): (Duration, Score), files: Files) -> ExitCode {
    drop(files);
    say!(
        "tenure: {}: broken off after {:.0} s; all is ended, its files are removed",
        signals::name(signal),
        elapsed.as_secs_f64()
    );
    say!(
        "tenure: until then: sent {}, published {}, lost {}, doubled {}",
        style::grouped(score.sent),
        style::grouped(score.published),
        style::grouped(score.lost),
        style::grouped(score.doubled)
    );
    End::asked(signal).take()
}

/// A running demo. Dropping it kills what it started, and leaves the terminal as it was before.
struct Demo {
    // Dropped first, so that nothing is painted any more when the rest ends.
    view: Option<View>,
    injector: FaultInjector,
    plan: Arc<Plan>,
    scorer: Scorer,
    sim: Arc<Sim>,
    bus: Arc<dyn Bus>,
    places: Places,
}

impl Demo {
    /// Starts the simulated Twitch, the instances and the view; waits for none of them.
    async fn start(args: &Args, files: &Files) -> Result<Demo> {
        let folder = files.folder();
        let places = Places::new(args, folder).map_err(Exit::usage)?;
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
            folder: folder.to_owned(),
            places: places.clone(),
            irc: format!("irc://{}", sim.addresses().irc),
            channels,
            ttl: TTL,
        };
        let plan = Arc::new(Plan::new(DemoFault::all(&places), Duration::from_secs(args.seconds)));
        let store = crate::store::open(&places.store).await?;
        let subjects = Subjects::new(&places.bus_prefix);
        let bus = crate::bus::open(&places.bus, &subjects, RING_AGE).await?;
        let leaders = Leaders::watch(store, places.lease.clone());
        let scorer = Scorer::follow(Arc::clone(&sim), Arc::clone(&bus), subjects.ingress);
        let instances = NAMES.iter().map(|name| Instance::start(name, &common)).collect::<Result<Vec<_>>>()?;
        let sources = Sources {
            plan: Arc::clone(&plan),
            scorer: scorer.clone(),
            fleet: Fleet::watch(instances.iter().map(Instance::probe).collect()),
            leaders: leaders.clone(),
            folder: folder.to_owned(),
        };
        let injector = FaultInjector {
            instances,
            leaders,
            sim: Arc::clone(&sim),
            plan: Arc::clone(&plan),
            places: places.clone(),
            ttl: TTL,
        };
        let view = Some(View::start(sources).context("cannot start a thread")?);
        Ok(Demo { view, injector, plan, scorer, sim, bus, places })
    }

    /// Plays the faults, ends everything, and counts.
    async fn play(&mut self, args: &Args, files: &Files) -> Result<Summary> {
        self.injector.all_ready().await.context("the demo cannot start")?;
        self.plan.chat_begins();
        let injected = self.injector.inject_all().await;
        if injected.is_ok() {
            tokio::time::sleep(self.plan.span().saturating_sub(self.plan.elapsed())).await;
        }
        let lasted = self.plan.elapsed();
        self.plan.counting_begins();
        self.sim.stop_chat().await;
        self.sim.drained(Duration::from_secs(10)).await;
        let verdict = self.settle().await;
        let counted = self.injector.counted().await;
        self.injector.end_instances().await?;
        injected.context("the demo broke off")?;
        // Judged once more after every process has ended, so that late messages count too.
        let (verdict, tally) = self.places.judge(&self.sim, self.bus.as_ref()).await.or(verdict)?;
        if !args.json && std::io::stdout().is_terminal() {
            // The page says all that the picture said.
            self.view.take().into_iter().for_each(View::clear);
        }
        let places = self.places.clone();
        Summary::new(verdict, tally, counted, self.plan.now(), places, files.folder(), lasted)
    }

    /// How long the chat has been going on, and the score so far.
    fn so_far(&self) -> (Duration, Score) {
        let began = self.plan.now().phase != plan::Phase::Starting;
        (if began { self.plan.elapsed() } else { Duration::ZERO }, self.scorer.now())
    }

    /// Waits until everything that was sent is on the bus, but no longer than every repair takes.
    async fn settle(&self) -> Result<(Verdict, Tally)> {
        let give_up = tenure::now() + Duration::from_secs(20);
        loop {
            let judged = self.places.judge(&self.sim, self.bus.as_ref()).await?;
            if judged.0.lost.count == 0 || tenure::now() > give_up {
                return Ok(judged);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
