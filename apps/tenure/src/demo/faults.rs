//! Injects the demo's faults, one after the other, and measures what each cost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tenure_core::{Term, Time};
use tenure_twitch_sim::{Cut, Fault, Select, Sim};

use super::instance::Instance;
use super::leaders::Leaders;
use super::places::{Places, restart};

/// One fault that was injected.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FaultRecord {
    pub(crate) kind: &'static str,
    pub(crate) at_ms: u64,
    pub(crate) lasted_ms: u64,
    #[serde(skip)]
    pub(crate) text: String,
}

/// One takeover: how long after its cause another instance led.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Takeover {
    pub(crate) cause: &'static str,
    pub(crate) ms: u64,
    #[serde(skip)]
    pub(crate) text: String,
}

/// The faults and takeovers so far; shared with the view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) faults: Vec<FaultRecord>,
    pub(crate) takeovers: Vec<Takeover>,
    pub(crate) doing: String,
}

/// Injects the faults into the demo's instances, store and bus.
pub(crate) struct FaultInjector {
    pub(crate) instances: Vec<Instance>,
    pub(crate) leaders: Leaders,
    pub(crate) sim: Arc<Sim>,
    pub(crate) timeline: Arc<Mutex<Timeline>>,
    pub(crate) places: Places,
    pub(crate) ttl: Duration,
    pub(crate) began: Time,
}

/// The faults that the demo can inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DemoFault {
    KillWorker,
    LoseHost,
    Pause,
    Roll,
    Cut,
    LockBus,
    RestartStore,
    RestartBus,
}

/// The sums of the instances' own counters; a lower bound, because an instance's counters end with its process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CounterSums {
    pub(crate) deduplicated: u64,
    pub(crate) refused: u64,
}

impl FaultInjector {
    /// Injects all faults, spread over `span`; each waits until the one before is overcome.
    pub(crate) async fn inject_all(&mut self, span: Duration) -> Result<()> {
        let faults = self.faults();
        let gap = span / u32::try_from(faults.len() + 1)?;
        for (number, fault) in (1_u32..).zip(faults) {
            self.all_ready().await.context("the instances do not get ready")?;
            let due = self.began + gap * number;
            tokio::time::sleep(due.since(tenure::now())).await;
            match fault {
                DemoFault::KillWorker => self.kill_worker().await?,
                DemoFault::LoseHost => self.lose_host().await?,
                DemoFault::Pause => self.pause().await?,
                DemoFault::Roll => self.roll().await?,
                DemoFault::Cut => self.cut().await?,
                DemoFault::LockBus => self.lock_bus().await?,
                DemoFault::RestartStore => self.restart_store().await?,
                DemoFault::RestartBus => self.restart_bus().await?,
            }
        }
        self.all_ready().await
    }

    /// A server without a restart command is not restarted.
    fn faults(&self) -> Vec<DemoFault> {
        let mut faults =
            vec![DemoFault::KillWorker, DemoFault::LoseHost, DemoFault::Pause, DemoFault::Roll, DemoFault::Cut];
        faults.extend(self.places.file.is_some().then_some(DemoFault::LockBus));
        faults.extend(self.places.restart_store.is_some().then_some(DemoFault::RestartStore));
        faults.extend(self.places.restart_bus.is_some().then_some(DemoFault::RestartBus));
        faults
    }

