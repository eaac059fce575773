//! What a PostgreSQL store is opened with: which hosts, as whom, and which tables. From a URL, and the environment that
//! PostgreSQL's own programs read.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tenure_base_net::address::Address;
use tenure_base_net::secret::{self, ExposeSecret, SecretString};
use tenure_base_net::tls::ClientTls;
use tenure_base_net::{durations, query};
use tenure_store::{StoreError, StoreErrorKind};

use crate::pgpass;

/// Where the leases are.
///
/// `postgres://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/DATABASE][?OPTIONS]`, or with `postgresql:`. The first host that
/// takes writes is used; a percent-encoded path in place of a host is a socket's folder. Options: `sslmode`, `sslrootcert`,
/// `sslcert` and `sslkey` as PostgreSQL's own programs have them, but see [`Ssl`]; `table` (default `tenure_leases`; documents
/// lie beside it) and `schema` (default: the first of the search path), `timeout` (100ms to 60s, default 3s).
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The hosts, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// Who logs in; the operating system's user where it is not said.
    pub user: Option<String>,
    /// The password, for all hosts.
    pub password: Option<SecretString>,
    /// The database; named like the user where it is not said.
    pub database: Option<String>,
    /// Whether connections are encrypted.
    pub ssl: Ssl,
    /// Whom TLS trusts, and who this client is.
    pub tls: ClientTls,
    /// The schema of the tables.
    pub schema: Option<String>,
    /// The table of the leases.
    pub table: String,
    /// How long one call may take, with everything that it needs.
    pub timeout: Duration,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name or address; a path is the folder of its socket.
    pub host: String,
    /// Its port; 0 takes the default.
    pub port: u16,
    /// The password of this host, where it comes from a password file.
    pub password: Option<SecretString>,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ssl {
    /// Never (`disable`).
    Never,
    /// Where the server can, and then without knowing for certain who it is (`allow`, `prefer`; the default).
    IfOffered,
    /// Always, with a server whose certificate is right and names it (`require`, `verify-ca`, `verify-full`: PostgreSQL's own
    /// programs check less for the first two).
    Verified,
}

const FORM: &str = "write postgres://USER@HOST[:PORT][,HOST...]/DATABASE";

impl FromStr for PostgresConfig {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<PostgresConfig, StoreError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| invalid(FORM))?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let text = |what: &str, text: &str| match query::decoded(text) {
            Some(text) => Ok((!text.is_empty()).then(|| text.into_owned())),
            None => Err(invalid(&format!("the {what} in the URL is not percent-encoded UTF-8"))),
        };
        let mut config = PostgresConfig {
            servers: servers(&text("host", hosts)?.unwrap_or_default())?,
            user: text("user", user)?,
            password: text("password", password)?.map(SecretString::from),
            database: text("database", database)?,
            ssl: Ssl::IfOffered,
            tls: ClientTls::default(),
            schema: None,
            table: "tenure_leases".to_owned(),
            timeout: Duration::from_secs(3),
        };
        let (mut certificate, mut key) = (None, None);
        for (name, value) in query::pairs(options) {
            let value =
                value.ok_or_else(|| invalid(&format!("the option {} is not percent-encoded UTF-8", shown(name))))?;
            match name {
                "sslmode" => config.ssl = ssl(&value)?,
                "sslrootcert" => config.tls.ca_file = Some(PathBuf::from(&*value)),
                "sslcert" => certificate = Some(PathBuf::from(&*value)),
                "sslkey" => key = Some(PathBuf::from(&*value)),
                "table" => config.table = identifier("table", &value)?,
                "schema" => config.schema = Some(identifier("schema", &value)?),
                "timeout" => {
                    let span = durations::parse(&value).map_err(|why| invalid(&format!("timeout: {why}")))?;
                    let fits = (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&span);
                    config.timeout = fits.then_some(span).ok_or_else(|| invalid("timeout is from 100ms to 60s"))?;
                }
                name => {
                    let known = "sslmode, sslrootcert, sslcert, sslkey, table, schema, timeout";
                    return Err(invalid(&format!("no option {} is known; there are {known}", shown(name))));
                }
            }
        }
        config.tls.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(invalid("sslcert and sslkey go together")),
        };
        Ok(config)
    }
}

