//! The servers that are measured against: found on this machine, started for one group, gone with it.

use anyhow::Result;
use tenure_test_servers::{Nats, NatsOptions, Redis, RedisOptions, RedisPrograms, nats_program};

/// A Redis without persistence.
///
/// # Errors
/// Where it is not here, or does not start.
pub(crate) fn redis() -> Result<Redis> {
    Ok(RedisPrograms::find()?.start(RedisOptions::default())?)
}

/// A NATS server with JetStream in a folder of its own.
///
/// # Errors
/// Where it is not here, or does not start.
pub(crate) fn nats() -> Result<Nats> {
    Ok(Nats::start(&nats_program("2.9")?, &NatsOptions::default())?)
}
