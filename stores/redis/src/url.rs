//! Reads the URLs of [`RedisConfig`]. They may list several hosts, which general URL parsers refuse. Errors repeat no secret.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tenure_base_net::secret::SecretString;
use tenure_base_net::tls::ClientTls;
use tenure_base_net::{address as net, durations, query};
use tenure_store::StoreError;

use crate::address::Address;
use crate::config::{Credentials, RedisConfig, Servers};
use crate::error::invalid;

/// What kind of servers the scheme names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Unix,
    Sentinel,
    Cluster,
}

const PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

impl FromStr for RedisConfig {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        parse(text)
    }
}

/// Reads a URL.
fn parse(text: &str) -> Result<RedisConfig, StoreError> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        invalid("redis: a URL begins with redis://HOST, redis-sentinel://HOST/MASTER or another scheme://")
    })?;
    let (mut kind, tls) = match scheme {
        "redis" | "valkey" => (Kind::Single, false),
        "rediss" | "valkeys" => (Kind::Single, true),
        "redis+unix" => (Kind::Unix, false),
        "redis-sentinel" => (Kind::Sentinel, false),
        "rediss-sentinel" => (Kind::Sentinel, true),
        "redis-cluster" => (Kind::Cluster, false),
        "rediss-cluster" => (Kind::Cluster, true),
        _ => {
            return Err(invalid(
                "redis: no such scheme; there are redis, rediss, redis+unix, redis-sentinel, rediss-sentinel, \
                 redis-cluster, rediss-cluster",
            ));
        }
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let options = Options::read(query)?;
    let path = &*query::decoded(path).ok_or_else(|| invalid("redis: a percent sign in the path begins no byte"))?;
    if kind == Kind::Single && options.sentinel.is_some() {
        kind = Kind::Sentinel;
    } else if kind == Kind::Single && options.cluster {
        kind = Kind::Cluster;
    }
    let (servers, database) = match kind {
        Kind::Unix if path.is_empty() || !hosts.is_empty() => {
            return Err(invalid("redis+unix: names no socket; write redis+unix:///PATH/redis.sock"));
        }
        Kind::Unix => (Servers::Single(Address::Unix(PathBuf::from(format!("/{path}")))), ""),
        Kind::Single => match addresses(hosts, PORT)?.as_slice() {
            [one] => (Servers::Single(one.clone()), path),
            _ => {
                return Err(invalid(
                    "redis: several hosts; add ?cluster=true or ?sentinel=MASTER, or write redis-cluster:// or \
                     redis-sentinel://",
                ));
            }
        },
        Kind::Sentinel => {
            let sentinels = addresses(hosts, SENTINEL_PORT)?;
            let (master, database) = match &options.sentinel {
                Some(master) => (master.as_str(), path),
                None => path.split_once('/').unwrap_or((path, "")),
            };
            if master.is_empty() {
                return Err(invalid("redis-sentinel: names no master; write redis-sentinel://HOST,.../MASTER"));
            }
            (Servers::Sentinel { sentinels, master: master.to_owned() }, database)
        }
        Kind::Cluster => (Servers::Cluster(addresses(hosts, PORT)?), path),
    };
    let mut config = RedisConfig::new(servers);
    config.credentials = credentials(login)?;
    config.database = match (database, options.database) {
        ("", number) => number.unwrap_or(0),
        (number, None) => {
            database_number(number).ok_or_else(|| invalid("redis: a database is a number; write redis://HOST/0"))?
        }
        (_, Some(_)) => return Err(invalid("redis: the database stands in the path and in ?db=; write it once")),
    };
    if kind == Kind::Cluster && config.database != 0 {
        return Err(invalid("redis: a cluster has database 0 alone; write redis-cluster://HOST,... without a number"));
    }
    if !tls && [&options.ca, &options.cert, &options.key].into_iter().any(Option::is_some) {
        return Err(invalid(
            "redis: ca=, cert= and key= need TLS; write rediss:// (or rediss-sentinel://, rediss-cluster://)",
        ));
    }
    if options.cert.is_some() != options.key.is_some() {
        return Err(invalid("redis: cert= and key= belong together: the client's own certificate and its key"));
    }
    config.tls = tls.then_some(ClientTls { ca_file: options.ca, identity: options.cert.zip(options.key) });
    config.timeout = options.timeout.unwrap_or(config.timeout);
    (config.durable, config.eviction_allowed) = (options.durable, options.eviction_allowed);
    Ok(config)
}

