//! One HTTP client for stores: calls that tell whether they were sent, and streams of lines.
//!
//! Whoever writes on a condition must know of a failed call whether the server may have done it. A call ends in one of
//! three ways: the server has **answered**, with any status; it was certainly **not sent**; or what became of it is
//! **unknown**. Nothing is ever repeated, followed to another place, or kept for later.
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
mod error;
mod lines;

pub use answer::Answer;
pub use call::Call;
pub use client::{Client, ClientOptions, Opened};
pub use error::{CallError, SetupError};
pub use lines::Lines;
pub use reqwest::{Method, Url};
