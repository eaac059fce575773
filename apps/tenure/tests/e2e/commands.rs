//! The other commands, and the ways to start the daemon: tail, twitch-sim, TLS, development mode.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use tenure_twitch_sim::SimConfig;

use crate::fleet::{Fleet, quick, send, tenure, until};

/// `tail` prints one envelope a line with its position, from where it is told.
#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_envelopes_with_positions() {
    let fleet = Fleet::new(SimConfig { limit: Some(100), ..quick(1, 500.0) }, "5s").await;
    let instance = fleet.instance("a");
    instance.ready().await;
    fleet.sim.chat_over().await;
    fleet.settled().await;
    let bus = format!("sqlite:{}", fleet.bus_file().display());
    let tail = |from: &str| {
        let output = tenure().args(["tail", "--bus", &bus, "--json", "--no-follow", "--from", from]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let all = tail("start");
    assert_eq!(all.len(), fleet.bodies().len());
    let positions: Vec<u64> = all.iter().map(|envelope| envelope["_pos"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted() && positions[0] >= 1);
    let third = tail(&positions[2].to_string());
    assert_eq!(third[0]["_pos"], positions[2]);
    assert_eq!(tail("2000-01-01T00:00:00Z").len(), all.len());
    assert!(tail("2999-01-01T00:00:00Z").is_empty());
}

/// A bus that is not there is an error to `tail`, and is not made.
#[test]
fn tail_makes_no_bus() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mistyped.db");
    let output = tenure().args(["tail", "--bus", &format!("sqlite:{}", file.display())]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mistyped.db") && !file.exists());
}

/// `twitch-sim` tells its addresses on its first line, and what it sent at `/stats`.
#[tokio::test(flavor = "multi_thread")]
async fn twitch_sim_tells_where_it_listens() {
    let mut child = tenure()
        .args(["twitch-sim", "--channels", "2", "--rate", "50"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert!(first["irc"].as_str().unwrap().starts_with("irc://127.0.0.1:"));
    assert!(first["ws"].as_str().unwrap().starts_with("ws://127.0.0.1:"));
    assert!(first["http"].as_str().unwrap().starts_with("http://"));
    send(i32::try_from(child.id()).unwrap(), Signal::TERM);
    let mut status = None;
    until("the simulator's end", async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success());
}

/// Chat is read over TLS from a server whose authority is given, with and without WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn chat_is_read_over_tls() {
    let any = Some("127.0.0.1:0".parse().unwrap());
    for scheme in ["ircs", "wss"] {
        let sim = SimConfig { tls_listen: any, wss_listen: any, ..quick(1, 100.0) };
        let mut fleet = Fleet::new(sim, "5s").await;
        let ca = fleet.folder.path().join("ca.pem");
        std::fs::write(&ca, fleet.sim.ca_pem().unwrap()).unwrap();
        let addresses = fleet.sim.addresses();
        let port = if scheme == "wss" { addresses.wss } else { addresses.ircs }.unwrap().port();
        fleet.extra = ["--irc-ca", ca.to_str().unwrap()].map(str::to_owned).to_vec();
        fleet.irc = Some(format!("{scheme}://localhost:{port}"));
        let instance = fleet.instance("a");
        instance.ready().await;
        until("chat", async || fleet.bodies().len() > 50).await;
        assert!(fleet.sim.stats().connections.iter().all(|connection| connection.transport == scheme));
    }
}

/// Development mode holds no election: the instance publishes at once and touches no lease.
#[tokio::test(flavor = "multi_thread")]
async fn development_mode_skips_the_election() {
    let mut fleet = Fleet::new(quick(1, 100.0), "5s").await;
    fleet.extra = vec!["--dev".to_owned()];
    let instance = fleet.instance("a");
    instance.ready().await;
    until("chat", async || fleet.bodies().len() > 50).await;
    assert!(fleet.lease().await.is_none());
    let (code, leader) = instance.get("/leader").await.unwrap();
    assert_eq!((code, &leader["is_self"], &leader["term"]), (200, &true.into(), &Value::Null));
    let (_, vars) = instance.get("/debug/vars").await.unwrap();
    assert_eq!(vars["leader_election"]["enabled"], false);
}
