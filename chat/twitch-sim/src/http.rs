//! The HTTP endpoints: `GET /healthz /stats /ledger /ca.pem`, `POST /fault /stop`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes as BodyBytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::shared::Shared;

/// Serves until the simulator shuts down.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, ca_pem: Option<Arc<str>>) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/stats", get(|State(shared): State<Arc<Shared>>| async move { Json(crate::stats::read(&shared)) }))
        .route("/ledger", get(ledger))
        .route("/fault", post(fault))
        .route("/stop", post(stop))
        .route("/ca.pem", get(move || async move { ca_pem.map(|pem| pem.to_string()).ok_or(StatusCode::NOT_FOUND) }))
        .with_state(shared.clone());
    let served = axum::serve(listener, routes).with_graceful_shutdown(shared.shutdown.clone().cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP listener failed");
    }
}

/// The ledger as JSON lines, formatted piece by piece as the client takes it.
async fn ledger(State(shared): State<Arc<Shared>>) -> Response {
    let rows = Rows { ledger: shared.recorder.snapshot(), at: 0 };
    let body = Body::from_stream(futures_util::stream::iter(rows));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

struct Rows {
    ledger: Ledger,
    at: usize,
}

impl Iterator for Rows {
    type Item = Result<BodyBytes, Infallible>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = Vec::with_capacity(64 * 1024);
        while self.at < self.ledger.lines().len() && piece.len() < 60 * 1024 {
            // Writing to memory cannot fail.
            let _ = self.ledger.write_row(self.at, &mut piece);
            self.at += 1;
        }
        (!piece.is_empty()).then(|| Ok(piece.into()))
    }
}

/// The body is read as JSON whatever its content type says, so that `curl -d` works as it is.
async fn fault(State(shared): State<Arc<Shared>>, body: BodyBytes) -> Response {
    let refused = |problem: String| (StatusCode::BAD_REQUEST, format!("fault not understood: {problem}\n"));
    let fault: Fault = match serde_json::from_slice(&body) {
        Ok(fault) => fault,
        Err(error) => return refused(error.to_string()).into_response(),
    };
    match shared.fault(fault) {
        Ok(outcome) => Json(outcome).into_response(),
        Err(problem) => refused(problem).into_response(),
    }
}

async fn stop(State(shared): State<Arc<Shared>>) -> Json<crate::stats::ChatStats> {
    shared.stop_chat.cancel();
    let _ = shared.chat.subscribe().wait_for(|state| state.is_over()).await;
    Json(crate::stats::read(&shared).chat)
}
