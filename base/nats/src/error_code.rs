//! Errors that JetStream answers with, by the numbers that it gives them. Source: `server/errors.json` of nats-server.

/// The stream does not exist.
pub const STREAM_NOT_FOUND: u32 = 10059;
/// Another stream has the name, with other settings.
pub const STREAM_NAME_IN_USE: u32 = 10058;
/// Another stream has one of the subjects.
pub const SUBJECTS_OVERLAP: u32 = 10065;
/// The last message of the subject has another stream sequence than
/// [`EXPECTED_LAST_SUBJECT_SEQUENCE`](crate::EXPECTED_LAST_SUBJECT_SEQUENCE) says: nothing was stored.
pub const WRONG_LAST_SEQUENCE: u32 = 10071;
/// The stream has no message as it was asked for.
pub const MESSAGE_NOT_FOUND: u32 = 10037;
/// The leader has met the message's id and has not stored the message: from 2.11 on. Servers of 2.10 answer as if it were
/// stored, at stream sequence 0.
pub const DUPLICATE_IN_PROCESS: u32 = 10158;
/// The stream stored nothing: it is full and discards what is new.
pub const STORE_FAILED: u32 = 10077;
/// The stream takes no message as large as this.
pub const MESSAGE_TOO_LARGE: u32 = 10054;
/// The account, the memory or the disk is used up.
pub const OUT_OF_RESOURCES: [u32; 4] = [10002, 10023, 10028, 10047];
/// Too few servers are there for the replicas; those of a cluster that has just begun do not all know of each other.
pub(crate) const NO_PEERS: u32 = 10005;
/// JetStream is switched off, for the server or for the account.
pub(crate) const NOT_ENABLED: [u32; 2] = [10076, 10039];
