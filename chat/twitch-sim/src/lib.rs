//! A Twitch chat server that can misbehave, with a ledger of all it sent and a checker that judges a bus by it.
//!
//! [`Sim::start`] gives a server over TCP and WebSocket, and over TLS with an authority made for the occasion. It speaks Twitch's
//! IRC as clients know it: capabilities, anonymous readers, budgets, silent drops. Its chat is made up from a seed or
//! replayed from a file. [`Sim::fault`] makes something go wrong; [`Sim::ledger`] says which line was written to which
//! socket; [`Checker`] compares that with what arrived on a bus.
//!
//! ```
//! use tenure_twitch_sim::{Checker, Cut, Fault, Select, Sim, SimConfig};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tenure_twitch_sim::SimError> {
//! let sim = Sim::start(SimConfig { rate: 100.0, limit: Some(10), ..SimConfig::default() }).await?;
//! println!("irc://{}", sim.addresses().irc);
//! sim.fault(Fault::Cut { select: Select::Nick("justinfan1".into()), how: Cut::Rst })?;
//! sim.chat_over().await;
//! let ledger = sim.shutdown().await;
//! let on_the_bus: [&[u8]; 0] = [];
//! assert!(Checker::judge(&ledger, on_the_bus).is_clean(), "nobody listened, so nothing was lost");
//! # Ok(()) }
//! ```

mod args;
mod chat;
mod chat_state;
mod checker;
mod config;
mod connection;
mod error;
mod fault;
mod fault_record;
mod feed;
mod http;
mod ledger;
mod limits;
mod line;
mod live_count;
mod message;
mod outbox;
mod random;
mod replay;
mod room;
mod serve;
mod session;
mod shared;
mod sim;
mod stats;
mod tls;
mod transport;
mod websocket;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use args::{Args, run};
pub use chat_state::ChatState;
pub use checker::{Checker, Findings, Unknown, Verdict};
pub use config::{SimConfig, StartRule, TimedFault};
pub use error::SimError;
pub use fault::{Closed, Cut, Fault, FaultOutcome, OddLine, Select, Split};
pub use fault_record::FaultRecord;
pub use ledger::{Ledger, LedgerConnection, LedgerCounts, LedgerFormatError, LedgerLine, Origin};
pub use limits::{Budget, SendLimits};
pub use live_count::{LiveCount, SoFar};
pub use outbox::OutboxStats;
pub use sim::{Addresses, Sim};
pub use stats::{ChatStats, ConnectionStats, Stats};

/// Locks, and goes on with what a panicking task left: every change under these locks is complete or harmless.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
