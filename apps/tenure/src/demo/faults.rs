//! Injects the demo's faults, one after the other, and measures what each cost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tenure_core::{Term, Time};
use tenure_twitch_sim::{Cut, Fault, Select, Sim};

use super::instance::Instance;
use super::leaders::Leaders;
use super::places::{Places, restart};
use super::plan::{DemoFault, Plan};

/// Injects the faults into the demo's instances, store and bus.
pub(crate) struct FaultInjector {
    pub(crate) instances: Vec<Instance>,
    pub(crate) leaders: Leaders,
    pub(crate) sim: Arc<Sim>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) places: Places,
    pub(crate) ttl: Duration,
}

/// The sums of the instances' own counters; a lower bound, because an instance's counters end with its process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CounterSums {
    pub(crate) deduplicated: u64,
    pub(crate) refused: u64,
}

impl FaultInjector {
    /// Injects all faults as they are due; each waits until the one before is overcome.
    pub(crate) async fn inject_all(&mut self) -> Result<()> {
        for (number, step) in self.plan.now().steps.into_iter().enumerate() {
            self.all_ready().await.context("the instances do not get ready")?;
            tokio::time::sleep(step.due.saturating_sub(self.plan.elapsed())).await;
            match step.fault {
                DemoFault::KillWorker => self.kill_worker(number).await?,
                DemoFault::LoseHost => self.lose_host(number).await?,
                DemoFault::Pause => self.pause(number).await?,
                DemoFault::Roll => self.roll(number).await?,
                DemoFault::Cut => self.cut(number).await?,
                DemoFault::LockBus => self.lock_bus(number).await?,
                DemoFault::RestartStore => self.restart_store(number).await?,
                DemoFault::RestartBus => self.restart_bus(number).await?,
            }
            self.plan.step_ends(number);
        }
        self.all_ready().await
    }

    /// Asks the instances to end, and waits for it.
    pub(crate) async fn end_instances(&mut self) -> Result<()> {
        for instance in &self.instances {
            instance.terminate()?;
        }
        for instance in &mut self.instances {
            instance.wait_end().await?;
        }
        Ok(())
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

    async fn kill_worker(&mut self, step: usize) -> Result<()> {
        let (leader, term) = self.leader().await?;
        let at = self.plan.step_begins(step, &self.instances[leader].name);
        self.instances[leader].kill_worker().await?;
        self.takeover(step, term, at).await
    }

    async fn lose_host(&mut self, step: usize) -> Result<()> {
        let (leader, term) = self.leader().await?;
        let at = self.plan.step_begins(step, &self.instances[leader].name);
        self.instances[leader].lose_host().await?;
        self.takeover(step, term, at).await?;
        self.instances[leader].spawn()
    }

    async fn pause(&mut self, step: usize) -> Result<()> {
        let (leader, term) = self.leader().await?;
        let at = self.plan.step_begins(step, &self.instances[leader].name);
        let worker = self.instances[leader].pause().await?;
        let taken = self.takeover(step, term, at).await;
        tokio::time::sleep((at + self.ttl * 2).since(tenure::now())).await;
        self.instances[leader].resume(worker)?;
        taken
    }

    async fn roll(&mut self, step: usize) -> Result<()> {
        self.plan.step_begins(step, "all");
        for number in 0..self.instances.len() {
            let (leader, term) = self.leader().await?;
            let asked = tenure::now();
            self.instances[number].terminate()?;
            if leader == number {
                self.takeover(step, term, asked).await?;
            }
            self.instances[number].wait_end().await?;
            self.instances[number].spawn()?;
            self.all_ready().await?;
        }
        Ok(())
    }

    async fn cut(&mut self, step: usize) -> Result<()> {
        let (leader, _) = self.leader().await?;
        let peer = self.instances[leader].chat_address().await?;
        self.plan.step_begins(step, &self.instances[leader].name);
        self.sim.fault(Fault::Cut { select: Select::Peer(peer), how: Cut::Rst }).context("cannot cut")?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.all_ready().await
    }

    async fn lock_bus(&mut self, step: usize) -> Result<()> {
        let Some(file) = self.places.file.clone() else { return Ok(()) };
        self.plan.step_begins(step, "all");
        let lock = move || -> Result<()> {
            let connection = rusqlite::Connection::open(file)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            std::thread::sleep(Duration::from_secs(3));
            connection.execute_batch("ROLLBACK")?;
            Ok(())
        };
        tokio::task::spawn_blocking(lock).await?.context("cannot lock the bus")
    }

    async fn restart_store(&mut self, step: usize) -> Result<()> {
        let Some(command) = self.places.restart_store.clone() else { return Ok(()) };
        self.plan.step_begins(step, "all");
        restart(&command).await.context("cannot restart the store's server")?;
        self.all_ready().await
    }

    async fn restart_bus(&mut self, step: usize) -> Result<()> {
        let Some(command) = self.places.restart_bus.clone() else { return Ok(()) };
        self.plan.step_begins(step, "all");
        restart(&command).await.context("cannot restart the bus's server")?;
        self.all_ready().await
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

    /// Waits until somebody leads under a term above `term`.
    async fn takeover(&self, step: usize, term: Term, since: Time) -> Result<()> {
        let at_most = self.ttl * 4 + Duration::from_secs(15);
        let seen = self.leaders.after(Some(term), at_most).await.context("nobody took over")?;
        let leader = seen.leader.context("nobody took over")?;
        self.plan.taken_over(step, &leader.name, seen.changed_at.since(since), seen.changed_at);
        Ok(())
    }
}
