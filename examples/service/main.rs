//! A web service of which one instance answers, and every other one knows which.
//!
//! ```sh
//! cargo run -p tenure-examples --bin service
//! ```
//!
//! Start it in several terminals and ask any of them with `curl -L http://ADDRESS/next`: the leader hands out tickets, the
//! others send the caller there. No two tickets are the same, whoever leads: a ticket is a pair of the term and a number.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use serde_json::{Value, json};
use tenure::{Election, KeyPrefix, Leadership, LeaseStore, Mandate};
use tokio_util::sync::CancellationToken;

/// Hands out tickets; one instance at a time does, the others lead callers there.
#[derive(Debug, Parser)]
struct Args {
    /// Store of the lease [default: sqlite: in the temporary folder]
    #[arg(long, env = "TENURE_STORE")]
    store: Option<String>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Address at which callers reach this instance [default: http:// and where it listens]
    #[arg(long)]
    advertise: Option<String>,
    /// This instance's name
    #[arg(long)]
    name: Option<String>,
    /// Seconds that the lease lasts without renewal
    #[arg(long, default_value_t = 5)]
    ttl_seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let listener = tokio::net::TcpListener::bind(args.http).await?;
    let address = args.advertise.unwrap_or(format!("http://{}", listener.local_addr()?));
    println!("Listening on {address}");

    let store = tenure_open::open(&args.store.unwrap_or_else(tenure_examples::default_store)).await?;
    // Written with the lease, as `tenure run --advertise` writes it: whoever can read the lease, such as `tenure leases`,
    // knows where its holder is.
    let note = json!({ "advertise": address }).to_string();
    let ttl = Duration::from_secs(args.ttl_seconds);
    let mut builder = Election::builder(Arc::clone(&store), "examples/service").ttl(ttl).note(note);
    if let Some(name) = args.name {
        builder = builder.holder(name);
    }
    let election = builder.start()?;
    let service = Arc::new(Service { store, election, tickets: Mutex::default() });

    let router = Router::new()
        .route("/next", get(next))
        .route("/leader", get(leader))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(Arc::clone(&service));
    let close = CancellationToken::new();
    let closed = close.clone().cancelled_owned();
    let serving = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(closed).await });

    // First the lease is handed over, then the doors are closed: meanwhile callers are sent to the next leader.
    service.election.run_until(tenure_examples::asked_to_stop(), |leadership| service.keep_tickets(leadership)).await?;
    close.cancel();
    serving.await??;
    Ok(())
}

struct Service {
    store: Arc<dyn LeaseStore>,
    election: Election,
    /// What only the leader has.
    tickets: Mutex<Option<Tickets>>,
}

struct Tickets {
    mandate: Mandate,
    given: u64,
}

impl Service {
    /// What a leader does: it has tickets to give, until it has to stop.
    async fn keep_tickets(&self, leadership: Leadership) -> Result<()> {
        println!("Leading under term {}", leadership.term());
        *self.tickets() = Some(Tickets { mandate: leadership.mandate(), given: 0 });
        leadership.lost().await;
        *self.tickets() = None;
        println!("Leading no longer");
        Ok(())
    }

    /// The next ticket, where this instance may give one.
    fn ticket(&self) -> Option<Value> {
        let mut tickets = self.tickets();
        // The question comes with every ticket: this is what a paused instance is caught by.
        let tickets = tickets.as_mut().filter(|tickets| tickets.mandate.is_current())?;
        tickets.given += 1;
        Some(
            json!({ "term": tickets.mandate.term().get(), "number": tickets.given, "by": self.election.holder().as_str() }),
        )
    }

    /// The lease as its store shows it: holder, term, what is left of it, and where the holder is.
    async fn lease(&self) -> Option<Value> {
        let key = self.election.key();
        let prefix = KeyPrefix::from(key);
        let records = tokio::time::timeout(Duration::from_secs(1), self.store.list(&prefix)).await.ok()?.ok()?;
        let record = records.into_iter().find(|record| record.key == *key)?;
        let note: Value = serde_json::from_str(record.note.as_str()).unwrap_or_default();
        Some(json!({
            "key": key.as_str(),
            "leader": record.holder.as_str(),
            "term": record.term.map(|term| term.get()),
            "is_self": record.holder == *self.election.holder(),
            "remaining_ms": record.remaining.map(|span| span.as_millis() as u64),
            "advertise": note["advertise"],
        }))
    }

    fn tickets(&self) -> MutexGuard<'_, Option<Tickets>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ticket from the leader; from the others the way there.
async fn next(State(service): State<Arc<Service>>) -> Response {
    if let Some(ticket) = service.ticket() {
        return Json(ticket).into_response();
    }
    let lease = service.lease().await.filter(|lease| lease["is_self"] == false);
    match lease.as_ref().and_then(|lease| lease["advertise"].as_str()) {
        Some(address) => Redirect::temporary(&format!("{address}/next")).into_response(),
        // Between two leaders. It will not take long.
        None => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "nobody leads\n").into_response(),
    }
}

/// Who leads, and where: 200 at the leader, 503 elsewhere, so that a load balancer finds the leader by this page.
async fn leader(State(service): State<Arc<Service>>) -> Response {
    let code = match service.election.status().is_leader() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(service.lease().await.unwrap_or_default())).into_response()
}
