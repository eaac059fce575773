//! The environment variables by which the supervisor passes settings to its worker.

/// The process half of the worker's nonces, in hexadecimal. A process that finds it is a worker.
pub(in crate::ingest) const SUPERVISED: &str = "TENURE_SUPERVISED";
/// The name of the worker's instance, so that it stays the same over restarts.
pub(in crate::ingest) const INSTANCE: &str = "TENURE_SUPERVISED_INSTANCE";
