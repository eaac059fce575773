//! A Redis and a NATS server for one test.

use tenure_test_servers::{Nats, NatsOptions, Redis, RedisOptions, RedisPrograms, nats_program, or_skip};

/// Both, with their data on disk.
pub(crate) struct Servers {
    pub(crate) redis: Redis,
    pub(crate) nats: Nats,
}

impl Servers {
    /// Starts them; `None` where one is not on this machine, which the closing table then says.
    pub(crate) fn start(suite: &str, nats_version: &str, nats_required: bool) -> Option<Servers> {
        let redis = or_skip(suite, true, RedisPrograms::find())?;
        let nats = or_skip(suite, nats_required, nats_program(nats_version))?;
        let redis = redis.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
        Some(Servers { redis, nats: Nats::start(&nats, &NatsOptions::default()).unwrap() })
    }
}
