//! A controller of which every replica is warm and one acts: callbacks, events, metrics and a page of variables.
//!
//! ```sh
//! cargo run -p tenure-examples --bin callbacks
//! ```
//!
//! Start it in several terminals; each prints where it answers `/debug/vars` and `/metrics`.

mod component;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use component::{Callbacks, Component, Config, Observation};
use futures_util::FutureExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// A controller of which one replica acts.
#[derive(Debug, Parser)]
struct Args {
    /// Store of the lease [default: sqlite: in the temporary folder]
    #[arg(long, env = "TENURE_STORE")]
    store: Option<String>,
    /// This replica's name, such as its pod's
    #[arg(long, env = "POD_NAME", default_value = "")]
    identity: String,
    /// Name of the lease
    #[arg(long, default_value = "my-app-leader")]
    lease_name: String,
    /// Namespace of the lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// How long others wait for a leader that has vanished
    #[arg(long, default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// How long a leader acts without an answered renewal
    #[arg(long, default_value = "10s", value_parser = duration)]
    renew_deadline: Duration,
    /// How often a leader renews, and a candidate tries
    #[arg(long, default_value = "2s", value_parser = duration)]
    retry_period: Duration,
    /// Release the lease once the work has ended, rather than let it run out
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    release_on_cancel: bool,
    /// Lead without an election, as the only replica
    #[arg(long)]
    no_election: bool,
    /// Where to answer /debug/vars and /metrics
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stdout).with_target(false).with_ansi(false).without_time().init();
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let args = Args::parse();
    let store = tenure_open::open(&args.store.unwrap_or_else(tenure_examples::default_store)).await?;
    let config = Config {
        enabled: !args.no_election,
        identity: args.identity,
        lease_name: args.lease_name,
        lease_namespace: args.lease_namespace,
        lease_duration: args.lease_duration,
        renew_deadline: args.renew_deadline,
        retry_period: args.retry_period,
        release_on_cancel: args.release_on_cancel,
    };

    let (bus, observed) = broadcast::channel(64);
    tokio::spawn(log(observed));
    let component = Arc::new(Component::new(config, store, bus, callbacks())?);

    let listener = tokio::net::TcpListener::bind(args.http).await?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let pages = Router::new()
        .route("/debug/vars", get(variables))
        .route("/metrics", get(render))
        .with_state((Arc::clone(&component), metrics));
    tokio::spawn(async move { axum::serve(listener, pages).await });

    let cancel = CancellationToken::new();
    tokio::spawn({
        let cancel = cancel.clone();
        async move {
            let _ = tenure_examples::asked_to_stop().await;
            cancel.cancel();
        }
    });
    component.run(&cancel).await
}

/// What this program does when leadership changes.
fn callbacks() -> Callbacks {
    Callbacks {
        on_started_leading: Box::new(|mandate| {
            async move {
                tracing::info!("callback: started leading, so the deployer starts");
                loop {
                    // Every replica watches and renders; only the leader, while it may, deploys.
                    if mandate.is_current() {
                        tracing::info!(term = mandate.term().get(), "deployed");
                    }
                    tokio::select! {
                        _ = mandate.lost() => break,
                        () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    }
                }
                tracing::info!("the deployer has ended");
            }
            .boxed()
        }),
        on_stopped_leading: Box::new(|| tracing::info!("callback: stopped leading, so the deployer stops")),
        on_new_leader: Box::new(|identity| tracing::info!("callback: new leader {identity}")),
    }
}

/// A subscriber of the event bus, of which there may be any number: this one writes the log.
async fn log(mut observed: broadcast::Receiver<Observation>) {
    loop {
        match observed.recv().await {
            Ok(Observation::LeaderElectionStarted { identity, lease_name, lease_namespace }) => {
                tracing::info!(identity, lease = lease_name, namespace = lease_namespace, "leader election started");
            }
            Ok(Observation::BecameLeader { identity }) => tracing::info!(identity, "became leader"),
            Ok(Observation::LostLeadership { identity, reason, time_as_leader }) => {
                let time_as_leader = tenure::Lasted(time_as_leader);
                tracing::warn!(identity, reason, %time_as_leader, "lost leadership");
            }
            Ok(Observation::NewLeaderObserved { new_leader_identity, is_self }) => {
                tracing::info!(new_leader = new_leader_identity, is_self, "new leader observed");
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => tracing::warn!(missed, "events missed"),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

type Site = (Arc<Component>, PrometheusHandle);

async fn variables(State((component, _)): State<Site>) -> Json<Value> {
    Json(json!({ "leader_election": component.variables() }))
}

async fn render(State((component, metrics)): State<Site>) -> String {
    component.refresh_metrics();
    metrics.render()
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    parsed
        .ok()
        .and_then(|span| Duration::try_from(span).ok())
        .ok_or_else(|| format!("{text:?}: write it as 15s or 500ms"))
}
