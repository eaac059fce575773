//! What the builder returns for an envelope.

use crate::{EnvelopeId, Identity, Kind};

/// The envelope that [`crate::Builder`] appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The envelope's id, which is its correlation id too.
    pub id: EnvelopeId,
    /// The envelope's type.
    pub kind: Kind,
    /// Where the id comes from.
    pub identity: Identity,
    /// The envelope's timestamp, in milliseconds since 1970: when Twitch sent the line, or else when it was received.
    pub timestamp_ms: u64,
}
