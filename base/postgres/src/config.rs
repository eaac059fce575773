//! Which hosts a client talks to, as whom, and how: from a URL, and the environment that PostgreSQL's own programs read.

use std::path::PathBuf;
use std::time::Duration;

use tenure_base_net::address::Address;
use tenure_base_net::query;
use tenure_base_net::secret::{self, ExposeSecret, SecretString};
use tenure_base_net::server_url::{ServerUrl, UrlForm, tls_of};
use tenure_base_net::tls::ClientTls;

use crate::error::DatabaseError;
use crate::pgpass;

/// The options of a URL that [`DatabaseConfig::parse`] takes for itself, for the list in the form of the URL.
pub const URL_OPTIONS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// One database, and the way there.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The hosts, in the order in which they are tried.
    pub servers: Vec<Server>,
    /// Who logs in; the operating system's user where it is not said.
    pub user: Option<String>,
    /// The password, for all hosts.
    pub password: Option<SecretString>,
    /// The database; named like the user where it is not said.
    pub database: Option<String>,
    /// Whether connections are encrypted; [`Ssl::IfOffered`] where it is not said.
    pub ssl: Option<Ssl>,
    /// Whom TLS trusts, and who this client is.
    pub tls: ClientTls,
    /// How long one call may take, with everything that it needs.
    pub timeout: Duration,
}

/// One host.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name or address; a path is the folder of its socket.
    pub host: String,
    /// Its port; 0 until [`DatabaseConfig::with_environment`] puts the default there.
    pub port: u16,
    /// The password of this host, where it comes from a password file.
    pub password: Option<SecretString>,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ssl {
    /// Never (`disable`).
    Never,
    /// Where the server can, and then without knowing for certain who it is (`allow`, `prefer`).
    IfOffered,
    /// Always, with a server whose certificate is right and names it (`require`, `verify-ca`, `verify-full`: PostgreSQL's own
    /// programs check less for the first two).
    Verified,
}

impl DatabaseConfig {
    /// What a URL says, and those of its options that are the caller's. The form has port 0, and as options [`URL_OPTIONS`] and the
    /// caller's own. The path is the database; a percent-encoded path in place of a host is the folder of a socket.
    pub fn parse(url: &str, form: &UrlForm) -> Result<(DatabaseConfig, Vec<(String, String)>), DatabaseError> {
        // PostgreSQL's own programs take what has no slashes for the name of a database.
        if !url.contains("://") {
            return Err(DatabaseError::invalid(format!("no URL; write {}", form.example)));
        }
        let url = ServerUrl::parse(url, form).map_err(|error| DatabaseError::of_url(&error))?;
        let ClientTls { mut ca_file, identity } = url.tls.unwrap_or_default();
        let ((mut certificate, mut key), mut ssl, mut own) = (identity.unzip(), None, Vec::new());
        for (name, value) in url.options {
            match name.as_str() {
                "sslmode" => ssl = Some(ssl_mode(&value)?),
                "sslrootcert" => ca_file = Some(value.into()),
                "sslcert" => certificate = Some(value.into()),
                "sslkey" => key = Some(value.into()),
                _ => own.push((name, value)),
            }
        }
        let tls = tls_of(ca_file, certificate, key)
            .map_err(|why| DatabaseError::invalid(format!("sslcert= and sslkey= {why}")))?;
        let config = DatabaseConfig {
            servers: url.addresses.into_iter().map(server).collect::<Result<_, _>>()?,
            user: url.user,
            password: url.password,
            database: Some(url.path).filter(|path| !path.is_empty()),
            // Whoever names an authority means TLS: without it a password would go to whoever answers.
            ssl: ssl.or(tls.is_some().then_some(Ssl::Verified)),
            tls: tls.unwrap_or_default(),
            timeout: url.timeout.unwrap_or(Duration::from_secs(3)),
        };
        Ok((config, own))
    }

