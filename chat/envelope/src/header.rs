//! The members that every envelope has, in front of its payload.

use alloc::vec::Vec;

use crate::id::hyphenated;
use crate::json::{self, Escaping};
use crate::time::rfc3339;
use crate::{EnvelopeId, Kind};

/// Begins an envelope: writes everything up to and including the channel's opening quote.
pub(crate) fn begin(out: &mut Vec<u8>, id: EnvelopeId, kind: Kind, timestamp_ms: u64) {
    let hex = id.hex();
    let text = hyphenated(&hex);
    out.extend_from_slice(b"{\"v\":\"1\",\"id\":\"");
    out.extend_from_slice(&text);
    out.extend_from_slice(b"\",\"correlationId\":\"");
    out.extend_from_slice(&text);
    out.extend_from_slice(b"\",\"traceId\":\"");
    out.extend_from_slice(&hex);
    out.extend_from_slice(b"\",\"timestamp\":\"");
    out.extend_from_slice(&rfc3339(timestamp_ms));
    out.extend_from_slice(b"\",\"type\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"source\":{\"platform\":\"twitch\",\"channel\":\"");
}

/// Goes on from the closing quote of the channel's id to the opening quote of the user's.
pub(crate) const USER: &[u8] = b"\"},\"user\":{\"id\":\"";

/// Goes on from the closing quote of the display name to the opening brace of the payload.
pub(crate) const PAYLOAD: &[u8] = b"\",\"profileImageUrl\":\"\",\"role\":\"\"},\"routingSlip\":[],\
    \"finalizationDestination\":\"internal.finalizer.v1\",\"payload\":{";

/// Writes channel and channel id, between [`begin`] and [`USER`].
pub(crate) fn source(
    out: &mut Vec<u8>,
    channel: &[u8],
    channel_escaping: Escaping,
    write_id: impl FnOnce(&mut Vec<u8>),
) {
    json::text(out, channel, channel_escaping);
    out.extend_from_slice(b"\",\"channelId\":\"");
    write_id(out);
}

/// Writes an unknown user, between [`USER`] and [`PAYLOAD`].
pub(crate) fn nobody(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\",\"name\":\"\",\"displayName\":\"");
}
