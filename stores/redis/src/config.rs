//! What a Redis store is opened with: which servers, how to speak to them, and what they promise. From code, or from a
//! URL and the environment.

use std::time::Duration;

use tenure_base_net::secret::{self, ExposeSecret, SecretString};
use tenure_base_net::tls::ClientTls;
use tenure_store::StoreError;

use crate::address::Address;
use crate::error::invalid;

/// Where the leases are. Made by [`RedisConfig::new`], or from a URL by `parse`.
///
/// | URL | means |
/// |---|---|
/// | `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]` | one server |
/// | `redis+unix:///PATH/redis.sock[?db=N]` | one server, over its socket |
/// | `redis-sentinel://HOST[:PORT],.../MASTER[/DB]` | the master that a majority of these Sentinels names |
/// | `redis-cluster://HOST[:PORT],...` | a cluster, found through any of these nodes |
///
/// `rediss:`, `rediss-sentinel:` and `rediss-cluster:` are the same with TLS; `valkey:` and `valkeys:` mean `redis:` and
/// `rediss:`. `redis://HOST,.../DB?sentinel=MASTER` and `redis://HOST,...?cluster=true` are other ways to say it. IPv6
/// addresses stand in brackets, user and password are percent-decoded. Ports default to 6379, Sentinels' to 26379.
///
/// Options: `ca=FILE` (PEM; trusts these alone, needs TLS), `cert=FILE` and `key=FILE`
/// (PEM; the client's own certificate, for servers that verify clients), `timeout` (50ms to 60s), `db=N`, `durable=true`
/// (see [`RedisConfig::durable`]), `eviction=allow` (see [`RedisConfig::eviction_allowed`]).
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Which servers keep the leases.
    pub servers: Servers,
    /// Which of a server's databases; always 0 in a cluster.
    pub database: i64,
    /// How connections are encrypted; `None` for plain TCP or a socket.
    pub tls: Option<ClientTls>,
    /// The login at the servers that keep the leases.
    pub credentials: Credentials,
    /// The login at the Sentinels.
    pub sentinel_credentials: Credentials,
    /// How long a call may take altogether; a thousand items have a tenth of a second more.
    pub timeout: Duration,
    /// The operator's word that a server keeps what it acknowledged over a restart: `appendonly yes` and `appendfsync
    /// always`, on a disk that survives. Without it, a claim that meets no lease on a server that has been up for less
    /// than the claim's ttl and hold waits out the rest, as whoever held before the restart may believe so until then; only
    /// a tenure that was granted since the start ends that. The wait knows only the claim's own ttl and hold, and what the
    /// term record says of the last tenure's: candidates of one key must share them.
    pub durable: bool,
    /// The operator's word that leases are never evicted although the server's policy would allow it.
    pub eviction_allowed: bool,
}

/// Which servers keep the leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// One server.
    Single(Address),
    /// The master of this name, as a majority of these Sentinels knows it.
    Sentinel {
        /// Every Sentinel: a majority is counted among these.
        sentinels: Vec<Address>,
        /// What they call the master.
        master: String,
    },
    /// A cluster, found through any of these nodes.
    Cluster(Vec<Address>),
}

/// A user and a password, either of which may be missing. Printing it shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The user; Redis's `default` where there is none.
    pub user: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
}

impl RedisConfig {
    /// These servers, database 0, no TLS, no password, a timeout of 1 s.
    pub fn new(servers: Servers) -> Self {
        RedisConfig {
            servers,
            database: 0,
            tls: None,
            credentials: Credentials::default(),
            sentinel_credentials: Credentials::default(),
            timeout: Duration::from_secs(1),
            durable: false,
            eviction_allowed: false,
        }
    }

    /// Takes from the environment what the URL does not say: `TENURE_REDIS_USER` and `TENURE_REDIS_PASSWORD`, for the
    /// Sentinels `TENURE_REDIS_SENTINEL_USER` and `TENURE_REDIS_SENTINEL_PASSWORD`. The same names without `TENURE_`
    /// are read next. A name with `_FILE` added names a file with the value, whose last line end is dropped.
    ///
    /// Fails where such a file cannot be read.
    pub fn with_environment(self) -> Result<Self, StoreError> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        self.credentials.complete("REDIS", &read)?;
        self.sentinel_credentials.complete("REDIS_SENTINEL", &read)?;
        Ok(self)
    }

    /// How long a call with this many items may take.
    pub(crate) fn time_for(&self, items: usize) -> Duration {
        self.timeout + Duration::from_micros(100) * u32::try_from(items).unwrap_or(u32::MAX).min(1_000_000)
    }
}

impl Credentials {
    fn complete(&mut self, name: &str, read: &impl Fn(&str) -> Option<String>) -> Result<(), StoreError> {
        if self.password.is_some() {
            return Ok(());
        }
        self.password = variable(&format!("{name}_PASSWORD"), read)?;
        if self.user.is_none() && self.password.is_some() {
            self.user = variable(&format!("{name}_USER"), read)?.map(|user| user.expose_secret().to_owned());
        }
        Ok(())
    }
}

/// A variable's value, or the text of the file that its `_FILE` twin names; the project's own name first.
fn variable(name: &str, read: &impl Fn(&str) -> Option<String>) -> Result<Option<SecretString>, StoreError> {
    let names = [&format!("TENURE_{name}"), name];
    secret::from_environment(&names, read).map_err(|error| invalid(format!("redis: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<RedisConfig, StoreError> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        url.parse::<RedisConfig>()?.with_variables(read)
    }

    fn password(credentials: &Credentials) -> Option<&str> {
        credentials.password.as_ref().map(ExposeSecret::expose_secret)
    }

    /// The URL's password wins, then the project's own variable, then the common one.
    #[test]
    fn passwords_come_from_the_url_or_the_environment() {
        let both = [("REDIS_PASSWORD", "two"), ("TENURE_REDIS_PASSWORD", "one"), ("REDIS_USER", "me")];
        let config = with("redis://h", &both).unwrap();
        assert_eq!((password(&config.credentials), config.credentials.user.as_deref()), (Some("one"), Some("me")));
        let config = with("redis://:zero@h", &both).unwrap();
        assert_eq!((password(&config.credentials), config.credentials.user.as_deref()), (Some("zero"), None));
        let config = with("redis://you@h", &both[..1]).unwrap();
        assert_eq!((password(&config.credentials), config.credentials.user.as_deref()), (Some("two"), Some("you")));
        let config = with("redis-sentinel://h/m", &[("REDIS_SENTINEL_PASSWORD", "three")]).unwrap();
        assert_eq!((password(&config.credentials), password(&config.sentinel_credentials)), (None, Some("three")));
    }

    /// A file may hold it; one that is missing is an error that names variable and file.
    #[test]
    fn passwords_come_from_files() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "from a file ").unwrap();
        let path = file.path().to_str().unwrap();
        let config = with("redis://h", &[("TENURE_REDIS_PASSWORD_FILE", path)]).unwrap();
        assert_eq!(password(&config.credentials), Some("from a file "));
        let error = with("redis://h", &[("REDIS_PASSWORD_FILE", "/no/such/file")]).unwrap_err().to_string();
        assert!(error.contains("REDIS_PASSWORD_FILE") && error.contains("/no/such/file"), "{error}");
    }

    /// Printing a configuration shows no password.
    #[test]
    fn debug_shows_no_password() {
        let config = with("redis://me:hunter2@h", &[("REDIS_SENTINEL_PASSWORD", "hunter3")]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
