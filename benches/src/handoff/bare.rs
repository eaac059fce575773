//! The minimal implementation through redis-rs: one script compares, deletes and publishes; a subscriber sets the key
//! where nobody has it.

use anyhow::{Context, Result};
use futures_util::StreamExt as _;
use redis::Script;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};

use super::candidate::Candidate;

const TTL_MS: u64 = 15_000;
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', KEYS[1], '')
  return 1
end
return 0";

/// One connection for commands, and another one that is subscribed.
pub(crate) struct Bare {
    connection: MultiplexedConnection,
    freed: PubSubStream,
    _subscriptions: PubSubSink,
    release: Script,
    key: String,
    id: String,
}

impl Bare {
    /// Connects and subscribes.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub(crate) async fn start(url: &str, key: &str) -> Result<Self> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let (mut subscriptions, freed) = client.get_async_pubsub().await?.split();
        subscriptions.subscribe(key).await?;
        let release = Script::new(RELEASE);
        release.load_async(&mut connection).await?;
        let id = std::process::id().to_string();
        Ok(Self { connection, freed, _subscriptions: subscriptions, release, key: key.to_owned(), id })
    }
}

impl Candidate for Bare {
    async fn campaign(&mut self) -> Result<()> {
        loop {
            let mut set = redis::cmd("SET");
            set.arg(&self.key).arg(&self.id).arg("NX").arg("PX").arg(TTL_MS);
            let granted: Option<String> = set.query_async(&mut self.connection).await?;
            if granted.is_some() {
                return Ok(());
            }
            self.freed.next().await.context("the subscription has ended")?;
        }
    }

    async fn release(&mut self) -> Result<()> {
        let mut invocation = self.release.prepare_invoke();
        let _: i64 = invocation.key(&self.key).arg(&self.id).invoke_async(&mut self.connection).await?;
        Ok(())
    }
}
