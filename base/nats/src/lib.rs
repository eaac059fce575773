//! A NATS client that writes nothing behind its caller's back: the ground that message bus and lease store stand on.
//!
//! A general client writes from a queue of its own, and after a reconnect once more, where nobody can hold it back. Whoever
//! may write only until a deadline, because leadership ends then, needs another: here
//!
//! - a connection has no task. It reads and writes while a caller awaits it, each message once, over the connection that it
//!   was given to; [`Servers::connect`] makes another, and that one begins empty. Only what a caller gives to
//!   [`Connection::request_repeatedly`], and the calls of [`JetStream`], which do no harm twice, are sent again.
//! - **nothing is handed to the system after the [write deadline](Connection::set_write_deadline)**, not even by a process
//!   that was stopped and continued: the boottime clock is asked below TLS, right before each write.
//! - nothing queues. What is not taken yet stays in the system's buffers, and a [`PullConsumer`] asks for bounded numbers.
//!
//! **When is an outcome unknown?** A message was stored where its [`Acknowledgement`] says so with a stream sequence. It was
//! not where the answer is [`Acknowledgement::Refused`] or [`Acknowledgement::NoResponders`], or where
//! [`Connection::request`] failed and [`NatsError::is_outcome_unknown`] is false. Everything else, silence above all,
//! leaves it open: it may be stored already, or be stored later, while the server still has bytes to read.
//!
//! The crate knows subjects, inboxes, streams and consumers, and nothing of what is in a message.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use tenure_base_nats::{Acknowledgement, Acknowledger, EXPECTED_LAST_SUBJECT_SEQUENCE, Headers, NatsConfig, Servers};
//! use tokio::time::Instant;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = NatsConfig::parse("nats://localhost", |_, _| Err("there are no further options".into()))?
//!     .with_environment(|name| std::env::var(name).ok())?;
//! let deadline = Instant::now() + config.timeout;
//! let mut connection = Servers::new(config)?.connect(deadline).await?;
//!
//! // Stored only where the last message of the subject has stream sequence 17.
//! let mut headers = Headers::new();
//! headers.push(EXPECTED_LAST_SUBJECT_SEQUENCE, &["17"]);
//! connection.set_write_deadline(Some(tenure_base_time::now() + Duration::from_secs(10)));
//! let answer = connection.request("leases.nightly", Some(&headers), b"{}", deadline).await?;
//! match Acknowledgement::read(&answer, Acknowledger { stream: Some("LEASES"), domain: None }) {
//!     Acknowledgement::Stored(sequence) => println!("stored at {sequence}"),
//!     Acknowledgement::Refused(error) => println!("somebody else was faster: {}", error.description),
//!     unknown => println!("read it again: {unknown:?}"),
//! }
//! # Ok(())
//! # }
//! ```

mod acknowledgement;
mod api_error;
mod config;
mod connection;
mod error;
pub mod error_code;
mod handshake;
mod headers;
mod incoming;
mod jetstream;
mod login;
mod nkey;
mod protocol;
mod pull_consumer;
mod server_info;
mod servers;
mod stream_info;
mod subject;
mod write_deadline;

pub use acknowledgement::{Acknowledgement, Acknowledger};
pub use api_error::ApiError;
pub use config::{NatsConfig, TlsMode};
pub use connection::Connection;
pub use error::{ConfigError, NatsError, NatsErrorKind};
pub use headers::{EXPECTED_LAST_SUBJECT_SEQUENCE, Headers, MESSAGE_ID};
pub use incoming::Incoming;
pub use jetstream::{ApiResult, JetStream};
pub use login::Login;
pub use pull_consumer::{PullConsumer, Pulled};
pub use server_info::ServerInfo;
pub use servers::{Failover, Servers};
pub use stream_info::{StreamConfig, StreamInfo, StreamState};
pub use subject::{check_subject, covers, is_name};
pub use tenure_base_net::address::Address;