    /// Takes from the environment what the URL does not say: `PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE PGSSLROOTCERT
    /// PGSSLCERT PGSSLKEY`, and from the file that `PGPASSFILE` names (`~/.pgpass`) the password. `TENURE_POSTGRES_PASSWORD` goes
    /// before `PGPASSWORD`, and either with `_FILE` added names a file with the password.
    ///
    /// Fails where such a file cannot be read, or a value is wrong.
    pub fn with_environment(self) -> Result<DatabaseConfig, DatabaseError> {
        self.with_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<DatabaseConfig, DatabaseError> {
        if self.servers.is_empty() {
            let hosts = read("PGHOST").unwrap_or_else(|| "localhost".to_owned());
            self.servers = hosts.split(',').map(server_of).collect::<Result<_, _>>()?;
        }
        let ports = read("PGPORT").unwrap_or_else(|| "5432".to_owned());
        let ports: Vec<u16> = ports.split(',').map(|port| port.parse().unwrap_or(0)).collect();
        for (place, server) in self.servers.iter_mut().enumerate().filter(|(_, server)| server.port == 0) {
            server.port = *ports.get(place).unwrap_or(&ports[0]);
            if server.port == 0 {
                return Err(DatabaseError::invalid("PGPORT is not a port, or not as many as there are hosts"));
            }
        }
        self.user = self.user.or_else(|| read("PGUSER")).or_else(|| read("USER"));
        self.database = self.database.or_else(|| read("PGDATABASE")).or_else(|| self.user.clone());
        if self.ssl.is_none() {
            self.ssl = read("PGSSLMODE").map(|mode| ssl_mode(&mode)).transpose()?;
        }
        self.tls.ca_file = self.tls.ca_file.or_else(|| read("PGSSLROOTCERT").map(PathBuf::from));
        let identity = read("PGSSLCERT").map(PathBuf::from).zip(read("PGSSLKEY").map(PathBuf::from));
        self.tls.identity = self.tls.identity.or(identity);
        if self.password.is_none() {
            let found = secret::from_environment(&["TENURE_POSTGRES_PASSWORD", "PGPASSWORD"], &read);
            self.password = found.map_err(|error| DatabaseError::invalid(error.to_string()))?;
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
    pub fn check_files(&self) -> Result<(), DatabaseError> {
        self.tls.config().map(drop).map_err(|error| DatabaseError::invalid(error.to_string()))
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

fn server(address: Address) -> Result<Server, DatabaseError> {
    let host = query::decoded(&address.host).map(|host| host.into_owned());
    let host = host.ok_or_else(|| DatabaseError::invalid("a host in the URL is not percent-encoded UTF-8"))?;
    Ok(Server { host, port: address.port, password: None })
}

/// As `PGHOST` has it: nothing is encoded there.
fn server_of(host: &str) -> Result<Server, DatabaseError> {
    let (host, port) = match Address::parse(host, 0) {
        _ if host.starts_with('/') => (host.to_owned(), 0),
        Some(address) => (address.host, address.port),
        None => {
            return Err(DatabaseError::invalid("a host of PGHOST is a name, an address, or the folder of a socket"));
        }
    };
    Ok(Server { host, port, password: None })
}

fn ssl_mode(mode: &str) -> Result<Ssl, DatabaseError> {
    match mode {
        "disable" => Ok(Ssl::Never),
        "allow" | "prefer" => Ok(Ssl::IfOffered),
        "require" | "verify-ca" | "verify-full" => Ok(Ssl::Verified),
        _ => Err(DatabaseError::invalid("sslmode is disable, allow, prefer, require, verify-ca or verify-full")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: UrlForm = UrlForm {
        name: "postgres",
        example: "postgres://USER@HOST/DATABASE",
        port: 0,
        options: &["sslmode", "sslrootcert", "sslcert", "sslkey", "own"],
    };

    fn parse(url: &str) -> Result<DatabaseConfig, String> {
        Ok(DatabaseConfig::parse(url, &FORM).map_err(|error| error.to_string())?.0)
    }

    fn with(url: &str, variables: &[(&str, &str)]) -> Result<DatabaseConfig, String> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        parse(url)?.with_variables(read).map_err(|error| error.to_string())
    }

    /// The URL says it all, or the environment, and the URL goes before it. What is the caller's is handed back.
    #[test]
    fn urls_go_before_the_environment() {
        assert!(URL_OPTIONS.iter().all(|option| FORM.options.contains(option)));
        let both = [("PGHOST", "e"), ("PGPORT", "6"), ("PGUSER", "u"), ("PGDATABASE", "d"), ("PGSSLMODE", "require")];
        let config = with("postgres://me:p%40ss@one:7,[::1]/db?sslmode=disable&timeout=1s", &both).unwrap();
        assert_eq!(config.shown(), "one:7,::1:6");
        assert_eq!((config.user.as_deref(), config.database.as_deref()), (Some("me"), Some("db")));
        assert_eq!(config.secret_for(&config.servers[0]).as_deref(), Some("p@ss"));
        assert_eq!((config.ssl, config.timeout), (Some(Ssl::Never), Duration::from_secs(1)));
        let preferred = with("postgres://h/db?sslmode=prefer", &both).unwrap();
        assert_eq!(preferred.ssl, Some(Ssl::IfOffered));
        let config = with("postgresql:///", &both).unwrap();
        assert_eq!((config.shown().as_str(), config.ssl), ("e:6", Some(Ssl::Verified)));
        assert_eq!((config.user.as_deref(), config.database.as_deref()), (Some("u"), Some("d")));
        let config = with("postgres://", &[("USER", "anna")]).unwrap();
        assert_eq!((config.shown().as_str(), config.database.as_deref()), ("localhost:5432", Some("anna")));
        assert_eq!(with("postgres://%2Frun%2Fpg/db", &[]).unwrap().shown(), "/run/pg:5432");
        assert_eq!(with("postgres://%2Frun%2Fpg:7/db", &[]).unwrap().shown(), "/run/pg:7");
        let spread = with("postgres://", &[("PGHOST", "a,/b"), ("PGPORT", "1,2")]).unwrap();
        assert_eq!(spread.shown(), "a:1,/b:2");
        let url = "postgres://h?own=1&sslrootcert=/a&sslcert=/c&sslkey=/k";
        let (config, own) = DatabaseConfig::parse(url, &FORM).unwrap();
        assert_eq!(own, [("own".to_owned(), "1".to_owned())]);
        let tls = ClientTls { ca_file: Some("/a".into()), identity: Some(("/c".into(), "/k".into())) };
        assert_eq!(config.tls, tls);
    }

    /// Whoever names an authority means TLS, unless the URL itself says less; a variable does not weaken that.
    #[test]
    fn an_authority_means_tls() {
        for (url, ssl) in [
            ("postgres://h?ca=/a", Some(Ssl::Verified)),
            ("postgres://h?sslrootcert=/a", Some(Ssl::Verified)),
            ("postgres://h?ca=/a&sslmode=prefer", Some(Ssl::IfOffered)),
        ] {
            assert_eq!(with(url, &[("PGSSLMODE", "disable")]).unwrap().ssl, ssl, "{url}");
        }
        assert_eq!(with("postgres://h", &[]).unwrap().ssl, None);
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
            ("postgres://h/db?timeout=5", "with its unit"),
            ("postgres://h/db?sslcert=x", "belong together"),
            ("postgres://%zz@h/db", "percent sign"),
            ("postgres://%zz/db", "percent-encoded"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(words) && !error.contains("hunter2"), "{url}: {error}");
        }
        assert!(with("postgres://h", &[("PGPORT", "x")]).is_err());
        assert!(with("postgres://", &[("PGHOST", "me:hunter2@h")]).is_err_and(|error| !error.contains("hunter2")));
        let shown = format!("{:?}", with("postgres://me:hunter2@h", &[]).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
