//! A cluster: which node serves which slot, looked up at first and whenever that turned out wrong.
//!
//! A doubt belongs to a node: only what that node serves waits for the next look-up, everything else goes on meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::Value;
use tokio::time::{Instant, timeout_at};

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
    ranges: Ranges,
    links: HashMap<Address, Arc<Link>>,
    // Nodes that failed, or sent us elsewhere, since the last look-up.
    doubted: HashSet<Address>,
    looked: Option<Instant>,
    turn: usize,
}

/// First slot, last slot, who serves them.
type Ranges = Vec<(u16, u16, Address)>;

/// How many nodes are asked at once, and how long before as many others are asked too.
const ASKED: (usize, Duration) = (5, Duration::from_millis(100));

/// How long others are waited for that may contradict the first answer: a node that was cut off or taken out of the cluster
/// goes on to tell what it knows.
const OTHERS: Duration = Duration::from_millis(20);

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
        self.look_where_needed(Some(slot), deadline).await?;
        let address = self.state().server_of(slot).cloned();
        match address {
            Some(address) => Ok(self.link_at(&address)),
            None => Err(Failure::unavailable(format!("redis cluster: no node serves slot {slot}; see CLUSTER INFO"))),
        }
    }

    /// The node at this address.
    pub(crate) fn link_at(&self, address: &Address) -> Arc<Link> {
        let link = || Arc::new(Link::new(address.clone(), self.dial.clone(), self.role));
        Arc::clone(self.state().links.entry(address.clone()).or_insert_with(link))
    }

    /// Every node that serves slots.
    pub(crate) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Link>>, Failure> {
        self.look_where_needed(None, deadline).await?;
        let addresses = self.state().servers();
        Ok(addresses.iter().map(|address| self.link_at(address)).collect())
    }

    /// Before this node is used again, somebody looks.
    pub(crate) fn doubt(&self, node: &Address) {
        self.state().doubted.insert(node.clone());
    }

    /// Looks, where the node of this slot, or any where none is named, is not known or in doubt.
    async fn look_where_needed(&self, slot: Option<u16>, deadline: Instant) -> Result<(), Failure> {
        if self.state().is_known(slot) {
            return Ok(());
        }
        let late = || Failure::unavailable("redis cluster: its nodes were not looked up in time");
        let _one = timeout_at(deadline, self.looking.lock()).await.map_err(|_| late())?;
        if self.state().is_known(slot) {
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
                state.doubted.clear();
                Ok(())
            }
            // What was known may still be right.
            Err(_) if !state.ranges.is_empty() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Asks some nodes at once, and others where those stay silent. What most of them say counts, and the first of them
    /// where they say different things.
    async fn look(&self, deadline: Instant) -> Result<Ranges, Failure> {
        // Some time must be left for the call itself.
        let end = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let mut candidates = self.candidates();
        let (mut asked, mut count) = (FuturesUnordered::new(), 0);
        let mut views: Vec<(Ranges, usize)> = Vec::new();
        let mut last = Failure::unavailable("redis cluster: names no node");
        let mut until = end;
        loop {
            if views.is_empty() && !candidates.is_empty() {
                let some = candidates.drain(..ASKED.0.min(candidates.len()));
                asked.extend(some.map(|link| ask(link, end)));
                count = asked.len();
                until = if candidates.is_empty() { end } else { end.min(Instant::now() + ASKED.1) };
            }
            while let Ok(Some(answer)) = timeout_at(until, asked.next()).await {
                match answer {
                    Ok(ranges) => {
                        if views.is_empty() {
                            until = end.min(Instant::now() + OTHERS);
                        }
                        let at = views.iter().position(|(view, _)| *view == ranges).unwrap_or_else(|| {
                            views.push((ranges, 0));
                            views.len() - 1
                        });
                        views[at].1 += 1;
                        if views[at].1 * 2 > count {
                            return Ok(views.swap_remove(at).0);
                        }
                    }
                    Err(failure) => last = failure,
                }
            }
            // Of equals the last is the greatest.
            if let Some((ranges, _)) = views.drain(..).rev().max_by_key(|(_, votes)| *votes) {
                return Ok(ranges);
            }
            if candidates.is_empty() {
                return Err(last);
            }
        }
    }

    /// Whom to ask, the likeliest to answer first: those that a connection stands to, last those known to be silent.
    fn candidates(&self) -> Vec<Arc<Link>> {
        let mut addresses = self.state().servers();
        addresses.extend(self.seeds.iter().cloned());
        addresses.sort_by_key(ToString::to_string);
        addresses.dedup();
        let turn = {
            let mut state = self.state();
            state.turn = state.turn.wrapping_add(1);
            state.turn
        };
        let count = addresses.len().max(1);
        addresses.rotate_left(turn.wrapping_mul(ASKED.0) % count);
        let mut links: Vec<_> = addresses.iter().map(|address| self.link_at(address)).collect();
        links.sort_by_cached_key(|link| match link.is_live() {
            Some(true) => 0,
            Some(false) => 1,
            None => 2,
        });
        links
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn server_of(&self, slot: u16) -> Option<&Address> {
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, address)| address)
    }

    fn servers(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        for (_, _, address) in &self.ranges {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// Whether it is known who serves this slot, or the slots altogether.
    fn is_known(&self, slot: Option<u16>) -> bool {
        let known = match slot {
            Some(slot) => self.server_of(slot).is_some_and(|server| !self.doubted.contains(server)),
            None => !self.ranges.is_empty() && self.doubted.is_empty(),
        };
        known || !self.ranges.is_empty() && self.looked.is_some_and(|at| at.elapsed() < PAUSE)
    }
}

async fn ask(link: Arc<Link>, deadline: Instant) -> Result<Ranges, Failure> {
    let live = link.live_whatever_its_role(deadline).await?;
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    let nothing = || Failure::unavailable(format!("redis cluster: {} knows of no slots", link.address()));
    match live.send(&question, deadline).await {
        Sent::Answered(Value::Array(rows)) => {
            let mut ranges: Ranges = rows.iter().filter_map(|row| range(row, link.address())).collect();
            ranges.sort_by_key(|(first, ..)| *first);
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
