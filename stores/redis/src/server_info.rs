//! What a server says of itself (INFO), and whether leases are safe on such a server.

use std::time::Duration;

use redis::InfoDict;
use tenure_store::{StoreError, StoreErrorKind};

use crate::address::Address;
use crate::error::{invalid, unavailable};

/// A server's answer to INFO. A line that is missing is not held against the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerInfo(InfoDict);

/// What a store demands of each of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// Whether it must be a node of a cluster.
    pub(crate) cluster: bool,
    /// The operator's word that a policy which would evict leases never does.
    pub(crate) eviction_allowed: bool,
}

/// The oldest server that the tests run against.
const OLDEST: (u32, u32) = (6, 2);
/// The oldest cluster that the tests run against.
const OLDEST_CLUSTER: (u32, u32) = (7, 0);

impl ServerInfo {
    /// Reads INFO's text.
    pub(crate) fn read(info: &str) -> Self {
        ServerInfo(InfoDict::new(info))
    }

    /// For how long the server process lives at least: it counts whole seconds from the one in which it started.
    pub(crate) fn min_uptime(&self) -> Duration {
        Duration::from_secs(self.number("uptime_in_seconds").saturating_sub(1))
    }

    /// Refuses a server that does not take writes. Checked on every new connection.
    pub(crate) fn check_role(&self, address: &Address) -> Result<(), StoreError> {
        match self.text("role").as_str() {
            "slave" => Err(unavailable(format!(
                "redis {address}: is a replica and takes no writes; name its master, or its Sentinels with \
                 redis-sentinel://HOST,.../MASTER"
            ))),
            role if role == "sentinel" || self.mode() == "sentinel" => {
                Err(invalid(format!("redis {address}: is a Sentinel; write redis-sentinel://HOST,.../MASTER")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a server on which new leases would not be safe or would not work. Checked when the store is opened, and on
    /// every new connection.
    pub(crate) fn check(&self, address: &Address, requirements: Requirements) -> Result<(), StoreError> {
        use StoreErrorKind::{Invalid, Unsupported};
        let Requirements { cluster, eviction_allowed } = requirements;
        let refused = |kind, why: String| Err(StoreError::new(kind, format!("redis {address}: {why}")));
        match (self.mode().as_str(), cluster) {
            ("cluster", false) => {
                return refused(Invalid, "is a node of a cluster; write redis-cluster://HOST,...".into());
            }
            ("standalone", true) => return refused(Invalid, "is no node of a cluster; write redis://HOST".into()),
            _ => {}
        }
        let oldest = if cluster { OLDEST_CLUSTER } else { OLDEST };
        if let Some(version) = self.version().filter(|version| *version < oldest) {
            let ((major, minor), (oldest_major, oldest_minor)) = (version, oldest);
            let why = format!("is version {major}.{minor}; {oldest_major}.{oldest_minor} or newer is needed");
            return refused(Unsupported, why);
        }
        let eviction = self.text("maxmemory_policy");
        if self.number("maxmemory") > 0 && !matches!(eviction.as_str(), "" | "noeviction") && !eviction_allowed {
            let why = format!(
                "maxmemory-policy is {eviction}, so that leases may be evicted while they are held; mend it with CONFIG \
                 SET maxmemory-policy noeviction (and in redis.conf), or take the risk with ?eviction=allow"
            );
            return refused(Invalid, why);
        }
        Ok(())
    }

    /// The server's name and version.
    pub(crate) fn product(&self) -> String {
        match self.text("valkey_version") {
            version if version.is_empty() => format!("Redis {}", self.text("redis_version")),
            version => format!("Valkey {version}"),
        }
    }

    /// Whether it keeps an append-only file.
    pub(crate) fn appends(&self) -> bool {
        self.number("aof_enabled") == 1
    }

    /// How much memory it may take, 0 for any amount, and what it does then.
    pub(crate) fn eviction(&self) -> (u64, String) {
        (self.number("maxmemory"), self.text("maxmemory_policy"))
    }

    /// How many replicas are connected to it.
    pub(crate) fn replicas(&self) -> u64 {
        self.number("connected_slaves")
    }

    fn version(&self) -> Option<(u32, u32)> {
        let version = self.text("redis_version");
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        numbers.next().flatten().zip(numbers.next().flatten())
    }

    /// Valkey's name for it is server_mode; it may write both.
    fn mode(&self) -> String {
        self.0.get("redis_mode").unwrap_or_else(|| self.text("server_mode"))
    }

    fn text(&self, name: &str) -> String {
        self.0.get(name).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(lines: &str) -> ServerInfo {
        ServerInfo::read(&format!(
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\n{lines}"
        ))
    }

    fn check(info: &ServerInfo, cluster: bool, eviction_allowed: bool) -> Result<(), StoreError> {
        info.check(&Address::Tcp("h".to_owned(), 1), Requirements { cluster, eviction_allowed })
    }

    fn refused(info: &ServerInfo, cluster: bool) -> String {
        check(info, cluster, false).unwrap_err().to_string()
    }

    /// A server may have started at any moment of the second that it counts from.
    #[test]
    fn servers_are_up_for_at_least_what_they_count() {
        let up = |lines: &str| server(lines).min_uptime().as_secs();
        assert_eq!((up("uptime_in_seconds:42\r\n"), up("uptime_in_seconds:0\r\n"), up("")), (41, 0, 0));
    }

    /// An ordinary master passes, and so does one of which nothing is known.
    #[test]
    fn ordinary_servers_pass() {
        let address = Address::Tcp("h".to_owned(), 1);
        for info in [server(""), server("maxmemory:1\r\nmaxmemory_policy:noeviction\r\n"), ServerInfo::read("")] {
            assert!(info.check_role(&address).is_ok() && check(&info, false, false).is_ok());
        }
        assert!(check(&server("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), false, false).is_ok());
        assert!(check(&server("maxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n"), false, true).is_ok());
    }

    /// Each refusal names the server and the remedy.
    #[test]
    fn unsafe_servers_are_refused_with_the_remedy() {
        let address = Address::Tcp("h".to_owned(), 1);
        assert!(server("role:slave\r\n").check_role(&address).unwrap_err().to_string().contains("redis-sentinel://"));
        let evicting = server("maxmemory:1000\r\nmaxmemory_policy:volatile-ttl\r\n");
        assert!(refused(&evicting, false).contains("CONFIG SET maxmemory-policy noeviction"));
        assert!(refused(&server("redis_version:5.0.7\r\n"), false).contains("6.2 or newer"));
        assert!(refused(&server("redis_version:6.2.1\r\nredis_mode:cluster\r\n"), true).contains("7.0 or newer"));
        assert!(refused(&server("redis_mode:cluster\r\n"), false).contains("redis-cluster://"));
        assert!(refused(&server(""), true).contains("write redis://"));
    }
}
