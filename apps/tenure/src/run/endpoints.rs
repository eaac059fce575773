//! The endpoints of `tenure run`: who leads, whether this instance is fit for its part, and metrics.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tenure::Status;
use tenure_core::{LeaseRecord, SlotKeys};
use tenure_store::LeaseStore;
use tenure_supervise::records_of;
use tokio::sync::watch;

use crate::advertise;
use crate::http::{self, Leader, not_ready};

/// What the endpoints show.
#[derive(Debug)]
pub(super) struct RunView {
    pub(super) store: Arc<dyn LeaseStore>,
    /// What is campaigned for.
    pub(super) keys: SlotKeys,
    /// The status of each slot, or of the one key.
    pub(super) slots: Vec<watch::Receiver<Status>>,
    /// The address that this instance advertises.
    pub(super) address: Option<String>,
}

/// The endpoints of a run, which are there before the store is open.
#[derive(Clone)]
pub(super) struct Endpoints {
    view: Arc<OnceLock<RunView>>,
    metrics: PrometheusHandle,
}

impl Endpoints {
    /// Listens and serves until this process ends. Port 0 is any free one, which is told on standard error.
    pub(super) async fn start(address: SocketAddr) -> Result<Endpoints> {
        let metrics = http::collect_metrics()?;
        let listener = http::listen(address).await?;
        let endpoints = Endpoints { view: Arc::default(), metrics };
        let routes = Router::new()
            .route("/leader", get(leader))
            .route("/readyz", get(readyz))
            .route("/debug/vars", get(debug_vars))
            .route("/metrics", get(render_metrics))
            .with_state(endpoints.clone());
        http::serve(listener, routes);
        Ok(endpoints)
    }

    /// Shows this from now on.
    pub(super) fn show(&self, view: RunView) {
        // Set once per process.
        let _ = self.view.set(view);
    }
}

impl RunView {
    fn statuses(&self) -> impl Iterator<Item = Status> {
        self.slots.iter().map(|status| status.borrow().clone())
    }

    /// The status of the election that this instance leads, or else of one whose leader it has seen.
    fn shown(&self) -> Option<Status> {
        let leads = |status: &Status| status.is_leader();
        let knows = |status: &Status| status.leader.is_some();
        self.statuses().find(leads).or_else(|| self.statuses().find(knows)).or_else(|| self.statuses().next())
    }

    /// The leases of these keys.
    async fn records(&self) -> Result<Vec<LeaseRecord>, String> {
        http::in_time(records_of(&*self.store, self.keys.all())).await
    }
}

/// `{key, leader, term, is_self, remaining_ms, advertise}`: 200 where this instance leads, else 503 with whoever does. Of
/// several slots the first one that somebody holds.
async fn leader(State(state): State<Endpoints>) -> Response {
    let Some(view) = state.view.get() else { return not_ready(&["starting".to_owned()], "starting") };
    if let Some(own) = view.statuses().find_map(|status| Leader::own(&status)) {
        return own.respond([("advertise", view.address.clone().into())]);
    }
    let (leader, address) = match view.records().await {
        Ok(records) => match records.first() {
            Some(record) => (Some(Leader::recorded(record)), advertise::of(&record.note)),
            None => (view.statuses().next().map(|status| Leader::nobody(status.key)), None),
        },
        // The store does not answer: the leader that was last observed.
        Err(_) => (view.shown().as_ref().map(Leader::observed), None),
    };
    match leader {
        Some(leader) => leader.respond([("advertise", address.into())]),
        None => not_ready(&["starting".to_owned()], "starting"),
    }
}

/// 200 where this instance leads, or could: healthy, and in touch with the store; else 503 with the reasons.
async fn readyz(State(state): State<Endpoints>) -> Response {
    let Some(view) = state.view.get() else { return not_ready(&["starting".to_owned()], "starting") };
    let (role, reasons) = readiness(view).await;
    if !reasons.is_empty() {
        return not_ready(&reasons, role);
    }
    Json(json!({ "status": "ready", "role": role })).into_response()
}

/// The role of this instance, and why it does not fulfil it: nothing where it does.
async fn readiness(view: &RunView) -> (&'static str, Vec<String>) {
    let role = if view.statuses().any(|status| status.is_leader()) { "leader" } else { "standby" };
    let mut reasons = Vec::new();
    if view.statuses().any(|status| !status.healthy) {
        reasons.push("the health command does not say yes".to_owned());
    }
    // The leader's own lease says whether the store answers.
    if role == "standby"
        && let Err(why) = view.records().await
    {
        reasons.push(format!("store: {why}"));
    }
    (role, reasons)
}

/// The election; of several slots the one that this instance leads, or else one whose leader it has seen.
async fn debug_vars(State(state): State<Endpoints>) -> Json<Value> {
    let Some(view) = state.view.get() else { return Json(json!({ "starting": true })) };
    let election = view.shown().as_ref().map(http::election);
    Json(json!({ "leader_election": election, "pid": std::process::id() }))
}

async fn render_metrics(State(state): State<Endpoints>) -> Response {
    let mut ready = false;
    if let Some(view) = state.view.get() {
        ready = readiness(view).await.1.is_empty();
        for status in view.statuses() {
            let lease = status.key.to_string();
            metrics::counter!("tenure_time_as_leader_seconds", "lease" => lease.clone())
                .absolute(status.led_in_all().as_secs());
            metrics::counter!("tenure_tenures_total", "lease" => lease.clone()).absolute(status.tenures);
            metrics::gauge!("tenure_healthy", "lease" => lease).set(if status.healthy { 1.0 } else { 0.0 });
        }
    }
    http::render(&state.metrics, ready)
}
