//! One HTTP client for stores: calls that tell whether they were sent, and streams of lines.
//!
//! Whoever writes on a condition must know of a failed call whether the server may have done it. A call ends in one of
//! three ways: the server has **answered**, with any status; it was certainly **not sent**; or what became of it is
//! **unknown**. Nothing is ever repeated, followed to another place, or kept for later.
//!
//! [`Endpoints`] make of this what a store over several servers needs, whose protocol is a [`Protocol`]: the next server where
//! that is safe, a token that is renewed, and whether the servers' data went back.
//!
//! ```no_run
//! use tenure_base_http::{Call, Client, ClientOptions, Method, Url};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(&ClientOptions::default())?;
//! let url = Url::parse("https://store.example:2379/v3/kv/range")?;
//! let call = Call::new(Method::POST, url).json(&serde_json::json!({ "key": "a2V5" }));
//! let answer = client.send(call).await?;
//! if answer.is_success() {
//!     let found: serde_json::Value = answer.json()?;
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod call;
mod client;
mod cluster_config;
pub mod encoding;
mod endpoints;
mod error;
mod lines;
mod protocol;
mod standing;

pub use answer::Answer;
pub use call::Call;
pub use client::{Client, ClientOptions, Opened};
pub use cluster_config::{ClusterConfig, ClusterVariables, Login};
pub use endpoints::{AskError, Asked, Endpoints};
pub use error::{CallError, SetupError};
pub use lines::Lines;
pub use protocol::{Counted, Meaning, Protocol};
pub use reqwest::{Method, Url};