/// What stands behind the question mark.
#[derive(Default)]
struct Options {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    timeout: Option<Duration>,
    database: Option<i64>,
    sentinel: Option<String>,
    cluster: bool,
    durable: bool,
    eviction_allowed: bool,
}

impl Options {
    fn read(text: &str) -> Result<Self, StoreError> {
        let mut options = Options::default();
        for (name, value) in query::pairs(text) {
            let expects = |what: &str| invalid(format!("redis: {}= expects {what}", query::shown_name(name)));
            let value = value.ok_or_else(|| expects("a value whose percent signs begin bytes"))?.into_owned();
            let truth = || query::truth(&value).ok_or_else(|| expects("true or false"));
            match name {
                "ca" | "cert" | "key" if value.is_empty() => return Err(expects("a file")),
                "ca" => options.ca = Some(value.into()),
                "cert" => options.cert = Some(value.into()),
                "key" => options.key = Some(value.into()),
                "timeout" | "timeout_ms" => {
                    let bare = name == "timeout_ms";
                    let read = if bare { durations::parse_millis(&value) } else { durations::parse(&value) };
                    let within = |span: &Duration| (Duration::from_millis(50)..=Duration::from_secs(60)).contains(span);
                    let read = read.ok().filter(within);
                    options.timeout = Some(read.ok_or_else(|| match bare {
                        true => expects("whole milliseconds from 50 to 60000"),
                        false => expects("a time with its unit, from 50ms to 60s"),
                    })?);
                }
                "db" => {
                    options.database = Some(database_number(&value).ok_or_else(|| expects("a number from 0"))?);
                }
                "sentinel" if !value.is_empty() => options.sentinel = Some(value),
                "sentinel" => return Err(expects("the master's name")),
                "cluster" => options.cluster = truth()?,
                "durable" => options.durable = truth()?,
                "eviction" if value == "allow" => options.eviction_allowed = true,
                "eviction" => return Err(expects("the word allow")),
                _ => {
                    return Err(invalid(format!(
                        "redis: no option {:?}; there are ca, cert, key, timeout, db, sentinel, cluster, durable, eviction",
                        query::shown_name(name)
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn database_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number| *number >= 0)
}

fn addresses(hosts: &str, port: u16) -> Result<Vec<Address>, StoreError> {
    let read = net::Address::parse_list(hosts, port);
    let read =
        read.ok_or_else(|| invalid("redis: a host is HOST, HOST:PORT or [IPV6]:PORT, several are divided by commas"));
    Ok(read?.into_iter().map(|address| Address::Tcp(address.host, address.port)).collect())
}

fn credentials(text: &str) -> Result<Credentials, StoreError> {
    let decoded = |text: &str| {
        query::decoded(text)
            .map(Cow::into_owned)
            .ok_or_else(|| invalid("redis: user or password holds a percent sign that begins no byte; write it as %25"))
    };
    let (user, password) = text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    Ok(Credentials {
        user: Some(decoded(user)?).filter(|user| !user.is_empty()),
        password: password.map(decoded).transpose()?.filter(|password| !password.is_empty()).map(SecretString::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_base_net::secret::ExposeSecret;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(host.to_owned(), port)
    }

    fn servers(url: &str) -> (Servers, i64, bool) {
        let config = parse(url).unwrap();
        (config.servers, config.database, config.tls.is_some())
    }

    fn refused(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    /// One server: host, port, database, TLS, socket, IPv6.
    #[test]
    fn urls_name_a_single_server() {
        let single = |host, port| Servers::Single(tcp(host, port));
        assert_eq!(servers("redis://localhost"), (single("localhost", 6_379), 0, false));
        assert_eq!(servers("redis://localhost:7000/3"), (single("localhost", 7_000), 3, false));
        assert_eq!(servers("rediss://cache.example?db=2"), (single("cache.example", 6_379), 2, true));
        assert_eq!(servers("valkey://[::1]:7000/"), (single("::1", 7_000), 0, false));
        assert_eq!(servers("redis://[fe80::1]"), (single("fe80::1", 6_379), 0, false));
        let socket = Servers::Single(Address::Unix("/run/redis/a b.sock".into()));
        assert_eq!(servers("redis+unix:///run/redis/a%20b.sock?db=1"), (socket, 1, false));
    }

    /// Several hosts are Sentinels or a cluster's nodes, by scheme or by option.
    #[test]
    fn urls_name_sentinels_and_clusters() {
        let sentinel = |ports: [u16; 2]| Servers::Sentinel {
            sentinels: vec![tcp("a", ports[0]), tcp("b", ports[1])],
            master: "main".to_owned(),
        };
        assert_eq!(servers("redis-sentinel://a,b:7/main"), (sentinel([26_379, 7]), 0, false));
        assert_eq!(servers("rediss-sentinel://a:1,b:2/main/4"), (sentinel([1, 2]), 4, true));
        assert_eq!(servers("redis://a:1,b:2/4?sentinel=main"), (sentinel([1, 2]), 4, false));
        let cluster = Servers::Cluster(vec![tcp("a", 1), tcp("b", 6_379)]);
        assert_eq!(servers("redis-cluster://a:1,b"), (cluster.clone(), 0, false));
        assert_eq!(servers("rediss://a:1,b/?cluster=true"), (cluster, 0, true));
    }

    /// User and password are percent-decoded and may hold what else would divide.
    #[test]
    fn urls_name_user_and_password() {
        let config = parse("redis://me:p%40ss:w@rd@host/1").unwrap();
        assert_eq!(config.credentials.user.as_deref(), Some("me"));
        assert_eq!(config.credentials.password.unwrap().expose_secret(), "p@ss:w@rd");
        assert_eq!(config.servers, Servers::Single(tcp("host", 6_379)));
        let config = parse("redis://:secret@host").unwrap();
        assert!(config.credentials.user.is_none() && config.credentials.password.is_some());
    }

    /// Options are read, and each has its limits.
    #[test]
    fn urls_carry_options() {
        let config = parse("rediss://h?ca=/etc/a%20b.pem&timeout_ms=250&durable=true&eviction=allow").unwrap();
        assert_eq!(config.tls, Some(ClientTls { ca_file: Some("/etc/a b.pem".into()), identity: None }));
        assert_eq!(config.timeout, Duration::from_millis(250));
        assert!(config.durable && config.eviction_allowed);
        let config = parse("redis://h?durable=false").unwrap();
        assert!(!config.durable && !config.eviction_allowed);
        let config = parse("rediss://h?cert=/etc/me.pem&key=/etc/me.key").unwrap();
        let identity = Some(("/etc/me.pem".into(), "/etc/me.key".into()));
        assert_eq!(config.tls, Some(ClientTls { ca_file: None, identity }));
    }

    /// Each refusal says what would be right, and repeats no secret.
    #[test]
    fn wrong_urls_are_refused_with_the_remedy() {
        assert!(refused("redis:host").contains("redis://HOST"));
        assert!(refused("http://host").contains("no such scheme"));
        assert!(refused("redis://").contains("HOST:PORT"));
        assert!(refused("redis://a,b").contains("?cluster=true"));
        assert!(refused("redis://a:b").contains("HOST:PORT"));
        assert!(refused("redis://::1").contains("[IPV6]"));
        assert!(refused("redis://a/x").contains("database is a number"));
        assert!(refused("redis://a/1?db=2").contains("write it once"));
        assert!(refused("redis-sentinel://a,b").contains("names no master"));
        assert!(refused("redis-cluster://a,b/3").contains("database 0 alone"));
        assert!(refused("redis+unix://run/redis.sock").contains("redis+unix:///"));
        assert!(refused("redis://a?ca=/x").contains("rediss://"));
        assert!(refused("redis://a?cert=/x&key=/y").contains("rediss://"));
        assert!(refused("rediss://a?cert=/x").contains("belong together"));
        assert!(refused("redis://a?timeout_ms=1").contains("50 to 60000"));
        assert!(refused("redis://a?timeout=250").contains("with its unit"));
        assert_eq!(parse("redis://a?timeout=250ms").unwrap().timeout, Duration::from_millis(250));
        assert!(refused("redis://a?colour=red").contains("\"colour\""));
        for url in ["redis://u:hunter2%zz@a", "redis://u:hunter2@a:b", "redis://u:x@a?Hunter2=1", "Hunter2://a"] {
            assert!(!refused(url).to_lowercase().contains("hunter2"), "{url}");
        }
    }
}
