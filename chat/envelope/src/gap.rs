//! The envelope that says what nobody read.

use alloc::vec::Vec;

use crate::json::{self, Care};
use crate::time::rfc3339;
use crate::{Built, EnvelopeId, Identity, Kind, header};

/// An interval in which nobody read a channel, or what was read was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    /// The channel, without `#`.
    pub channel: &'a str,
    /// The channel's id, where it is known.
    pub channel_id: Option<&'a str>,
    /// Up to when all is known to have been read, in milliseconds since 1970.
    pub from_ms: u64,
    /// From when on it is read again.
    pub until_ms: u64,
    /// Why: `not_covered` where nobody read, `ring_overflow` where a bound forced lines out.
    pub reason: &'a str,
    /// Its ends were named by clocks that are apart: it is longer than what is missing, which may be nothing.
    pub uncertain: bool,
    /// Who noticed it; empty where that is nobody in particular.
    pub leader: &'a str,
    /// Its term, where it has one.
    pub term: Option<u64>,
}

impl Gap<'_> {
    /// Its envelope's id: from channel, beginning and end, so that it is the same whoever publishes it.
    pub fn id(&self) -> EnvelopeId {
        let (mut from, mut until) = ([0; 20], [0; 20]);
        let (from, until) = (json::decimal(self.from_ms, &mut from), json::decimal(self.until_ms, &mut until));
        EnvelopeId::derive(&[b"gap:", self.channel.as_bytes(), b":", from, b":", until])
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Built {
        let id = self.id();
        header::begin(out, id, Kind::Gap, self.until_ms);
        let channel_id = self.channel_id.unwrap_or_default().as_bytes();
        header::source(out, self.channel.as_bytes(), Care::Escape, |out| json::text(out, channel_id, Care::Escape));
        out.extend_from_slice(header::USER);
        header::nobody(out);
        out.extend_from_slice(header::PAYLOAD);
        out.extend_from_slice(b"\"from\":\"");
        out.extend_from_slice(&rfc3339(self.from_ms));
        out.extend_from_slice(b"\",\"until\":\"");
        out.extend_from_slice(&rfc3339(self.until_ms));
        out.extend_from_slice(b"\",\"reason\":\"");
        json::text(out, self.reason.as_bytes(), Care::Escape);
        out.extend_from_slice(b"\",\"uncertain\":");
        json::boolean(out, self.uncertain);
        out.extend_from_slice(b",\"leader\":\"");
        json::text(out, self.leader.as_bytes(), Care::Escape);
        out.extend_from_slice(b"\",\"term\":");
        match self.term {
            Some(term) => json::number(out, term),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}}");
        Built { id, kind: Kind::Gap, identity: Identity::Derived, timestamp_ms: self.until_ms }
    }
}
