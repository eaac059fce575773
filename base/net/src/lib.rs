//! What everything that speaks to a server needs, and nothing of what it speaks about.
//!
//! Stores and buses read their URLs with [`server_url`], or [`address`] and [`query`], take secrets from the environment with [`secret`], trust
//! servers as [`tls`] says, name what answers in another protocol with [`spoken`], show URLs to people through [`disclosure`],
//! and tell operators of their servers in the words of [`diagnosis`].
//!
//! ```
//! use std::time::Duration;
//! use tenure_base_net::address::Address;
//! use tenure_base_net::{durations, query};
//!
//! let (hosts, options) = ("one:4333,[::1]", "timeout=1m30s&ca=%2Fetc%2Fca.pem");
//! let addresses = Address::parse_list(hosts, 4222).ok_or("HOST[:PORT]")?;
//! assert_eq!(addresses[1].to_string(), "[::1]:4222");
//!
//! let mut timeout = None;
//! for (name, value) in query::pairs(options) {
//!     match (name, value.ok_or("percent-encoding")?.as_ref()) {
//!         ("timeout", value) => timeout = Some(durations::parse(value)?),
//!         ("ca", value) => assert_eq!(value, "/etc/ca.pem"),
//!         (name, _) => return Err(format!("no option {:?}", query::shown_name(name)).into()),
//!     }
//! }
//! assert_eq!(timeout, Some(Duration::from_secs(90)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
pub mod diagnosis;
pub mod disclosure;
pub mod durations;
pub mod file_url;
pub mod query;
pub mod secret;
#[cfg(feature = "tls")]
pub mod server_url;
pub mod sizes;
#[cfg(feature = "spoken")]
pub mod spoken;
#[cfg(feature = "tls")]
pub mod tls;
