//! One publication: a batch on its way to the bus, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tenure::Mandate;
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, Message, Published, Refusal};
use tenure_core::{Term, Time};
use tenure_envelope::EnvelopeId;

use crate::coverage::Handout;

/// What became of what was handed out.
pub(crate) enum Outcome {
    /// A batch: an answer per message, or the failure of all.
    Published { handout: Handout, result: Result<Vec<Result<Published, Refusal>>, BusError> },
    /// A refused message on its way to the finalizer.
    Finalized { finalization: Finalization, result: Result<Result<Published, Refusal>, BusError> },
    /// The bus was given nothing: the right to publish had ended, or what went before has failed.
    NotHandedOver { handed_out: Vec<EnvelopeId> },
}

impl Outcome {
    /// Whether the bus took all of it, so that what is behind may follow.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Outcome::Published { handout, result: Ok(answers) } => {
                answers.len() == handout.messages.len() && answers.iter().all(Result::is_ok)
            }
            _ => false,
        }
    }
}

/// A message that the bus refused for good.
pub(crate) struct Finalization {
    pub(crate) message: Message,
    pub(crate) term: Option<Term>,
    /// Until when the bus may be given it, as for the batch that it was in.
    pub(crate) valid_until: Time,
    pub(crate) why: String,
    pub(crate) attempts: u32,
}

/// Publishes a batch under its term, unless the mandate has ended meanwhile, or the batch has become too old.
pub(crate) async fn publish(
    bus: Arc<dyn Bus>,
    subject: String,
    fence: String,
    mandate: Option<Mandate>,
    handout: Handout,
) -> Outcome {
    let too_old = tenure::now() >= handout.valid_until;
    if too_old || !mandate.as_ref().is_none_or(Mandate::is_current) {
        return Outcome::NotHandedOver { handed_out: handout.messages.iter().map(|message| message.id).collect() };
    }
    let batch = Batch {
        subject: &subject,
        fence: handout.term.map(|term| (fence.as_str(), term)),
        valid_until: Some(mandate.as_ref().map_or(Time::MAX, Mandate::deadline).min(handout.valid_until)),
        messages: &handout.messages,
    };
    let result = bus.publish(&batch).await;
    Outcome::Published { handout, result }
}

/// Publishes one refused message to the finalizer, unless the mandate has ended meanwhile.
pub(crate) async fn finalize(
    bus: Arc<dyn Bus>,
    subject: String,
    fence: String,
    mandate: Option<Mandate>,
    instance: String,
    finalization: Finalization,
) -> Outcome {
    let too_old = tenure::now() >= finalization.valid_until;
    if too_old || !mandate.as_ref().is_none_or(Mandate::is_current) {
        return Outcome::NotHandedOver { handed_out: vec![finalization.message.id] };
    }
    let failure = failure(&finalization.message, &finalization.why, finalization.attempts, &instance);
    let batch = Batch {
        subject: &subject,
        fence: finalization.term.map(|term| (fence.as_str(), term)),
        valid_until: Some(mandate.as_ref().map_or(Time::MAX, Mandate::deadline).min(finalization.valid_until)),
        messages: std::slice::from_ref(&failure),
    };
    let none = || BusError::new(BusErrorKind::Unavailable, "the bus answered no message");
    let result = bus.publish(&batch).await.and_then(|answers| answers.into_iter().next().ok_or_else(none));
    Outcome::Finalized { finalization, result }
}

/// Pauses after failures. An unreachable bus counts against no message: its window stays full and the ring holds.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    failures: u32,
    pause_until: Time,
}

impl Retries {
    /// When publishing may go on.
    pub(crate) fn pause_until(&self) -> Time {
        self.pause_until
    }

    /// A message went through.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The bus did not take a batch: pause, twice as long each time, from 20 ms to 1 s.
    pub(crate) fn failed(&mut self, now: Time) {
        self.pause_until = now + pause(self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    /// The reachable bus refused a message for the `count`-th time: pause before the next.
    pub(crate) fn refused(&mut self, now: Time, count: u32) {
        self.pause_until = self.pause_until.max(now + pause(count));
    }
}

fn pause(failures: u32) -> Duration {
    Duration::from_millis(20 << failures.min(6)).min(Duration::from_secs(1))
}

/// The login of who said it; empty where that is nobody in particular.
pub(crate) fn user_login(message: &Message) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        user: User,
    }
    #[derive(Deserialize)]
    struct User {
        name: String,
    }
    serde_json::from_slice(&message.body).map(|envelope: Envelope| envelope.user.name).unwrap_or_default()
}

/// The message that tells the finalizer of one that the bus refused for good: the envelope with a failure beside it.
fn failure(message: &Message, why: &str, attempts: u32, instance: &str) -> Message {
    let envelope: serde_json::Value =
        serde_json::from_slice(&message.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&message.body)));
    // An id of its own: on a bus that keeps ids over all subjects the message itself must not count as published.
    let id = EnvelopeId::derive(&[b"finalize:", &message.id.0]);
    let body = json!({
        "v": "1",
        "id": id.to_string(),
        "correlationId": message.id.to_string(),
        "type": FAILURE,
        "status": "failed",
        "error": { "code": "publish_refused", "message": why, "attempts": attempts, "instance": instance },
        "envelope": envelope,
    });
    Message { id, kind: FAILURE, channel: message.channel.clone(), body: Bytes::from(body.to_string().into_bytes()) }
}

/// The type of what goes to the finalizer.
const FAILURE: &str = "internal.finalize.failure.v1";

#[cfg(test)]
mod tests {
    use super::*;

    /// An unreachable bus makes pauses that grow to a second, and a success ends them.
    #[test]
    fn failures_pause_ever_longer() {
        let mut retries = Retries::default();
        retries.failed(Time::ZERO);
        assert_eq!(retries.pause_until(), Time::from_millis(20));
        for _ in 0..20 {
            retries.failed(Time::ZERO);
        }
        assert_eq!(retries.pause_until(), Time::from_millis(1_000));
        retries.succeeded();
        retries.failed(Time::ZERO);
        assert_eq!(retries.pause_until(), Time::from_millis(20));
    }
}
