//! Redis clusters: which node serves which slot, nodes that fail, and slots that are moved by hand.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{BUS, Redis, RedisOptions, RedisPrograms, hosts, until};
use crate::{Cut, CutOff, Proxy, StartError};

/// The options of a cluster. The default has three masters and no replicas, and refuses every request while any slot is
/// unserved, as Redis does by default.
#[derive(Clone, Debug)]
pub struct RedisClusterOptions {
    /// How many masters there are.
    pub masters: usize,
    /// How many replicas each of them has.
    pub replicas: usize,
    /// Whether slots that are served are refused while another slot is unserved (`cluster-require-full-coverage`).
    pub full_coverage: bool,
    /// Whether nodes reach each other through ways that can be cut, and name these to clients ([`RedisCluster::named`]).
    pub apart: bool,
    /// Whether nodes persist nothing but their identity, so that a kill loses all leases.
    pub forgetful: bool,
}

/// A cluster. Its nodes persist what they acknowledge unless they are told otherwise; the others take a node for dead
/// that is silent for 2 s.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    /// The ways to each node, for replicas and for the cluster's bus; none where they come to each other directly.
    ways: Vec<[Proxy; 2]>,
    // Which node serves each slot: kept here, because a node that would have to be asked may be stopped.
    servers: Mutex<Vec<usize>>,
}

/// How many slots there are.
const SLOTS: u16 = 16_384;

impl Default for RedisClusterOptions {
    fn default() -> Self {
        RedisClusterOptions { masters: 3, replicas: 0, full_coverage: true, apart: false, forgetful: false }
    }
}

impl RedisPrograms {
    /// Starts three nodes and joins them to a cluster.
    pub fn start_cluster(&self) -> Result<RedisCluster, StartError> {
        self.start_cluster_with(&RedisClusterOptions::default())
    }

