//! What of the servers' settings weakens the guarantee, for an operator who asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use redis::cmd;
use tenure_store::{ClockReading, Diagnosis, StoreError, StoreErrorKind};
use tokio::time::Instant;

use crate::config::{RedisConfig, Servers};
use crate::server::Server;
use crate::server_info::ServerInfo;
use crate::topology::Topology;

type Settings = HashMap<String, String>;

/// Asks every server that takes writes.
pub(crate) async fn diagnose(topology: &Topology, config: &RedisConfig) -> Result<Diagnosis, StoreError> {
    let deadline = Instant::now() + config.timeout;
    let masters = topology.masters(deadline).await?;
    let mut found = Diagnosis::default();
    let asked = join_all(masters.iter().map(|server| ask(server, deadline))).await;
    for (server, asked) in masters.iter().zip(asked) {
        let at = format!("redis {}", server.address());
        let (info, settings, clock) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                found.weak(
                    error.to_string(),
                    "see that this node runs: its keys are away with it, and no list is whole",
                );
                continue;
            }
        };
        found.clock = found.clock.or(clock);
        let Some(info) = info else {
            found.weak(
                format!("{at}: INFO is denied: role, version and eviction policy are taken on trust"),
                "ACL SETUSER USER +info",
            );
            continue;
        };
        found.version.get_or_insert_with(|| info.product());
        look(&at, &info, settings.as_ref(), config, &mut found);
    }
    Ok(found)
}

type Asked = (Option<ServerInfo>, Option<Settings>, Option<ClockReading>);

/// What a server tells of itself; `None` for what this user may not ask.
async fn ask(server: &Arc<Server>, deadline: Instant) -> Result<Asked, StoreError> {
    let session = server.session(deadline).await?;
    let info: Option<String> = allowed(session.read(&cmd("INFO"), deadline).await)?;
    let names = ["appendfsync", "cluster-require-full-coverage"];
    let settings = allowed(session.read(cmd("CONFIG").arg("GET").arg(&names), deadline).await)?;
    let asked = SystemTime::now();
    let time: Option<(u64, u64)> = allowed(session.read(&cmd("TIME"), deadline).await)?;
    let clock = time.map(|(seconds, micros)| {
        ClockReading::new(
            seconds.saturating_mul(1_000_000).saturating_add(micros),
            Duration::ZERO,
            asked,
            SystemTime::now(),
        )
    });
    Ok((info.as_deref().map(ServerInfo::read), settings, clock))
}

fn look(at: &str, info: &ServerInfo, settings: Option<&Settings>, config: &RedisConfig, found: &mut Diagnosis) {
    let setting = |name: &str| settings.and_then(|settings| settings.get(name)).map(String::as_str);
    let (appends, synced) = (info.appends(), setting("appendfsync"));
    match (config.durable, appends, synced) {
        (true, true, Some("always")) => found.well(format!("{at}: syncs each write to disk, as ?durable=true says")),
        (true, true, None) => found.weak(
            format!("{at}: whether each write is synced, as ?durable=true says, is not known: CONFIG GET is denied"),
            "ACL SETUSER USER +config|get, or see that appendfsync is always",
        ),
        (true, ..) => found.weak(
            format!("{at}: ?durable=true says that a restart forgets nothing, and {}", kept(appends, synced)),
            "CONFIG SET appendonly yes and CONFIG SET appendfsync always (and in redis.conf), or leave ?durable=true out",
        ),
        (false, ..) => found.well(format!(
            "{at}: {}; a restart is waited out for one ttl, as it may have forgotten",
            kept(appends, synced)
        )),
    }
    match info.eviction() {
        (_, policy) if policy == "noeviction" => found.well(format!("{at}: evicts nothing")),
        (0, policy) => found.weak(
            format!("{at}: maxmemory-policy is {policy}; it evicts nothing only as long as maxmemory is 0"),
            "CONFIG SET maxmemory-policy noeviction (and in redis.conf)",
        ),
        (_, policy) => found.weak(
            format!("{at}: maxmemory-policy is {policy}: leases may be evicted while they are held"),
            "CONFIG SET maxmemory-policy noeviction (and in redis.conf)",
        ),
    }
    let fails_over = !matches!(config.servers, Servers::Single(_));
    match info.replicas() {
        0 if fails_over => found.weak(
            format!("{at}: has no replica: while it is away, so are its leases"),
            "give it a replica (REPLICAOF), so that one can take over",
        ),
        0 => {}
        count => found.weak(
            format!("{at}: {count} replicas follow asynchronously: one that is promoted may lack the last grants"),
            "check terms where the work writes to (`tenure fence check`), or keep leases in a store whose replicas agree \
             before it answers (etcd, or PostgreSQL with synchronous replicas)",
        ),
    }
    if matches!(config.servers, Servers::Cluster(_)) && setting("cluster-require-full-coverage") == Some("yes") {
        found.weak(
            format!("{at}: one node that is away stops the whole cluster (cluster-require-full-coverage yes)"),
            "CONFIG SET cluster-require-full-coverage no (and in redis.conf), on every node",
        );
    }
}

fn kept(appends: bool, synced: Option<&str>) -> String {
    match (appends, synced) {
        (false, _) => "it keeps no append-only file".to_owned(),
        (true, Some(synced)) => format!("it keeps an append-only file, with appendfsync {synced}"),
        (true, None) => "it keeps an append-only file".to_owned(),
    }
}

fn allowed<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == StoreErrorKind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}
