//! The protocol of the JSON gateway: how to log in, what a refusal means, how far a member has counted.

use serde_json::{Value, json};
use tenure_base_http::encoding::number;
use tenure_base_http::{Answer, Call, Counted, Login, Meaning, Protocol};
use tenure_base_net::secret::{ExposeSecret, SecretString};

/// What etcd's JSON gateway speaks, with the login of a user where there is one.
#[derive(Debug)]
pub struct Gateway(pub Option<Login>);

impl Protocol for Gateway {
    const NAME: &'static str = "etcd";
    const SCHEME: &'static str = "";

    fn login(&self) -> Option<(&str, Value)> {
        let Login { user, password } = self.0.as_ref()?;
        Some(("v3/auth/authenticate", json!({ "name": user, "password": password.expose_secret() })))
    }

    fn token(&self, answer: &Value) -> Option<SecretString> {
        answer["token"].as_str().map(SecretString::from)
    }

    fn complete(&self, call: Call) -> Call {
        // A member that knows no leader would be silent; asked like this it says so before it does anything.
        call.header("grpc-metadata-hasleader", "true")
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        let message = answer.message();
        let says = |words: &&str| message.contains(*words);
        // A token has run out, or was given out by a server that has been restarted since, or there was none.
        let of_the_token = ["invalid auth token", "user name is empty", "revision in header is old"];
        match answer.status() {
            _ if says(&"authentication is not enabled") => Meaning::NoLogins,
            // A transaction that crosses the quota is applied, and answered so all the same.
            _ if says(&"database space exceeded") => Meaning::Unknown,
            401 => Meaning::TokenRefused,
            _ if of_the_token.iter().any(says) => Meaning::TokenRefused,
            503 if message == "etcdserver: no leader" => Meaning::Elsewhere,
            400 | 403 | 404 | 412 | 429 => Meaning::Refused,
            _ => Meaning::Unknown,
        }
    }

    fn counted(&self, answer: &Value) -> Option<Counted> {
        let header = answer.get("header")?;
        Some(Counted { cluster: number(&header["cluster_id"]), count: number(&header["revision"]) })
    }
}
