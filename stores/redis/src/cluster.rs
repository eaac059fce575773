//! A cluster: which node serves which slot, looked up at first and whenever that turned out wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::time::Instant;

use crate::config::Address;
use crate::dial::Dial;
use crate::failure::Failure;
use crate::link::{Link, Role, Sent, text};

/// The nodes of a cluster, as far as they are known.
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    dial: Dial,
    role: Role,
    state: Mutex<State>,
    // One look-up at a time.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    // First slot, last slot, who serves them.
    ranges: Vec<(u16, u16, Address)>,
    links: HashMap<Address, Arc<Link>>,
    doubted: bool,
    looked: Option<Instant>,
    turn: usize,
}

/// How many nodes are asked at once.
const ASKED: usize = 5;

/// A doubt that is raised again so soon after a look-up waits: a node that is down stays so for a while.
const PAUSE: Duration = Duration::from_millis(100);

impl Cluster {
    /// Has asked nobody yet. Nodes that serve slots must be of this `role`.
    pub(crate) fn new(seeds: &[Address], dial: &Dial, role: Role) -> Self {
        Cluster {
            seeds: seeds.to_vec(),
            dial: dial.clone(),
            role,
            state: Mutex::default(),
            looking: Default::default(),
        }
    }

    /// The node that serves this slot.
    pub(crate) async fn link(&self, slot: u16, deadline: Instant) -> Result<Arc<Link>, Failure> {
        self.look_where_needed(deadline).await?;
        let address = self.state().ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).cloned();
        match address {
            Some((_, _, address)) => Ok(self.link_at(&address)),
            None => {
                self.doubt();
                Err(Failure::unavailable(format!("redis cluster: no node serves slot {slot}; see CLUSTER INFO")))
            }
        }
    }

    /// The node at this address.
    pub(crate) fn link_at(&self, address: &Address) -> Arc<Link> {
        let link = || Arc::new(Link::new(address.clone(), self.dial.clone(), self.role));
        Arc::clone(self.state().links.entry(address.clone()).or_insert_with(link))
    }

    /// Every node that serves slots.
    pub(crate) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Link>>, Failure> {
        self.look_where_needed(deadline).await?;
        let mut addresses: Vec<Address> = Vec::new();
        for (_, _, address) in &self.state().ranges {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        Ok(addresses.iter().map(|address| self.link_at(address)).collect())
    }

    /// The next use looks again.
    pub(crate) fn doubt(&self) {
        self.state().doubted = true;
    }

    async fn look_where_needed(&self, deadline: Instant) -> Result<(), Failure> {
        if self.is_known() {
            return Ok(());
        }
        let late = || Failure::unavailable("redis cluster: its nodes were not looked up in time");
        let _one = tokio::time::timeout_at(deadline, self.looking.lock()).await.map_err(|_| late())?;
        if self.is_known() {
            return Ok(());
        }
        let looked = self.look(deadline).await;
        let mut state = self.state();
        state.looked = Some(Instant::now());
        match looked {
            Ok(ranges) => {
                // Connections to nodes that serve nothing any more go.
                state.links.retain(|address, _| ranges.iter().any(|(_, _, serves)| serves == address));
                state.ranges = ranges;
                state.doubted = false;
                Ok(())
            }
            // What was known may still be right.
            Err(_) if !state.ranges.is_empty() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn is_known(&self) -> bool {
        let state = self.state();
        !state.ranges.is_empty() && (!state.doubted || state.looked.is_some_and(|at| at.elapsed() < PAUSE))
    }

    /// Asks some nodes at once; the first good answer counts.
    async fn look(&self, deadline: Instant) -> Result<Vec<(u16, u16, Address)>, Failure> {
        // Some time must be left for the call itself.
        let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let mut candidates = self.seeds.clone();
        let turn = {
            let mut state = self.state();
            candidates.extend(state.ranges.iter().map(|(_, _, address)| address.clone()));
            state.turn = state.turn.wrapping_add(1);
            state.turn
        };
        candidates.sort_by_key(ToString::to_string);
        candidates.dedup();
        let count = candidates.len().max(1);
        candidates.rotate_left(turn.wrapping_mul(ASKED) % count);
        let links: Vec<_> = candidates.iter().take(ASKED).map(|address| self.link_at(address)).collect();
        let mut asked: FuturesUnordered<_> = links.iter().map(|link| ask(link, until)).collect();
        let mut last = Failure::unavailable("redis cluster: names no node");
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(ranges) => return Ok(ranges),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(link: &Link, deadline: Instant) -> Result<Vec<(u16, u16, Address)>, Failure> {
    let live = link.live_whatever_its_role(deadline).await?;
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let nothing = || Failure::unavailable(format!("redis cluster: {} knows of no slots", link.address()));
    match live.send(&question, deadline).await {
        Sent::Answered(Value::Array(rows)) => {
            let ranges: Vec<_> = rows.iter().filter_map(|row| range(row, link.address())).collect();
            if ranges.is_empty() { Err(nothing()) } else { Ok(ranges) }
        }
        Sent::Answered(_) => Err(nothing()),
        Sent::Refused(reply) => Err(reply.failure(live.place()).of_question()),
        Sent::Failed(failure) => Err(failure.of_question()),
    }
}

/// `[first, last, [host, port, ...], replica...]`; a node that does not know its own host is where it was asked.
fn range(row: &Value, asked: &Address) -> Option<(u16, u16, Address)> {
    let Value::Array(words) = row else { return None };
    let number = |at: usize| words.get(at).and_then(text)?.parse::<u16>().ok();
    let Some(Value::Array(node)) = words.get(2) else { return None };
    let port = node.get(1).and_then(text)?.parse().ok()?;
    let host = node.first().and_then(text).filter(|host| !host.is_empty() && host != "?");
    let host = host.or_else(|| match asked {
        Address::Tcp(host, _) => Some(host.clone()),
        Address::Unix(_) => None,
    });
    Some((number(0)?, number(1)?, Address::Tcp(host?, port)))
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
