//! A bus that does as it is told, and a bench around one pipeline.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tenure::{Election, Leadership, Mandate, MemoryStore, Note, Term};
use tenure_bus::{
    Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Followed, Message, Published, Refusal,
    Subjects,
};
use tenure_envelope::EnvelopeId;
use tenure_twitch::ReaderEvent;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::coverage::CoverageConfig;
use crate::note::CoverageNote;
use crate::pipeline::{Command, Handle, Notes, PipelineConfig, StoodBy, start};
use crate::ring::RingLimits;
use crate::snapshot::Snapshot;

const INGRESS: &str = "internal.ingress.v1";
const SOON: Duration = Duration::from_secs(20);

/// How the bus answers on one subject.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Takes,
    Unreachable,
    Hangs,
    Rejects,
    Fences(Term),
}

#[derive(Debug)]
struct State {
    ingress: Mode,
    finalizer: Mode,
    rejected_text: Option<String>,
    refusals: usize,
    calls: usize,
    largest: usize,
    follows: usize,
    blind: bool,
    slow: Duration,
    late: Duration,
    keeps_all: bool,
    slow_follow: Duration,
    seen: HashSet<(String, EnvelopeId)>,
    stored: Vec<(String, Option<Term>, Value)>,
    news: Option<broadcast::Sender<Followed>>,
    /// What followers are shown who begin behind a position.
    shown: Vec<Followed>,
}

#[derive(Debug)]
pub(super) struct ScriptedBus {
    limit: usize,
    state: Mutex<State>,
}

impl ScriptedBus {
    pub(super) fn new() -> Arc<ScriptedBus> {
        ScriptedBus::with_limit(1_000)
    }

