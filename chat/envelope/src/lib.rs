//! The envelope: one chat line, normalized.

mod id;

pub use id::EnvelopeId;
