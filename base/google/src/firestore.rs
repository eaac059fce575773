//! A client of one database of Firestore, over its REST interface.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tenure_base_http::{Call, CallError, Client, ClientOptions, Method, Url};
use tenure_base_time::{Time, now, unix_micros};

use crate::database::Database;
use crate::document::{Change, Changed, Read};
use crate::error::FirestoreError;
use crate::login::Login;

/// A client of one database.
#[derive(Debug)]
pub struct Firestore {
    client: Client,
    login: Login,
    base: Url,
    root: String,
    timeout: Duration,
    /// Google's clock in microseconds since 1970, and when it was told.
    clock: Mutex<Option<(u64, Time)>>,
}

/// All that documents need.
const SCOPE: &str = "https://www.googleapis.com/auth/datastore";

/// How many bytes of writes one request has: Firestore takes 10 MiB, an emulator 4.
const MAX_WRITES: usize = 3 << 20;

/// The longest answer: a page of documents of 128 KiB each in Base64, with room.
const MAX_ANSWER: usize = 64 << 20;

/// How many documents, or names of collections, a query tells at a time.
const PAGE: usize = 300;

impl Firestore {
    /// The most writes of one [`Firestore::write`], by Firestore's own limit.
    pub const BATCH: usize = 500;

    /// A client whose calls take at most so long; asks nobody. Must be called within tokio's runtime.
    pub fn new(database: &Database, timeout: Duration) -> Result<Firestore, FirestoreError> {
        let client = Client::new(&ClientOptions { timeout, max_answer: MAX_ANSWER, ..ClientOptions::default() })?;
        let login = if database.emulator.is_some() { Login::for_emulator() } else { Login::google(SCOPE)? };
        let root = format!("projects/{}/databases/{}/documents", database.project, database.database);
        let base = Url::parse(&database.base()).map_err(|error| FirestoreError::Setup(error.to_string()))?;
        Ok(Firestore { client, login, base, root, timeout, clock: Mutex::default() })
    }

    /// What the names of all its documents begin with, without a slash at the end.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Google's clock in microseconds since 1970, as far as reads have told it: never behind it, and ahead by less than the read
    /// took. The machine's own where nothing was read yet.
    pub fn now_micros(&self) -> u64 {
        let told = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        told.map_or_else(unix_micros, |(micros, at)| {
            micros.saturating_add(u64::try_from(now().since(at).as_micros()).unwrap_or(u64::MAX))
        })
    }

    /// Reads the documents of these names, in their order.
    pub async fn read(&self, names: &[String]) -> Result<Vec<Read>, FirestoreError> {
        let asked = now();
        let answer = self.post(&self.root, "batchGet", &json!({ "documents": names })).await?;
        let rows = answer.as_array().into_iter().flatten();
        let named = rows.filter_map(|row| Some((row["found"]["name"].as_str().or(row["missing"].as_str())?, row)));
        let rows: HashMap<&str, &Value> = named.collect();
        names
            .iter()
            .map(|name| self.row(rows.get(name.as_str()).copied().unwrap_or(&Value::Null), "found", asked))
            .collect()
    }

    /// Does these writes, each of which is decided by itself; by several requests at a time where one would be too long. No
    /// document may be named twice.
    pub async fn write(&self, changes: &[Change]) -> Vec<Result<Changed, FirestoreError>> {
        let writes: Vec<Value> = changes.iter().map(Change::to_json).collect();
        if changes.len() > 1 && writes.iter().map(|write| write.to_string().len()).sum::<usize>() > MAX_WRITES {
            let (some, others) = changes.split_at(changes.len() / 2);
            let (mut some, others) = tokio::join!(Box::pin(self.write(some)), Box::pin(self.write(others)));
            some.extend(others);
            return some;
        }
        match self.post(&self.root, "batchWrite", &json!({ "writes": writes })).await {
            Ok(answer) => {
                let results = (0..).map(|at: usize| (&answer["status"][at], &answer["writeResults"][at]["updateTime"]));
                changes.iter().zip(results).map(|(change, result)| self.changed(change, result)).collect()
            }
            Err(error) => vec![Err(error); changes.len()],
        }
    }