impl PostgresConfig {
    /// Takes from the environment what the URL does not say: `PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE PGSSLROOTCERT
    /// PGSSLCERT PGSSLKEY`, and from the file that `PGPASSFILE` names (`~/.pgpass`) the password. `TENURE_POSTGRES_PASSWORD` goes
    /// before `PGPASSWORD`, and either with `_FILE` added names a file with the password.
    ///
    /// Fails where such a file cannot be read, or a value is wrong.
    pub fn with_environment(self) -> Result<PostgresConfig, StoreError> {
        self.with_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<PostgresConfig, StoreError> {
        if self.servers.is_empty() {
            self.servers = servers(&read("PGHOST").unwrap_or_else(|| "localhost".to_owned()))?;
        }
        let ports = read("PGPORT").unwrap_or_else(|| "5432".to_owned());
        let ports: Vec<u16> = ports.split(',').map(|port| port.parse().unwrap_or(0)).collect();
        for (place, server) in self.servers.iter_mut().enumerate().filter(|(_, server)| server.port == 0) {
            server.port = *ports.get(place).unwrap_or(&ports[0]);
            if server.port == 0 {
                return Err(invalid("PGPORT is not a port, or not as many as there are hosts"));
            }
        }
        self.user = self.user.or_else(|| read("PGUSER")).or_else(|| read("USER"));
        self.database = self.database.or_else(|| read("PGDATABASE")).or_else(|| self.user.clone());
        if let (Some(mode), Ssl::IfOffered) = (read("PGSSLMODE"), self.ssl) {
            self.ssl = ssl(&mode)?;
        }
        self.tls.ca_file = self.tls.ca_file.or_else(|| read("PGSSLROOTCERT").map(PathBuf::from));
        let identity = read("PGSSLCERT").map(PathBuf::from).zip(read("PGSSLKEY").map(PathBuf::from));
        self.tls.identity = self.tls.identity.or(identity);
        if self.password.is_none() {
            let found = secret::from_environment(&["TENURE_POSTGRES_PASSWORD", "PGPASSWORD"], &read);
            self.password = found.map_err(|error| invalid(&error.to_string()))?;
        }
        let home = || read("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        let file = read("PGPASSFILE").map(PathBuf::from).or_else(home).filter(|_| self.password.is_none());
        if let Some(text) = file.and_then(|file| pgpass::read(&file)) {
            let (user, database) =
                (self.user.as_deref().unwrap_or_default(), self.database.as_deref().unwrap_or_default());
            for server in &mut self.servers {
                // A socket's folder is called localhost there.
                let host = if server.host.starts_with('/') { "localhost" } else { &server.host };
                let found = pgpass::password(&text, [host, &server.port.to_string(), database, user]);
                server.password = found.map(SecretString::from);
            }
        }
        Ok(self)
    }

    /// Reads the files of certificates and keys; fails where one is not usable.
    pub fn check_files(&self) -> Result<(), StoreError> {
        self.tls.config().map(drop).map_err(|error| invalid(&error.to_string()))
    }

    /// The hosts, for people.
    pub(crate) fn shown(&self) -> String {
        let shown = self.servers.iter().map(|server| format!("{}:{}", server.host, server.port));
        shown.collect::<Vec<_>>().join(",")
    }

    pub(crate) fn secret_for(&self, server: &Server) -> Option<String> {
        let secret = self.password.as_ref().or(server.password.as_ref());
        secret.map(|secret| secret.expose_secret().to_owned())
    }
}

fn servers(hosts: &str) -> Result<Vec<Server>, StoreError> {
    let server = |host: &str| {
        let (host, port) = match Address::parse(host, 0) {
            _ if host.starts_with('/') => (host.to_owned(), 0),
            Some(address) => (address.host, address.port),
            // Not repeated: where an @ was forgotten a password stands there.
            None => return Err(invalid(&format!("a host is HOST, HOST:PORT or [IPV6]:PORT; {FORM}"))),
        };
        Ok(Server { host, port, password: None })
    };
    hosts.split(',').filter(|_| !hosts.is_empty()).map(server).collect()
}

fn ssl(mode: &str) -> Result<Ssl, StoreError> {
    match mode {
        "disable" => Ok(Ssl::Never),
        "allow" | "prefer" => Ok(Ssl::IfOffered),
        "require" | "verify-ca" | "verify-full" => Ok(Ssl::Verified),
        _ => Err(invalid("sslmode is disable, allow, prefer, require, verify-ca or verify-full")),
    }
}

/// A name that needs no quoting and leaves room for what is derived from it.
fn identifier(what: &str, name: &str) -> Result<String, StoreError> {
    let fits = (1..=50).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then(|| name.to_owned()).ok_or_else(|| invalid(&format!("{what} is 1 to 50 letters, digits and _")))
}

fn shown(name: &str) -> String {
    format!("{:?}", query::shown_name(name))
}

pub(crate) fn invalid(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, format!("postgres: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<PostgresConfig, StoreError> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        url.parse::<PostgresConfig>()?.with_variables(read)
    }

    /// The URL says it all, or the environment, and the URL goes before it.
    #[test]
    fn urls_go_before_the_environment() {
        let both = [("PGHOST", "e"), ("PGPORT", "6"), ("PGUSER", "u"), ("PGDATABASE", "d"), ("PGSSLMODE", "require")];
        let config =
            with("postgres://me:p%40ss@one:7,[::1]/db?sslmode=disable&schema=ops&table=t&timeout=1s", &both[..4])
                .unwrap();
        assert_eq!(config.shown(), "one:7,::1:6");
        assert_eq!((config.user.as_deref(), config.database.as_deref()), (Some("me"), Some("db")));
        assert_eq!(config.secret_for(&config.servers[0]).as_deref(), Some("p@ss"));
        assert_eq!((config.ssl, config.schema.as_deref(), config.table.as_str()), (Ssl::Never, Some("ops"), "t"));
        let config = with("postgresql:///", &both).unwrap();
        assert_eq!((config.shown().as_str(), config.ssl), ("e:6", Ssl::Verified));
        assert_eq!((config.user.as_deref(), config.database.as_deref()), (Some("u"), Some("d")));
        let config = with("postgres://", &[("USER", "anna")]).unwrap();
        assert_eq!((config.shown().as_str(), config.database.as_deref()), ("localhost:5432", Some("anna")));
        assert_eq!(with("postgres://%2Frun%2Fpg/db", &[]).unwrap().shown(), "/run/pg:5432");
        let spread = with("postgres://", &[("PGHOST", "a,b"), ("PGPORT", "1,2")]).unwrap();
        assert_eq!(spread.shown(), "a:1,b:2");
    }

    /// The password comes from the URL, the project's own variable, the platform's, a file, or the password file of each host.
    #[test]
    fn passwords_come_from_the_usual_places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        std::fs::write(&file, "# hosts\ntwo:5432:*:me:second\n*:*:db:me:any\\:one\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let path = file.to_str().unwrap();
        let given = [("TENURE_POSTGRES_PASSWORD", "own"), ("PGPASSWORD", "pg"), ("PGPASSFILE", path)];
        let password = |url: &str, from: usize, host: usize| {
            let config = with(url, &given[from..]).unwrap();
            config.secret_for(&config.servers[host])
        };
        assert_eq!(password("postgres://me:url@one/db", 0, 0).as_deref(), Some("url"));
        assert_eq!(password("postgres://me@one/db", 0, 0).as_deref(), Some("own"));
        assert_eq!(password("postgres://me@one/db", 1, 0).as_deref(), Some("pg"));
        assert_eq!(password("postgres://me@one,two/db", 2, 0).as_deref(), Some("any:one"));
        assert_eq!(password("postgres://me@one,two/db", 2, 1).as_deref(), Some("second"));
        assert_eq!(password("postgres://you@one/db", 2, 0), None);
        // A file that others may read is no place for a password, as PostgreSQL's own programs see it.
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(password("postgres://me@one/db", 2, 0), None);
    }

    /// What is wrong is said with what would be right, and without what may be a password.
    #[test]
    fn wrong_urls_are_refused() {
        for (url, words) in [
            ("postgres:db", "postgres://USER@HOST"),
            ("postgres://me:hunter2:x/db", "HOST:PORT"),
            ("postgres://h/db?sslmode=yes", "verify-full"),
            ("postgres://h/db?hunter2=1", "sslmode, sslrootcert"),
            ("postgres://h/db?table=a;b", "letters"),
            ("postgres://h/db?timeout=5", "no unit"),
            ("postgres://h/db?timeout=5ms", "100ms"),
            ("postgres://h/db?sslcert=x", "go together"),
            ("postgres://%zz@h/db", "percent-encoded"),
        ] {
            let error = url.parse::<PostgresConfig>().unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "{url}: {error}");
        }
        assert!(with("postgres://h", &[("PGPORT", "x")]).is_err());
        let shown = format!("{:?}", with("postgres://me:hunter2@h", &[]).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