    /// Sums the counters of the instances that run.
    pub(crate) async fn counted(&self) -> CounterSums {
        let mut counted = CounterSums::default();
        for instance in &self.instances {
            let Ok(vars) = instance.probe().vars().await else { continue };
            let number = |pointer: &str| vars.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0);
            counted.deduplicated += number("/ingest/deduplicated");
            counted.refused += number("/ingest/fenced");
        }
        counted
    }

    async fn kill_worker(&mut self) -> Result<()> {
        let (leader, term) = self.leader().await?;
        let at = self.begin(format!("kill -9 of the worker of {}", self.instances[leader].name));
        self.instances[leader].kill_worker().await?;
        self.takeover("worker_killed", Some(term), at).await?;
        self.end("worker_killed", at);
        Ok(())
    }

    async fn lose_host(&mut self) -> Result<()> {
        let (leader, term) = self.leader().await?;
        let at = self.begin(format!("worker and supervisor of {} killed together", self.instances[leader].name));
        self.instances[leader].lose_host().await?;
        self.takeover("host_lost", Some(term), at).await?;
        self.instances[leader].spawn()?;
        self.end("host_lost", at);
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        let (leader, term) = self.leader().await?;
        let at = self.begin(format!("{} stopped for two ttls, then continued", self.instances[leader].name));
        let worker = self.instances[leader].pause().await?;
        let taken = self.takeover("paused", Some(term), at).await;
        tokio::time::sleep((at + self.ttl * 2).since(tenure::now())).await;
        self.instances[leader].resume(worker)?;
        self.end("paused", at);
        taken
    }

    async fn roll(&mut self) -> Result<()> {
        let at = self.begin("rolling restart of all three".to_owned());
        for number in 0..self.instances.len() {
            let (leader, term) = self.leader().await?;
            let asked = tenure::now();
            self.instances[number].terminate()?;
            if leader == number {
                self.takeover("rolling_restart", Some(term), asked).await?;
            }
            self.instances[number].wait_end().await?;
            self.instances[number].spawn()?;
            self.all_ready().await?;
        }
        self.end("rolling_restart", at);
        Ok(())
    }

    async fn cut(&mut self) -> Result<()> {
        let (leader, _) = self.leader().await?;
        let peer = self.instances[leader].chat_address().await?;
        let at = self.begin(format!("chat connection of {} reset", self.instances[leader].name));
        self.sim.fault(Fault::Cut { select: Select::Peer(peer), how: Cut::Rst }).context("cannot cut")?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.all_ready().await?;
        self.end("connection_cut", at);
        Ok(())
    }

    async fn lock_bus(&mut self) -> Result<()> {
        let Some(file) = self.places.file.clone() else { return Ok(()) };
        let at = self.begin("bus locked for 3 s".to_owned());
        let lock = move || -> Result<()> {
            let connection = rusqlite::Connection::open(file)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            std::thread::sleep(Duration::from_secs(3));
            connection.execute_batch("ROLLBACK")?;
            Ok(())
        };
        tokio::task::spawn_blocking(lock).await?.context("cannot lock the bus")?;
        self.end("bus_locked", at);
        Ok(())
    }

    async fn restart_store(&mut self) -> Result<()> {
        let Some(command) = self.places.restart_store.clone() else { return Ok(()) };
        let at = self.begin("the store's server restarted".to_owned());
        restart(&command).await.context("cannot restart the store's server")?;
        self.all_ready().await?;
        self.end("store_restarted", at);
        Ok(())
    }

    async fn restart_bus(&mut self) -> Result<()> {
        let Some(command) = self.places.restart_bus.clone() else { return Ok(()) };
        let at = self.begin("the bus's server restarted".to_owned());
        restart(&command).await.context("cannot restart the bus's server")?;
        self.all_ready().await?;
        self.end("bus_restarted", at);
        Ok(())
    }

    /// Waits until every instance is ready, somebody leads, and no line is undecided: a fleet that restarts before it
    /// has decided on every line reports gaps that may not exist.
    pub(crate) async fn all_ready(&self) -> Result<()> {
        let give_up = tenure::now() + Duration::from_secs(30);
        loop {
            let mut ready = self.leaders.now().leader.is_some();
            for instance in &self.instances {
                ready = ready && instance.is_settled().await;
            }
            if ready {
                return Ok(());
            }
            anyhow::ensure!(tenure::now() < give_up, "not every instance became ready within 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn leader(&self) -> Result<(usize, Term)> {
        let seen = self.leaders.after(None, Duration::from_secs(20)).await.context("nobody leads")?;
        let leader = seen.leader.context("nobody leads")?;
        let at = self.instances.iter().position(|instance| instance.name == leader.name);
        Ok((at.context("a stranger leads")?, leader.term))
    }

    async fn takeover(&self, cause: &'static str, term: Option<Term>, since: Time) -> Result<()> {
        let at_most = self.ttl * 4 + Duration::from_secs(15);
        let seen = self.leaders.after(term, at_most).await.with_context(|| format!("no takeover after {cause}"))?;
        let ms = millis(seen.changed_at.since(since));
        let leader =
            seen.leader.map_or_else(String::new, |leader| format!("{} leads, term {}", leader.name, leader.term));
        self.timeline().takeovers.push(Takeover { cause, ms, text: leader });
        Ok(())
    }

    fn begin(&self, text: String) -> Time {
        self.timeline().doing = text;
        tenure::now()
    }

    fn end(&self, kind: &'static str, at: Time) {
        let mut timeline = self.timeline();
        let text = std::mem::take(&mut timeline.doing);
        let record =
            FaultRecord { kind, at_ms: millis(at.since(self.began)), lasted_ms: millis(tenure::now().since(at)), text };
        timeline.faults.push(record);
    }

    fn timeline(&self) -> std::sync::MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
