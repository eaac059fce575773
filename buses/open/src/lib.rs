//! Opens the bus that a URL names: the one crate that knows the schemes of buses, with a feature for each.
//!
//! ```
//! use tenure_bus_open::{check, file_of, shown};
//!
//! check("sqlite:chat.db?max_age=7d")?;
//! assert!(check("carrier-pigeon://loft").is_err());
//! assert_eq!(file_of("sqlite:chat.db?max_age=7d"), Some("chat.db".into()));
//! assert_eq!(shown("nats://me:hunter2@host"), "nats://me:***@host");
//! # Ok::<(), tenure_bus_open::OpenError>(())
//! ```

mod error;
mod scheme;
mod url;

use std::sync::Arc;
use std::time::Duration;

use tenure_base_net::disclosure::shown_scheme;
use tenure_bus::{Bus, StdoutBus, Subjects};
#[cfg(feature = "nats")]
use tenure_bus_nats::{NatsBus, NatsBusConfig};
#[cfg(feature = "sqlite")]
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};

pub use error::OpenError;
pub use scheme::{Scheme, Usual, schemes};
pub use url::{apart, file_of, file_url, is_standard_output, missing_file, shown};

/// Opens the bus that `url` names for publishing under `subjects`; a publisher may hold a message for up to `ring_age`.
/// A bus that is a file is created if it is missing, but its folder is not.
///
/// Fails where the URL or the environment is wrong ([`OpenError::is_usage`]), or the bus cannot be opened. URLs may hold
/// passwords, so errors repeat nothing of them but the scheme, and the path where that is all there is.
#[cfg_attr(not(feature = "nats"), allow(unused_variables, reason = "only servers are told what a bus is for"))]
pub async fn open(url: &str, subjects: &Subjects, ring_age: Duration) -> Result<Arc<dyn Bus>, OpenError> {
    match config(url)? {
        Config::Stdout => Ok(Arc::new(StdoutBus::new())),
        #[cfg(feature = "sqlite")]
        Config::Sqlite(config) => Ok(Arc::new(SqliteBus::open(*config)?)),
        #[cfg(feature = "nats")]
        Config::Nats(mut config) => {
            config.subjects = both(subjects);
            config.ring_age = ring_age;
            Ok(Arc::new(NatsBus::open(*config).await?))
        }
    }
}

/// Opens an existing bus for reading. Nothing is created, and a bus that is a file is not changed: if the file is
/// missing or empty this fails as [`OpenError::Missing`], because a mistyped path should be an error.
#[cfg_attr(not(feature = "nats"), allow(unused_variables, reason = "only servers are told what a bus is for"))]
pub async fn open_to_read(url: &str, subjects: &Subjects) -> Result<Arc<dyn Bus>, OpenError> {
    match config(url)? {
        Config::Stdout => Ok(Arc::new(StdoutBus::new())),
        #[cfg(feature = "sqlite")]
        Config::Sqlite(config) => match missing_file(url) {
            Some(path) => Err(OpenError::Missing { path }),
            None => Ok(Arc::new(SqliteBus::open_to_read(*config)?)),
        },
        #[cfg(feature = "nats")]
        Config::Nats(mut config) => {
            config.subjects = both(subjects);
            Ok(Arc::new(NatsBus::open_existing(*config).await?))
        }
    }
}

/// Checks the URL as [`open`] would, with the environment and the files of certificates, but opens nothing and asks no
/// server: an error here is a mistake in the configuration, so that trying again cannot help.
pub fn check(url: &str) -> Result<(), OpenError> {
    match config(url)? {
        Config::Stdout => {}
        #[cfg(feature = "sqlite")]
        Config::Sqlite(_) => {}
        #[cfg(feature = "nats")]
        Config::Nats(config) => config.check_files().map_err(|error| OpenError::Url(error.into()))?,
    }
    Ok(())
}

