//! The JetStream API: requests, answers and errors, as JSON. Source: the NATS documentation, "JetStream wire API".

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::protocol::list_or_null;

/// The stream does not exist.
pub(crate) const STREAM_NOT_FOUND: u32 = 10059;
/// Another stream has the name, with other settings.
pub(crate) const STREAM_NAME_IN_USE: u32 = 10058;
/// Another stream has one of the subjects.
pub(crate) const SUBJECTS_OVERLAP: u32 = 10065;
/// The leader has met the message's id and has not stored it: from 2.11 on. Servers of 2.10 answer as if it were stored,
/// at position 0.
pub(crate) const DUPLICATE_IN_PROCESS: u32 = 10158;
/// The stream stored nothing: it is full and discards what is new.
pub(crate) const STORE_FAILED: u32 = 10077;
/// The stream takes no message as large as this.
pub(crate) const MESSAGE_TOO_LARGE: u32 = 10054;
/// The account, the memory or the disk is used up.
pub(crate) const OUT_OF_RESOURCES: [u32; 4] = [10002, 10023, 10028, 10047];
/// Too few servers are there for the replicas; those of a cluster that has just begun do not all know of each other.
const NO_PEERS: u32 = 10005;
/// JetStream is switched off, for the server or for the account.
const NOT_ENABLED: [u32; 2] = [10076, 10039];

/// An error that JetStream answers with.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ApiError {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    /// What it means for the request that met it.
    pub(crate) fn into_failure(self, doing: &str) -> Failure {
        let ApiError { code, err_code, description } = self;
        let kind = if NOT_ENABLED.contains(&err_code) {
            FailureKind::Invalid
        } else if OUT_OF_RESOURCES.contains(&err_code) {
            FailureKind::Refused
        } else if code >= 500 || err_code == NO_PEERS {
            FailureKind::NoResponders
        } else {
            FailureKind::Invalid
        };
        Failure::new(kind, format!("{doing}: {description} (error {err_code})"))
    }
}

/// A stream: what it is set to, and where it stands.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: StreamConfig,
    /// When it was made, in the server's words: another stream of the same name says something else here.
    #[serde(default)]
    pub(crate) created: String,
    pub(crate) state: StreamState,
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
    /// Whether its leader is known to who answers. A server that is cut off from its peers answers as well, of what it had.
    pub(crate) fn is_led(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| !cluster.leader.is_empty())
    }
}

/// What of a stream's settings matters here; the durations are in nanoseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    #[serde(deserialize_with = "list_or_null")]
    pub(crate) subjects: Vec<String>,
    pub(crate) retention: String,
    pub(crate) storage: String,
    pub(crate) duplicate_window: u64,
    pub(crate) max_age: u64,
    pub(crate) max_msgs_per_subject: i64,
    pub(crate) num_replicas: u8,
    pub(crate) no_ack: bool,
    pub(crate) sealed: bool,
}

impl StreamConfig {
    pub(crate) fn dedupe(&self) -> Duration {
        Duration::from_nanos(self.duplicate_window)
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) last_seq: u64,
}

/// One caller of the API: a connection, the prefix of the domain, and until when it waits.
pub(crate) struct Api<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) domain: Option<&'a str>,
    pub(crate) deadline: Instant,
}

/// The answer, or the error that stands in its place.
type Answer<T> = Result<Result<T, ApiError>, Failure>;

impl Api<'_> {
    /// The streams that cover `subject`.
    pub(crate) async fn streams_covering(&mut self, subject: &str) -> Answer<Vec<String>> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default, deserialize_with = "list_or_null")]
            streams: Vec<String>,
        }
        let names: Result<Names, _> = self.call("STREAM.NAMES", &json!({ "subject": subject })).await?;
        Ok(names.map(|names| names.streams))
    }

    pub(crate) async fn stream(&mut self, name: &str) -> Answer<StreamInfo> {
        self.call(&format!("STREAM.INFO.{name}"), &json!({})).await
    }

    pub(crate) async fn create_stream(&mut self, name: &str, config: &Value) -> Answer<StreamInfo> {
        self.call(&format!("STREAM.CREATE.{name}"), config).await
    }

    /// All settings of a stream, as the server has them.
    pub(crate) async fn settings(&mut self, name: &str) -> Answer<Value> {
        let info: Result<Value, _> = self.call(&format!("STREAM.INFO.{name}"), &json!({})).await?;
        Ok(info.map(|mut info| info["config"].take()))
    }

    pub(crate) async fn update_stream(&mut self, name: &str, config: &Value) -> Answer<StreamInfo> {
        self.call(&format!("STREAM.UPDATE.{name}"), config).await
    }

    pub(crate) async fn create_consumer(
        &mut self,
        stream: &str,
        name: &str,
        filter: &str,
        config: &Value,
    ) -> Answer<Value> {
        let body = json!({ "stream_name": stream, "config": config });
        self.call(&format!("CONSUMER.CREATE.{stream}.{name}.{filter}"), &body).await
    }

    /// Asks the leader of a stream with replicas to let another one lead.
    pub(crate) async fn step_down(&mut self, stream: &str) -> Answer<Value> {
        self.call(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({})).await
    }

    async fn call<T: DeserializeOwned>(&mut self, what: &str, body: &Value) -> Answer<T> {
        #[derive(Deserialize)]
        struct Failed {
            error: Option<ApiError>,
        }
        let prefix = prefix(self.domain);
        let answer = self.connection.request(&format!("{prefix}{what}"), body, self.deadline).await?;
        let not_understood = |error: serde_json::Error| {
            Failure::connection(format!("an answer to {what} that is not understood: {error}"))
        };
        let failed: Failed = serde_json::from_slice(&answer).map_err(not_understood)?;
        if let Some(error) = failed.error {
            return Ok(Err(error));
        }
        serde_json::from_slice(&answer).map(Ok).map_err(not_understood)
    }
}

/// What the API's subjects begin with, in this domain.
pub(crate) fn prefix(domain: Option<&str>) -> String {
    domain.map_or_else(|| "$JS.API.".to_owned(), |domain| format!("$JS.{domain}.API."))
}
