//! What a server says of itself (INFO), and what of that a store of leases cannot live with.

use std::time::Duration;

use tenure_store::StoreErrorKind;

use crate::config::Address;
use crate::failure::Failure;

/// The lines of INFO that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    version: Option<(u32, u32)>,
    mode: String,
    role: String,
    max_memory: u64,
    eviction: String,
    up: u64,
}

/// What a store needs of each of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Whether it must be a node of a cluster.
    pub(crate) cluster: bool,
    /// The operator's word that a policy which would evict leases never does.
    pub(crate) eviction_allowed: bool,
}

/// The oldest server on which everything here was seen to work.
const OLDEST: (u32, u32) = (6, 2);
/// The oldest cluster on which it was.
const OLDEST_CLUSTER: (u32, u32) = (7, 0);

impl Facts {
    /// Reads INFO's text; what is missing stays empty and is not held against the server.
    pub(crate) fn read(info: &str) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in info.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match name {
                "redis_version" => {
                    let mut numbers = value.split('.').map(|number| number.parse::<u32>().ok());
                    facts.version = numbers.next().flatten().zip(numbers.next().flatten());
                }
                // Valkey's name for it is server_mode; it writes both.
                "redis_mode" | "server_mode" => value.clone_into(&mut facts.mode),
                "role" => value.clone_into(&mut facts.role),
                "uptime_in_seconds" => facts.up = value.parse().unwrap_or(0),
                "maxmemory" => facts.max_memory = value.parse().unwrap_or(0),
                "maxmemory_policy" => value.clone_into(&mut facts.eviction),
                _ => {}
            }
        }
        facts
    }

    /// For how long the server is up at least: it counts whole seconds from the one in which it started.
    pub(crate) fn up(&self) -> Duration {
        Duration::from_secs(self.up.saturating_sub(1))
    }

    /// Refuses a server that does not take writes: with every new connection.
    pub(crate) fn check_role(&self, address: &Address) -> Result<(), Failure> {
        match self.role.as_str() {
            "slave" => Err(Failure::unavailable(format!(
                "redis {address}: is a replica and takes no writes; name its master, or its Sentinels with \
                 redis-sentinel://HOST,.../MASTER"
            ))),
            "sentinel" => Err(self.wrong_mode(address, "is a Sentinel; write redis-sentinel://HOST,.../MASTER")),
            _ if self.mode == "sentinel" => {
                Err(self.wrong_mode(address, "is a Sentinel; write redis-sentinel://HOST,.../MASTER"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a server on which leases would not be safe or would not work: when the store is opened, and with every new
    /// connection for the sake of new leases.
    pub(crate) fn check(&self, address: &Address, needs: Needs) -> Result<(), Failure> {
        let Needs { cluster, eviction_allowed } = needs;
        if self.mode == "cluster" && !cluster {
            return Err(self.wrong_mode(address, "is a node of a cluster; write redis-cluster://HOST,..."));
        }
        if self.mode == "standalone" && cluster {
            return Err(self.wrong_mode(address, "is no node of a cluster; write redis://HOST"));
        }
        let oldest = if cluster { OLDEST_CLUSTER } else { OLDEST };
        if let Some(version) = self.version.filter(|version| *version < oldest) {
            let message = format!(
                "redis {address}: is version {}.{}; {}.{} or newer is needed",
                version.0, version.1, oldest.0, oldest.1
            );
            return Err(Failure::new(StoreErrorKind::Unsupported, message));
        }
        if self.max_memory > 0 && !self.eviction.is_empty() && self.eviction != "noeviction" && !eviction_allowed {
            let message = format!(
                "redis {address}: maxmemory-policy is {}, so that leases may be evicted while they are held; mend it \
                 with CONFIG SET maxmemory-policy noeviction (and in redis.conf), or take the risk with ?eviction=allow",
                self.eviction
            );
            return Err(Failure::new(StoreErrorKind::Invalid, message));
        }
        Ok(())
    }

    fn wrong_mode(&self, address: &Address, what: &str) -> Failure {
        Failure::new(StoreErrorKind::Invalid, format!("redis {address}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(lines: &str) -> Facts {
        Facts::read(&format!("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\n{lines}"))
    }

    fn check(facts: &Facts, cluster: bool, eviction_allowed: bool) -> Result<(), Failure> {
        facts.check(&Address::Tcp("h".to_owned(), 1), Needs { cluster, eviction_allowed })
    }

    fn refused(facts: &Facts, cluster: bool) -> String {
        check(facts, cluster, false).unwrap_err().message
    }

    /// A server may have started at any moment of the second that it counts from.
    #[test]
    fn servers_are_up_for_at_least_what_they_count() {
        let up = |lines: &str| server(lines).up().as_secs();
        assert_eq!((up("uptime_in_seconds:42\r\n"), up("uptime_in_seconds:0\r\n"), up("")), (41, 0, 0));
    }

    /// An ordinary master passes, and so does one of which nothing is known.
    #[test]
    fn ordinary_servers_pass() {
        let address = Address::Tcp("h".to_owned(), 1);
        for facts in [server(""), server("maxmemory:1\r\nmaxmemory_policy:noeviction\r\n"), Facts::default()] {
            assert!(facts.check_role(&address).is_ok() && check(&facts, false, false).is_ok());
        }
        assert!(check(&server("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), false, false).is_ok());
        assert!(check(&server("maxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n"), false, true).is_ok());
    }

    /// Each refusal names the server and the remedy.
    #[test]
    fn unsafe_servers_are_refused_with_the_remedy() {
        let address = Address::Tcp("h".to_owned(), 1);
        assert!(server("role:slave\r\n").check_role(&address).unwrap_err().message.contains("redis-sentinel://"));
        let evicting = server("maxmemory:1000\r\nmaxmemory_policy:volatile-ttl\r\n");
        assert!(refused(&evicting, false).contains("CONFIG SET maxmemory-policy noeviction"));
        assert!(refused(&server("redis_version:5.0.7\r\n"), false).contains("6.2 or newer"));
        assert!(refused(&server("redis_version:6.2.1\r\nredis_mode:cluster\r\n"), true).contains("7.0 or newer"));
        assert!(refused(&server("redis_mode:cluster\r\n"), false).contains("redis-cluster://"));
        assert!(refused(&server(""), true).contains("write redis://"));
    }
}
