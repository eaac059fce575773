//! What the client does with real servers, and with servers that the test plays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod consumers;
mod logins;
mod outcomes;
mod records;

use std::time::Duration;

use tenure_base_nats::{Connection, NatsConfig, Servers};
use tenure_test_servers::{Nats, NatsOptions, nats_program, or_skip};
use tokio::time::Instant;

/// A server of this version, or a line that says why this test is skipped.
fn server(version: &str, options: &NatsOptions) -> Option<Nats> {
    let program = or_skip(&format!("nats client, servers {version}"), true, nats_program(version))?;
    Some(Nats::start(&program, options).unwrap())
}

async fn connect(url: &str) -> Connection {
    let config = NatsConfig::parse(url, |_, _| Err("unknown".into())).unwrap();
    Servers::new(config).unwrap().connect(soon()).await.unwrap()
}

/// The deadline of one call.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
