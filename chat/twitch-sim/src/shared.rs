//! The state that the tasks of one simulator share, and how a fault is carried out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chat_state::ChatState;
use crate::config::SimConfig;
use crate::connection::{COMMANDS, Connection, Signal};
use crate::fault::{Cut, Fault, FaultOutcome, Select};
use crate::fault_record::FaultRecord;
use crate::ledger::{Origin, Recorder};
use crate::lock;
use crate::message::odd_line;
use crate::outbox::Close;
use crate::room::Room;
use crate::session::Session;
use crate::world::{Now, World};

/// The shared state of one simulator.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<SimConfig>,
    pub(crate) world: Mutex<World>,
    pub(crate) recorder: Arc<Recorder>,
    /// All connections, ended ones included, for `/stats`; bounded by the ledger's size, which counts them.
    pub(crate) connections: Mutex<Vec<Arc<Connection>>>,
    pub(crate) counts: Counts,
    pub(crate) chat: watch::Sender<ChatState>,
    pub(crate) stop_chat: CancellationToken,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) fault_log: Mutex<Vec<FaultRecord>>,
    started: Instant,
    refuse_until_ms: AtomicU64,
    tls_stall_until_ms: AtomicU64,
}

/// Counters that belong to no connection.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) refused: AtomicU64,
    pub(crate) tls_failed: AtomicU64,
    pub(crate) tls_stalled: AtomicU64,
    pub(crate) ws_failed: AtomicU64,
    pub(crate) replay_skipped: AtomicU64,
    pub(crate) behind: AtomicU64,
    pub(crate) ledger_full: AtomicBool,
    pub(crate) faults_forgotten: AtomicU64,
}

/// How many faults are kept for `/stats`.
const FAULT_LOG_LIMIT: usize = 10_000;

impl Shared {
    pub(crate) fn new(config: Arc<SimConfig>, world: World, recorder: Arc<Recorder>) -> Self {
        Shared {
            config,
            world: Mutex::new(world),
            recorder,
            connections: Mutex::default(),
            counts: Counts::default(),
            chat: watch::Sender::new(ChatState::Waiting),
            stop_chat: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fault_log: Mutex::default(),
            started: Instant::now(),
            refuse_until_ms: AtomicU64::new(0),
            tls_stall_until_ms: AtomicU64::new(0),
        }
    }

