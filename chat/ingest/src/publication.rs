//! One publication: a batch on its way to the bus, and what became of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tenure_bus::{Batch, Bus, BusError, Message, Published, Refusal};
use tenure_core::{Term, Time};
use tenure_envelope::EnvelopeId;

use crate::coverage::Handout;

/// What became of a batch: an answer per message, or the failure of all.
pub(crate) struct Outcome {
    pub(crate) handout: Handout,
    pub(crate) result: Result<Vec<Result<Published, Refusal>>, BusError>,
}

/// Publishes a batch under its term.
pub(crate) async fn publish(bus: Arc<dyn Bus>, subject: String, fence: String, handout: Handout) -> Outcome {
    let batch = Batch {
        subject: &subject,
        fence: handout.term.map(|term| (fence.as_str(), term)),
        messages: &handout.messages,
    };
    let result = bus.publish(&batch).await;
    Outcome { handout, result }
}

/// Pauses after failures, and counts the refusals of single messages. An unreachable bus counts nothing: its window
/// stays full and the ring holds.
#[derive(Debug)]
pub(crate) struct Retries {
    most: u32,
    refused: HashMap<EnvelopeId, u32>,
    failures: u32,
    pause_until: Time,
}

impl Retries {
    pub(crate) fn new(most: u32) -> Self {
        Retries { most, refused: HashMap::new(), failures: 0, pause_until: Time::ZERO }
    }

    /// When publishing may go on.
    pub(crate) fn pause_until(&self) -> Time {
        self.pause_until
    }

    /// A batch went through.
    pub(crate) fn succeeded(&mut self, id: &EnvelopeId) {
        self.failures = 0;
        if !self.refused.is_empty() {
            self.refused.remove(id);
        }
    }

    /// The bus did not take a batch: pause, twice as long each time, from 20 ms to 1 s.
    pub(crate) fn failed(&mut self, now: Time) {
        self.pause_until = now + pause(self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    /// The reachable bus refused this message. Answers true once it was retried often enough.
    pub(crate) fn refused(&mut self, now: Time, id: EnvelopeId) -> bool {
        let count = self.refused.entry(id).or_insert(0);
        *count += 1;
        let count = *count;
        if count > self.most {
            self.refused.remove(&id);
            return true;
        }
        self.pause_until = self.pause_until.max(now + pause(count));
        false
    }
}

fn pause(failures: u32) -> Duration {
    Duration::from_millis(20 << failures.min(6)).min(Duration::from_secs(1))
}

/// The message that tells the finalizer of one that the bus refused for good: the envelope with a failure beside it.
pub(crate) fn failure(message: &Message, why: &str, attempts: u32, instance: &str) -> Message {
    let envelope: serde_json::Value =
        serde_json::from_slice(&message.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&message.body)));
    let body = json!({
        "v": "1",
        "id": message.id.to_string(),
        "correlationId": message.id.to_string(),
        "type": FAILURE,
        "status": "failed",
        "error": { "code": "publish_refused", "message": why, "attempts": attempts, "instance": instance },
        "envelope": envelope,
    });
    Message {
        id: message.id,
        kind: FAILURE,
        channel: message.channel.clone(),
        body: Bytes::from(body.to_string().into_bytes()),
    }
}

/// The type of what goes to the finalizer.
const FAILURE: &str = "internal.finalize.failure.v1";

/// Publishes one message to the finalizer.
pub(crate) async fn finalize(
    bus: Arc<dyn Bus>,
    subject: String,
    fence: String,
    term: Option<Term>,
    message: Message,
) -> Result<(), String> {
    let batch =
        Batch { subject: &subject, fence: term.map(|term| (fence.as_str(), term)), messages: std::slice::from_ref(&message) };
    match bus.publish(&batch).await {
        Ok(answers) => match answers.into_iter().next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(refusal)) => Err(format!("{refusal:?}")),
            None => Err("the bus answered no message".into()),
        },
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refused message is retried as often as told, then given up; others do not count against it.
    #[test]
    fn a_refused_message_is_given_up_after_its_retries() {
        let mut retries = Retries::new(2);
        let (a, b) = (EnvelopeId([1; 16]), EnvelopeId([2; 16]));
        assert!(!retries.refused(Time::ZERO, a));
        assert!(!retries.refused(Time::ZERO, b));
        assert!(!retries.refused(Time::ZERO, a));
        assert!(retries.refused(Time::ZERO, a));
    }

    /// An unreachable bus makes pauses that grow to a second, and a success ends them.
    #[test]
    fn failures_pause_ever_longer() {
        let mut retries = Retries::new(2);
        retries.failed(Time::ZERO);
        assert_eq!(retries.pause_until(), Time::from_millis(20));
        for _ in 0..20 {
            retries.failed(Time::ZERO);
        }
        assert_eq!(retries.pause_until(), Time::from_millis(1_000));
        retries.succeeded(&EnvelopeId([1; 16]));
        retries.failed(Time::ZERO);
        assert_eq!(retries.pause_until(), Time::from_millis(20));
    }
}
