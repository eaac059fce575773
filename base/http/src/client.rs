//! The client: its bounds, its TLS, its proxies.

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::{Response, Url, redirect, retry};
use tenure_base_net::tls::ClientTls;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::{CallError, SetupError, broken, call_error, root};
use crate::lines::Lines;

/// How a client is to be.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Whom it trusts, and who it is, where a URL begins with `https`.
    pub tls: ClientTls,
    /// How long a connection may take, with the look-up of the name and TLS. What takes longer was not sent.
    pub connect_timeout: Duration,
    /// How long a call may take in all, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The longest answer, and the longest line of a stream, in bytes.
    pub max_answer: usize,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            tls: ClientTls::default(),
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            max_answer: 16 << 20,
        }
    }
}

/// An HTTP client for a store.
///
/// - **Nothing is repeated**, also not where a server lets it be, and no redirect is followed.
/// - **A proxy** is used where the environment names one (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, but for `NO_PROXY`), and
///   never for `localhost` and addresses of this machine, as Go's programs do it.
/// - **HTTP/1.1**: a call that is given up takes its connection along, so that the next one goes by a new one, and a network
///   that swallows packets harms one call at a time. Idle connections are kept for a minute.
///
/// Clones share their connections. How many calls are under way at a time is the caller's to bound.
#[derive(Clone, Debug)]
pub struct Client {
    outward: reqwest::Client,
    on_this_machine: reqwest::Client,
    options: ClientOptions,
}

/// What came of opening a stream.
#[derive(Debug)]
pub enum Opened {
    /// The server tells lines.
    Lines(Lines),
    /// It does not: its answer, whose status is not one of 200 to 299.
    Refused(Answer),
}

/// How many connections to one server are kept while nobody uses them.
const IDLE: usize = 32;

impl Client {
    /// Reads the files that its TLS names; asks nobody.
    pub fn new(options: &ClientOptions) -> Result<Client, SetupError> {
        let tls = options.tls.config()?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured((*tls).clone())
                .http1_only()
                .redirect(redirect::Policy::none())
                .retry(retry::never())
                .referer(false)
                .user_agent(concat!("tenure/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(options.connect_timeout)
                .pool_max_idle_per_host(IDLE)
                .pool_idle_timeout(Duration::from_secs(60))
                .tcp_keepalive(Duration::from_secs(10))
                .tcp_keepalive_interval(Duration::from_secs(5))
                .tcp_keepalive_retries(3)
        };
        let failed = |error: reqwest::Error| SetupError::Client(root(&error));
        Ok(Client {
            outward: builder().build().map_err(failed)?,
            on_this_machine: builder().no_proxy().build().map_err(failed)?,
            options: options.clone(),
        })
    }

    /// How long a call may take, where nothing else is said of it.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Sends the call once, and waits for the whole answer.
    pub async fn send(&self, call: Call) -> Result<Answer, CallError> {
        let place = call.place();
        let within = call.within.unwrap_or(self.options.timeout);
        let response = self.begin(call, Some(within)).await?;
        self.whole(place, response).await
    }

    /// Sends the call once, and returns as soon as the answer begins. The time-out counts until then.
    pub async fn open(&self, call: Call) -> Result<Opened, CallError> {
        let place = call.place();
        let within = call.within.unwrap_or(self.options.timeout);
        let late = |_| CallError::Unknown(format!("{place}: no answer in time"));
        let response = tokio::time::timeout(within, self.begin(call, None)).await.map_err(late)??;
        if response.status().is_success() {
            let max_line = self.options.max_answer;
            return Ok(Opened::Lines(Lines { place, response, max_line, buffer: Vec::new(), searched: 0 }));
        }
        let refused = tokio::time::timeout(within, self.whole(place.clone(), response)).await;
        Ok(Opened::Refused(refused.map_err(late)??))
    }

    async fn begin(&self, call: Call, within: Option<Duration>) -> Result<Response, CallError> {
        let place = call.place();
        if let Some(why) = call.unfit {
            return Err(CallError::NotSent(format!("{place}: {why}")));
        }
        let client = if is_on_this_machine(&call.url) { &self.on_this_machine } else { &self.outward };
        let mut request = client.request(call.method, call.url).headers(call.headers);
        if !call.body.is_empty() {
            request = request.body(call.body);
        }
        if let Some(within) = within {
            request = request.timeout(within);
        }
        request.send().await.map_err(|error| call_error(&place, &error))
    }

    async fn whole(&self, place: String, mut response: Response) -> Result<Answer, CallError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&place, &error))? {
            if body.len() + chunk.len() > self.options.max_answer {
                let limit = self.options.max_answer;
                return Err(CallError::Unknown(format!("{place}: the answer ({status}) is longer than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { place, status, headers, body: body.freeze() })
    }
}

fn is_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No proxy comes between this machine and itself.
    #[test]
    fn this_machine_is_known() {
        for (url, expected) in [
            ("http://localhost:2379/", true),
            ("https://127.0.0.1/", true),
            ("http://127.9.8.7:1/", true),
            ("http://[::1]:2379/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
            ("http://[fe80::1]/", false),
        ] {
            assert_eq!(is_on_this_machine(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
