//! The JetStream API: requests with JSON, answered by a result or an error. Source: the NATS documentation, "JetStream wire
//! API".

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api_error::ApiError;
use crate::connection::Connection;
use crate::error::NatsError;
use crate::server_info::list_or_null;
use crate::stream_info::StreamInfo;

/// One caller of the API. Each call is repeated until it is answered or the deadline has passed, see
/// [`Connection::request_repeatedly`]: none of those below does harm when it is done twice.
pub struct JetStream<'a> {
    /// The connection that it calls over.
    pub connection: &'a mut Connection,
    /// The domain, where it is not the server's own.
    pub domain: Option<&'a str>,
    /// Until when an answer is waited for.
    pub deadline: Instant,
}

/// The outer error says that no answer came. The inner one is the server's answer that nothing was done.
pub type ApiResult<T> = Result<Result<T, ApiError>, NatsError>;

impl JetStream<'_> {
    /// The names of the streams that cover `subject`.
    pub async fn streams_covering(&mut self, subject: &str) -> ApiResult<Vec<String>> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default, deserialize_with = "list_or_null")]
            streams: Vec<String>,
        }
        let names: Result<Names, _> = self.call("STREAM.NAMES", &json!({ "subject": subject })).await?;
        Ok(names.map(|names| names.streams))
    }

    /// What this stream is set to, and how far it is.
    pub async fn stream(&mut self, name: &str) -> ApiResult<StreamInfo> {
        self.call(&format!("STREAM.INFO.{name}"), &json!({})).await
    }

    /// Makes a stream with these settings, under the server's names for them. One that is there with the same settings is
    /// given back as if it were made.
    pub async fn create_stream(&mut self, name: &str, config: &Value) -> ApiResult<StreamInfo> {
        self.call(&format!("STREAM.CREATE.{name}"), config).await
    }

    /// All settings of a stream, also those that [`StreamInfo`] does not know: what [`JetStream::update_stream`] wants back.
    pub async fn stream_settings(&mut self, name: &str) -> ApiResult<Value> {
        let info: Result<Value, _> = self.call(&format!("STREAM.INFO.{name}"), &json!({})).await?;
        Ok(info.map(|mut info| info["config"].take()))
    }

    /// Gives a stream these settings in place of all that it has.
    pub async fn update_stream(&mut self, name: &str, config: &Value) -> ApiResult<StreamInfo> {
        self.call(&format!("STREAM.UPDATE.{name}"), config).await
    }

    /// Makes a consumer of this name, which sees the messages of `stream` that `filter` covers.
    pub async fn create_consumer(
        &mut self,
        stream: &str,
        name: &str,
        filter: &str,
        config: &Value,
    ) -> ApiResult<Value> {
        let body = json!({ "stream_name": stream, "config": config });
        self.call(&format!("CONSUMER.CREATE.{stream}.{name}.{filter}"), &body).await
    }

    /// Asks the leader of a stream with replicas to let another server lead.
    pub async fn step_down(&mut self, stream: &str) -> ApiResult<Value> {
        self.call(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({})).await
    }

    /// Calls any operation of the API by its name, such as `STREAM.MSG.GET.NAME`, which the stream's leader answers. It must
    /// do no harm when it is done twice; one that does goes through [`Connection::request`], under
    /// [`JetStream::api_subject`].
    pub async fn call<T: DeserializeOwned>(&mut self, operation: &str, body: &Value) -> ApiResult<T> {
        #[derive(Deserialize)]
        struct Failed {
            error: Option<ApiError>,
        }
        let (subject, body) = (self.api_subject(operation), body.to_string());
        let answer = self.connection.request_repeatedly(&subject, body.as_bytes(), self.deadline).await?;
        let not_understood = |error: serde_json::Error| {
            NatsError::unreachable(format!("an answer to {operation} that is not understood: {error}"))
        };
        let failed: Failed = serde_json::from_slice(&answer.payload).map_err(not_understood)?;
        if let Some(error) = failed.error {
            return Ok(Err(error));
        }
        serde_json::from_slice(&answer.payload).map(Ok).map_err(not_understood)
    }

    /// The subject that an operation of the API is asked for at, in this domain.
    pub fn api_subject(&self, operation: &str) -> String {
        match self.domain {
            Some(domain) => format!("$JS.{domain}.API.{operation}"),
            None => format!("$JS.API.{operation}"),
        }
    }
}