/// The configuration of the bus to open.
enum Config {
    Stdout,
    #[cfg(feature = "sqlite")]
    Sqlite(Box<SqliteBusConfig>),
    #[cfg(feature = "nats")]
    Nats(Box<NatsBusConfig>),
}

fn config(url: &str) -> Result<Config, OpenError> {
    // A string without a scheme may be anything, even a password, so the error does not repeat it.
    let (name, _) = url.split_once(':').ok_or(OpenError::NoScheme)?;
    let Some(scheme) = scheme::named(name) else {
        return Err(OpenError::Unknown { scheme: shown_scheme(name).to_owned() });
    };
    match scheme.name {
        scheme::STANDARD_OUTPUT => Ok(Config::Stdout),
        #[cfg(feature = "sqlite")]
        scheme::FILE => {
            let config = SqliteBusConfig::parse(url).map_err(|error| OpenError::Url(error.into()))?;
            Ok(Config::Sqlite(Box::new(config)))
        }
        #[cfg(feature = "nats")]
        scheme::NATS => {
            let config =
                NatsBusConfig::parse(url).and_then(|config| config.with_environment(|name| std::env::var(name).ok()));
            Ok(Config::Nats(Box::new(config.map_err(|error| OpenError::Url(error.into()))?)))
        }
        scheme => Err(OpenError::NotCompiled { scheme }),
    }
}

#[cfg(feature = "nats")]
fn both(subjects: &Subjects) -> Vec<String> {
    vec![subjects.ingress.clone(), subjects.finalize.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(url: &str) -> OpenError {
        open(url, &Subjects::new(""), Duration::ZERO).await.unwrap_err()
    }

    /// A mistake in the URL is an error without any server or file; a server or file that is missing is not.
    #[cfg(all(feature = "nats", feature = "sqlite"))]
    #[test]
    fn urls_are_checked_without_opening() {
        for right in ["stdout:", "sqlite:/no/such/folder/x.db?sync=normal", "nats://h", "tls://h:4333?stream=S"] {
            check(right).unwrap();
        }
        for wrong in ["x.db", "kafka://h", "redis://h", "sqlite:", "sqlite:x?foo=1", "nats:h", "nats://h?foo=1"] {
            assert!(check(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }

    /// A refusal says what would be right, and does not repeat what may be a password.
    #[tokio::test]
    async fn wrong_urls_are_refused_with_the_remedy() {
        let none = refused("hunter2").await.to_string();
        assert!(none.contains("sqlite:PATH") && !none.contains("hunter2"), "{none}");
        let unknown = refused("kafka://me:hunter2@host/").await.to_string();
        assert!(
            unknown.contains("\"kafka\"") && unknown.contains("stdout:") && !unknown.contains("hunter2"),
            "{unknown}"
        );
        let planned = refused("redis://:hunter2@host/").await.to_string();
        assert!(
            planned.starts_with("redis: not built in; this binary has") && !planned.contains("hunter2"),
            "{planned}"
        );
    }

    /// A bus that is a file is made by who publishes, and not by who reads.
    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_file_is_made_to_publish_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (url, subjects) = (file_url(&folder.path().join("chat.db")), Subjects::new(""));
        assert!(matches!(open_to_read(&url, &subjects).await, Err(OpenError::Missing { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let bus = open(&url, &subjects, Duration::ZERO).await.unwrap();
        assert_eq!(bus.info().scheme, "sqlite");
        assert!(open_to_read(&url, &subjects).await.unwrap().info().follow);
        let failed = refused("sqlite:/no/such/folder/x.db").await;
        assert!(!failed.is_usage() && failed.to_string().contains("/no/such/folder"), "{failed}");
    }

    /// Every bus is listed with a URL of its own.
    #[test]
    fn schemes_are_listed_with_examples() {
        assert_eq!(schemes().len(), 5);
        assert!(schemes().iter().all(|scheme| scheme.example.starts_with(scheme.name)));
        assert!(schemes().iter().all(|scheme| scheme.shape.starts_with(scheme.name)));
    }
}
