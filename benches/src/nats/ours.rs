//! Our side: the ingest pipeline with its reader and its election, or the bus alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tenure::{Election, MemoryStore, Timing};
use tenure_bus::{Batch, Bus as _, Message, Published, Subjects};
use tenure_bus_nats::{NatsBus, NatsBusConfig};
use tenure_core::Term;
use tenure_ingest::pipeline::{self, Command, PipelineConfig};
use tenure_ingest::{CoverageConfig, RingLimits};
use tenure_twitch::{Reader, ReaderConfig};
use tokio::time::timeout;

use super::chat;
use super::counted::CountingBus;
use super::material::{CHANNEL, Chat, FINALIZE, INGRESS, KEY};
use super::measured::MeasuredSpan;

const BATCH: usize = 512;
/// The time-out of every wait in this file.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Reads all lines from a socket and waits until each is acknowledged. With `follows`, as in production, the pipeline
/// follows its own stream while it stands by or cannot publish, so that it knows what others have published there.
///
/// # Errors
/// Where one is not.
pub(super) async fn from_socket(url: &str, all: &Chat, follows: bool) -> Result<MeasuredSpan> {
    let count = all.messages.len();
    let bus = Arc::new(CountingBus::new(open(url).await?, count));
    let election = Election::builder(Arc::new(MemoryStore::new()), KEY).start()?;
    let leadership = election.campaign().await?;
    // The daemon's own defaults.
    let coverage = CoverageConfig {
        ring: RingLimits { bytes: 64 << 20, age: Duration::from_secs(600) },
        repair_after: Duration::from_secs(5),
        repairs: follows,
        batch: BATCH,
        batch_bytes: 1 << 20,
    };
    let config = PipelineConfig {
        coverage,
        subjects: Subjects { ingress: INGRESS.into(), finalize: FINALIZE.into() },
        fence: KEY.into(),
        channels: vec![CHANNEL.into()],
        max_retries: 3,
        instance: "bench".into(),
        ttl: Timing::DEFAULT_TTL,
    };
    let pipeline = pipeline::start(config, Arc::clone(&bus) as Arc<_>, None);
    let lead = Command::Lead { mandate: Some(leadership.mandate()), last_note: None };
    pipeline.commands.send(lead).await.map_err(|_| anyhow!("the pipeline has ended"))?;
    let server = chat::start(all.lines.clone())?;
    let config = ReaderConfig {
        url: format!("irc://127.0.0.1:{}", server.port).parse()?,
        channels: vec![CHANNEL.into()],
        ..ReaderConfig::default()
    };
    let (reader, lines) = Reader::start(config)?;
    pipeline.commands.send(Command::Read(lines)).await.map_err(|_| anyhow!("the pipeline has ended"))?;
    timeout(TIMEOUT, server.joined).await.context("the reader does not join")??;
    // Time for the pipeline to learn of the JOIN, and for its follower to subscribe, before there is anything to
    // publish.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let span = MeasuredSpan::now();
    server.talk.send(()).map_err(|()| anyhow!("the chat server has ended"))?;
    let Ok(()) = timeout(TIMEOUT, bus.all()).await else {
        bail!("{} of {count} lines are acknowledged: {:?}", bus.stored(), *pipeline.snapshot.borrow());
    };
    let span = span.ended();
    reader.stop().await;
    if !leadership.is_current() || bus.stored() != count {
        bail!("not what was to be measured: {} of {count} lines were stored", bus.stored());
    }
    Ok(span)
}

/// Publishes ready messages through the bus alone.
///
/// # Errors
/// Where one is not stored.
pub(super) async fn from_messages(url: &str, messages: &[Message]) -> Result<MeasuredSpan> {
    let bus = open(url).await?;
    let term = Term::new(1).context("no term")?;
    let span = MeasuredSpan::now();
    for messages in messages.chunks(BATCH) {
        let batch = Batch { subject: INGRESS, fence: Some((KEY, term)), valid_until: None, messages };
        let answers = bus.publish(&batch).await?;
        if !answers.iter().all(|answer| matches!(answer, Ok(Published::Stored(_)))) {
            bail!("the bus did not store every message");
        }
    }
    Ok(span.ended())
}

async fn open(url: &str) -> Result<NatsBus> {
    let mut config = NatsBusConfig::parse(url)?;
    config.subjects = vec![INGRESS.into(), FINALIZE.into()];
    Ok(NatsBus::open(config).await?)
}
