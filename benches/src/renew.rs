//! Renewing ten thousand leases on one Redis connection: ours beside the bare batch script through redis-rs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use redis::Script;
use redis::aio::MultiplexedConnection;
use tenure::{HolderId, LeaseKey, LeaseStore, Nonce, Note};
use tenure_store::{Answers, Claim, Claimed, Held, Renewed};
use tokio::runtime::Runtime;

use crate::clock::wall;
use crate::pairs::{self, Effort};
use crate::report::{Report, Row, Target};
use crate::servers;

/// The name of the group.
pub(crate) const GROUP: &str = "renew";
const WHAT: &str = "renew 10,000 leases, one Redis connection";
const LEASES: usize = 10_000;
/// Keys in one call of the bare script.
const KEYS: usize = 500;
const TTL: Duration = Duration::from_secs(15);
/// Compares each key with what its holder wrote there, and extends it.
const RENEW: &str = "local extended = {}
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[i + 1] then
    extended[i] = redis.call('PEXPIRE', KEYS[i], ARGV[1])
  else
    extended[i] = 0
  end
end
return extended";

/// Measures passed time, because the server does most of the work.
///
/// # Errors
/// Where the server fails.
pub(crate) fn measure(report: &mut Report, effort: Effort) -> Result<()> {
    let server = match servers::redis() {
        Ok(server) => server,
        Err(error) => {
            report.left_out.push(format!("{WHAT}: {error:#}"));
            return Ok(());
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ours = runtime.block_on(Ours::start(&server.url()))?;
    let mut bare = runtime.block_on(Bare::start(&server.url(), &ours.held))?;
    let compared = pairs::compare(
        effort,
        |least| pairs::until(wall, least, |_| ours.renew(&runtime)),
        |least| pairs::until(wall, least, |_| bare.renew(&runtime)),
    )?;
    let target = Target { goal: 0.9, at_least: 0.8 };
    report.rows.push(
        Row::of_wall(GROUP, WHAT, "bare Lua, 500 keys a call, pipelined through redis-rs", compared, target).noting(
            "time that passed, a lease, server and client on this machine. Both compare each lease with its holder's own value of the same \
             length; ours answers each lease by itself and knows a foreign value, an expired lease and a request to resign",
        ),
    );
    Ok(())
}

/// Our store with the leases that it holds.
struct Ours {
    store: Arc<dyn LeaseStore>,
    held: Vec<Held>,
}

impl Ours {
    async fn start(url: &str) -> Result<Self> {
        let store = tenure_open::open(url).await.context("cannot open the store")?;
        let holder = HolderId::new("bench-1-0123456789abcdef")?;
        let mut claims = Vec::with_capacity(LEASES);
        for number in 0..LEASES {
            let nonce = Nonce { process: 0x0123_4567_89ab_cdef, campaign: 1 };
            let key = LeaseKey::new(format!("bench/renew/{number:05}"))?;
            claims.push(Claim::new(key, holder.clone(), nonce, TTL));
        }
        let mut held = Vec::with_capacity(LEASES);
        let give_up = wall() + 2 * TTL;
        for claims in claims.chunks(store.info().batch_limit) {
            // A server that has just started may have forgotten a lease, so the store grants nothing for one ttl.
            let granted = loop {
                let granted = granted(claims, store.acquire(claims).await?)?;
                if let Some(granted) = granted {
                    break granted;
                }
                ensure!(wall() < give_up, "fresh leases are not granted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            held.extend(granted);
        }
        Ok(Self { store, held })
    }

    fn renew(&self, runtime: &Runtime) -> Result<u64> {
        let answers = runtime.block_on(self.store.renew(&self.held))?;
        let extended = |answer: &Result<Renewed, _>| matches!(answer, Ok(Renewed::Extended { .. }));
        if answers.len() != LEASES || !answers.iter().all(extended) {
            bail!("a lease was not renewed");
        }
        Ok(LEASES as u64)
    }
}

/// The leases that are held now; `None` unless every claim was granted.
fn granted(claims: &[Claim], answers: Answers<Claimed>) -> Result<Option<Vec<Held>>> {
    let mut held = Vec::with_capacity(claims.len());
    for (claim, answer) in claims.iter().zip(answers) {
        let Claimed::Granted { term, .. } = answer? else { return Ok(None) };
        held.push(Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: TTL, note: Note::default() });
    }
    Ok(Some(held))
}

/// The same number of plain keys, for the bare script.
struct Bare {
    connection: MultiplexedConnection,
    hash: String,
    keys: Vec<(String, String)>,
}

impl Bare {
    async fn start(url: &str, held: &[Held]) -> Result<Self> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let hash = Script::new(RENEW).load_async(&mut connection).await?;
        let value = |held: &Held| format!("bench-1-0123456789abcdef {} {:016x}-{:x}", held.term, held.nonce.process, 1);
        let keys: Vec<_> =
            held.iter().map(|held| (format!("bare/renew/{}", &held.key.as_str()[12..]), value(held))).collect();
        let mut pipeline = redis::pipe();
        for (key, value) in &keys {
            pipeline.cmd("SET").arg(key).arg(value).arg("PX").arg(TTL.as_millis() as u64).ignore();
        }
        let () = pipeline.query_async(&mut connection).await?;
        Ok(Self { connection, hash, keys })
    }

    fn renew(&mut self, runtime: &Runtime) -> Result<u64> {
        let mut pipeline = redis::pipe();
        for keys in self.keys.chunks(KEYS) {
            let call = pipeline.cmd("EVALSHA").arg(&self.hash).arg(keys.len());
            for (key, _) in keys {
                call.arg(key);
            }
            call.arg(TTL.as_millis() as u64);
            for (_, value) in keys {
                call.arg(value);
            }
        }
        let answers: Vec<Vec<i64>> = runtime.block_on(pipeline.query_async(&mut self.connection))?;
        if answers.iter().flatten().filter(|extended| **extended == 1).count() != LEASES {
            bail!("the bare script did not renew every key");
        }
        Ok(LEASES as u64)
    }
}
