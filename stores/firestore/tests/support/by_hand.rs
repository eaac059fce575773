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

    /// The fields of a document; `None` where there is none.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.post("batchGet", json!({ "documents": [format!("{}/{path}", self.root)] })).await;
        Some(answer[0].get("found")?["fields"].clone())
    }

    /// Writes these fields, whatever was there.
    pub(crate) async fn put(&self, path: &str, fields: Value) {
        let name = format!("{}/{path}", self.root);
        self.post("commit", json!({ "writes": [{ "update": { "name": name, "fields": fields } }] })).await;
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.post("commit", json!({ "writes": [{ "delete": format!("{}/{path}", self.root) }] })).await;
    }

    async fn post(&self, method: &str, body: Value) -> Value {
        let url = Url::parse(&format!("{}/{}:{method}", self.base, self.root)).unwrap();
        let call = Call::new(Method::POST, url).authorization("Bearer", &"owner".into()).json(&body);
        let answer = self.client.send(call).await.unwrap();
        assert!(answer.is_success(), "{}", String::from_utf8_lossy(answer.body()));
        answer.json().unwrap()
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
