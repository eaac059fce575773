//! Opens the store that a URL names: the one crate that knows the schemes of stores, with a feature for each.
//!
//! ```
//! use tenure_open::{check, file_of, is_private, shown};
//!
//! check("memory:tests")?;
//! assert!(check("carrier-pigeon://loft").is_err());
//! assert!(is_private("memory:tests"));
//! assert_eq!(file_of("sqlite:leases.db?poll_ms=20"), Some("leases.db".into()));
//! assert_eq!(shown("redis://me:hunter2@host/0"), "redis://me:***@host/0");
//! # Ok::<(), tenure_open::OpenError>(())
//! ```

mod error;
mod named;
mod scheme;
mod url;

use std::str::FromStr;
use std::sync::Arc;

use tenure_base_net::disclosure::shown_scheme;
use tenure_store::{DocumentStore, LeaseStore, StoreError};

pub use error::OpenError;
pub use scheme::{Capabilities, Clock, Expiry, Hints, Scheme, schemes};
pub use url::{absolute, file_of, file_url, in_namespace, is_private, namespace_of, shown};

/// Opens the store that `url` names; see [`schemes`] for what there is.
///
/// `memory:` and `memory:NAME` each give one table for the whole process: whoever opens the same name shares it as long
/// as one of them keeps it. Every other store is opened anew with each call.
///
/// Fails where the URL is wrong, the scheme is unknown or not compiled in, or the store cannot be opened. URLs may hold
/// passwords, so errors repeat nothing of them but the scheme, and the path where that is all there is.
pub async fn open(url: &str) -> Result<Arc<dyn LeaseStore>, OpenError> {
    open_for(url, Purpose::Write).await
}

/// Opens the store that `url` names for reading. A store that is a file is neither created nor changed, and no file is
/// written beside it: its verbs that would write are refused, and opening fails where the file is missing. Every other
/// store is opened as by [`open`], and the caller must not write.
pub async fn open_to_read(url: &str) -> Result<Arc<dyn LeaseStore>, OpenError> {
    open_for(url, Purpose::Read).await
}

/// Opens the documents of the store that `url` names: what a fleet shares besides leases lies beside them, and neither sees the
/// other. The URL, the connection and what is refused are those of [`open`], and `memory:NAME` is shared as there.
pub async fn open_documents(url: &str) -> Result<Arc<dyn DocumentStore>, OpenError> {
    open_documents_for(url, Purpose::Write).await
}

/// Opens the documents of the store that `url` names for reading, as [`open_to_read`] opens its leases.
pub async fn open_documents_to_read(url: &str) -> Result<Arc<dyn DocumentStore>, OpenError> {
    open_documents_for(url, Purpose::Read).await
}

#[derive(Clone, Copy)]
enum Purpose {
    Write,
    Read,
}

#[cfg_attr(not(feature = "sqlite"), allow(unused_variables, reason = "only files know the difference"))]
async fn open_for(url: &str, purpose: Purpose) -> Result<Arc<dyn LeaseStore>, OpenError> {
    let (scheme, rest) = split_scheme(url)?;
    match scheme.name {
        scheme::MEMORY => Ok(named::memory(rest)),
        #[cfg(feature = "etcd")]
        scheme::ETCD => {
            let config = parsed::<tenure_etcd::EtcdConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_etcd::open(config).await?))
        }
        #[cfg(feature = "postgres")]
        scheme::POSTGRES => {
            let config = parsed::<tenure_postgres::PostgresConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_postgres::open(config).await?))
        }
        #[cfg(feature = "firestore")]
        scheme::FIRESTORE => {
            let config = parsed::<tenure_firestore::FirestoreConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_firestore::open(&config).await?))
        }
        #[cfg(feature = "redis")]
        scheme::REDIS => {
            let config = parsed::<tenure_redis::RedisConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_redis::RedisStore::open(config).await?))
        }
        #[cfg(feature = "kubernetes")]
        scheme::KUBERNETES => Ok(Arc::new(tenure_kubernetes::open(parsed(url)?).await?)),
        #[cfg(feature = "sqlite")]
        scheme::FILE => Ok(Arc::new(match purpose {
            Purpose::Write => tenure_sqlite::SqliteStore::open(parsed(url)?).await?,
            Purpose::Read => tenure_sqlite::SqliteStore::open_to_read(parsed(url)?).await?,
        })),
        name => Err(OpenError::NotCompiled { scheme: name }),
    }
}

