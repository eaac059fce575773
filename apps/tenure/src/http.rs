//! The common parts of all HTTP endpoints of this program: listening within bounds, metrics, and answers about a
//! leader.

mod listener;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tenure::Status;
use tenure_core::{HolderId, LeaseKey, LeaseRecord, Term};
use tenure_store::{LeaseStore, StoreError};

/// How long a request waits for the store.
const STORE_ANSWER: Duration = Duration::from_millis(500);

/// Begins to collect metrics; once per process.
pub(crate) fn collect_metrics() -> Result<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().context("cannot start the metrics")
}

/// Listens; tells the address where that is not the one that was asked for, and warns if other machines can reach it. The error for a port
/// that is in use names one that is free.
pub(crate) async fn listen(asked: SocketAddr) -> Result<tokio::net::TcpListener> {
    let listener = match bind(asked).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let hint =
                free_after(asked).map(|free| format!("--http {} is free, or use ", short(free))).unwrap_or_default();
            let any = short(SocketAddr::new(asked.ip(), 0));
            bail!("http: port {} is in use: {hint}--http {any} for any free one", asked.port());
        }
        Err(error) => return Err(error).with_context(|| format!("http: cannot listen on {asked}")),
    };
    let address = listener.local_addr()?;
    tracing::info!(component = "http", %address, "listening");
    // Whoever asked for any port has to learn which. Where logs are JSON the line above tells it.
    if asked.port() == 0 && !(crate::logs::are_json() && tracing::enabled!(tracing::Level::INFO)) {
        say!("tenure: endpoints at http://{address}");
    }
    if !address.ip().is_loopback() {
        tracing::warn!(component = "http", %address, "the endpoints are reachable from other machines and ask no password");
    }
    Ok(listener)
}

/// The next port that is free now, if one of the next hundred is.
fn free_after(asked: SocketAddr) -> Option<SocketAddr> {
    let ports = (1..=100).filter_map(|ahead| asked.port().checked_add(ahead));
    let mut addresses = ports.map(|port| SocketAddr::new(asked.ip(), port));
    addresses.find(|address| std::net::TcpListener::bind(address).is_ok())
}

/// The address as it is written after `--http`.
fn short(address: SocketAddr) -> String {
    match address.ip() == std::net::Ipv4Addr::LOCALHOST {
        true => format!(":{}", address.port()),
        false => address.to_string(),
    }
}

/// Where to listen: HOST:PORT, or :PORT on loopback.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("{text:?} is not an address: write HOST:PORT or :PORT");
    let full = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
    let found: Vec<SocketAddr> = full.to_socket_addrs().map_err(|_| wrong())?.collect();
    // A name such as localhost can resolve to IPv6 and IPv4. The IPv4 address is taken, because that is the one people
    // then connect to.
    found.iter().find(|address| address.is_ipv4()).or_else(|| found.first()).copied().ok_or_else(wrong)
}

/// A process that was just killed may still hold the port for a moment.
async fn bind(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let mut tries = 0;
    loop {
        match tokio::net::TcpListener::bind(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries < 10 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}

/// Serves the routes, and `/healthz` and `/livez` beside them, until the process ends.
pub(crate) fn serve(listener: tokio::net::TcpListener, routes: Router) {
    let alive = || async { Json(json!({ "status": "ok" })) };
    let router = routes.route("/healthz", get(alive)).route("/livez", get(alive));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener::BoundedListener::new(listener), router).await {
            tracing::error!(component = "http", %error, "the endpoints have ended");
        }
    });
}

