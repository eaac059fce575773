//! A pull consumer: what it delivers is asked for in bounded numbers, and that nothing was lost on the way is checked.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::error::{NatsError, NatsErrorKind};
use crate::incoming::Incoming;

/// How many messages are asked for at once: the most that wait for a slow reader.
const BATCH: usize = 512;
/// How often the server says that it is there while nothing is new.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long nothing at all may come before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(5);
/// How long one request for messages stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// By this header a heartbeat says how many messages the consumer has delivered.
const LAST_CONSUMER: &str = "Nats-Last-Consumer";

/// A pull consumer that acknowledges nothing, read over one connection from its first delivery on.
///
/// It asks for at most 512 messages at a time, and for heartbeats. Where a delivery is missing, or nothing has come for
/// 5 s, it fails as `Unreachable`: the caller makes another consumer behind the last stream sequence that it saw.
#[derive(Debug)]
pub struct PullConsumer {
    /// The subject that messages are asked for at.
    next: String,
    /// How many were asked for and have not come.
    asked: usize,
    /// How many messages it has delivered.
    delivered: u64,
}

/// What came from a [`PullConsumer`].
#[derive(Debug)]
pub enum Pulled {
    /// The next message, and its stream sequence.
    Message {
        /// Where it stands in the stream.
        sequence: u64,
        /// The message.
        message: Incoming,
    },
    /// A heartbeat: nothing is new, and nothing was lost.
    Heartbeat,
    /// A request for messages has expired, because nothing was new; the next call makes another. A server that is cut off from
    /// its peers goes on like this for ever for the consumers that it keeps itself: look whether the stream still has a
    /// leader ([`StreamInfo::is_led`](crate::StreamInfo::is_led)).
    Expired,
}

impl PullConsumer {
    /// The consumer whose messages are asked for at `next`: the API's subject for `CONSUMER.MSG.NEXT.STREAM.CONSUMER`.
    pub fn new(next: String) -> PullConsumer {
        PullConsumer { next, asked: 0, delivered: 0 }
    }

    /// What comes next; asks for more where all that was asked for has come. Its future may be dropped only with the
    /// connection.
    pub async fn pull(&mut self, connection: &mut Connection) -> Result<Pulled, NatsError> {
        if self.asked == 0 {
            let ask = json!({ "batch": BATCH, "expires": nanos(EXPIRES), "idle_heartbeat": nanos(HEARTBEAT) });
            let number = connection.reserve_replies(1);
            connection.publish(&self.next, Some(number), None, ask.to_string().as_bytes());
            self.asked = BATCH;
        }
        let message = timeout(SILENCE, connection.message()).await.unwrap_or_else(|_| {
            Err(NatsError::unreachable(format!("{}: nothing has come for {SILENCE:?}", connection.server())))
        })?;
        let Some(delivery) = Delivery::read(&message.reply) else { return self.status(&message) };
        self.asked = self.asked.saturating_sub(1);
        self.delivered += 1;
        if delivery.number != self.delivered {
            let (got, expected) = (delivery.number, self.delivered);
            return Err(NatsError::unreachable(format!(
                "delivery {got} came instead of {expected}: some were lost on the way"
            )));
        }
        Ok(Pulled::Message { sequence: delivery.sequence, message })
    }

    /// What the server says of the consumer in place of a message.
    fn status(&mut self, message: &Incoming) -> Result<Pulled, NatsError> {
        match message.status() {
            // After the last message none follows whose number would tell that it was lost; the heartbeat tells.
            Some(100) => match message.header(LAST_CONSUMER).and_then(|number| number.parse::<u64>().ok()) {
                Some(last) if last > self.delivered => Err(NatsError::unreachable(format!(
                    "{last} were delivered and {} came: some were lost on the way",
                    self.delivered
                ))),
                _ => Ok(Pulled::Heartbeat),
            },
            Some(404 | 408) => {
                self.asked = 0;
                Ok(Pulled::Expired)
            }
            Some(503) => Err(NatsError::new(NatsErrorKind::NoResponders, "the consumer's server is gone")),
            Some(_) => Err(NatsError::unreachable(format!("the consumer has ended: {}", message.status_text()))),
            // An answer to an earlier request of this connection.
            None => Ok(Pulled::Heartbeat),
        }
    }
}

/// Where a message stands, from the subject that it would be acknowledged at:
/// `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.TRIES.SEQUENCE.NUMBER.TIME.PENDING[.MORE]`.
struct Delivery {
    /// Its stream sequence.
    sequence: u64,
    /// How many messages its consumer has delivered, this one included.
    number: u64,
}

impl Delivery {
    fn read(reply: &[u8]) -> Option<Delivery> {
        let text = std::str::from_utf8(reply).ok()?;
        let tokens: Vec<_> = text.strip_prefix("$JS.ACK.")?.split('.').collect();
        // With a domain there are two tokens more in front, and one or more behind.
        let at = if tokens.len() == 7 { 3 } else { 5 };
        Some(Delivery { sequence: tokens.get(at)?.parse().ok()?, number: tokens.get(at + 1)?.parse().ok()? })
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stream sequence and number are read from both forms of the subject.
    #[test]
    fn deliveries_are_read_with_and_without_a_domain() {
        let plain = Delivery::read(b"$JS.ACK.TENURE.c.1.42.7.1700000000000000000.3").unwrap();
        assert_eq!((plain.sequence, plain.number), (42, 7));
        let domain = Delivery::read(b"$JS.ACK.hub.ACCHASH.TENURE.c.1.42.7.1700000000000000000.3.x").unwrap();
        assert_eq!((domain.sequence, domain.number), (42, 7));
        assert!(Delivery::read(b"").is_none() && Delivery::read(b"_INBOX.x").is_none());
    }
}