#[cfg_attr(not(feature = "sqlite"), allow(unused_variables, reason = "only files know the difference"))]
async fn open_documents_for(url: &str, purpose: Purpose) -> Result<Arc<dyn DocumentStore>, OpenError> {
    let (scheme, rest) = split_scheme(url)?;
    match scheme.name {
        scheme::MEMORY => Ok(named::memory_documents(rest)),
        #[cfg(feature = "etcd")]
        scheme::ETCD => {
            let config = parsed::<tenure_etcd::EtcdConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_etcd::open_documents(config).await?))
        }
        #[cfg(feature = "postgres")]
        scheme::POSTGRES => {
            let config = parsed::<tenure_postgres::PostgresConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_postgres::open_documents(config).await?))
        }
        #[cfg(feature = "firestore")]
        scheme::FIRESTORE => {
            let config = parsed::<tenure_firestore::FirestoreConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_firestore::open_documents(&config).await?))
        }
        #[cfg(feature = "kubernetes")]
        scheme::KUBERNETES => Ok(Arc::new(tenure_kubernetes::open_documents(parsed(url)?).await?)),
        #[cfg(feature = "redis")]
        scheme::REDIS => {
            let config = parsed::<tenure_redis::RedisConfig>(url)?.with_environment()?;
            Ok(Arc::new(tenure_redis::RedisDocuments::open(config).await?))
        }
        #[cfg(feature = "sqlite")]
        scheme::FILE => Ok(Arc::new(match purpose {
            Purpose::Write => tenure_sqlite::SqliteDocuments::open(parsed(url)?).await?,
            Purpose::Read => tenure_sqlite::SqliteDocuments::open_to_read(parsed(url)?).await?,
        })),
        name => Err(OpenError::NotCompiled { scheme: name }),
    }
}

/// Checks the URL as [`open`] would, with the environment and the files of passwords and certificates, but opens nothing and
/// asks no server: an error here is a mistake in the configuration, so that trying again cannot help.
pub fn check(url: &str) -> Result<(), OpenError> {
    let (scheme, _) = split_scheme(url)?;
    match scheme.name {
        #[cfg(feature = "etcd")]
        scheme::ETCD => parsed::<tenure_etcd::EtcdConfig>(url)?.with_environment()?.check_files()?,
        #[cfg(feature = "postgres")]
        scheme::POSTGRES => parsed::<tenure_postgres::PostgresConfig>(url)?.with_environment()?.check_files()?,
        #[cfg(feature = "firestore")]
        scheme::FIRESTORE => drop(parsed::<tenure_firestore::FirestoreConfig>(url)?.with_environment()?),
        #[cfg(feature = "redis")]
        scheme::REDIS => {
            let config = parsed::<tenure_redis::RedisConfig>(url)?.with_environment()?;
            tenure_redis::RedisStore::check_files(&config)?;
        }
        #[cfg(feature = "kubernetes")]
        scheme::KUBERNETES => drop(parsed::<tenure_kubernetes::KubernetesConfig>(url)?),
        #[cfg(feature = "sqlite")]
        scheme::FILE => drop(parsed::<tenure_sqlite::SqliteConfig>(url)?),
        _ => {}
    }
    Ok(())
}

/// What the URL says. The error of a wrong one shows a right one.
#[allow(dead_code, reason = "memory alone has no configuration")]
fn parsed<T: FromStr<Err = StoreError>>(url: &str) -> Result<T, OpenError> {
    let (scheme, _) = split_scheme(url)?;
    url.parse::<T>().map_err(|error| {
        let text = error.to_string();
        let mut words = text.split([' ', '`', '"']).filter_map(|word| word.split_once(':'));
        match words.any(|(name, rest)| !rest.is_empty() && scheme.names(name)) {
            true => OpenError::Store(error),
            false => StoreError::new(error.kind(), format!("{text}; a right URL is {}", scheme.example)).into(),
        }
    })
}