    /// What became of one of several writes.
    fn changed(&self, change: &Change, (status, updated): (&Value, &Value)) -> Result<Changed, FirestoreError> {
        match (status["code"].as_u64().unwrap_or(0), updated.as_str()) {
            (0, Some(time)) if change.fields.is_some() => Ok(Changed::Done(Some(time.to_owned()))),
            (0, _) if status.is_object() && change.fields.is_none() => Ok(Changed::Done(None)),
            (0, _) => Err(FirestoreError::Odd),
            // Not found, exists already, another version, aborted for the sake of another write.
            (5 | 6 | 9 | 10, _) => Ok(Changed::Refused),
            (code, _) => Err(self.refusal(status_of(code), status["message"].as_str().unwrap_or_default())),
        }
    }

    /// Hands over the documents of the collection `id` below `parent` whose text in `field` begins with `prefix`, in its order: page
    /// by page, each of which has the time of a call.
    pub async fn query(
        &self,
        parent: &str,
        id: &str,
        field: &str,
        prefix: &str,
        mut take: impl FnMut(Read) + Send,
    ) -> Result<(), FirestoreError> {
        let order = json!([{ "field": { "fieldPath": field } }, { "field": { "fieldPath": "__name__" } }]);
        let mut start = json!({ "values": [{ "stringValue": prefix }], "before": true });
        loop {
            let query = json!({ "from": [{ "collectionId": id }], "orderBy": order, "startAt": start, "limit": PAGE });
            let asked = now();
            let answer = self.post(parent, "runQuery", &json!({ "structuredQuery": query })).await?;
            let rows = answer.as_array().into_iter().flatten().filter(|row| !row["document"].is_null());
            let mut count = 0;
            for row in rows {
                let read = self.row(row, "document", asked)?;
                let text = read.document.as_ref().and_then(|document| document.text(field));
                // What is behind the texts of this prefix does not begin so, or is no text.
                if !text.is_some_and(|text| text.starts_with(prefix)) {
                    return Ok(());
                }
                count += 1;
                let (name, value) = (&row["document"]["name"], &row["document"]["fields"][field]);
                start = json!({ "values": [value, { "referenceValue": name }], "before": false });
                take(read);
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

    /// Asks once; after a refusal of the token, which comes before any effect, once more with another one.
    async fn post(&self, parent: &str, method: &str, body: &Value) -> Result<Value, FirestoreError> {
        let url = self.url(parent, method)?;
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
            let Some(error) = error else {
                // What stands between may refuse in words of its own.
                return if answer.is_success() { Ok(value) } else { Err(FirestoreError::Odd) };
            };
            let status = error["status"].as_str().unwrap_or_default();
            if is_again || status != "UNAUTHENTICATED" || !self.login.renew(&pass)? {
                return Err(self.refusal(status, error["message"].as_str().unwrap_or_default()));
            }
            is_again = true;
        }
    }

    /// Where a method of `parent` is called. The ids in its name may hold signs that mean something in a URL.
    fn url(&self, parent: &str, method: &str) -> Result<Url, FirestoreError> {
        let mut url = self.base.clone();
        let unfit = |()| CallError::NotSent("the endpoint takes no path".to_owned());
        let called = format!("{parent}:{method}");
        url.path_segments_mut().map_err(unfit)?.pop_if_empty().push("v1").extend(called.split('/'));
        Ok(url)
    }

    fn row(&self, row: &Value, member: &str, asked: Time) -> Result<Read, FirestoreError> {
        let read = Read::of(row, member).ok_or(FirestoreError::Odd)?;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((read.micros, asked));
        Ok(read)
    }

    fn refusal(&self, status: &str, message: &str) -> FirestoreError {
        let place = self.root.trim_end_matches("/documents").to_owned();
        let message = message.chars().take(300).collect();
        FirestoreError::Refused { place, status: status.to_owned(), message }
    }
}

/// The status of one of several writes, which comes as a number.
fn status_of(code: u64) -> &'static str {
    match code {
        3 => "INVALID_ARGUMENT",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        16 => "UNAUTHENTICATED",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of documents stand in a URL whatever signs they have, behind what the endpoint begins with.
    #[tokio::test]
    async fn names_stand_in_urls() {
        let database = Database::parse("demo").unwrap().with_emulator("localhost:1").unwrap();
        let firestore = Firestore::new(&database, Duration::from_secs(1)).unwrap();
        let url = firestore.url("projects/demo/documents/a ?#%41/doc", "runQuery").unwrap();
        assert_eq!(url.as_str(), "http://localhost:1/v1/projects/demo/documents/a%20%3F%23%2541/doc:runQuery");
        let below = Firestore { base: Url::parse("https://x.example/below/").unwrap(), ..firestore };
        assert_eq!(below.url("a", "b").unwrap().as_str(), "https://x.example/below/v1/a:b");
    }
}
