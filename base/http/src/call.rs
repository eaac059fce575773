//! One call: what is asked of which place, and how long that may take.

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;
use tenure_base_net::secret::{ExposeSecret, SecretString};

/// One call. Shows neither its headers nor its body, nor the query of its URL.
#[derive(Clone)]
pub struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) within: Option<Duration>,
    /// What could not be put into words: found when it is sent.
    pub(crate) unfit: Option<&'static str>,
}

impl Call {
    /// Asks this of that URL, without a body.
    pub fn new(method: Method, url: Url) -> Call {
        Call { method, url, headers: HeaderMap::new(), body: Vec::new(), within: None, unfit: None }
    }

    /// With this value as its JSON body. What has no JSON, such as a map whose keys are no texts, makes a call that is not sent.
    pub fn json(self, value: &impl Serialize) -> Call {
        match serde_json::to_vec(value) {
            Ok(body) => self.body("application/json", body),
            Err(_) => Call { unfit: Some("the body has no JSON"), ..self },
        }
    }

    /// With this body.
    pub fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Call {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Call { body, ..self }
    }

    /// With this header; `name` is written in small letters.
    pub fn header(mut self, name: &'static str, value: &str) -> Call {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(HeaderName::from_static(name), value);
                self
            }
            Err(_) => Call { unfit: Some("a header has a line break or a control sign"), ..self },
        }
    }

    /// With `Authorization: SCHEME SECRET`; an empty scheme stands for the secret alone.
    pub fn authorization(mut self, scheme: &str, secret: &SecretString) -> Call {
        let text = SecretString::from(format!("{scheme} {}", secret.expose_secret()));
        match HeaderValue::from_str(text.expose_secret().trim_start()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(AUTHORIZATION, value);
                self
            }
            Err(_) => Call { unfit: Some("the credentials have a line break or a control sign"), ..self },
        }
    }

    /// Takes at most so long, connecting included, in place of the client's [`timeout`](crate::ClientOptions::timeout).
    pub fn within(self, span: Duration) -> Call {
        Call { within: Some(span), ..self }
    }

    /// Host and port: all that an error shows of the URL.
    pub(crate) fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or("(no host)");
        self.url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Call({} {}://{}{}, {} bytes)",
            self.method,
            self.url.scheme(),
            self.place(),
            self.url.path(),
            self.body.len()
        )
    }
}
