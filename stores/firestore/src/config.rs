//! What a Firestore store is opened with: from code, or from a URL and the environment.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use tenure_base_google::{Database, is_id};
use tenure_base_net::{durations, query};
use tenure_store::{StoreError, StoreErrorKind};

/// Where the leases are. Made by [`FirestoreConfig::new`], or from a URL by `parse`:
///
/// `firestore://PROJECT[/DATABASE][?collection=NAME&poll=2s&timeout=5s&emulator=HOST:PORT&endpoint=URL]`
///
/// Credentials stand in no URL: they are Google's default ones, see the README of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirestoreConfig {
    /// The database.
    pub database: Database,
    /// The collection of leases whose keys do not name a document themselves; `tenure` unless told otherwise.
    pub collection: String,
    /// How often whoever waits looks for what has changed: 2 s unless told otherwise. `None` (`poll=off`) where nobody looks
    /// before the lease that is waited for should have ended.
    pub poll: Option<Duration>,
    /// How long a call may take: 5 s unless told otherwise.
    pub timeout: Duration,
}

impl FirestoreConfig {
    /// This database, in the collection `tenure`.
    pub fn new(database: Database) -> FirestoreConfig {
        let (poll, timeout) = (Some(Duration::from_secs(2)), Duration::from_secs(5));
        FirestoreConfig { database, collection: "tenure".to_owned(), poll, timeout }
    }

    /// Takes the emulator from `FIRESTORE_EMULATOR_HOST` where neither it nor an endpoint was named.
    pub fn with_environment(self) -> Result<FirestoreConfig, StoreError> {
        let database = self.database.with_environment(|name| std::env::var(name).ok());
        Ok(FirestoreConfig { database: database.map_err(invalid)?, ..self })
    }
}

const FORM: &str =
    "firestore://PROJECT[/DATABASE][?collection=NAME&poll=2s&timeout=5s&emulator=HOST:PORT&endpoint=URL]";

impl FromStr for FirestoreConfig {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<FirestoreConfig, StoreError> {
        let rest =
            url.strip_prefix("firestore://").ok_or_else(|| invalid("the URL does not begin with firestore://"))?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let mut config = FirestoreConfig::new(Database::parse(place).map_err(invalid)?);
        for (name, value) in query::pairs(options) {
            let value = value.ok_or_else(|| invalid("a value is not percent-encoded as it should be"))?;
            match name {
                "collection" if is_id(&value) => config.collection = value.into_owned(),
                "collection" => return Err(invalid("collection is the id of a collection, without slashes")),
                "timeout" => config.timeout = span(name, &value, 60)?,
                "poll" if value == "off" => config.poll = None,
                "poll" => config.poll = Some(span(name, &value, 3_600)?),
                "emulator" => config.database = config.database.with_emulator(&value).map_err(invalid)?,
                "endpoint" => config.database = config.database.with_endpoint(&value).map_err(invalid)?,
                other => return Err(invalid(&format!("there is no option {:?}", query::shown_name(other)))),
            }
        }
        Ok(config)
    }
}

fn span(name: &str, text: &str, most: u64) -> Result<Duration, StoreError> {
    let span = durations::parse(text).map_err(|why| invalid(&format!("{name}: {why}")))?;
    let fits = (Duration::from_millis(50)..=Duration::from_secs(most)).contains(&span);
    fits.then_some(span).ok_or_else(|| invalid(&format!("{name} is at least 50ms and at most {most}s")))
}

pub(crate) fn failed(kind: StoreErrorKind, why: impl Display) -> StoreError {
    StoreError::new(kind, format!("firestore: {why}"))
}

fn invalid(why: &str) -> StoreError {
    failed(StoreErrorKind::Invalid, format!("{why}; the URL is {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a URL can say is read, and has its default where it does not.
    #[test]
    fn urls_are_read() {
        let plain = FirestoreConfig::new(Database::parse("demo").unwrap());
        assert_eq!("firestore://demo".parse::<FirestoreConfig>().unwrap(), plain);
        let url = "firestore://a-1/orders?collection=leases%20x&poll=off&timeout=2s&endpoint=https://europe-west1-firestore.example/";
        let config = url.parse::<FirestoreConfig>().unwrap();
        assert_eq!((config.database.database.as_str(), config.collection.as_str()), ("orders", "leases x"));
        assert_eq!((config.timeout, config.poll), (Duration::from_secs(2), None));
        assert!(config.database.endpoint.is_some());
    }

    /// What is wrong is named, with a URL that would be right; tokens go nowhere in plain text.
    #[test]
    fn wrong_urls_are_refused() {
        for (url, why) in [
            ("firestore:demo", "does not begin with"),
            ("firestore://", "PROJECT"),
            ("firestore://a b", "PROJECT"),
            ("firestore://me:hunter2@a", "PROJECT"),
            ("firestore://a/b/c", "DATABASE"),
            ("firestore://a?collection=b/c", "collection"),
            ("firestore://a?collection=__b__", "collection"),
            ("firestore://a?timeout=1", "unit"),
            ("firestore://a?timeout=1ms", "50ms"),
            ("firestore://a?poll=2h", "at most 3600s"),
            ("firestore://a?hunter2=x", "no option \"\""),
            ("firestore://a?endpoint=http://x.example", "https://"),
            ("firestore://a?emulator=::", "HOST:PORT"),
        ] {
            let said = url.parse::<FirestoreConfig>().unwrap_err().to_string();
            assert!(said.contains(why) && said.contains(FORM) && !said.contains("hunter2"), "{url}: {said}");
        }
    }
}
