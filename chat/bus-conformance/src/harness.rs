//! What the checks share: fresh buses, messages, and waiting with a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tenure_bus::{Batch, Bus, BusInfo, FollowStream, Followed, Message, Published, Refusal};
use tenure_core::Term;
use tenure_envelope::EnvelopeId;
use tokio::time::timeout;

use crate::{BusBuilder, Outcome, Report};

/// The subject that most checks use.
pub(crate) const SUBJECT: &str = "conformance.ingress.v1";
/// How long anything may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a check may take as a whole.
const CHECK_LIMIT: Duration = Duration::from_secs(120);
/// How long nothing has to come before it counts as nothing.
pub(crate) const SILENCE: Duration = Duration::from_millis(200);

pub(crate) type CheckResult = Result<(), String>;

/// Fails a check, in words, where a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use ensure;

/// Runs the checks and keeps what came of them.
pub(crate) struct Harness<'a> {
    builder: &'a dyn BusBuilder,
    info: Option<BusInfo>,
    checks: Vec<(&'static str, Outcome)>,
}

impl<'a> Harness<'a> {
    pub(crate) fn new(builder: &'a dyn BusBuilder) -> Harness<'a> {
        Harness { builder, info: None, checks: Vec::new() }
    }

    /// Runs one check on a bus of its own, unless the bus says that it cannot do that.
    pub(crate) async fn check<F>(&mut self, name: &'static str, needs: &[Need], run: F)
    where
        F: AsyncFnOnce(Fresh<'a>) -> CheckResult,
    {
        let outcome = match self.missing(needs).await {
            Err(text) => Outcome::Failed(text),
            Ok(Some(reason)) => Outcome::Skipped(reason),
            Ok(None) => {
                let fresh = Fresh { builder: self.builder, name };
                // A cut may last as long as somebody asks.
                let limit =
                    CHECK_LIMIT + if needs.contains(&Need::Cut) { self.builder.cut_lasts() } else { Duration::ZERO };
                match timeout(limit, run(fresh)).await {
                    Ok(Ok(())) => Outcome::Passed,
                    Ok(Err(text)) => Outcome::Failed(text),
                    Err(_) => Outcome::Failed(format!("took more than {limit:?}")),
                }
            }
        };
        self.checks.push((name, outcome));
    }

    pub(crate) fn report(self) -> Report {
        Report { checks: self.checks }
    }

    async fn missing(&mut self, needs: &[Need]) -> Result<Option<&'static str>, String> {
        if self.info.is_none() {
            let bus = self.builder.open("info").await.map_err(|error| format!("cannot be opened: {error}"))?;
            self.info = Some(bus.info());
        }
        let Some(info) = &self.info else { return Ok(None) };
        Ok(needs.iter().find_map(|need| need.missing(info, self.builder)))
    }
}

/// What a check needs a bus to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Dedupe,
    Fence,
    Follow,
    Kept,
    Lock,
    Cut,
}

impl Need {
    fn missing(self, info: &BusInfo, builder: &dyn BusBuilder) -> Option<&'static str> {
        match self {
            Need::Dedupe if info.dedupe.is_none() => Some("the bus drops no second message"),
            Need::Fence if !info.fence => Some("the bus fences nobody"),
            Need::Follow if !info.follow => Some("the bus cannot be followed"),
            Need::Kept if !builder.is_kept() => Some("the bus does not outlive its clients"),
            Need::Lock if !builder.can_lock() => Some("the builder cannot lock the bus"),
            Need::Cut => builder.cannot_cut(),
            _ => None,
        }
    }
}

/// A bus that nobody has used, and its clients.
#[derive(Clone, Copy)]
pub(crate) struct Fresh<'a> {
    pub(crate) builder: &'a dyn BusBuilder,
    pub(crate) name: &'static str,
}

impl Fresh<'_> {
    /// One more client.
    pub(crate) async fn client(&self) -> Result<Arc<dyn Bus>, String> {
        self.builder.open(self.name).await.map_err(|error| format!("cannot be opened: {error}"))
    }
}

/// The message with this number; equal numbers are equal messages.
pub(crate) fn message(number: u64) -> Message {
    with_body(number, format!("{{\"number\":{number}}}"))
}

pub(crate) fn with_body(number: u64, body: impl Into<Bytes>) -> Message {
    let mut id = [0x5a; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Message { id: EnvelopeId(id), kind: "external.chat.message.v1", channel: "room".into(), body: body.into() }
}

pub(crate) fn messages(numbers: impl IntoIterator<Item = u64>) -> Vec<Message> {
    numbers.into_iter().map(message).collect()
}

pub(crate) fn term(number: u64) -> Result<Term, String> {
    Term::new(number).ok_or_else(|| format!("{number} is no term"))
}

/// Publishes without a fence.
pub(crate) async fn publish(bus: &dyn Bus, messages: &[Message]) -> Result<Vec<Result<Published, Refusal>>, String> {
    publish_as(bus, SUBJECT, None, messages).await
}

pub(crate) async fn publish_as(
    bus: &dyn Bus,
    subject: &str,
    fence: Option<(&str, Term)>,
    messages: &[Message],
) -> Result<Vec<Result<Published, Refusal>>, String> {
    let batch = Batch { subject, fence, valid_until: None, messages };
    let answers = match timeout(PATIENCE, bus.publish(&batch)).await {
        Ok(answers) => answers.map_err(|error| format!("publish failed: {error}"))?,
        Err(_) => return Err(format!("publish has not answered within {PATIENCE:?}")),
    };
    ensure!(answers.len() == messages.len(), "{} answers to {} messages", answers.len(), messages.len());
    Ok(answers)
}

/// The positions, where all was stored.
pub(crate) fn stored(answers: &[Result<Published, Refusal>]) -> Result<Vec<u64>, String> {
    answers
        .iter()
        .map(|answer| match answer {
            Ok(Published::Stored(pos)) => Ok(*pos),
            other => Err(format!("expected Stored, got {other:?}")),
        })
        .collect()
}

/// The next `count` messages.
pub(crate) async fn next(stream: &mut FollowStream, count: usize) -> Result<Vec<Followed>, String> {
    let mut followed = Vec::new();
    while followed.len() < count {
        match timeout(PATIENCE, stream.next()).await {
            Ok(Some(Ok(item))) => followed.push(item),
            Ok(Some(Err(error))) => return Err(format!("following failed: {error}")),
            Ok(None) => return Err(format!("following ended after {} of {count}", followed.len())),
            Err(_) => return Err(format!("only {} of {count} came within {PATIENCE:?}", followed.len())),
        }
    }
    Ok(followed)
}

/// Nothing more comes for a moment.
pub(crate) async fn silent(stream: &mut FollowStream) -> CheckResult {
    match timeout(SILENCE, stream.next()).await {
        Err(_) => Ok(()),
        Ok(item) => Err(format!("expected nothing more, got {item:?}")),
    }
}
