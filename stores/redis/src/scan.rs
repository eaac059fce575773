//! Looking through the names on the servers, for lists.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Value;
use tenure_store::{LeaseKey, StoreError};
use tokio::time::Instant;

use crate::config::RedisConfig;
use crate::error::with_remark;
use crate::script_reply::bytes;
use crate::server::Server;
use crate::topology::Topology;

/// How long a list may take altogether, however many keys there are to look through.
const LISTING: Duration = Duration::from_secs(60);

/// How many names a server looks through at a time: meanwhile it serves nobody else.
const SCANNED: usize = 1_000;

/// The keys of all names that match the pattern, on every server that takes writes, in order. A scan may name a key twice.
pub(crate) async fn keys(
    topology: &Topology,
    config: &RedisConfig,
    pattern: &str,
    key_of: fn(&str) -> Option<LeaseKey>,
) -> Result<BTreeSet<LeaseKey>, StoreError> {
    let until = Instant::now() + LISTING;
    let masters = topology.masters(Instant::now() + config.time_for(0)).await?;
    let scans = masters.iter().map(|server| scan(topology, config, server, pattern, key_of, until));
    let found = try_join_all(scans).await.map_err(|error| match topology.is_cluster() {
        true => with_remark(&error, "; a list needs every node of the cluster, the lease of one key only its own"),
        false => error,
    })?;
    Ok(found.into_iter().flatten().collect())
}

async fn scan(
    topology: &Topology,
    config: &RedisConfig,
    server: &Arc<Server>,
    pattern: &str,
    key_of: fn(&str) -> Option<LeaseKey>,
    until: Instant,
) -> Result<Vec<LeaseKey>, StoreError> {
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let deadline = until.min(Instant::now() + config.time_for(SCANNED));
        let session = server.session(deadline).await?;
        let mut command = redis::cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED);
        let read = session.read::<(String, Vec<Value>)>(&command, deadline).await;
        let (next, found) = read.inspect_err(|_| topology.doubt(server.address()))?;
        let names = found.iter().filter_map(|name| std::str::from_utf8(bytes(Some(name))).ok());
        keys.extend(names.filter_map(key_of));
        if next == "0" {
            return Ok(keys);
        }
        cursor = next;
    }
}