/// Splits the URL into its scheme and the text behind the colon.
fn split_scheme(url: &str) -> Result<(&'static Scheme, &str), OpenError> {
    let Some((name, rest)) = url.split_once(':') else {
        return Err(OpenError::NoScheme);
    };
    let Some(scheme) = schemes().iter().find(|scheme| scheme.names(name)) else {
        return Err(OpenError::Unknown { scheme: shown_scheme(name).to_owned() });
    };
    if scheme.compiled { Ok((scheme, rest)) } else { Err(OpenError::NotCompiled { scheme: scheme.name }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tenure_store::{Claim, HolderId, KeyPrefix, LeaseKey, Nonce, Swapped};

    fn claim() -> Claim {
        Claim::new(
            LeaseKey::new("k").unwrap(),
            HolderId::new("h").unwrap(),
            Nonce { process: 1, campaign: 1 },
            Duration::from_secs(10),
        )
    }

    async fn refused(url: &str) -> String {
        open(url).await.unwrap_err().to_string()
    }

    /// Two opens of one name see each other, another name does not, and the last one to go takes the table along.
    #[tokio::test]
    async fn memory_is_shared_by_name() {
        let (one, two, other) =
            (open("memory:a").await.unwrap(), open("memory:a").await.unwrap(), open("memory:b").await.unwrap());
        one.acquire(&[claim()]).await.unwrap();
        let all = KeyPrefix::default();
        assert_eq!(two.list(&all).await.unwrap().len(), 1);
        assert_eq!(other.list(&all).await.unwrap().len(), 0);
        drop((one, two));
        assert_eq!(open("memory:a").await.unwrap().list(&all).await.unwrap().len(), 0);
    }

    /// Documents are shared by name as leases are, and a lease of the same name is not among them.
    #[tokio::test]
    async fn documents_in_memory_are_shared_by_name() {
        let (one, two) = (open_documents("memory:d").await.unwrap(), open_documents("memory:d").await.unwrap());
        let (other, leases) = (open_documents("memory:e").await.unwrap(), open("memory:d").await.unwrap());
        let key = LeaseKey::new("k").unwrap();
        leases.acquire(&[claim()]).await.unwrap();
        assert!(matches!(one.create(&key, b"shared").await.unwrap(), Swapped::Done(_)));
        assert_eq!(two.read(&key).await.unwrap().unwrap().value, b"shared");
        assert_eq!(other.read(&key).await.unwrap(), None);
        drop((one, two));
        assert_eq!(open_documents("memory:d").await.unwrap().read(&key).await.unwrap(), None);
        assert_eq!(leases.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    }

    /// A SQLite URL opens the documents in that file, beside its leases; to be read it is not changed and must be there.
    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn documents_lie_in_the_file_of_the_leases() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?poll_ms=10", folder.path().join("leases.db").display());
        let missing = open_documents_to_read(&url).await.unwrap_err().to_string();
        assert!(missing.contains("no such file"), "{missing}");
        let (leases, documents) = (open(&url).await.unwrap(), open_documents(&url).await.unwrap());
        leases.acquire(&[claim()]).await.unwrap();
        documents.create(&LeaseKey::new("k").unwrap(), b"x").await.unwrap();
        let looking = open_documents_to_read(&url).await.unwrap();
        assert_eq!(looking.list(&KeyPrefix::default()).await.unwrap().len(), 1);
        assert_eq!(leases.list(&KeyPrefix::default()).await.unwrap().len(), 1);
        assert!(open_documents("sqlite:x?foo=1").await.unwrap_err().to_string().contains("no option"));
        assert!(open_documents("carrier-pigeon://loft").await.unwrap_err().to_string().contains("unknown scheme"));
    }

    /// A mistake in the URL is an error without any server or file; an error that only a server could report is not.
    #[cfg(all(feature = "redis", feature = "sqlite"))]
    #[test]
    fn urls_are_checked_without_opening() {
        for right in [
            "memory:",
            "memory:a",
            "sqlite:/no/such/folder/x.db?poll_ms=10",
            "redis://h:1/2",
            "rediss://a,b?cluster=true",
        ] {
            check(right).unwrap();
        }
        for wrong in ["x.db", "mongodb://h", "mysql://h", "sqlite:", "sqlite:x?foo=1", "redis:", "redis://h/x"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    /// A SQLite URL opens that file, twice, and both see the same leases.
    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn sqlite_opens_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?poll_ms=10", folder.path().join("leases.db").display());
        let (one, two) = (open(&url).await.unwrap(), open(&url).await.unwrap());
        one.acquire(&[claim()]).await.unwrap();
        assert_eq!(two.list(&KeyPrefix::default()).await.unwrap().len(), 1);
        assert!(refused("sqlite:/no/such/folder/x.db").await.contains("/no/such/folder"));
    }

    /// A SQLite store that is opened to be read shows what is held, refuses to write, and makes no file.
    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn sqlite_is_opened_to_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("leases.db").display());
        assert!(open_to_read(&url).await.unwrap_err().to_string().contains("no such file"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let one = open(&url).await.unwrap();
        one.acquire(&[claim()]).await.unwrap();
        let looking = open_to_read(&url).await.unwrap();
        assert_eq!(looking.list(&KeyPrefix::default()).await.unwrap().len(), 1);
        assert!(looking.acquire(&[claim()]).await.unwrap_err().to_string().contains("opened to be read"));
    }

    /// A refusal says what would be right, and does not repeat what may be a password.
    #[tokio::test]
    async fn wrong_urls_are_refused_with_the_remedy() {
        assert!(refused("leases.db").await.contains("sqlite:PATH"));
        let unknown = refused("mongodb://user:hunter2@host/").await;
        assert!(
            unknown.contains("\"mongodb\"") && unknown.contains("sqlite:") && !unknown.contains("hunter2"),
            "{unknown}"
        );
        let missing = refused("mysql://:hunter2@host/").await;
        assert!(
            missing.starts_with("mysql: not built in; this binary has") && !missing.contains("hunter2"),
            "{missing}"
        );
        assert!(refused("hunter2 and more: x").await.contains("unknown scheme"));
    }

    /// What is wrong with a URL is named, a right one is shown, and nothing of what may be a password is repeated, whatever the
    /// scheme.
    #[test]
    fn bad_urls_name_the_wrong_part_and_show_a_right_one() {
        let mut unclear = Vec::new();
        for (url, wrong, right) in BAD {
            let scheme = url.split(':').next().unwrap();
            if !schemes().iter().any(|known| known.compiled && known.names(scheme)) {
                continue;
            }
            let error = check(url).err().map_or_else(|| "it passes".to_owned(), |error| error.to_string());
            if !error.contains(wrong) || !error.contains(right) {
                unclear.push(format!("{url}: {wrong:?} and {right:?} are not both in: {error}"));
            }
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
        assert!(unclear.is_empty(), "{}", unclear.join("\n"));
        let covered = |scheme: &Scheme| BAD.iter().any(|(url, ..)| scheme.names(url.split(':').next().unwrap()));
        assert!(schemes().iter().filter(|scheme| scheme.compiled && scheme.name != scheme::MEMORY).all(covered));
    }

    /// A wrong URL, what of it the error names, and what it shows in its place.
    const BAD: &[(&str, &str, &str)] = &[
        ("sqlite:", "no file", "sqlite:PATH"),
        ("sqlite:x.db?pol_ms=3", "pol_ms", "poll=5ms"),
        ("sqlite:x.db?poll_ms=often", "poll_ms", "sqlite:PATH"),
        ("redis://", "host", "redis://HOST"),
        ("redis://me:hunter2@h:port/0", "a host is HOST, HOST:PORT", "redis://HOST"),
        ("redis://:hunter2@h/x", "database", "redis://HOST"),
        ("redis://:hunter2@h?durabel=true", "durabel", "durable"),
        ("redis-sentinel://:hunter2@h", "master", "redis-sentinel://HOST,.../MASTER"),
        ("redis-cluster://h/3", "database", "redis-cluster://HOST"),
        ("postgres://me:hunter2@h:port/db", "expects HOST:PORT", "postgres://USER@HOST"),
        ("postgres://me:hunter2@h/db?sslmod=require", "sslmod", "sslmode"),
        ("postgresql://h/db?sslmode=perhaps", "sslmode", "verify-full"),
        ("etcd://me:hunter2@h:port", "HOST:PORT", "etcd://HOST"),
        ("etcd://me:hunter2@h/leases", "path", "etcd://HOST:2379?prefix="),
        ("etcds://me:hunter2@h?prefx=a", "prefx", "prefix"),
        ("etcd://me@h", "password", "etcd://USER:PASSWORD@HOST"),
        ("kubernetes:Team_A", "no namespace", "kubernetes:NAMESPACE"),
        ("kubernetes:a?contxt=b", "contxt", "context"),
        ("firestore://", "PROJECT", "firestore://PROJECT"),
        ("firestore://p/a b", "DATABASE", "firestore://PROJECT"),
        ("firestore://p?pol=1s", "pol", "poll"),
    ];

    /// Every Redis scheme reaches the Redis store, which says what is wrong without the password.
    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn redis_schemes_open_the_redis_store() {
        for scheme in ["redis", "valkey", "redis-cluster", "rediss"] {
            // Nobody listens on port 1.
            let unreachable = refused(&format!("{scheme}://:hunter2@127.0.0.1:1")).await;
            assert!(unreachable.contains("127.0.0.1:1") && !unreachable.contains("hunter2"), "{unreachable}");
        }
        let wrong = refused("redis-sentinel://:hunter2@127.0.0.1:1").await;
        assert!(wrong.contains("redis-sentinel://HOST,.../MASTER") && !wrong.contains("hunter2"), "{wrong}");
        assert!(refused("redis+unix:///no/such/redis.sock").await.contains("/no/such/redis.sock"));
    }

    /// Both schemes of etcd reach its store, which says what is wrong without the password.
    #[cfg(feature = "etcd")]
    #[tokio::test]
    async fn etcd_schemes_open_the_etcd_store() {
        for scheme in ["etcd", "etcds"] {
            // Nobody listens on port 1.
            let unreachable = refused(&format!("{scheme}://me:hunter2@127.0.0.1:1")).await;
            assert!(unreachable.contains("127.0.0.1:1") && !unreachable.contains("hunter2"), "{unreachable}");
            assert!(check(&format!("{scheme}://me:hunter2@h?ca=/no/such.pem")).is_err());
        }
    }

    /// Both names of PostgreSQL reach its store, which says what is wrong without the password.
    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn postgres_schemes_open_the_postgres_store() {
        for scheme in ["postgres", "postgresql"] {
            // Nobody listens on port 1.
            let unreachable = refused(&format!("{scheme}://me:hunter2@127.0.0.1:1/db")).await;
            assert!(unreachable.contains("127.0.0.1:1") && !unreachable.contains("hunter2"), "{unreachable}");
            assert!(check(&format!("{scheme}://me:hunter2@h/db?sslrootcert=/no/such.pem")).is_err());
        }
    }

    /// A Kubernetes URL names its cluster by a kubeconfig, which is missed by its name.
    #[cfg(feature = "kubernetes")]
    #[tokio::test]
    async fn kubernetes_opens_the_cluster_of_a_kubeconfig() {
        check("kubernetes:").unwrap();
        check("kubernetes:team-a?context=test&kubeconfig=/k").unwrap();
        assert!(check("kubernetes:Team").is_err());
        assert!(refused("kubernetes:default?kubeconfig=/no/such/config").await.contains("/no/such/config"));
    }

    /// Every store of the plan is listed, and says whether it is there.
    #[test]
    fn schemes_are_listed_with_examples() {
        assert_eq!(schemes().len(), 16);
        assert!(schemes().iter().all(|scheme| scheme.example.starts_with(scheme.name)));
        assert!(schemes().iter().any(|scheme| scheme.name == "memory" && scheme.compiled));
    }
}