    pub(super) fn with_limit(limit: usize) -> Arc<ScriptedBus> {
        let state = State {
            ingress: Mode::Takes,
            finalizer: Mode::Takes,
            rejected_text: None,
            refusals: 0,
            calls: 0,
            largest: 0,
            follows: 0,
            blind: false,
            slow: Duration::ZERO,
            late: Duration::ZERO,
            keeps_all: false,
            slow_follow: Duration::ZERO,
            seen: HashSet::new(),
            stored: Vec::new(),
            news: Some(broadcast::channel(1_024).0),
            shown: Vec::new(),
        };
        Arc::new(ScriptedBus { limit, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn ingress(&self, mode: Mode) {
        self.state().ingress = mode;
    }

    pub(super) fn finalizer(&self, mode: Mode) {
        self.state().finalizer = mode;
    }

    pub(super) fn reject(&self, text: &str) {
        self.state().rejected_text = Some(text.to_owned());
    }

    /// Nothing is shown to followers from now on.
    pub(super) fn blind(&self, blind: bool) {
        self.state().blind = blind;
    }

    pub(super) fn slow(&self, each: Duration) {
        self.state().slow = each;
    }

    /// Takes messages at once and answers late.
    pub(super) fn late(&self, each: Duration) {
        self.state().late = each;
    }

    /// Drops no second message.
    pub(super) fn keeps_all(&self) {
        self.state().keeps_all = true;
    }

    pub(super) fn slow_follow(&self, each: Duration) {
        self.state().slow_follow = each;
    }

    /// Every stream of followers ends, those that are asked for later at once.
    pub(super) fn end_follows(&self) {
        self.state().news = None;
    }

    /// Another instance publishes this line.
    pub(super) fn publishes(&self, text: &str) {
        let (mut builder, mut body) = (tenure_envelope::Builder::new(), Vec::new());
        let line = line(text);
        let built = builder.build(&tenure_irc::parse(&line).unwrap(), 1_000, &mut body).unwrap();
        let message = Message { id: built.id, kind: built.kind.as_str(), channel: "c".into(), body: body.into() };
        let batch = Batch { subject: INGRESS, fence: None, valid_until: None, messages: &[message] };
        // Only the leader's way to the bus is what the script makes of it.
        let mode = std::mem::replace(&mut self.state().ingress, Mode::Takes);
        let answers = self.answer(&batch).unwrap();
        self.state().ingress = mode;
        assert!(matches!(answers[..], [Ok(Published::Stored(_))]));
    }

    pub(super) fn refusals(&self) -> usize {
        self.state().refusals
    }

    pub(super) fn calls(&self) -> usize {
        self.state().calls
    }

    pub(super) fn largest(&self) -> usize {
        self.state().largest
    }

    pub(super) fn follows(&self) -> usize {
        self.state().follows
    }

    /// How many follow now.
    pub(super) fn bus_follower(&self) -> usize {
        self.state().news.as_ref().map_or(0, broadcast::Sender::receiver_count)
    }

    fn on(&self, wanted: impl Fn(&str, &Value) -> bool) -> Vec<Value> {
        let state = self.state();
        state.stored.iter().filter(|(subject, _, body)| wanted(subject, body)).map(|(.., body)| body.clone()).collect()
    }

    pub(super) fn of_type(&self, kind: &str) -> Vec<Value> {
        self.on(|_, body| body["type"] == kind)
    }

    pub(super) fn finalized(&self) -> Vec<Value> {
        self.on(|subject, _| subject.contains("finalize"))
    }

    /// The texts of the messages that are on the bus, in its order.
    pub(super) fn texts(&self) -> Vec<String> {
        let messages = self.of_type("external.chat.message.v1");
        messages.iter().map(|body| body["payload"]["text"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn terms(&self) -> Vec<Option<Term>> {
        self.state().stored.iter().map(|(_, term, _)| *term).collect()
    }

    pub(super) async fn until(&self, what: &str, reached: impl Fn(&ScriptedBus) -> bool) {
        within(what, async {
            while !reached(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    fn answer(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let mut state = self.state();
        let finalizes = batch.subject.contains("finalize");
        let mode = if finalizes { state.finalizer } else { state.ingress };
        if matches!(mode, Mode::Unreachable) {
            return Err(BusError::new(BusErrorKind::Unavailable, "unreachable, as told"));
        }
        let mut answers = Vec::new();
        for message in batch.messages {
            let text = String::from_utf8_lossy(&message.body).into_owned();
            let bad = state.rejected_text.as_ref().is_some_and(|bad| text.contains(&format!("\"text\":\"{bad}\"")));
            let refusal = match mode {
                Mode::Fences(seen) => Some(Refusal::Fenced { seen }),
                Mode::Rejects => Some(Refusal::Rejected("not here".into())),
                _ => (bad && !finalizes).then(|| Refusal::Rejected("not this".into())),
            };
            if let Some(refusal) = refusal {
                state.refusals += 1;
                answers.push(Err(refusal));
                continue;
            }
            if !state.seen.insert((batch.subject.to_owned(), message.id)) && !state.keeps_all {
                let id = Value::String(message.id.to_string());
                let first =
                    state.stored.iter().position(|(subject, _, body)| subject == batch.subject && body["id"] == id);
                answers.push(Ok(Published::Duplicate(first.unwrap() as u64 + 1)));
                continue;
            }
            let term = batch.fence.map(|(_, term)| term);
            state.stored.push((batch.subject.to_owned(), term, serde_json::from_str(&text).unwrap()));
            let pos = state.stored.len() as u64;
            if !state.blind && !finalizes {
                let followed = Followed { pos, id: message.id, term, body: Bytes::new() };
                if let Some(news) = &state.news {
                    let _ = news.send(followed.clone());
                }
                state.shown.push(followed);
            }
            answers.push(Ok(Published::Stored(pos)));
        }
        Ok(answers)
    }
}

#[async_trait]
impl Bus for ScriptedBus {
    fn info(&self) -> BusInfo {
        let dedupe = Some(Duration::MAX);
        BusInfo { scheme: "scripted", dedupe, fence: true, follow: true, batch_limit: self.limit }
    }

    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let (slow, late, hangs) = {
            let mut state = self.state();
            state.calls += 1;
            state.largest = state.largest.max(batch.messages.len());
            (state.slow, state.late, matches!(state.ingress, Mode::Hangs))
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let answer = self.answer(batch);
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        answer
    }

    async fn follow(&self, _subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        let slow = {
            let mut state = self.state();
            state.follows += 1;
            state.slow_follow
        };
        tokio::time::sleep(slow).await;
        let state = self.state();
        let Some(news) = state.news.as_ref().map(broadcast::Sender::subscribe) else {
            return Ok(stream::empty().boxed());
        };
        let after = match from {
            FollowFrom::Start => 0,
            FollowFrom::After(pos) => pos,
            FollowFrom::End => u64::MAX,
        };
        let old: Vec<_> = state.shown.iter().filter(|followed| followed.pos > after).cloned().map(Ok).collect();
        let new = stream::unfold(news, |mut news| async move { news.recv().await.ok().map(|item| (Ok(item), news)) });
        Ok(stream::iter(old).chain(new).boxed())
    }
}

/// A configuration with short times.
pub(super) fn config() -> PipelineConfig {
    PipelineConfig {
        coverage: CoverageConfig {
            ring: RingLimits { bytes: 1 << 20, age: Duration::from_secs(600) },
            repair_after: Duration::from_millis(300),
            repairs: true,
            batch: 512,
            batch_bytes: 1 << 20,
        },
        subjects: Subjects::new(""),
        fence: "test/leader".into(),
        channels: vec!["c".into(), "d".into()],
        max_retries: 2,
        instance: "i".into(),
        ttl: Duration::from_secs(1),
    }
}

/// The same with one message per batch.
pub(super) fn one_by_one() -> PipelineConfig {
    let mut config = config();
    config.coverage.batch = 1;
    config
}

/// A note of a leader that had covered every channel between these times.
pub(super) fn note(since: u64, until: u64) -> Option<Note> {
    Some(Note::new(format!(r#"{{"all":{{"since":{since},"covered_until":{until}}}}}"#)).unwrap())
}

/// The note as it is in a lease.
pub(super) fn written(note: &CoverageNote) -> Option<Note> {
    Some(Note::new(serde_json::to_string(note).unwrap()).unwrap())
}

/// The line that says `text` in #c; equal texts are equal lines.
fn line(text: &str) -> Vec<u8> {
    let id: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("@id={id};room-id=1;tmi-sent-ts=1000;user-id=2 :u!u@u.tmi.twitch.tv PRIVMSG #c :{text}").into_bytes()
}

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

/// A leadership over a memory store.
pub(super) async fn leadership() -> (Election, Leadership) {
    let election = Election::builder(Arc::new(MemoryStore::new()), "test/leader").start().unwrap();
    let leadership = within("leadership", election.campaign()).await.unwrap();
    (election, leadership)
}

/// One pipeline, with its reader in our hands.
pub(super) struct Bench {
    handle: Handle,
    reader: Option<mpsc::Sender<ReaderEvent>>,
}

impl Bench {
    pub(super) fn new(bus: &Arc<ScriptedBus>, config: PipelineConfig) -> Bench {
        let handle = start(config, Arc::clone(bus) as Arc<dyn Bus>, None);
        Bench { handle, reader: None }
    }

    pub(super) async fn send(&self, command: Command) {
        self.handle.commands.send(command).await.unwrap();
    }

    pub(super) async fn lead(&self, mandate: Option<Mandate>) {
        self.lead_after(mandate, None).await;
    }

    pub(super) async fn lead_after(&self, mandate: Option<Mandate>, last_note: Option<Note>) {
        self.send(Command::Lead { mandate, last_note }).await;
    }

    pub(super) async fn event(&mut self, event: ReaderEvent) {
        if self.reader.is_none() {
            let (reader, events) = mpsc::channel(1_024);
            self.reader = Some(reader);
            self.send(Command::Read(events)).await;
        }
        self.reader.as_ref().unwrap().send(event).await.unwrap();
    }

    pub(super) async fn raw(&mut self, line: Vec<u8>, received_at_unix_ms: u64) {
        self.event(ReaderEvent::Line { connection: 1, line: Bytes::from(line), received_at_unix_ms }).await;
    }

    pub(super) async fn line_at(&mut self, text: &str, at_ms: u64) {
        self.raw(line(text), at_ms).await;
    }

    pub(super) async fn reads(&mut self, texts: &[&str]) {
        for text in texts {
            self.line_at(text, 1_000).await;
        }
    }

    pub(super) async fn joined(&mut self, channel: &str, at_unix_ms: u64) {
        self.event(ReaderEvent::Joined { connection: 1, channel: channel.into(), at_unix_ms }).await;
    }

    pub(super) async fn alive(&mut self, at_unix_ms: u64) {
        self.event(ReaderEvent::Alive { connection: 1, at_unix_ms }).await;
    }

    /// The reader's channel closes once what is in it was taken.
    pub(super) fn stop_reading(&mut self) {
        self.reader = None;
    }

    pub(super) async fn stand_by(&self, within: Duration, reading_ends: bool) -> StoodBy {
        self.ask_to_stand_by(within, reading_ends).await.await.unwrap()
    }

    pub(super) async fn ask_to_stand_by(&self, within: Duration, reading_ends: bool) -> oneshot::Receiver<StoodBy> {
        let (done, stood_by) = oneshot::channel();
        self.send(Command::StandBy { within, reading_ends, done }).await;
        stood_by
    }

    pub(super) fn shown(&self) -> Snapshot {
        let shown = self.handle.snapshot.borrow().clone();
        assert!(shown.lines.add_up(), "{:?}", shown.lines);
        shown
    }

    pub(super) fn notes(&self) -> Notes {
        self.handle.notes.borrow().clone()
    }

    /// Waits for a moment; at every moment before it, all lines are accounted for.
    pub(super) async fn until(&self, what: &str, mut reached: impl FnMut(&Snapshot) -> bool) {
        let mut snapshot = self.handle.snapshot.clone();
        let reached = |shown: &Snapshot| {
            assert!(shown.lines.add_up(), "{:?}", shown.lines);
            reached(shown)
        };
        within(what, snapshot.wait_for(reached)).await.unwrap();
    }

    pub(super) async fn until_notes(&self, what: &str, reached: impl FnMut(&Notes) -> bool) {
        let mut notes = self.handle.notes.clone();
        within(what, notes.wait_for(reached)).await.unwrap();
    }

    /// So many times of the pipeline's own pace pass.
    pub(super) async fn ticks(&self, count: u32) {
        tokio::time::sleep(super::super::TICK * count).await;
    }
}
