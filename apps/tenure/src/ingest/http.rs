//! Endpoints for operators: health, readiness, status, metrics. They answer before the rest of the daemon starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tenure_core::LeaseRecord;
use tenure_ingest::{Standby, View};
use tenure_store::LeaseStore;
use tenure_twitch::{ConnectionState, ReaderStatus};

use super::channels;
use crate::http::{self, Leader, not_ready};

/// The endpoints of a daemon that may not have started yet.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    shown: Arc<OnceLock<(View, Arc<dyn LeaseStore>)>>,
}

#[derive(Clone)]
struct EndpointState {
    shown: Arc<OnceLock<(View, Arc<dyn LeaseStore>)>>,
    metrics: PrometheusHandle,
    store: String,
}

impl Endpoints {
    /// Shows this daemon from now on.
    pub(crate) fn show(&self, view: View, store: Arc<dyn LeaseStore>) {
        // `show` is called once per process.
        let _ = self.shown.set((view, store));
    }
}

/// Listens and serves; logs the address to stderr, so that port 0 can be used.
pub(crate) async fn start(address: SocketAddr, store: String) -> Result<Endpoints> {
    let metrics = http::collect_metrics()?;
    let listener = http::listen(address).await?;
    let endpoints = Endpoints { shown: Arc::default() };
    let state = EndpointState { shown: Arc::clone(&endpoints.shown), metrics, store };
    let router = Router::new()
        .route("/readyz", get(readyz))
        .route("/leader", get(leader))
        .route("/_debug/twitch", get(debug_twitch))
        .route("/debug/vars", get(debug_vars))
        .route("/metrics", get(render_metrics))
        .with_state(state);
    http::serve(listener, router);
    Ok(endpoints)
}

/// Answers 200 where this instance fulfils its role, else 503 with the reasons.
async fn readyz(State(state): State<EndpointState>) -> Response {
    let Some((view, store)) = state.shown.get() else { return not_ready(&["starting".to_owned()], "starting") };
    let Readiness { role, reasons, unplaced } = readiness(view, store).await;
    let (code, status) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let body = json!({ "status": status, "role": role, "reasons": reasons, "channels": channels::shown(&unplaced) });
    (code, Json(body)).into_response()
}

/// Whether this instance fulfils its role.
pub(super) struct Readiness {
    pub(super) role: &'static str,
    /// Why it does not; empty where it does.
    pub(super) reasons: Vec<String>,
    unplaced: BTreeMap<String, &'static str>,
}

/// Looks at this instance, and where it is a standby at the store.
pub(super) async fn readiness(view: &View, store: &Arc<dyn LeaseStore>) -> Readiness {
    let snapshot = view.snapshot();
    let (role, leads) = role(view);
    let reads = leads || view.config().standby == Standby::Warm;
    let mut reasons = Vec::new();
    let unplaced = channels::unplaced(view, &snapshot);
    if reads && !view.config().ready.is_met(&snapshot) {
        reasons.push(channels::missing(view, &unplaced));
    }
    if leads && let Some(error) = snapshot.last_error {
        reasons.push(format!("bus: {error}"));
    }
    // A standby that cannot reach the store cannot take over. The leader's own lease tells whether it can reach it.
    if !leads && let Err(why) = record(view, store).await {
        reasons.push(format!("store: {why}"));
    }
    Readiness { role, reasons, unplaced }
}

/// The role of this instance, and whether it leads.
pub(super) fn role(view: &View) -> (&'static str, bool) {
    match view.election() {
        None => ("leader", true),
        Some(status) if status.is_leader() => ("leader", true),
        Some(_) => ("standby", false),
    }
}

/// `{key, leader, term, is_self, remaining_ms}`: 200 where this instance leads, else 503.
async fn leader(State(state): State<EndpointState>) -> Response {
    let Some((view, store)) = state.shown.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "starting" }))).into_response();
    };
    let Some(status) = view.election() else {
        let instance = view.config().instance.as_str();
        return Json(json!({
            "key": view.config().lease.as_str(), "leader": instance, "term": null, "is_self": true, "remaining_ms": null
        }))
        .into_response();
    };
    let leader = match Leader::own(&status) {
        Some(own) => own,
        None => match record(view, store).await {
            Ok(Some(record)) => Leader::recorded(&record),
            Ok(None) => Leader::nobody(status.key),
            // The store did not answer: the holder that this candidate saw last.
            Err(_) => Leader::observed(&status),
        },
    };
    leader.respond([])
}

/// Reads the lease's record, or says why the store did not answer in time.
async fn record(view: &View, store: &Arc<dyn LeaseStore>) -> Result<Option<LeaseRecord>, String> {
    http::record(&view.config().lease, store).await
}

