//! One database of Firestore, over its REST interface.

use std::time::Duration;

use serde_json::{Value, json};
use tenure_base_http::{Call, CallError, Client, ClientOptions, Method, SetupError, Url};

use crate::login::{Login, LoginError};

/// Which database, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The project's id.
    pub project: String,
    /// The database's id; `(default)` unless told otherwise.
    pub database: String,
    /// `HOST:PORT` of an emulator, which is asked without credentials.
    pub emulator: Option<String>,
    /// Where to ask in place of `https://firestore.googleapis.com`.
    pub endpoint: Option<Url>,
}

/// A client of one database.
#[derive(Debug)]
pub struct Firestore {
    client: Client,
    login: Login,
    base: String,
    root: String,
    timeout: Duration,
}

/// A call that brought nothing. Shows no secret.
#[derive(Debug, thiserror::Error)]
pub enum FirestoreError {
    /// Refused, and nothing was done, unless the status says otherwise.
    #[error("{place}: {status}: {message}; {}", remedy(.status))]
    Refused {
        /// Project and database.
        place: String,
        /// The status, such as `NOT_FOUND`. It counts, and not the code of HTTP, which has several meanings.
        status: String,
        /// What Firestore says besides.
        message: String,
    },
    /// There is nothing that the call could show.
    #[error("{0}; an emulator is named in FIRESTORE_EMULATOR_HOST")]
    Login(#[from] LoginError),
    /// Not sent, or not answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The client cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// All that documents need.
const SCOPE: &str = "https://www.googleapis.com/auth/datastore";

/// How many documents, or names of collections, a query tells at a time.
const PAGE: usize = 300;

impl Database {
    /// The database that is written `PROJECT[/DATABASE]`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Database, &'static str> {
        let (project, database) = text.split_once('/').unwrap_or((text, ""));
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:()".contains(&b));
        let database = match database.trim_end_matches('/') {
            "" => "(default)",
            name => name,
        };
        match (is_name(project) && !project.is_empty(), is_name(database)) {
            (false, _) => Err("PROJECT is the project's id: letters, digits and hyphens"),
            (_, false) => Err("DATABASE is the database's id, or left out for (default)"),
            _ => {
                let (project, database) = (project.to_owned(), database.to_owned());
                Ok(Database { project, database, emulator: None, endpoint: None })
            }
        }
    }

    /// Asks this emulator.
    pub fn with_emulator(self, host: &str) -> Result<Database, &'static str> {
        Url::parse(&format!("http://{host}")).map_err(|_| "an emulator is named HOST:PORT, such as 127.0.0.1:8080")?;
        Ok(Database { emulator: Some(host.to_owned()), ..self })
    }

    /// Asks there: over TLS, or not beyond this machine, for tokens are sent.
    pub fn with_endpoint(self, url: &str) -> Result<Database, &'static str> {
        let url = Url::parse(url).ok().filter(|url| {
            let is_near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            url.scheme() == "https" || (url.scheme() == "http" && is_near)
        });
        Ok(Database { endpoint: Some(url.ok_or("endpoint is a URL that begins with https://")?), ..self })
    }

    /// Asks the emulator that `FIRESTORE_EMULATOR_HOST` names, where neither that nor an endpoint was named. `read` looks a
    /// variable up.
    pub fn with_environment(self, read: impl Fn(&str) -> Option<String>) -> Result<Database, &'static str> {
        match read("FIRESTORE_EMULATOR_HOST").filter(|host| !host.is_empty()) {
            Some(host) if self.emulator.is_none() && self.endpoint.is_none() => self.with_emulator(&host),
            _ => Ok(self),
        }
    }

    /// The URL that all calls begin with.
    fn base(&self) -> String {
        match (&self.emulator, &self.endpoint) {
            (Some(host), _) => format!("http://{host}"),
            (None, Some(url)) => url.as_str().trim_end_matches('/').to_owned(),
            (None, None) => "https://firestore.googleapis.com".to_owned(),
        }
    }
}

impl Firestore {
    /// A client whose calls take at most so long; asks nobody. Must be called within tokio's runtime.
    pub fn new(database: &Database, timeout: Duration) -> Result<Firestore, FirestoreError> {
        let client = Client::new(&ClientOptions { timeout, ..ClientOptions::default() })?;
        let login = if database.emulator.is_some() { Login::for_emulator() } else { Login::google(SCOPE)? };
        let root = format!("projects/{}/databases/{}/documents", database.project, database.database);
        Ok(Firestore { client, login, base: database.base(), root, timeout })
    }

