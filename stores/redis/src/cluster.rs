//! A cluster's map of slots: which node serves which of them, as most of the nodes that answer know it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{FromRedisValue, Value};
use tenure_store::StoreError;
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::error::unavailable;
use crate::server::Server;
use crate::votes::Votes;

/// First slot, last slot, the master that serves them.
pub(crate) type SlotRange = (u16, u16, Address);

/// How many nodes are asked at once, and how long before as many others are asked too.
pub(crate) const ASKED: (usize, Duration) = (5, Duration::from_millis(100));

/// How long answers are waited for that may contradict the first: a node that was cut off or taken out of the cluster still
/// tells what it knew.
const OTHERS: Duration = Duration::from_millis(20);

/// Asks some of the nodes at once, and others where those stay silent. The answer that most of them gave counts, and the first
/// of them where they differ.
pub(crate) async fn slot_ranges(nodes: &[Arc<Server>], end: Instant) -> Result<Vec<SlotRange>, StoreError> {
    let (mut asked, mut votes) = (FuturesUnordered::new(), Votes::new());
    let mut last = unavailable("redis cluster: names no node");
    let mut groups = nodes.chunks(ASKED.0).peekable();
    while let Some(group) = groups.next() {
        asked.extend(group.iter().map(|node| ask(node, end)));
        let voters = asked.len();
        let mut until = if groups.peek().is_some() { end.min(Instant::now() + ASKED.1) } else { end };
        while let Ok(Some(answer)) = timeout_at(until, asked.next()).await {
            match answer {
                Ok(ranges) => {
                    if votes.count() == 0 {
                        until = end.min(Instant::now() + OTHERS);
                    }
                    if let Some(ranges) = votes.cast(ranges, voters) {
                        return Ok(ranges);
                    }
                }
                Err(error) => last = error,
            }
        }
        if let Some(ranges) = votes.leading() {
            return Ok(ranges);
        }
    }
    Err(last)
}

async fn ask(node: &Arc<Server>, deadline: Instant) -> Result<Vec<SlotRange>, StoreError> {
    let session = node.session_with_any_role(deadline).await?;
    let rows: Vec<Value> = session.read(redis::cmd("CLUSTER").arg("SLOTS"), deadline).await?;
    let mut ranges: Vec<SlotRange> = rows.iter().filter_map(|row| range(row, node.address())).collect();
    ranges.sort_by_key(|(first, ..)| *first);
    if ranges.is_empty() {
        return Err(unavailable(format!("redis cluster: {} knows of no slots", node.address())));
    }
    Ok(ranges)
}

/// `[first, last, [host, port, ...], replica...]`. A node that does not know its own host leaves it empty: it is where it was
/// asked.
fn range(row: &Value, asked: &Address) -> Option<SlotRange> {
    let Value::Array(fields) = row else { return None };
    let [first, last, Value::Array(master), ..] = fields.as_slice() else { return None };
    let [host, port, ..] = master.as_slice() else { return None };
    let host = Option::<String>::from_redis_value_ref(host).ok()?.filter(|host| !host.is_empty() && host != "?");
    let host = match (host, asked) {
        (Some(host), _) => host,
        (None, Address::Tcp(asked, _)) => asked.clone(),
        (None, Address::Unix(_)) => return None,
    };
    let number = |value: &Value| u16::from_redis_value_ref(value).ok();
    Some((number(first)?, number(last)?, Address::Tcp(host, number(port)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![Value::Int(0), Value::Int(5_460), Value::Array(vec![host, Value::Int(port)])])
    }

    /// A row names its first and last slot and its master; an empty host means the one that was asked.
    #[test]
    fn rows_are_read() {
        let asked = Address::Tcp("asked".to_owned(), 1);
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        let text = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        assert_eq!(range(&node(text("h"), 7), &asked), Some((0, 5_460, tcp("h", 7))));
        for nowhere in [text(""), text("?"), Value::Nil] {
            assert_eq!(range(&node(nowhere, 7), &asked), Some((0, 5_460, tcp("asked", 7))));
        }
        assert_eq!(range(&Value::Nil, &asked), None);
    }
}