    /// Starts nodes and joins them to a cluster. The masters come first.
    pub fn start_cluster_with(&self, options: &RedisClusterOptions) -> Result<RedisCluster, StartError> {
        let coverage = if options.full_coverage { "yes" } else { "no" };
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let arguments = arguments.into_iter().chain(["--cluster-require-full-coverage", coverage]);
        let arguments = arguments.map(str::to_owned).collect();
        let server = RedisOptions { arguments, durable: !options.forgetful, ..RedisOptions::default() };
        let count = options.masters * (options.replicas + 1);
        let nodes: Vec<Redis> = (0..count).map(|_| self.start(server.clone())).collect::<Result<_, _>>()?;
        let mut create = vec!["--cluster".to_owned(), "create".to_owned()];
        create.extend(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        create.extend(["--cluster-replicas".to_owned(), options.replicas.to_string(), "--cluster-yes".to_owned()]);
        let said = nodes[0].cli(create);
        let mut cluster = RedisCluster { nodes, ways: Vec::new(), servers: Mutex::default() };
        until("redis cluster", &said, || {
            cluster.is_whole()
                && cluster.nodes[options.masters..]
                    .iter()
                    .all(|node| node.cli(["info", "replication"]).contains("master_link_status:up"))
        })?;
        if options.apart {
            let way = |port: u16| Proxy::between(port).map_err(super::io("a way to redis"));
            let ways = |node: &Redis| Ok([way(node.port)?, way(node.port + BUS)?]);
            cluster.ways = cluster.nodes.iter().map(ways).collect::<Result<_, StartError>>()?;
            (0..count).for_each(|node| cluster.announce(node));
            until("redis cluster", "", || cluster.knows_its_ways())?;
        }
        cluster.servers = Mutex::new(cluster.servers_by_slot());
        Ok(cluster)
    }
}

impl RedisCluster {
    /// Its nodes.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Its nodes, to kill one.
    pub fn nodes_mut(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// The port by which the others name this node.
    pub fn named(&self, node: usize) -> u16 {
        self.ways.get(node).map_or(self.nodes[node].port, |[data, _]| data.port())
    }

    /// Cuts a node off from the others, but not from clients that know its own port, until the value is dropped. Of nodes
    /// that stand apart.
    pub fn cut_off(&self, node: usize, how: Cut) -> CutOff {
        let own = CutOff::cut(self.ways.get(node).into_iter().flatten(), how);
        let others = self.ways.iter().enumerate().filter(|(other, _)| *other != node).flat_map(|(_, ways)| ways);
        let process = self.nodes[node].pid().unwrap_or_default();
        own.and(others.map(|way| way.cut_from(process, how)))
    }

    /// Starts a node again that was killed.
    pub fn start_again(&mut self, node: usize) -> Result<(), StartError> {
        self.nodes[node].start_again()?;
        self.announce(node);
        Ok(())
    }

    fn announce(&self, node: usize) {
        if let Some([data, bus]) = self.ways.get(node) {
            for (name, way) in [("cluster-announce-port", data), ("cluster-announce-bus-port", bus)] {
                self.nodes[node].cli(["config", "set", name, &way.port().to_string()]);
            }
        }
    }

    /// Whether every node names all others by their ways.
    fn knows_its_ways(&self) -> bool {
        self.nodes.iter().all(|node| {
            let said = node.cli(["cluster", "nodes"]);
            self.ways.iter().all(|[data, bus]| said.contains(&format!(":{}@{}", data.port(), bus.port())))
        })
    }

    /// The URL that names all its nodes.
    pub fn url(&self) -> String {
        format!("redis-cluster://{}", hosts(&self.nodes))
    }

    /// Waits until every node reports that the cluster is whole.
    pub fn wait_until_whole(&self) -> Result<(), StartError> {
        until("redis cluster", "", || self.is_whole())
    }

    /// Waits until, besides, every replica has all that its master has, so that it can take its place.
    pub fn wait_until_replicated(&self) -> Result<(), StartError> {
        let is_ready = |node: &Redis| {
            let said = node.cli(["info", "replication"]);
            said.contains("role:master") || said.contains("master_link_status:up")
        };
        until("redis cluster", "", || self.is_whole() && self.nodes.iter().all(is_ready))
    }

    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let said = node.cli(["cluster", "info"]);
            said.contains("cluster_state:ok")
                && said.contains("cluster_slots_fail:0")
                && said.contains("cluster_slots_pfail:0")
        })
    }

    /// The slot of a name: the CRC16 of the text in its first braces, if there is any, else of the whole name.
    pub fn slot(&self, name: &str) -> u16 {
        let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
        let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
        let crc = hashed.bytes().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
        });
        crc % SLOTS
    }

    /// The node that serves a slot, by its number.
    pub fn server_of(&self, slot: u16) -> usize {
        self.servers().get(usize::from(slot)).copied().unwrap_or_default()
    }

    /// Opens a slot for its move: `from` redirects requests for keys that it no longer has, and `to` serves redirected
    /// requests.
    pub fn open_slot(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        self.must(to, ["cluster", "setslot", &slot, "importing", &self.id(from)]);
        self.must(from, ["cluster", "setslot", &slot, "migrating", &self.id(to)]);
    }

    /// Moves one key, and returns whether there was such a key. If the target has a key of that name already, the move
    /// is tried again for some seconds, as an operator would.
    pub fn move_key(&self, name: &str, from: usize, to: usize) -> bool {
        let mut tries = 100;
        loop {
            let to = self.nodes[to].port.to_string();
            let said = self.nodes[from].cli(["migrate", "127.0.0.1", &to, name, "0", "5000"]);
            match said.trim() {
                "OK" => return true,
                "NOKEY" => return false,
                said => assert!(said.contains("BUSYKEY") && tries > 0, "{said}"),
            }
            tries -= 1;
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// The keys of a slot that a node has.
    pub fn keys_in(&self, slot: u16, node: usize) -> Vec<String> {
        let said = self.nodes[node].cli(["cluster", "getkeysinslot", &slot.to_string(), "1000"]);
        said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Closes a slot after its move: it belongs to `to` from now on, and every node learns that.
    pub fn close_slot(&self, slot: u16, from: usize, to: usize) {
        let (text, id) = (slot.to_string(), self.id(to));
        let others = (0..self.nodes.len()).filter(|node| *node != from && *node != to);
        for node in [to, from].into_iter().chain(others) {
            // A replica refuses this command, and learns the owner from its master.
            self.nodes[node].cli(["cluster", "setslot", &text, "node", &id]);
        }
        self.servers()[usize::from(slot)] = to;
    }

    /// The node that serves each slot, as the first node reports it.
    fn servers_by_slot(&self) -> Vec<usize> {
        let mut servers = vec![0; usize::from(SLOTS)];
        // ID HOST:PORT@BUS FLAGS MASTER PING PONG EPOCH LINK RANGE...
        for line in self.nodes[0].cli(["cluster", "nodes"]).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = words.get(1).and_then(|address| address.split('@').next()?.rsplit(':').next()?.parse().ok());
            let Some(at) = (0..self.nodes.len()).find(|node| Some(self.named(*node)) == port) else { continue };
            for range in words.iter().skip(8) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>())
                    && let Some(slots) = servers.get_mut(first..=last)
                {
                    slots.fill(at);
                }
            }
        }
        servers
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].cli(["cluster", "myid"]).trim().to_owned()
    }

    fn must<const N: usize>(&self, node: usize, arguments: [&str; N]) {
        let said = self.nodes[node].cli(arguments);
        assert_eq!(said.trim(), "OK", "{arguments:?}");
    }

    fn servers(&self) -> MutexGuard<'_, Vec<usize>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
