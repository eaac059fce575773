//! The messages that are published to a bus, its answers, and the messages that a follower gets.

use std::sync::Arc;

use bytes::Bytes;
use tenure_core::{Term, Time};
use tenure_envelope::EnvelopeId;

/// One message: an envelope's bytes, and the fields that a bus needs to route and deduplicate it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The envelope's id; the bus drops a second message with the same one.
    pub id: EnvelopeId,
    /// The envelope's type, such as `external.chat.message.v1`.
    pub kind: &'static str,
    /// The channel, without `#`; for headers.
    pub channel: Arc<str>,
    /// The envelope, as JSON.
    pub body: Bytes,
}

/// Messages that are published together.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Where to, such as `internal.ingress.v1` with its prefix.
    pub subject: &'a str,
    /// The lease whose term fences this subject, and the publisher's term; `None` publishes without a fence.
    pub fence: Option<(&'a str, Term)>,
    /// Until when the publisher may act, on the boottime clock: a bus that can hands nothing of the batch to the system
    /// after it. `None` where no such moment is known.
    pub valid_until: Option<Time>,
    /// The messages, in the order in which they are published.
    pub messages: &'a [Message],
}

/// The message is on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It was put there by this call, at this position.
    Stored(u64),
    /// It was there already, at this position. A bus that cannot name one cannot know that the message is there.
    Duplicate(u64),
}

/// The bus is reachable and does not take this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A newer term has published: this publisher's tenure is over.
    Fenced {
        /// The highest term that the bus has admitted.
        seen: Term,
    },
    /// The message itself is refused, as too large or not valid there, in the bus's own words.
    Rejected(String),
}

/// Where to follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowFrom {
    /// The oldest message that is still there.
    Start,
    /// Only messages that are published from now on.
    End,
    /// After this position.
    After(u64),
}

/// One message seen on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its position: grows along the bus.
    pub pos: u64,
    /// Its id.
    pub id: EnvelopeId,
    /// The term it was published under, where the bus keeps it.
    pub term: Option<Term>,
    /// The envelope; may be empty where only ids were asked for.
    pub body: Bytes,
}
