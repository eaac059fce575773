//! etcd below whatever is kept there: its JSON gateway, and what of a cluster an operator should know.
//!
//! [`Gateway`] is what [`Endpoints`](tenure_base_http::Endpoints) ask the members of a cluster by. [`diagnose`] asks each member
//! how it is. Nothing here knows of keys and values.

mod diagnosis;
mod gateway;

pub use diagnosis::diagnose;
pub use gateway::Gateway;
