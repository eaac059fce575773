//! The envelope that reports a gap: an interval that nobody read.

use alloc::vec::Vec;

use crate::json::{self, Escaping};
use crate::time::rfc3339;
use crate::{Built, EnvelopeId, Identity, Kind, header};

/// An interval in which nobody read a channel, or whose lines were read and lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    /// The channel, without `#`.
    pub channel: &'a str,
    /// The channel's id, where it is known.
    pub channel_id: Option<&'a str>,
    /// The time up to which everything is known to have been read, in milliseconds since 1970.
    pub from_ms: u64,
    /// The time from which on the channel is read again, in milliseconds since 1970.
    pub until_ms: u64,
    /// Why: `not_covered` where nobody read the channel, `ring_overflow` where the ring dropped lines to stay in its
    /// bounds.
    pub reason: &'a str,
    /// Whether its ends come from clocks that disagree: then the interval is longer than what is missing, which may be
    /// nothing.
    pub uncertain: bool,
    /// The instance that noticed the gap; empty where none in particular did.
    pub leader: &'a str,
    /// The term of that instance, if it has one.
    pub term: Option<u64>,
}

impl Gap<'_> {
    /// The id of the gap's envelope: derived from channel, beginning and end, so that it is the same whoever publishes
    /// it.
    pub fn id(&self) -> EnvelopeId {
        let (mut from, mut until) = ([0; 20], [0; 20]);
        let (from, until) = (json::decimal(self.from_ms, &mut from), json::decimal(self.until_ms, &mut until));
        EnvelopeId::derive(&[b"gap:", self.channel.as_bytes(), b":", from, b":", until])
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Built {
        let id = self.id();
        header::begin(out, id, Kind::Gap, self.until_ms);
        let channel_id = self.channel_id.unwrap_or_default().as_bytes();
        header::source(out, self.channel.as_bytes(), Escaping::Escape, |out| {
            json::text(out, channel_id, Escaping::Escape)
        });
        out.extend_from_slice(header::USER);
        header::nobody(out);
        out.extend_from_slice(header::PAYLOAD);
        out.extend_from_slice(b"\"from\":\"");
        out.extend_from_slice(&rfc3339(self.from_ms));
        out.extend_from_slice(b"\",\"until\":\"");
        out.extend_from_slice(&rfc3339(self.until_ms));
        out.extend_from_slice(b"\",\"reason\":\"");
        json::text(out, self.reason.as_bytes(), Escaping::Escape);
        out.extend_from_slice(b"\",\"uncertain\":");
        json::boolean(out, self.uncertain);
        out.extend_from_slice(b",\"leader\":\"");
        json::text(out, self.leader.as_bytes(), Escaping::Escape);
        out.extend_from_slice(b"\",\"term\":");
        match self.term {
            Some(term) => json::number(out, term),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}}");
        Built { id, kind: Kind::Gap, identity: Identity::Derived, timestamp_ms: self.until_ms }
    }
}
