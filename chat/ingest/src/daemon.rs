//! The daemon: leadership starts and stops the chat subsystem; a standby stays up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::OptionFuture;
use tenure::{Election, ElectionBuilder, ElectionError, Leadership, OnOverrun, Status};
use tenure_bus::Bus;
use tenure_core::{NameError, Note};
use tenure_store::LeaseStore;
use tenure_twitch::{Reader, ReaderError, ReaderStatus};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{DedupeTooShort, IngestConfig, Standby};
use crate::fleet::Fleet;
use crate::note::CoverageNote;
use crate::pipeline::{self, Command, Handle, PipelineConfig, StoodBy};
use crate::shutdown::Shutdown;
use crate::snapshot::Snapshot;

/// Why the daemon could not be started, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The bus cannot carry the configuration.
    #[error(transparent)]
    Bus(#[from] DedupeTooShort),
    /// The election could not be made or went away.
    #[error(transparent)]
    Election(#[from] ElectionError),
    /// The reader could not be made.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The pipeline ended by itself.
    #[error("the pipeline has ended")]
    Pipeline,
}

/// What can be seen of a running daemon; for endpoints.
#[derive(Clone, Debug)]
pub struct View {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: IngestConfig,
    snapshot: watch::Receiver<Snapshot>,
    election: Option<watch::Receiver<Status>>,
    reader: watch::Receiver<Option<ReaderStatus>>,
}

/// How long the end waits for the store to take a release: what is not released by then runs out with its ttl.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);

/// A daemon that is ready to run.
#[derive(Debug)]
pub struct Daemon {
    config: IngestConfig,
    pipeline: Handle,
    election: Option<Arc<Election>>,
    announcement: Option<Election>,
    reader_status: watch::Sender<Option<ReaderStatus>>,
    reading: Mutex<Option<Reading>>,
    view: View,
}

impl Daemon {
    /// Puts the parts together; nothing is read or published before [`Daemon::run`]. Needs a tokio runtime.
    pub fn new(mut config: IngestConfig, store: Arc<dyn LeaseStore>, bus: Arc<dyn Bus>) -> Result<Daemon, DaemonError> {
        let guarantees = config.check(&bus.info())?;
        for sentence in &guarantees.weakened {
            tracing::warn!(component = "ingest", "{sentence}");
        }
        // A reader that begins after another has ended spends from the same budgets.
        config.reader.budgets = Some(config.reader.budgets());
        let elects = !config.development;
        // The lease that elects is told of; the one that announces this reader is not an election.
        let builder = |key: &str| -> ElectionBuilder {
            let builder = Election::builder(Arc::clone(&store), key).holder(&config.instance).timing(config.timing);
            match config.process {
                Some(process) => builder.process(process),
                None => builder,
            }
        };
        let (mut election, mut announcement, mut fleet) = (None, None, None);
        if elects {
            // A worker that does not stop in time is aborted: its supervisor then proves its death and releases.
            let elected = builder(config.lease.as_str()).on_overrun(OnOverrun::Abort).start()?;
            election = Some(Arc::new(elected));
            if config.standby == Standby::Warm {
                let members = Fleet::new(Arc::clone(&store), &config.lease, config.instance.as_str())?;
                announcement = Some(builder(members.own_key().as_str()).silent(true).start()?);
                fleet = Some(members);
            }
        }
        let pipeline_config = PipelineConfig {
            coverage: config.coverage(&guarantees),
            subjects: config.subjects.clone(),
            fence: config.lease.to_string(),
            channels: config.reader.channels.clone(),
            max_retries: config.max_retries,
            instance: config.instance.to_string(),
            ttl: config.timing.ttl.unwrap_or(tenure::Timing::DEFAULT_TTL),
        };
        let pipeline = pipeline::start(pipeline_config, bus, fleet);
        let (reader_status, reader) = watch::channel(None);
        let view = View {
            inner: Arc::new(Inner {
                config: config.clone(),
                snapshot: pipeline.snapshot.clone(),
                election: election.as_ref().map(|election| election.observe()),
                reader,
            }),
        };
        Ok(Daemon { config, pipeline, election, announcement, reader_status, reading: Mutex::new(None), view })
    }

    /// What can be seen of it.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Runs until `shutdown`; then publishes what is held, releases, and returns.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), DaemonError> {
        let warm = self.config.standby == Standby::Warm || self.config.development;
        if warm {
            self.start_reading().await?;
        }
        let outcome = match &self.election {
            None => self.lead_without_election(&shutdown).await,
            Some(election) => {
                let watching = self.mind(Arc::clone(election));
                let announcing = self.announce();
                tokio::select! {
                    outcome = self.contend(election, &shutdown) => outcome,
                    never = watching => never,
                    never = announcing => never,
                }
            }
        };
        self.stop_reading().await;
        let end = async {
            let announcement = OptionFuture::from(self.announcement.as_ref().map(Election::stop));
            let election = OptionFuture::from(self.election.as_ref().map(|election| election.stop()));
            tokio::join!(announcement, election);
        };
        if tokio::time::timeout(RELEASE_WITHIN, end).await.is_err() {
            tracing::warn!(component = "ingest", "the store does not take the release: the lease runs out by itself");
        }
        outcome
    }

    async fn lead_without_election(&self, shutdown: &Shutdown) -> Result<(), DaemonError> {
        tracing::info!(component = "ingest", "Tenure: Starting IRC subsystem (development mode, no election)");
        self.tell(Command::Lead { mandate: None, last_note: None }).await?;
        shutdown.asked().await;
        self.stop_reading().await;
        self.stand_by(self.drain_bound(shutdown), true, shutdown).await?;
        Ok(())
    }

    /// Campaigns, leads, stands by, again and again.
    async fn contend(&self, election: &Election, shutdown: &Shutdown) -> Result<(), DaemonError> {
        loop {
            let leadership = tokio::select! {
                biased;
                () = shutdown.asked() => {
                    // What was read and has not appeared yet is waited for, and repaired where the leader missed it.
                    self.stop_reading().await;
                    self.stand_by(self.drain_bound(shutdown), true, shutdown).await?;
                    return Ok(());
                }
                leadership = election.campaign() => leadership?,
            };
            if self.lead(election, leadership, shutdown).await? {
                return Ok(());
            }
        }
    }

    /// Leads until leadership is lost, or until the end was asked for: then the answer is true.
    async fn lead(
        &self,
        election: &Election,
        leadership: Leadership,
        shutdown: &Shutdown,
    ) -> Result<bool, DaemonError> {
        let (lease, term) = (leadership.key().as_str().to_owned(), leadership.term());
        tracing::info!(
            component = "ingest",
            lease,
            term = term.get(),
            "Tenure: Starting IRC subsystem (leader acquired)"
        );
        let command = Command::Lead { mandate: Some(leadership.mandate()), last_note: leadership.last_note().cloned() };
        self.tell(command).await?;
        if self.config.standby == Standby::Cold {
            self.start_reading().await?;
        }
        let mut notes = self.pipeline.notes.clone();
        let mut shutting_down = false;
        let (within, ends) = loop {
            tokio::select! {
                biased;
                reason = leadership.lost() => {
                    let code = reason.code();
                    tracing::info!(component = "ingest", lease, reason = %code, detail = %reason, "Tenure: Stopping IRC subsystem (leadership lost)");
                    break (leadership.deadline().since(tenure::now()), self.config.standby == Standby::Cold);
                }
                () = shutdown.asked() => {
                    tracing::info!(component = "ingest", lease, reason = "work_ended", "Tenure: Stopping IRC subsystem (shutting down)");
                    shutting_down = true;
                    break (self.drain_bound(shutdown), true);
                }
                changed = notes.changed() => {
                    changed.map_err(|_| DaemonError::Pipeline)?;
                    if let Some(note) = &notes.borrow_and_update().leader {
                        leadership.set_note(encode(note));
                    }
                }
            }
        };
        // Stop, drain, then release: what was read is published while the lease is still renewed.
        if ends {
            self.stop_reading().await;
        }
        let StoodBy { held, note } = self.stand_by(within, ends, shutdown).await?;
        leadership.set_note(encode(&note));
        tracing::info!(component = "ingest", lease, held, "Tenure: IRC subsystem stopped; releasing");
        tokio::select! {
            released = leadership.resign() => released?,
            // A store that does not answer must not hold up the end.
            () = async { shutdown.asked().await; tokio::time::sleep(RELEASE_WITHIN).await } => {}
        }
        // The next claim is made without a note: what this instance can answer for is known only once it leads, and an
        // empty note hides no earlier one.
        election.set_note(Note::default());
        Ok(shutting_down)
    }

    /// Closes the health gate while this instance is without chat, and passes on the terms that are observed.
    async fn mind(&self, election: Arc<Election>) -> Result<(), DaemonError> {
        let (mut snapshot, mut status) = (self.pipeline.snapshot.clone(), election.observe());
        let mut healthy = true;
        loop {
            tokio::select! {
                changed = snapshot.changed() => {
                    changed.map_err(|_| DaemonError::Pipeline)?;
                    let now = snapshot.borrow_and_update().healthy;
                    if now != healthy {
                        tracing::info!(component = "ingest", healthy = now, "health changed");
                        healthy = now;
                        election.set_healthy(now);
                    }
                }
                changed = status.changed() => {
                    changed.map_err(|_| DaemonError::Election(ElectionError::Stopped))?;
                    let term = status.borrow_and_update().term;
                    if let Some(term) = term {
                        self.tell(Command::Observe(term)).await?;
                    }
                }
            }
        }
    }

    /// Holds this reader's own lease, whose note says what it covers.
    async fn announce(&self) -> Result<(), DaemonError> {
        let Some(announcement) = &self.announcement else { return std::future::pending().await };
        let mut notes = self.pipeline.notes.clone();
        loop {
            let presence = announcement.campaign().await?;
            loop {
                tokio::select! {
                    _ = presence.lost() => break,
                    changed = notes.changed() => {
                        changed.map_err(|_| DaemonError::Pipeline)?;
                        presence.set_note(encode(&notes.borrow_and_update().reader));
                    }
                }
            }
        }
    }

    async fn start_reading(&self) -> Result<(), DaemonError> {
        let (reader, lines) = Reader::start(self.config.reader.clone())?;
        self.tell(Command::Read(lines)).await?;
        let stop = CancellationToken::new();
        let status = self.reader_status.clone();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                status.send_replace(Some(reader.status()));
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
            }
            reader.stop().await;
            status.send_replace(None);
        });
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(Reading { stop, task });
        Ok(())
    }

    /// Closes the connections. Lines that were read already still reach the pipeline.
    async fn stop_reading(&self) {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Reading { stop, task }) = reading {
            stop.cancel();
            if task.await.is_err() {
                tracing::error!(component = "reader", "the reader panicked while stopping");
            }
        }
    }

    /// Publishes what was read for so long at most; less where the end of this daemon must be hurried meanwhile.
    async fn stand_by(
        &self,
        within: Duration,
        reading_ends: bool,
        shutdown: &Shutdown,
    ) -> Result<StoodBy, DaemonError> {
        let (done, mut standing_by) = oneshot::channel();
        self.tell(Command::StandBy { within, reading_ends, done }).await?;
        let stood_by = tokio::select! {
            biased;
            stood_by = &mut standing_by => stood_by,
            () = shutdown.hurried() => {
                self.tell(Command::Hurry).await?;
                standing_by.await
            }
        };
        stood_by.map_err(|_| DaemonError::Pipeline)
    }

    fn drain_bound(&self, shutdown: &Shutdown) -> Duration {
        if shutdown.is_hurried() { Duration::ZERO } else { self.config.drain_timeout }
    }

    async fn tell(&self, command: Command) -> Result<(), DaemonError> {
        self.pipeline.commands.send(command).await.map_err(|_| DaemonError::Pipeline)
    }
}

impl View {
    /// The configuration.
    pub fn config(&self) -> &IngestConfig {
        &self.inner.config
    }

    /// The pipeline's latest counters.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.snapshot.borrow().clone()
    }

    /// Where the election stands; `None` where there is none.
    pub fn election(&self) -> Option<Status> {
        self.inner.election.as_ref().map(|status| status.borrow().clone())
    }

    /// The reader's state; `None` while this instance does not read.
    pub fn reader(&self) -> Option<ReaderStatus> {
        self.inner.reader.borrow().clone()
    }
}

/// A reader that feeds the pipeline.
#[derive(Debug)]
struct Reading {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// A coverage note as the text of a lease's note; empty where nothing is covered yet, or where it would be too long, which
/// no bounded note is.
fn encode(note: &CoverageNote) -> Note {
    if !note.covers_anything() {
        return Note::default();
    }
    serde_json::to_string(note).ok().and_then(|text| Note::new(text).ok()).unwrap_or_default()
}