    /// What the names of all its documents begin with, without a slash at the end.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Asks once; after a refusal of the token, which comes before any effect, once more with another one.
    pub async fn post(&self, parent: &str, method: &str, body: &Value) -> Result<Value, FirestoreError> {
        let url = Url::parse(&format!("{}/v1/{parent}:{method}", self.base));
        let url = url.map_err(|error| CallError::NotSent(error.to_string()))?;
        let mut is_again = false;
        loop {
            let pass = self.login.pass(self.timeout).await?;
            let answer = self.client.send(pass.on(Call::new(Method::POST, url.clone())).json(body)).await?;
            let value: Value = answer.json()?;
            // Calls that answer with a list put the error into it, behind what was found before.
            let error = match &value {
                Value::Array(rows) => rows.iter().find_map(|row| row.get("error")),
                value => value.get("error"),
            };
            let Some(error) = error else { return Ok(value) };
            let status = error["status"].as_str().unwrap_or_default();
            if is_again || status != "UNAUTHENTICATED" || !self.login.renew(&pass)? {
                return Err(self.refusal(status, error["message"].as_str().unwrap_or_default()));
            }
            is_again = true;
        }
    }

    /// Hands over the documents of the collection `id` below `parent` that have `field`, in its order, from this text on, while
    /// `take` wants more: each a row with `document` and `readTime`.
    pub async fn query(
        &self,
        parent: &str,
        id: &str,
        field: &str,
        from: &str,
        mut take: impl FnMut(&Value) -> bool + Send,
    ) -> Result<(), FirestoreError> {
        let order = json!([{ "field": { "fieldPath": field } }, { "field": { "fieldPath": "__name__" } }]);
        let mut start = json!({ "values": [{ "stringValue": from }], "before": true });
        loop {
            let query = json!({ "from": [{ "collectionId": id }], "orderBy": order, "startAt": start, "limit": PAGE });
            let answer = self.post(parent, "runQuery", &json!({ "structuredQuery": query })).await?;
            let rows = answer.as_array().into_iter().flatten().filter(|row| !row["document"].is_null());
            let mut count = 0;
            for row in rows {
                if !take(row) {
                    return Ok(());
                }
                count += 1;
                let (name, value) = (&row["document"]["name"], &row["document"]["fields"][field]);
                start = json!({ "values": [value, { "referenceValue": name }], "before": false });
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }

    /// The ids of all collections that are below no document.
    pub async fn collections(&self) -> Result<Vec<String>, FirestoreError> {
        let (mut found, mut page) = (Vec::new(), Value::Null);
        loop {
            let asked = json!({ "pageSize": PAGE, "pageToken": page });
            let answer = self.post(&self.root, "listCollectionIds", &asked).await?;
            let ids = answer["collectionIds"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(ids.map(str::to_owned));
            page = answer["nextPageToken"].clone();
            if page.as_str().unwrap_or_default().is_empty() {
                return Ok(found);
            }
        }
    }

    /// The refusal of one of several writes, whose status comes as a number.
    pub fn refusal_of(&self, code: u64, message: &str) -> FirestoreError {
        let status = match code {
            3 => "INVALID_ARGUMENT",
            7 => "PERMISSION_DENIED",
            8 => "RESOURCE_EXHAUSTED",
            16 => "UNAUTHENTICATED",
            _ => "UNKNOWN",
        };
        self.refusal(status, message)
    }

    fn refusal(&self, status: &str, message: &str) -> FirestoreError {
        let place = self.root.trim_end_matches("/documents").to_owned();
        let message = message.chars().take(300).collect();
        FirestoreError::Refused { place, status: status.to_owned(), message }
    }
}

fn remedy(status: &str) -> &'static str {
    match status {
        "PERMISSION_DENIED" => "grant the role roles/datastore.user in that project",
        "UNAUTHENTICATED" => "the credentials are not accepted: make new ones",
        "NOT_FOUND" => "look the names up with `gcloud firestore databases list`",
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => "the names must be right, and the database in native mode",
        "RESOURCE_EXHAUSTED" => "the quota is used up, or there are too many writes",
        _ => "Firestore does not say what became of it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable names an emulator, unless it was said where to ask.
    #[test]
    fn the_environment_names_an_emulator() {
        let read = |name: &str| (name == "FIRESTORE_EMULATOR_HOST").then(|| "localhost:1".to_owned());
        let database = || Database::parse("demo/orders/").unwrap();
        assert_eq!((database().project.as_str(), database().database.as_str()), ("demo", "orders"));
        let base = |database: Database| database.with_environment(read).unwrap().base();
        assert_eq!(base(database()), "http://localhost:1");
        assert_eq!(base(database().with_emulator("[::1]:2").unwrap()), "http://[::1]:2");
        assert_eq!(base(database().with_endpoint("https://x.example/").unwrap()), "https://x.example");
        let nothing = database().with_environment(|_| Some(String::new())).unwrap();
        assert_eq!(nothing.base(), "https://firestore.googleapis.com");
    }
}