/// 503, with the reasons.
pub(crate) fn not_ready(reasons: &[String], role: &str) -> Response {
    let body = Json(json!({ "status": "not_ready", "role": role, "reasons": reasons }));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

/// The metrics as Prometheus reads them; among them whether `/readyz` would answer 200 now.
pub(crate) fn render(metrics: &PrometheusHandle, ready: bool) -> Response {
    metrics::gauge!("tenure_ready").set(if ready { 1.0 } else { 0.0 });
    // The version names the text format; scrapers choose their parser by it.
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

/// Who leads, as an endpoint answers it.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// The key of the lease.
    pub(crate) key: LeaseKey,
    /// The holder, if there is one.
    pub(crate) leader: Option<HolderId>,
    /// The holder's term.
    pub(crate) term: Option<Term>,
    /// Whether the holder is this process.
    pub(crate) is_self: bool,
    /// How long the lease lasts unless it is renewed.
    pub(crate) remaining: Option<Duration>,
}

impl Leader {
    /// This candidate, if it leads.
    pub(crate) fn own(status: &Status) -> Option<Leader> {
        let remaining = status.remaining().filter(|_| status.is_leader())?;
        Some(Leader {
            key: status.key.clone(),
            leader: Some(status.holder.clone()),
            term: status.term,
            is_self: true,
            remaining: Some(remaining),
        })
    }

    /// The holder in the store's record.
    pub(crate) fn recorded(record: &LeaseRecord) -> Leader {
        Leader {
            key: record.key.clone(),
            leader: Some(record.holder.clone()),
            term: record.term,
            is_self: false,
            remaining: record.remaining,
        }
    }

    /// The holder that this candidate saw last.
    pub(crate) fn observed(status: &Status) -> Leader {
        Leader {
            key: status.key.clone(),
            leader: status.leader.clone(),
            term: status.term,
            is_self: false,
            remaining: None,
        }
    }

    /// No holder.
    pub(crate) fn nobody(key: LeaseKey) -> Leader {
        Leader { key, leader: None, term: None, is_self: false, remaining: None }
    }

    /// `{key, leader, term, is_self, remaining_ms}` and what else there is to say: 200 where this process leads, else 503.
    pub(crate) fn respond(self, extra: impl IntoIterator<Item = (&'static str, Value)>) -> Response {
        let mut body = json!({
            "key": self.key.as_str(),
            "leader": self.leader.as_ref().map(HolderId::as_str),
            "term": self.term.map(Term::get),
            "is_self": self.is_self,
            "remaining_ms": self.remaining.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        });
        if let Value::Object(members) = &mut body {
            members.extend(extra.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        let code = if self.is_self { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (code, Json(body)).into_response()
    }
}

/// Where an election stands, as `/debug/vars` shows it: in the shape that operators of Kubernetes controllers know.
pub(crate) fn election(status: &Status) -> Value {
    json!({
        "enabled": true,
        "is_leader": status.is_leader(),
        "identity": status.holder.as_str(),
        "lease": status.key.as_str(),
        "lease_holder": status.leader.as_ref().map(HolderId::as_str),
        "term": status.term.map(Term::get),
        "time_as_leader": tenure::Lasted(status.led_in_all()).to_string(),
        "transitions": status.transitions,
        "tenures": status.tenures,
        "healthy": status.healthy,
    })
}

/// Reads the record of one key, or says why the store did not answer in time.
pub(crate) async fn record(key: &LeaseKey, store: &Arc<dyn LeaseStore>) -> Result<Option<LeaseRecord>, String> {
    in_time(store.record(key)).await
}

/// Returns the store's answer, or says why it did not come in time.
pub(crate) async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(STORE_ANSWER, answer).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {STORE_ANSWER:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoints listen on loopback unless a host is named; names of hosts are looked up.
    #[test]
    fn addresses_are_on_loopback_unless_told_otherwise() {
        assert_eq!(parse_address(":8080").unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(parse_address("localhost:8080").unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(parse_address("0.0.0.0:1").unwrap().to_string(), "0.0.0.0:1");
        assert_eq!(parse_address("[::1]:1").unwrap().to_string(), "[::1]:1");
        assert!(parse_address("8080").unwrap_err().contains(":PORT") && parse_address(":99999").is_err());
    }
}
