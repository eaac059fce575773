//! What is known of an envelope that was built.

use crate::{EnvelopeId, Identity, Kind};

/// What [`crate::Builder`] appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The envelope's id, which is its correlation id too.
    pub id: EnvelopeId,
    /// Its type.
    pub kind: Kind,
    /// Where the id comes from.
    pub identity: Identity,
    /// The envelope's timestamp, in milliseconds since 1970: when Twitch sent the line, or else when it was received.
    pub timestamp_ms: u64,
}