    /// The current time on both clocks.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_ms: self.started.elapsed().as_millis() as u64, unix_ms: unix.as_millis() as i64 }
    }

    /// Handles a line of a client.
    pub(crate) fn handle(&self, session: &mut Session, line: &[u8]) -> Option<Close> {
        session.line(&mut lock(&self.world), line, self.now())
    }

    /// Records that a connection ended.
    pub(crate) fn leave(&self, connection: &Connection, why: Close) {
        lock(&self.world).disconnect(connection);
        connection.outbox.shut();
        connection.record.closed(self.now().unix_ms, &why.to_string());
    }

    /// Whether new connections are reset at the moment.
    pub(crate) fn refuses(&self) -> bool {
        self.now().monotonic_ms < self.refuse_until_ms.load(Ordering::Relaxed)
            || self.recorder.bytes() >= self.config.ledger_bytes
            || lock(&self.world).open_connections() >= self.config.max_connections
    }

    /// How long TLS handshakes still stall.
    pub(crate) fn tls_stall(&self) -> Option<Duration> {
        let until = self.tls_stall_until_ms.load(Ordering::Relaxed);
        until.checked_sub(self.now().monotonic_ms).filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// Carries out a fault.
    pub(crate) fn fault(self: &Arc<Self>, fault: Fault) -> Result<FaultOutcome, String> {
        fault.check()?;
        let outcome = FaultOutcome { matched: self.carry_out(&fault)? };
        let mut log = lock(&self.fault_log);
        if log.len() < FAULT_LOG_LIMIT {
            log.push(FaultRecord { at_ms: self.now().unix_ms, fault, matched: outcome.matched });
        } else {
            self.counts.faults_forgotten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(outcome)
    }

    fn carry_out(self: &Arc<Self>, fault: &Fault) -> Result<usize, String> {
        let now = self.now();
        match fault {
            Fault::Cut { select, how } => Ok(self.signal(select, |connection| match how {
                // A FIN follows everything that was queued; a RST discards it.
                Cut::Fin => connection.outbox.close_after_flush(Close::Cut(Cut::Fin)),
                Cut::Rst => connection.signal(Signal::Close(Close::Cut(Cut::Rst))),
            })),
            Fault::HalfOpen { select, for_ms } => {
                Ok(self.signal(select, |connection| connection.signal(Signal::Freeze(*for_ms))))
            }
            Fault::Reconnect { select, grace_ms } => Ok(self.reconnect(select, *grace_ms)),
            Fault::Stall { select, for_ms }
            | Fault::MutePongs { select, for_ms }
            | Fault::Split { select, for_ms, .. }
            | Fault::Duplicate { select, for_ms, .. }
            | Fault::Reorder { select, for_ms, .. }
            | Fault::Drop { select, for_ms, .. }
            | Fault::PartialJoin { select, for_ms, .. } => {
                let mut world = lock(&self.world);
                let id = world.add_standing(select.clone(), fault.clone());
                if let Some(ms) = *for_ms {
                    self.later(ms, move |shared| lock(&shared.world).end_standing(|other, _| other == id));
                }
                Ok(world.selected(select).len())
            }
            Fault::Part { select, channel } => self.part(select, channel),
            Fault::CloseRoom { channel, how, for_ms } => {
                let (room, closure) = {
                    let mut world = lock(&self.world);
                    let room = world.room(channel)?;
                    (room, world.rooms[room as usize].close(*how))
                };
                // Closed first, so that nobody is back before all have left.
                let removed = self.part(&Select::All, channel)?;
                if let Some(ms) = *for_ms {
                    self.later(ms, move |shared| lock(&shared.world).rooms[room as usize].end_closure(closure));
                }
                Ok(removed)
            }
            Fault::OpenRoom { channel } => {
                let mut world = lock(&self.world);
                let room = world.room(channel)?;
                world.rooms[room as usize].closed = None;
                Ok(0)
            }
            Fault::Odd { channel, line } => {
                let mut world = lock(&self.world);
                let room = world.room(channel)?;
                let name = world.rooms[room as usize].name.clone();
                let stamp = world.stamp(now.unix_ms);
                let chat = odd_line(*line, room, &name, stamp, world.rng());
                world
                    .publish(&chat, Origin::Fault, now.unix_ms, None)
                    .map_err(|_| "the ledger is full; raise its size".to_owned())?;
                Ok(world.rooms[room as usize].members.len())
            }
            Fault::Refuse { for_ms } => {
                self.refuse_until_ms.store(now.monotonic_ms.saturating_add(*for_ms), Ordering::Relaxed);
                Ok(0)
            }
            Fault::TlsStall { for_ms } => {
                self.tls_stall_until_ms.store(now.monotonic_ms.saturating_add(*for_ms), Ordering::Relaxed);
                Ok(0)
            }
            Fault::ExpireLogin { nick } => {
                lock(&self.world).expired_logins.insert(nick.to_ascii_lowercase());
                Ok(0)
            }
            Fault::ClockSkew { ms } => {
                lock(&self.world).skew_ms = *ms;
                Ok(0)
            }
            Fault::Heal { select } => {
                let mut world = lock(&self.world);
                if *select == Select::All {
                    self.refuse_until_ms.store(0, Ordering::Relaxed);
                    self.tls_stall_until_ms.store(0, Ordering::Relaxed);
                    world.expired_logins.clear();
                    world.skew_ms = 0;
                    world.rooms.iter_mut().for_each(Room::heal);
                    world.end_standing(|_, _| true);
                } else {
                    world.end_standing(|_, other| other == select);
                }
                Ok(world.selected(select).len())
            }
        }
    }

    fn signal(&self, select: &Select, act: impl Fn(&Connection)) -> usize {
        let connections = lock(&self.world).selected(select);
        connections.iter().for_each(|connection| act(connection));
        connections.len()
    }

    fn reconnect(self: &Arc<Self>, select: &Select, grace_ms: u64) -> usize {
        let connections = lock(&self.world).selected(select);
        for connection in connections.iter().filter(|connection| connection.has(COMMANDS)) {
            connection.reply(Bytes::from_static(b":tmi.twitch.tv RECONNECT\r\n"));
        }
        let count = connections.len();
        self.later(grace_ms, move |_| {
            connections.iter().for_each(|connection| connection.outbox.close_after_flush(Close::Reconnect));
        });
        count
    }

    fn part(&self, select: &Select, channel: &str) -> Result<usize, String> {
        let mut world = lock(&self.world);
        let room = world.room(channel)?;
        let connections = world.selected(select);
        let members: Vec<_> = connections.iter().filter(|connection| world.is_member(connection, room)).collect();
        for connection in &members {
            let nick = connection.nick().unwrap_or_default();
            world.exit(connection, room);
            connection.reply(Bytes::from(format!(":{nick}!{nick}@{nick}.tmi.twitch.tv PART #{channel}\r\n")));
        }
        Ok(members.len())
    }

    fn later(self: &Arc<Self>, ms: u64, act: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        let shared = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = sleep(Duration::from_millis(ms)) => act(&shared),
                () = shared.shutdown.cancelled() => {}
            }
        });
    }
}
