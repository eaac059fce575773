//! A controller of which every replica is warm and one acts: callbacks, events, metrics and a page of variables.
//!
//! ```sh
//! cargo run -p tenure-examples --bin callbacks
//! ```
//!
//! Start it in several terminals; each prints where it answers `/debug/vars` and `/metrics`. Settings come from flags, or
//! from a file in the shape of `examples/controller.yaml` (`--config`).

mod component;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use component::{Callbacks, Component, Observation};
use futures_util::FutureExt;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use settings::{Args, Settings};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stdout).with_target(false).with_ansi(false).without_time().init();
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let Settings { store, http, component } = Settings::new(Args::parse())?;
    let store = tenure_open::open(&store).await?;

    let (bus, observed) = broadcast::channel(64);
    tokio::spawn(log(observed));
    let component = Arc::new(Component::new(component, store, bus, callbacks())?);

    let listener = tokio::net::TcpListener::bind(http).await?;
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
                tracing::info!(%identity, lease = %lease_name, namespace = %lease_namespace, "leader election started");
            }
            Ok(Observation::BecameLeader { identity }) => tracing::info!(%identity, "became leader"),
            Ok(Observation::LostLeadership { identity, reason, detail, time_as_leader }) => {
                let time_as_leader = tenure::Lasted(time_as_leader);
                tracing::warn!(%identity, %reason, %time_as_leader, detail, "lost leadership");
            }
            Ok(Observation::NewLeaderObserved { new_leader_identity, is_self }) => {
                tracing::info!(new_leader = %new_leader_identity, is_self, "new leader observed");
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
