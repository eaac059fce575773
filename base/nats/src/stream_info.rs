//! A stream as the server describes it.

use std::time::Duration;

use serde::Deserialize;

use crate::server_info::list_or_null;

/// A stream: what it is set to, and how far it is.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamInfo {
    /// Its settings.
    pub config: StreamConfig,
    /// When it was made, in the server's words: another stream of the same name says something else here.
    #[serde(default)]
    pub created: String,
    /// How far it is.
    pub state: StreamState,
    /// Who keeps it, where the server is one of several.
    #[serde(default)]
    cluster: Option<StreamCluster>,
}

#[derive(Clone, Debug, Deserialize)]
struct StreamCluster {
    #[serde(default)]
    leader: String,
}

impl StreamInfo {
    /// Whether its leader is known to the server that answered. One that is cut off from its peers answers as well, from
    /// what it had.
    pub fn is_led(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| !cluster.leader.is_empty())
    }
}

/// The settings of a stream, as far as they matter here. Each has its server's name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamConfig {
    /// The stream's name.
    pub name: String,
    /// The subjects that it stores, with wildcards.
    #[serde(deserialize_with = "list_or_null")]
    pub subjects: Vec<String>,
    /// `limits`, `interest` or `workqueue`: when a message is removed.
    pub retention: String,
    /// `file` or `memory`.
    pub storage: String,
    /// For how many nanoseconds a second message of the same id is dropped.
    pub duplicate_window: u64,
    /// How many nanoseconds a message is kept; 0 is for ever.
    pub max_age: u64,
    /// How many messages of each subject are kept; negative is any number.
    pub max_msgs_per_subject: i64,
    /// How many servers keep a copy.
    pub num_replicas: u8,
    /// Whether it acknowledges nothing.
    pub no_ack: bool,
    /// Whether it takes nothing more.
    pub sealed: bool,
}

impl StreamConfig {
    /// For how long a second message of the same id is dropped.
    pub fn duplicate_window(&self) -> Duration {
        Duration::from_nanos(self.duplicate_window)
    }
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StreamState {
    /// The stream sequence of its last message, also where that was removed; 0 where there never was one.
    pub last_seq: u64,
}
