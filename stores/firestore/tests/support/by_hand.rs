//! Documents as another program reads and writes them.
#![allow(dead_code)]

use serde_json::{Value, json};
use tenure_base_http::{Call, Client, ClientOptions, Method, Url};

/// One database of an emulator.
pub(crate) struct ByHand {
    client: Client,
    base: String,
    root: String,
}

impl ByHand {
    pub(crate) fn new(host: &str, project: &str) -> ByHand {
        let root = format!("projects/{project}/databases/(default)/documents");
        ByHand { client: Client::new(&ClientOptions::default()).unwrap(), base: format!("http://{host}/v1"), root }
    }

    /// The full name of a document.
    pub(crate) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.root)
    }

    /// The fields of a document; `None` where there is none.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        Some(self.found(path).await?["fields"].clone())
    }

    /// The document's `updateTime`.
    pub(crate) async fn updated(&self, path: &str) -> String {
        self.found(path).await.unwrap()["updateTime"].as_str().unwrap().to_owned()
    }

    /// Writes these fields, whatever was there.
    pub(crate) async fn put(&self, path: &str, fields: Value) {
        self.done("commit", json!({ "writes": [{ "update": { "name": self.name(path), "fields": fields } }] })).await;
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.done("commit", json!({ "writes": [{ "delete": self.name(path) }] })).await;
    }

    /// What a method answers that does its work.
    pub(crate) async fn done(&self, method: &str, body: Value) -> Value {
        let (code, answer) = self.post(method, body).await;
        assert_eq!(code, 200, "{answer}");
        answer
    }

    /// The code of HTTP, and what a method answers.
    pub(crate) async fn post(&self, method: &str, body: Value) -> (u16, Value) {
        let url = Url::parse(&format!("{}/{}:{method}", self.base, self.root)).unwrap();
        let call = Call::new(Method::POST, url).authorization("Bearer", &"owner".into()).json(&body);
        let answer = self.client.send(call).await.unwrap();
        (answer.status(), answer.json().unwrap())
    }

    async fn found(&self, path: &str) -> Option<Value> {
        let answer = self.done("batchGet", json!({ "documents": [self.name(path)] })).await;
        answer[0].get("found").cloned()
    }
}

/// A text as a field.
pub(crate) fn text(value: &str) -> Value {
    json!({ "stringValue": value })
}

/// A whole number as a field.
pub(crate) fn number(value: u64) -> Value {
    json!({ "integerValue": value.to_string() })
}