/// The state of the chat connection, as bots' own debug pages show it.
async fn debug_twitch(State(state): State<EndpointState>) -> Json<Value> {
    let Some((view, _)) = state.shown.get() else { return Json(json!({ "state": "DISCONNECTED" })) };
    let snapshot = view.snapshot();
    let counters = json!({ "received": snapshot.received, "published": snapshot.published, "failed": snapshot.failed });
    let at = |ms: u64| i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let Some(reader) = view.reader() else {
        return Json(json!({
            "state": "DISCONNECTED", "userId": null, "displayName": null, "joinedChannels": [], "lastMessageAt": null,
            "lastReconnectAt": null, "lastError": null, "reconnects": 0, "counters": counters, "connections": [],
            "channels": [], "lines": snapshot.lines, "limits": [], "pipeline": snapshot,
        }));
    };
    let connections: Vec<Value> = reader
        .connections
        .iter()
        .map(|connection| {
            json!({
                "id": connection.id,
                "state": format!("{:?}", connection.state),
                "nick": connection.nick,
                "localAddress": connection.local_addr.map(|address| address.to_string()),
                "channels": connection.channels,
            })
        })
        .collect();
    Json(json!({
        "state": connection_state(&reader),
        "userId": null,
        "displayName": reader.connections.iter().find_map(|connection| connection.nick.clone()),
        "joinedChannels": reader.joined_channels(),
        "lastMessageAt": snapshot.last_line_at_ms.and_then(at).map(|at| at.to_string()),
        "lastReconnectAt": snapshot.last_reconnect_at_ms.and_then(at).map(|at| at.to_string()),
        "lastError": reader.last_error.as_ref().map(|error| json!({ "code": error.code, "message": error.message })),
        "reconnects": reader.reconnects,
        "counters": counters,
        "connections": connections,
        "channels": channels::shown(&channels::unplaced(view, &snapshot)),
        "lines": snapshot.lines,
        "limits": limits(&reader),
        "pipeline": snapshot,
    }))
}

/// The remaining attempts of each budget.
fn limits(reader: &ReaderStatus) -> Vec<Value> {
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let budgets = reader.budgets.iter();
    budgets
        .map(|budget| {
            json!({ "bucket": budget.bucket, "left": budget.left, "resets_in_ms": budget.asks_in.map(milliseconds) })
        })
        .collect()
}

/// The state of all connections in one word.
fn connection_state(reader: &ReaderStatus) -> &'static str {
    let up = |connection: &tenure_twitch::ConnectionStatus| {
        matches!(connection.state, ConnectionState::Up | ConnectionState::Retiring)
    };
    if reader.connections.iter().any(up) {
        "CONNECTED"
    } else if reader.reconnects > 0 {
        "RECONNECTING"
    } else if reader.last_error.is_some() {
        "ERROR"
    } else {
        "CONNECTING"
    }
}

/// The election, in the shape that operators of Kubernetes controllers know, and the pipeline.
async fn debug_vars(State(state): State<EndpointState>) -> Json<Value> {
    let Some((view, _)) = state.shown.get() else { return Json(json!({ "starting": true })) };
    let election = match view.election() {
        None => json!({ "enabled": false, "is_leader": true, "identity": view.config().instance.as_str() }),
        Some(status) => http::election(&status),
    };
    let store = tenure_open::shown(&state.store);
    Json(json!({
        "leader_election": election,
        "ingest": view.snapshot(),
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "store": store,
    }))
}

/// Prometheus text: every counter under `tenure_`.
async fn render_metrics(State(state): State<EndpointState>) -> Response {
    let mut ready = false;
    if let Some((view, store)) = state.shown.get() {
        publish_metrics(view);
        ready = readiness(view, store).await.reasons.is_empty();
    }
    http::render(&state.metrics, ready)
}

fn publish_metrics(view: &View) {
    let snapshot = view.snapshot();
    for (name, value) in [
        ("tenure_messages_received_total", snapshot.received),
        ("tenure_messages_published_total", snapshot.published),
        ("tenure_messages_deduplicated_total", snapshot.deduplicated),
        ("tenure_messages_failed_total", snapshot.failed),
        ("tenure_messages_repaired_total", snapshot.repaired),
        ("tenure_messages_malformed_total", snapshot.malformed),
        ("tenure_gaps_total", snapshot.gaps),
        ("tenure_ring_forced_out_total", snapshot.forced_out),
        ("tenure_batches_fenced_total", snapshot.fenced),
        ("tenure_bus_failures_total", snapshot.bus_failures),
    ] {
        metrics::counter!(name).absolute(value);
    }
    let lines = snapshot.lines;
    for (fate, count) in
        [("published", lines.published), ("known", lines.known), ("refused", lines.refused), ("gap", lines.gap)]
    {
        metrics::counter!("tenure_lines_total", "fate" => fate).absolute(count);
    }
    metrics::counter!("tenure_lines_received_total").absolute(lines.received);
    metrics::gauge!("tenure_lines_held").set(lines.held as f64);
    metrics::gauge!("tenure_ring_entries").set(snapshot.ring_entries as f64);
    metrics::gauge!("tenure_ring_bytes").set(snapshot.ring_bytes as f64);
    if let Some(status) = view.election() {
        let lease = status.key.to_string();
        metrics::counter!("tenure_time_as_leader_seconds", "lease" => lease).absolute(status.led_in_all().as_secs());
    }
    for (reason, count) in channels::counts(&channels::unplaced(view, &snapshot)) {
        metrics::gauge!("tenure_irc_channels_unplaced", "reason" => reason).set(count as f64);
    }
    let reader = view.reader();
    let joined = reader.as_ref().map_or(0, |reader| reader.joined_channels().len());
    metrics::gauge!("tenure_irc_channels_joined").set(joined as f64);
    metrics::gauge!("tenure_irc_connected")
        .set(if reader.as_ref().is_some_and(|reader| connection_state(reader) == "CONNECTED") { 1.0 } else { 0.0 });
    metrics::counter!("tenure_irc_overruns_total").absolute(reader.as_ref().map_or(0, |reader| reader.overruns));
    metrics::counter!("tenure_irc_reconnects_total").absolute(reader.map_or(0, |reader| reader.reconnects));
}
